//! What a server must have before a stream can be read from it, found out before anything is made there.
//!
//! All findings come at once, each with what to do, rather than one refusal after the other.

use std::fmt;

use tokio_postgres::Client;

use super::QueryError;
use super::identity::SystemIdentity;
use super::quote::{ident_for_people, quote_ident};

/// The oldest version with `messages` in pgoutput.
const VERSION_MIN: u32 = 14;

/// Logical decoding on a standby came with this version.
const VERSION_STANDBY_MIN: u32 = 16;

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The major version.
    pub version: u32,
    /// In full, as `server_version` prints it.
    pub version_text: String,
    pub identity: SystemIdentity,
    pub database: String,
    pub encoding: String,
    pub wal_level: String,
    pub role: String,
    /// The role's attribute, a superuser, or what a hosted service has in its place.
    pub may_replicate: bool,
    /// A standby.
    pub in_recovery: bool,
    pub slots: u32,
    pub slots_max: u32,
    pub senders: u32,
    pub senders_max: u32,
}

/// Something that keeps a server from being a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    VersionTooOld {
        version: String,
    },
    WalLevel {
        wal_level: String,
    },
    /// The database's texts are bytes of no known encoding.
    SqlAscii {
        database: String,
    },
    MayNotReplicate {
        role: String,
    },
    StandbyTooOld {
        version: String,
    },
    NoFreeSlot {
        max: u32,
    },
    NoFreeSender {
        max: u32,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::VersionTooOld { version } => {
                write!(f, "PostgreSQL {version} is too old: a source needs {VERSION_MIN} or newer")
            }
            Finding::WalLevel { wal_level } => write!(f, "wal_level is {wal_level}, and a stream needs logical"),
            Finding::SqlAscii { database } => {
                write!(f, "database \"{database}\" has the encoding SQL_ASCII, so nobody knows what its texts mean")
            }
            Finding::MayNotReplicate { role } => write!(f, "role \"{role}\" may not replicate"),
            Finding::StandbyTooOld { version } => write!(
                f,
                "this is a standby of PostgreSQL {version}: streams from a standby need {VERSION_STANDBY_MIN} or newer"
            ),
            Finding::NoFreeSlot { max } => write!(f, "all replication slots ({max}) are taken"),
            Finding::NoFreeSender { max } => write!(f, "all WAL senders ({max}) are busy"),
        }
    }
}

impl Finding {
    /// Returns what the operator should do.
    pub fn hint(&self) -> String {
        match self {
            Finding::VersionTooOld { .. } => "upgrade the server".to_owned(),
            Finding::WalLevel { .. } => {
                "ALTER SYSTEM SET wal_level = logical, then restart the server; hosted services have a setting of their \
                 own for it (rds.logical_replication, cloudsql.logical_decoding)"
                    .to_owned()
            }
            Finding::SqlAscii { database } => {
                format!("dump {} and load it into a database with ENCODING 'UTF8'", quote_ident(database))
            }
            Finding::MayNotReplicate { role } => {
                let role = ident_for_people(role);
                format!("ALTER ROLE {role} REPLICATION (on Amazon RDS: GRANT rds_replication TO {role})")
            }
            Finding::StandbyTooOld { .. } => "connect to the primary".to_owned(),
            Finding::NoFreeSlot { .. } => {
                "drop a slot that nobody uses (SELECT slot_name, active FROM pg_replication_slots), or raise \
                 max_replication_slots and restart the server"
                    .to_owned()
            }
            Finding::NoFreeSender { .. } => "raise max_wal_senders and restart the server".to_owned(),
        }
    }
}

impl Facts {
    /// Judges the server; `slot_exists` and `streaming` say whether a slot and a sender are still to be taken.
    pub fn findings(&self, slot_exists: bool, streaming: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.version < VERSION_MIN {
            findings.push(Finding::VersionTooOld { version: self.version_text.clone() });
        }
        if self.wal_level != "logical" {
            findings.push(Finding::WalLevel { wal_level: self.wal_level.clone() });
        }
        if self.encoding == "SQL_ASCII" {
            findings.push(Finding::SqlAscii { database: self.database.clone() });
        }
        if !self.may_replicate {
            findings.push(Finding::MayNotReplicate { role: self.role.clone() });
        }
        if self.in_recovery && self.version < VERSION_STANDBY_MIN {
            findings.push(Finding::StandbyTooOld { version: self.version_text.clone() });
        }
        if !slot_exists && self.slots >= self.slots_max {
            findings.push(Finding::NoFreeSlot { max: self.slots_max });
        }
        if !streaming && self.senders >= self.senders_max {
            findings.push(Finding::NoFreeSender { max: self.senders_max });
        }
        findings
    }
}

// The control file's timeline is that of the last checkpoint, which after a promotion is the former one for a while; the
// name of the file that is written to has the present one. A role of Amazon RDS can't have the attribute; membership stands for it there.
const FACTS: &str = "\
    SELECT pg_catalog.current_setting('server_version_num')::int4, pg_catalog.current_setting('server_version'), \
           (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
           CASE WHEN pg_catalog.pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()) \
                ELSE ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::int4 END, \
           pg_catalog.current_database()::text, \
           (SELECT pg_catalog.pg_encoding_to_char(encoding)::text FROM pg_catalog.pg_database \
             WHERE datname = pg_catalog.current_database()), \
           pg_catalog.current_setting('wal_level'), current_user::text, \
           (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) \
             OR EXISTS (SELECT FROM pg_catalog.pg_roles \
                        WHERE rolname = 'rds_replication' AND pg_catalog.pg_has_role(current_user, oid, 'member')), \
           pg_catalog.pg_is_in_recovery(), \
           (SELECT pg_catalog.count(*)::int4 FROM pg_catalog.pg_replication_slots), \
           pg_catalog.current_setting('max_replication_slots')::int4, \
           (SELECT pg_catalog.count(*)::int4 FROM pg_catalog.pg_stat_replication), \
           pg_catalog.current_setting('max_wal_senders')::int4";

/// Asks a server for what matters to a stream.
///
/// # Errors
/// [`QueryError`].
pub async fn facts(client: &Client) -> Result<Facts, QueryError> {
    let failed = |error| QueryError::new("look into the server's settings", error);
    let row = client.query_one(FACTS, &[]).await.map_err(failed)?;
    let number = |at: usize| row.try_get::<_, i32>(at).map(|n| u32::try_from(n).unwrap_or(0));
    let read = || -> Result<Facts, tokio_postgres::Error> {
        Ok(Facts {
            version: number(0)? / 10_000,
            version_text: row.try_get(1)?,
            identity: SystemIdentity {
                system_identifier: row.try_get::<_, i64>(2)?.cast_unsigned(),
                timeline: number(3)?,
            },
            database: row.try_get(4)?,
            encoding: row.try_get(5)?,
            wal_level: row.try_get(6)?,
            role: row.try_get(7)?,
            may_replicate: row.try_get(8)?,
            in_recovery: row.try_get(9)?,
            slots: number(10)?,
            slots_max: number(11)?,
            senders: number(12)?,
            senders_max: number(13)?,
        })
    };
    read().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_amiss_is_said_at_once() {
        let bad = Facts {
            version: 13,
            version_text: "13.4".to_owned(),
            identity: SystemIdentity { system_identifier: 1, timeline: 1 },
            database: "shop".to_owned(),
            encoding: "SQL_ASCII".to_owned(),
            wal_level: "replica".to_owned(),
            role: "app".to_owned(),
            may_replicate: false,
            in_recovery: true,
            slots: 10,
            slots_max: 10,
            senders: 4,
            senders_max: 4,
        };
        let said = |facts: &Facts| facts.findings(false, false).iter().map(Finding::to_string).collect::<Vec<_>>();
        assert_eq!(said(&bad).len(), 7);
        assert!(
            bad.findings(true, true)
                .iter()
                .all(|f| !matches!(f, Finding::NoFreeSlot { .. } | Finding::NoFreeSender { .. }))
        );
        let good = Facts {
            version: 16,
            encoding: "UTF8".to_owned(),
            wal_level: "logical".to_owned(),
            may_replicate: true,
            slots: 9,
            senders: 3,
            ..bad
        };
        assert_eq!(said(&good), Vec::<String>::new());
    }
}
