//! Replication slots: looking them up, judging them, making and dropping them.
//!
//! The slot is the one thing at the source that holds write-ahead log back, and whose position decides what the stream
//! can still deliver. So it is judged before it is used ([`Slot::usable`]), with the reason in words: the server's own
//! refusal comes late, in whatever language, and says less.

mod list;
mod name;

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

pub use list::{Listed, list};
pub use name::{derived_name, is_slot_name};

use super::QueryError;
use crate::lsn::Lsn;

/// The output plugin whose messages we understand.
pub const PLUGIN: &str = "pgoutput";

/// What the server says of how much write-ahead log of a slot is still there (`pg_replication_slots.wal_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalStatus {
    /// Within `max_wal_size`.
    Reserved,
    /// Beyond it, but kept.
    Extended,
    /// Some of it may be removed at the next checkpoint.
    Unreserved,
    /// Some of it is gone: the slot is of no use any more.
    Lost,
}

/// A replication slot as `pg_replication_slots` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub name: String,
    /// `None` for a physical slot.
    pub plugin: Option<String>,
    /// `None` for a physical slot.
    pub database: Option<String>,
    pub temporary: bool,
    /// The process that reads from it right now.
    pub active_pid: Option<u32>,
    /// From here on the server keeps write-ahead log.
    pub restart_lsn: Option<Lsn>,
    /// What the reader has confirmed; the stream never begins before it.
    pub confirmed_flush: Option<Lsn>,
    pub wal_status: Option<WalStatus>,
    /// How many bytes may still be written until the slot may be lost; `None` where `max_slot_wal_keep_size` is not set.
    pub safe_wal_size: Option<i64>,
    pub two_phase: bool,
    /// Why the server gave the slot up; PostgreSQL 16 knows a conflict, from 17 on the reason has a name.
    pub invalidation_reason: Option<String>,
}

/// What keeps a slot from being used, looked up, made or dropped.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error("\"{name}\" is no name for a replication slot")]
    BadName { name: String },
    #[error("replication slot \"{name}\" does not exist")]
    Missing { name: String },
    #[error("a replication slot \"{name}\" exists already")]
    Exists { name: String },
    #[error("replication slot \"{name}\" is a physical one")]
    Physical { name: String },
    #[error("replication slot \"{name}\" was made with the output plugin {plugin}, not with {PLUGIN}")]
    OtherPlugin { name: String, plugin: String },
    #[error("replication slot \"{name}\" belongs to database \"{database}\", not to \"{wanted}\"")]
    OtherDatabase { name: String, database: String, wanted: String },
    #[error("replication slot \"{name}\" decodes prepared transactions (two_phase), which Pelton does not read")]
    TwoPhase { name: String },
    #[error("replication slot \"{name}\" is in use by process {pid}")]
    InUse { name: String, pid: u32 },
    #[error("replication slot \"{name}\" is lost{}", reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default())]
    Lost { name: String, reason: Option<String> },
    #[error("the server has no replication slot to spare for \"{name}\"")]
    NoneFree { name: String, source: QueryError },
    #[error("the role may not make or drop replication slots")]
    NotPermitted { name: String, source: QueryError },
    #[error("the server's wal_level does not allow logical replication slots")]
    WalLevel { name: String, source: QueryError },
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl SlotError {
    pub fn is_transient(&self) -> bool {
        match self {
            SlotError::InUse { .. } => true,
            SlotError::Query(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        use super::quote_literal;
        let text = match self {
            SlotError::BadName { .. } => "use lower case letters, digits and underscores, 1 to 63 of them".to_owned(),
            SlotError::Missing { .. } => {
                "somebody dropped it, or the connection leads to another server; a new slot needs a new backfill"
                    .to_owned()
            }
            SlotError::Exists { .. } | SlotError::Physical { .. } | SlotError::OtherPlugin { .. } => {
                "take another slotName, or drop that slot if nobody needs it".to_owned()
            }
            SlotError::OtherDatabase { database, .. } => {
                format!("take another slotName, or connect to database \"{database}\"")
            }
            SlotError::TwoPhase { .. } => "take another slotName; Pelton makes the slot as it needs it".to_owned(),
            SlotError::InUse { pid, .. } => format!(
                "find out who reads from it: SELECT * FROM pg_stat_activity WHERE pid = {pid}; SELECT \
                 pg_terminate_backend({pid}) ends that session"
            ),
            SlotError::Lost { name, reason } => format!(
                "changes are lost for good: SELECT pg_drop_replication_slot({}), start again with a backfill, and {}",
                quote_literal(name),
                match reason.as_deref() {
                    // The primary took away what a slot of its standby needed.
                    Some("rows_removed" | "conflict") => {
                        "give the standby hot_standby_feedback = on and a primary_slot_name"
                    }
                    _ => "give max_slot_wal_keep_size more room",
                }
            ),
            SlotError::NoneFree { .. } => {
                "drop a slot that nobody uses (SELECT slot_name, active FROM pg_replication_slots), or raise \
                 max_replication_slots and restart the server"
                    .to_owned()
            }
            SlotError::NotPermitted { .. } => "ALTER ROLE … REPLICATION".to_owned(),
            SlotError::WalLevel { .. } => "ALTER SYSTEM SET wal_level = logical, then restart the server".to_owned(),
            SlotError::Query(error) => return error.hint(),
        };
        Some(text)
    }

    /// Sorts what the server said to a statement about the slot `name`.
    fn of_query(name: &str, error: QueryError) -> SlotError {
        let name = name.to_owned();
        match error.code() {
            Some("53400") => SlotError::NoneFree { name, source: error },
            Some("42501") => SlotError::NotPermitted { name, source: error },
            Some("55000") => SlotError::WalLevel { name, source: error },
            Some("42710") => SlotError::Exists { name },
            Some("42704") => SlotError::Missing { name },
            Some("42602" | "42622") => SlotError::BadName { name },
            _ => SlotError::Query(error),
        }
    }
}

/// Why the server gave a slot `s` up, of which `j` is the JSON. PostgreSQL 16 calls every slot that it gave up conflicting;
/// one whose log was removed has no position any more.
const REASON: &str = "coalesce(j->>'invalidation_reason', CASE WHEN (j->>'conflicting')::bool \
                      THEN CASE WHEN s.restart_lsn IS NULL THEN 'wal_removed' ELSE 'conflict' END END)";

/// Looks a slot up; `None` when there is none of that name.
///
/// # Errors
/// [`SlotError::Query`].
pub async fn look_up(client: &Client, name: &str) -> Result<Option<Slot>, SlotError> {
    let doing = || format!("look up the replication slot \"{name}\"");
    // `to_jsonb` gives what a version does not have as NULL instead of an error.
    let sql = format!(
        "SELECT s.plugin::text, s.database::text, s.temporary, s.active_pid, s.restart_lsn::text, \
                      s.confirmed_flush_lsn::text, s.wal_status, s.safe_wal_size, \
                      coalesce((j->>'two_phase')::bool, false), \
                      {REASON} \
               FROM pg_catalog.pg_replication_slots s, LATERAL (SELECT to_jsonb(s)) AS v(j) WHERE s.slot_name = $1::text"
    );
    let row = client.query_opt(&sql, &[&name]).await.map_err(|e| QueryError::new(doing(), e))?;
    let Some(row) = row else { return Ok(None) };
    let read = || -> Result<Slot, String> {
        let lsn = |at: usize| -> Result<Option<Lsn>, String> {
            let text: Option<String> = row.try_get(at).map_err(|e| e.to_string())?;
            text.map(|text| text.parse::<Lsn>()).transpose().map_err(|e| e.to_string())
        };
        let wal_status: Option<String> = row.try_get(6).map_err(|e| e.to_string())?;
        let wal_status = match wal_status.as_deref() {
            None => None,
            Some("reserved") => Some(WalStatus::Reserved),
            Some("extended") => Some(WalStatus::Extended),
            Some("unreserved") => Some(WalStatus::Unreserved),
            Some("lost") => Some(WalStatus::Lost),
            Some(other) => return Err(format!("an unknown wal_status {other}")),
        };
        let pid: Option<i32> = row.try_get(3).map_err(|e| e.to_string())?;
        Ok(Slot {
            name: name.to_owned(),
            plugin: row.try_get(0).map_err(|e| e.to_string())?,
            database: row.try_get(1).map_err(|e| e.to_string())?,
            temporary: row.try_get(2).map_err(|e| e.to_string())?,
            active_pid: pid.map(i32::cast_unsigned),
            restart_lsn: lsn(4)?,
            confirmed_flush: lsn(5)?,
            wal_status,
            safe_wal_size: row.try_get(7).map_err(|e| e.to_string())?,
            two_phase: row.try_get(8).map_err(|e| e.to_string())?,
            invalidation_reason: row.try_get(9).map_err(|e| e.to_string())?,
        })
    };
    read().map(Some).map_err(|what| QueryError::Answer { doing: doing(), what }.into())
}

impl Slot {
    /// Judges whether a stream of `database` can be read from this slot, whoever reads from it right now.
    ///
    /// # Errors
    /// `Physical`, `OtherPlugin`, `OtherDatabase`, `TwoPhase` or `Lost`.
    pub fn usable(&self, database: &str) -> Result<(), SlotError> {
        let name = self.name.clone();
        let Some(plugin) = &self.plugin else { return Err(SlotError::Physical { name }) };
        if plugin != PLUGIN {
            return Err(SlotError::OtherPlugin { name, plugin: plugin.clone() });
        }
        let of = self.database.as_deref().unwrap_or_default();
        if of != database {
            return Err(SlotError::OtherDatabase { name, database: of.to_owned(), wanted: database.to_owned() });
        }
        if self.two_phase {
            return Err(SlotError::TwoPhase { name });
        }
        if self.wal_status == Some(WalStatus::Lost) || self.invalidation_reason.is_some() {
            return Err(SlotError::Lost { name, reason: self.invalidation_reason.clone() });
        }
        Ok(())
    }

    /// Judges that nobody reads from it.
    ///
    /// # Errors
    /// `InUse`.
    pub fn unused(&self) -> Result<(), SlotError> {
        match self.active_pid {
            Some(pid) => Err(SlotError::InUse { name: self.name.clone(), pid }),
            None => Ok(()),
        }
    }
}

/// Makes a pgoutput slot and returns its consistent point: it delivers what commits behind it.
///
/// It waits until every transaction that is running right now has ended. Make the publication first. On a primary of
/// PostgreSQL 17 and later the slot is made with `failover`, so that standbys that synchronise slots have it too, and
/// the stream goes on after a promotion; that costs nothing where none does. On a standby it can't be.
///
/// # Errors
/// `BadName`, `Exists`, `NoneFree`, `NotPermitted`, `WalLevel`.
pub async fn create(client: &Client, name: &str) -> Result<Lsn, SlotError> {
    if !is_slot_name(name) {
        return Err(SlotError::BadName { name: name.to_owned() });
    }
    let doing = || format!("make the replication slot \"{name}\"");
    let knows =
        "SELECT pg_catalog.current_setting('server_version_num')::int >= 170000 AND NOT pg_catalog.pg_is_in_recovery()";
    let knows = client.query_one(knows, &[]).await.map_err(|e| QueryError::new(doing(), e))?;
    let failover = if knows.try_get(0).map_err(|e| QueryError::new(doing(), e))? { ", failover => true" } else { "" };
    let sql =
        format!("SELECT lsn::text FROM pg_catalog.pg_create_logical_replication_slot($1::text, $2::text{failover})");
    let row = client.query_one(&sql, &[&name, &PLUGIN]).await;
    let row = row.map_err(|e| SlotError::of_query(name, QueryError::new(doing(), e)))?;
    let text: String = row.try_get(0).map_err(|e| QueryError::new(doing(), e))?;
    text.parse().map_err(|e: crate::lsn::BadLsn| QueryError::Answer { doing: doing(), what: e.to_string() }.into())
}

/// Logs why making a slot may take long on a standby: which transactions are running only the primary knows, and it
/// logs that when it sees fit, which on an idle one is never.
pub fn say_what_a_standby_waits_for() {
    let hint = "at the primary: SELECT pg_log_standby_snapshot()";
    tracing::info!(hint, "a slot of a standby waits until the primary logs which transactions run there");
}

/// Drops a slot.
///
/// # Errors
/// `Missing`, `InUse`, `NotPermitted`.
pub async fn drop_slot(client: &Client, name: &str) -> Result<(), SlotError> {
    let doing = format!("drop the replication slot \"{name}\"");
    let dropped = client.execute("SELECT pg_catalog.pg_drop_replication_slot($1::text)", &[&name]).await;
    match dropped.map_err(|e| QueryError::new(doing, e)) {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("55006") => match look_up(client, name).await? {
            Some(Slot { active_pid: Some(pid), .. }) => Err(SlotError::InUse { name: name.to_owned(), pid }),
            _ => Err(SlotError::Query(error)),
        },
        Err(error) => Err(SlotError::of_query(name, error)),
    }
}

/// Moves a slot's position forward without reading what lies between, and returns where it is then.
///
/// # Errors
/// `Missing`, `InUse`, `NotPermitted`.
pub async fn advance(client: &Client, name: &str, to: Lsn) -> Result<Lsn, SlotError> {
    let doing = || format!("advance the replication slot \"{name}\"");
    let sql = "SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance($1::text::name, $2)";
    let row = client.query_one(sql, &[&name, &PgLsn::from(to.0)]).await;
    let row = row.map_err(|e| SlotError::of_query(name, QueryError::new(doing(), e)))?;
    let end: PgLsn = row.try_get(0).map_err(|e| QueryError::new(doing(), e))?;
    Ok(Lsn(end.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_cannot_be_read_says_why() {
        let good = Slot {
            name: "s".to_owned(),
            plugin: Some("pgoutput".to_owned()),
            database: Some("shop".to_owned()),
            temporary: false,
            active_pid: None,
            restart_lsn: None,
            confirmed_flush: None,
            wal_status: Some(WalStatus::Reserved),
            safe_wal_size: None,
            two_phase: false,
            invalidation_reason: None,
        };
        let said = |slot: Slot| slot.usable("shop").map_err(|e| e.to_string());
        assert_eq!(said(good.clone()), Ok(()));
        let physical = Slot { plugin: None, ..good.clone() };
        assert_eq!(said(physical), Err("replication slot \"s\" is a physical one".to_owned()));
        let lost = Slot { wal_status: Some(WalStatus::Lost), ..good.clone() };
        assert_eq!(said(lost), Err("replication slot \"s\" is lost".to_owned()));
        let of_standby = Slot {
            wal_status: Some(WalStatus::Lost),
            invalidation_reason: Some("rows_removed".to_owned()),
            ..good.clone()
        };
        let hint = of_standby.usable("shop").unwrap_err().hint().unwrap();
        assert!(hint.contains("hot_standby_feedback = on") && !hint.contains("max_slot"), "{hint}");
        let other = Slot { database: Some("x".to_owned()), ..good };
        assert_eq!(said(other), Err("replication slot \"s\" belongs to database \"x\", not to \"shop\"".to_owned()));
    }
}
