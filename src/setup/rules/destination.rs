//! A destination: that it can be written, and has tables that take the rows. How a table is made is its owner's to decide.

use crate::postgres::{quote_ident, quote_literal};
use crate::setup::facts::{DestinationFacts, Facts, TableState};
use crate::setup::target::{DestinationTable, DestinationTarget, Target};
use crate::setup::{Item, Severity, Statement, sql};
use crate::sink::SinkError;

pub fn rules(target: &Target, wanted: &DestinationTarget, facts: &Facts, found: &DestinationFacts) -> Vec<Item> {
    let tables = wanted.tables.iter().zip(&found.tables);
    tables.flat_map(|(table, state)| table_items(target, facts, table, state)).collect()
}

pub fn writable(target: &Target, facts: &Facts) -> Item {
    const RULE: &str = "read-only";
    if facts.server.in_recovery {
        let why = "nothing can be written to a standby";
        return Item::amiss(Severity::Error, RULE, target.place(), "it is a standby", why)
            .step("name the primary in the connection");
    }
    if !facts.server.is_on("default_transaction_read_only") {
        return Item::right(RULE, target.place(), "it can be written to");
    }
    let role = quote_ident(&facts.role.name);
    let set = format!(
        "ALTER ROLE {role} IN DATABASE {} SET default_transaction_read_only = off",
        quote_ident(&facts.server.database)
    );
    let why = "nothing can be written in read-only transactions";
    // Whoever runs the script has the same default, perhaps.
    let here = "SET default_transaction_read_only = off";
    Item::amiss(Severity::Error, RULE, target.place(), "default_transaction_read_only is on", why)
        .sql(Statement::new("for the statements that follow", here).outside_a_transaction())
        .sql(Statement::new("lets the role write by default", set).by_admin())
        .by_person("if the server refuses writes for a reason (a full disk, a failover), see to that first")
}

fn table_items(target: &Target, facts: &Facts, table: &DestinationTable, state: &TableState) -> Vec<Item> {
    let place = target.within(format_args!("table {}", table.name));
    let mut items = Vec::new();
    if !state.exists {
        return vec![missing(target, facts, table, state, place)];
    }
    let role = quote_ident(&facts.role.name);
    let grant = |comment: &str, what: String| Statement::new(comment, format!("GRANT {what} TO {role}")).by_admin();
    if !state.usage {
        let what = format!("role {} may not use its schema", facts.role.name);
        let usage = format!("USAGE ON SCHEMA {}", quote_ident(&table.name.schema));
        items.push(
            Item::amiss(Severity::Error, "destination-schema-usage", place.clone(), what, "flows write to it")
                .sql(grant("lets the role see into the schema", usage)),
        );
    }
    if state.lacks.is_empty() {
        items.push(Item::right("destination-table", place.clone(), "it exists, and the role may write to it"));
    } else {
        let what = format!("role {} lacks {} on it", facts.role.name, state.lacks.join(", "));
        let (severity, why) = match state.lacks.as_slice() {
            [one] if one == "TRUNCATE" => (Severity::Advice, "its rows are deleted one by one instead".to_owned()),
            _ => (Severity::Error, format!("flow {} writes to it, and reads by key what is there", table.flow)),
        };
        let lacks = format!("{} ON TABLE {}", state.lacks.join(", "), table.name.quoted());
        items.push(
            Item::amiss(severity, "destination-privileges", place.clone(), what, why)
                .sql(grant("lets the role keep the table equal", lacks)),
        );
    }
    if state.row_security {
        let what = format!("it has row level security, which holds for role {}", facts.role.name);
        let why = "a policy may refuse rows, or hide those that are to be changed; and rows can't go in by COPY";
        let bypass = format!("ALTER ROLE {role} BYPASSRLS");
        items.push(
            Item::amiss(Severity::Warning, "row-security", place.clone(), what, why).sql(
                Statement::new("lets the role write all rows, whatever policies say", bypass).by_admin().by_person(),
            ),
        );
    }
    let key = |name: &str| table.public.iter().flat_map(|public| &public.columns).any(|c| *c.name == *name && c.key);
    for problem in &state.problems {
        // What Pelton adds by itself.
        let added =
            matches!(problem, SinkError::ColumnMissing { column, .. } if table.create && state.owns && !key(column));
        if !added {
            items.push(problem_item(&place, table, problem));
        }
    }
    items
}

fn missing(target: &Target, facts: &Facts, table: &DestinationTable, state: &TableState, place: String) -> Item {
    const RULE: &str = "destination-table";
    if !table.create {
        let why = format!("flow {} writes to it", table.flow);
        return Item::amiss(Severity::Error, RULE, place, "it does not exist", why)
            .step("set `createTable: true` in the consumer schema, or make it");
    }
    let (schema, role) = (quote_ident(&table.name.schema), quote_ident(&facts.role.name));
    let may = if state.schema_exists { state.usage && state.create } else { facts.role.create };
    if may {
        return Item::right(RULE, place, "it does not exist yet: `pelton sync` makes it at its start");
    }
    let what = match state.schema_exists {
        true => format!("role {} may not make tables in it", facts.role.name),
        false => format!("it does not exist, and role {} may not make it", facts.role.name),
    };
    let why = format!("flow {} has `createTable`, and makes {} there", table.flow, table.name);
    let place = target.within(format_args!("schema {}", table.name.schema));
    let mut item = Item::amiss(Severity::Error, "destination-schema-create", place, what, why);
    if !state.schema_exists {
        let make = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        item = item.sql(Statement::new("makes the schema of a destination table", make).by_admin());
    }
    let grant = format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}");
    item.sql(Statement::new("lets the role make its table there", grant).by_admin())
}

fn problem_item(place: &str, table: &DestinationTable, problem: &SinkError) -> Item {
    let why = format!("flow {} can't write to it", table.flow);
    let rule = match problem {
        SinkError::NotATable { .. } => "destination-kind",
        SinkError::ColumnMissing { .. } => "destination-column-missing",
        SinkError::WrongType { .. } | SinkError::FewerDigits { .. } => "destination-column-type",
        SinkError::RequiredColumn { .. } => "destination-column-required",
        SinkError::GeneratedColumn { .. } | SinkError::IdentityColumn { .. } => "destination-column-generated",
        SinkError::KeyNotUnique { .. } => "destination-key",
        _ => "destination-table",
    };
    let item = Item::amiss(Severity::Error, rule, place, problem.to_string(), why);
    let alter = |comment: &str, column: &str, what: &str| {
        let sql = format!("ALTER TABLE {} ALTER COLUMN {} {what}", table.name.quoted(), quote_ident(column));
        Statement::new(comment, sql).by_admin().by_person()
    };
    match problem {
        SinkError::ColumnMissing { column, type_name, .. } => {
            let sql = format!(
                "ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {type_name}",
                table.name.quoted(),
                quote_ident(column)
            );
            item.sql(Statement::new("adds the column that the public schema has", sql).by_admin().by_person())
        }
        SinkError::WrongType { column, expected, .. } | SinkError::FewerDigits { column, expected, .. } => {
            // A second time it would make the column's indexes anew for nothing.
            let differs = format!(
                "EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = {}::pg_catalog.regclass AND attname = {} AND \
                 pg_catalog.format_type(atttypid, atttypmod) <> {})",
                quote_literal(&table.name.quoted()),
                quote_literal(column),
                quote_literal(expected)
            );
            let change = alter("gives the column the public schema's type", column, &format!("TYPE {expected}"));
            item.sql(Statement { sql: sql::when(&differs, &[change.sql]), ..change })
        }
        SinkError::RequiredColumn { column, .. } => {
            item.sql(alter("lets rows in that don't say a value for it", column, "DROP NOT NULL"))
        }
        SinkError::GeneratedColumn { column, .. } => {
            item.sql(alter("makes it an ordinary column, which can be written", column, "DROP EXPRESSION IF EXISTS"))
        }
        SinkError::IdentityColumn { column, .. } => {
            item.sql(alter("lets the source's value in", column, "SET GENERATED BY DEFAULT"))
        }
        SinkError::KeyNotUnique { .. } => {
            let public = table.public.as_ref().expect("a key was looked for");
            let columns: Vec<String> = public.key().iter().map(|&at| quote_ident(&public.columns[at].name)).collect();
            let name = format!("{}_pelton_key", table.name.name);
            // A name is cut to 63 bytes by Postgres, and must not be cut to that of something else.
            let name =
                if name.len() > 63 { format!("pelton_key_{:016x}", fingerprint(&table.name.quoted())) } else { name };
            let sql = format!(
                "CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})",
                quote_ident(&name),
                table.name.quoted(),
                columns.join(", ")
            );
            item.sql(Statement::new("finds rows by the public schema's key", sql).by_admin().by_person())
        }
        other => match other.hint() {
            Some(hint) => item.step(hint),
            None => item,
        },
    }
}

/// FNV-1a: the same for the same name, on every machine.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
