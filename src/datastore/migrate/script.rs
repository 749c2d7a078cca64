//! The script for those who change schemas by hand: it does what `apply` does, and can be read before.

use std::fmt::Write;

use super::{Object, Set};

/// Returns a script that applies what is pending of a set, and records it, in one transaction under the lock that
/// `apply` takes. Run twice, it changes nothing the second time. `role`, a quoted name, is granted what running Pelton
/// needs.
///
/// The migrations stand in DO blocks, each behind the question whether it was applied. A migration must therefore be
/// nothing but DDL, and must not hold the blocks' own `$pelton$`.
pub fn script(set: &Set, role: Option<&str>) -> String {
    let Set { schema, kind, place, lock, .. } = set;
    let newest = set.newest();
    let mut text = format!(
        "-- Pelton {version}: the {kind} migrations, 1 to {newest}, which make the schema {schema} at a {place}.
-- Run it in the database of every {place}, for example by psql -v ON_ERROR_STOP=1 -f. It applies what is not applied yet
-- and records it, as `pelton migrations apply` does; run again, it changes nothing. Afterwards: pelton migrations verify.
BEGIN;
SET LOCAL search_path = pg_catalog;

-- The schema and its history, under the lock that Pelton itself takes to change them.
DO $pelton$
BEGIN
    PERFORM pg_advisory_xact_lock({lock});
    -- Not CREATE SCHEMA IF NOT EXISTS: that demands CREATE on the database even where the schema exists.
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}') THEN
        CREATE SCHEMA {schema};
    END IF;
    IF to_regclass('{schema}.schema_migrations') IS NULL THEN
        {history};
    ELSIF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('{schema}.schema_migrations')
                      AND attname = 'checksum' AND NOT attisdropped) THEN
        ALTER TABLE {schema}.schema_migrations ADD COLUMN checksum text;
    END IF;
END
$pelton$;

-- What was applied must be what this script would have applied.
DO $pelton$
DECLARE
    wrong integer;
BEGIN
    SELECT max(version) INTO wrong FROM {schema}.schema_migrations WHERE version > {newest};
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '{schema} is at version %, and this script knows up to {newest}', wrong
            USING HINT = 'Take the script of the newer version of Pelton.';
    END IF;
    SELECT min(m.version) INTO wrong
    FROM {schema}.schema_migrations AS m
    JOIN (VALUES
{sums}
    ) AS known (version, checksum) USING (version)
    WHERE m.checksum <> known.checksum;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'migration % of {schema} was applied with other contents', wrong
            USING HINT = 'Compare {schema}.schema_migrations with the release that applied it.';
    END IF;
END
$pelton$;
",
        version = env!("CARGO_PKG_VERSION"),
        history = set.make_history(),
        sums = set
            .migrations
            .iter()
            .map(|m| format!("        ({}, '{}')", m.version, m.checksum()))
            .collect::<Vec<_>>()
            .join(",\n"),
    );
    for migration in set.migrations {
        let (number, description) = (migration.version, migration.description);
        write!(
            text,
            "
-- Migration {number}: {description}
DO $pelton$
BEGIN
IF NOT EXISTS (SELECT FROM {schema}.schema_migrations WHERE version = {number}) THEN

{sql}
INSERT INTO {schema}.schema_migrations (version, description, applied_at, checksum)
VALUES ({number}, '{description}', now(), '{checksum}');
END IF;
END
$pelton$;
",
            sql = migration.sql,
            checksum = migration.checksum(),
        )
        .expect("writing to a String");
    }
    if let Some(role) = role {
        text += &grants(set, role);
    }
    text + "\nCOMMIT;\n"
}

/// What a role needs that owns none of it: to write rows, and to read the history.
fn grants(set: &Set, role: &str) -> String {
    let schema = set.schema;
    let tables = set.migrations.iter().flat_map(|migration| migration.makes).filter_map(|object| match object {
        Object::Table(name) => Some(format!("{schema}.{name}")),
        _ => None,
    });
    format!(
        "
-- What the role needs to run Pelton on it.
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON {schema}.schema_migrations TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
",
        tables = tables.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::{ORDINARY, PRIVILEGED};

    #[test]
    fn migrations_can_stand_in_the_scripts_blocks() {
        for set in [&ORDINARY, &PRIVILEGED] {
            for migration in set.migrations {
                assert!(!migration.sql.contains("$pelton$"), "{}", migration.description);
                assert!(migration.sql.ends_with(";\n"), "{}", migration.description);
            }
        }
    }
}
