//! What Pelton keeps in schemas of its own, as numbered migrations in two sets.
//!
//! The *ordinary* set makes `rejot_data_store` at a destination; whoever runs Pelton applies it, at every start
//! (`apply`). ReJot's own migration comes first, so a database that ReJot prepared (at version 1, without checksums) is
//! taken over by applying the rest. The *privileged* set makes `pelton` at a source: an administrator applies it, if
//! anybody does, for Pelton works without.
//!
//! Each set has a history beside what it made, `schema_migrations`, with a SHA-384 checksum of every file that was
//! applied. Files never change once they are released, so another checksum means that something else was applied
//! (*drift*), and nobody knows what is there. Where schemas are changed by hand, a script (`script`) does what `apply`
//! does, and what was done some other way is recorded after a look at what is there (`record`).

mod apply;
mod history;
mod record;
mod remove;
mod script;

use std::fmt;

use sha2::{Digest, Sha384};

pub use apply::{apply, migrate};
pub use history::{Entry, History, State, history};
pub use record::record;
pub use remove::removal;
pub use script::script;

/// Migrations that belong together: they make one schema.
#[derive(Debug)]
pub struct Set {
    pub schema: &'static str,
    /// How a sentence names it: "the ordinary migrations".
    pub kind: &'static str,
    /// Where it belongs.
    pub place: &'static str,
    /// The advisory lock that serialises its migrations in one database.
    lock: i64,
    /// Numbered without gaps. Those before the first are ReJot's.
    migrations: &'static [Migration],
}

#[derive(Debug)]
struct Migration {
    version: i32,
    description: &'static str,
    sql: &'static str,
    /// By what it is known that it was applied.
    makes: &'static [Object],
}

/// Something that a migration makes in the schema of its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Table(&'static str),
    View(&'static str),
    /// Of a table.
    Column(&'static str, &'static str),
    /// Of a table, of a type of Postgres's own.
    Typed(&'static str, &'static str, &'static str),
    /// With the types of its arguments.
    Routine(&'static str, &'static str),
}

use Object::{Column, Routine, Table, Typed, View};

macro_rules! migration {
    ($version:literal, $description:literal, $file:literal, $makes:expr) => {
        Migration {
            version: $version,
            description: $description,
            sql: include_str!(concat!("../../../migrations/", $file)),
            makes: $makes,
        }
    };
}

/// `rejot_data_store`, at every destination. Its lock is "pelton" in ASCII.
pub static ORDINARY: Set = Set {
    schema: super::SCHEMA,
    kind: "ordinary",
    place: "destination",
    lock: 0x70_65_6C_74_6F_6E,
    migrations: &[
        migration!(
            1,
            "public_schema_state",
            "rejot_data_store/0001_public_schema_state.sql",
            &[Table("public_schema_state")]
        ),
        migration!(
            2,
            "flows",
            "rejot_data_store/0002_flows.sql",
            &[Table("flow"), Table("backfill"), Table("transform_state"), Table("transform")]
        ),
        migration!(3, "released", "rejot_data_store/0003_released.sql", &[Column("flow", "released_at")]),
        migration!(4, "paused", "rejot_data_store/0004_paused.sql", &[Column("flow", "paused")]),
        migration!(5, "timeline", "rejot_data_store/0005_timeline.sql", &[Column("flow", "timeline")]),
        migration!(6, "consumer", "rejot_data_store/0006_consumer.sql", &[Table("consumer")]),
        migration!(7, "origin", "rejot_data_store/0007_origin.sql", &[Column("consumer", "origin")]),
        migration!(8, "store", "rejot_data_store/0008_store.sql", &[Table("store")]),
        migration!(9, "violation", "rejot_data_store/0009_violation.sql", &[Table("violation")]),
        migration!(10, "retries", "rejot_data_store/0010_retries.sql", &[Column("consumer", "retries")]),
        migration!(
            11,
            "deployment",
            "rejot_data_store/0011_deployment.sql",
            &[Column("transform", "former_digest"), Table("component"), Table("deployment")]
        ),
        migration!(12, "shadow", "rejot_data_store/0012_shadow.sql", &[Table("shadow")]),
        migration!(13, "attempts", "rejot_data_store/0013_attempts.sql", &[Column("deployment", "attempts")]),
    ],
};

/// `rejot_events`, at every event store. ReJot's own went up to version 7; what those made is taken over. Its lock follows
/// the privileged one.
pub static EVENTS: Set = Set {
    schema: "rejot_events",
    kind: "event store's",
    place: "event store",
    lock: 0x70_65_6C_74_6F_70,
    migrations: &[
        migration!(
            8,
            "events",
            "rejot_events/0008_events.sql",
            &[Table("stream"), Table("shape"), Table("segment"), Table("event"), Table("consumer"), View("events")]
        ),
        migration!(
            9,
            "retention",
            "rejot_events/0009_retention.sql",
            &[
                Table("store"),
                Column("stream", "horizon_lsn"),
                Table("event_0"),
                Column("consumer", "missed"),
                Table("mirror")
            ]
        ),
        migration!(10, "destination", "rejot_events/0010_destination.sql", &[Column("consumer", "destination")]),
        migration!(11, "documents", "rejot_events/0011_documents.sql", &[Typed("event", "object", "text")]),
        migration!(
            12,
            "closed",
            "rejot_events/0012_closed.sql",
            &[Routine("closed", ""), Column("stream", "taken_over_lsn")]
        ),
    ],
};

/// `pelton`, at sources that want it. Its lock follows the ordinary one.
pub static PRIVILEGED: Set = Set {
    schema: "pelton",
    kind: "privileged",
    place: "source",
    lock: 0x70_65_6C_74_6F_6F,
    migrations: &[
        migration!(1, "status", "pelton/0001_status.sql", &[View("status")]),
        migration!(
            2,
            "replica_identity",
            "pelton/0002_replica_identity.sql",
            &[Routine("set_replica_identity", "text, text[]"), Routine("keep_replica_identity", "")]
        ),
        migration!(3, "tell_ddl", "pelton/0003_tell_ddl.sql", &[Routine("tell_ddl", "")]),
    ],
};

impl Set {
    /// Returns the first version that is ours.
    fn first(&self) -> i32 {
        self.migrations.first().expect("there are migrations").version
    }

    /// Returns the version of ReJot's from which on it is taken over: its last.
    pub fn oldest_of_rejot(&self) -> i32 {
        (self.first() - 1).max(1)
    }

    /// Returns the newest version that is known.
    fn newest(&self) -> i32 {
        self.migrations.last().expect("there are migrations").version
    }

    /// Returns the statements that make the table of what was applied.
    fn make_history(&self) -> String {
        let Set { schema, kind, .. } = self;
        let table = format!(
            "CREATE TABLE {schema}.schema_migrations (version integer PRIMARY KEY, description text, applied_at \
             timestamptz DEFAULT now(), checksum text)"
        );
        // What an administrator applied is verified by whoever runs Pelton.
        match *kind {
            "privileged" => format!("{table}; GRANT SELECT ON {schema}.schema_migrations TO PUBLIC"),
            _ => table,
        }
    }

    fn migration(&self, version: i32) -> Option<&'static Migration> {
        self.migrations.iter().find(|migration| migration.version == version)
    }
}

impl Migration {
    fn checksum(&self) -> String {
        hex::encode(Sha384::digest(self.sql.as_bytes()))
    }
}

impl Object {
    /// Returns the SQL condition that it is there. It needs no privilege on the schema, as `to_regclass` would.
    fn exists(&self, schema: &str) -> String {
        let relation = |name: &str, kinds: &str| {
            format!(
                "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = \
                 '{schema}' AND c.relname = '{name}' AND c.relkind IN ({kinds})"
            )
        };
        let column = |name: &str, and: &str| {
            format!(
                "EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = '{name}' AND \
                 NOT a.attisdropped{and})"
            )
        };
        let from = match self {
            Table(name) => relation(name, "'r', 'p'"),
            View(name) => relation(name, "'v'"),
            Column(table, name) => format!("{} AND {}", relation(table, "'r', 'p'"), column(name, "")),
            Typed(table, name, of) => {
                let of = format!(" AND a.atttypid = 'pg_catalog.{of}'::pg_catalog.regtype");
                format!("{} AND {}", relation(table, "'r', 'p'"), column(name, &of))
            }
            Routine(name, arguments) => format!(
                "FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace WHERE n.nspname = \
                 '{schema}' AND f.proname = '{name}' AND pg_catalog.oidvectortypes(f.proargtypes) = '{arguments}'"
            ),
        };
        format!("EXISTS (SELECT {from})")
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Table(name) => write!(f, "table {name}"),
            View(name) => write!(f, "view {name}"),
            Column(table, name) => write!(f, "column {table}.{name}"),
            Typed(table, name, of) => write!(f, "column {table}.{name} of type {of}"),
            Routine(name, arguments) => write!(f, "routine {name}({arguments})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_released_stay_as_they_are() {
        let sums =
            |set: &Set| set.migrations.iter().map(|m| m.checksum()[..8].to_owned()).collect::<Vec<_>>().join(" ");
        // A file that must change is a new migration.
        assert_eq!(
            sums(&ORDINARY),
            "828fb8e6 0a2daa71 27efd424 b8d486fb 6dd3b423 62d43d40 e6458156 1f6a749f 41c85e52 f0dbf0f3 0251222f 7ba6813c f55f0253"
        );
        assert_eq!(sums(&EVENTS), "69fff2b1 2af7d471 57cb6919 b5d7743f 5b94cb16");
        assert_eq!(sums(&PRIVILEGED), "cc6030a4 7ef01934 b28c838b");
        for set in [&ORDINARY, &PRIVILEGED, &EVENTS] {
            assert!(set.migrations.iter().map(|m| m.version).eq(set.first()..=set.newest()), "numbered without gaps");
        }
    }
}
