//! All slots of a server, with what an operator wants to know of each.

use tokio_postgres::{Client, Row};

use super::REASON;
use crate::lsn::Lsn;
use crate::postgres::QueryError;

/// A slot as `pelton slots list` shows it; what a version of Postgres does not know is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// `None` for a physical slot, and so is `plugin`.
    pub database: Option<String>,
    pub plugin: Option<String>,
    pub temporary: bool,
    /// The process that reads from it right now, and what it calls itself.
    pub active_pid: Option<i32>,
    pub application_name: Option<String>,
    /// How much write-ahead log the server keeps for it.
    pub retained_bytes: Option<i64>,
    pub wal_status: Option<String>,
    pub safe_wal_size: Option<i64>,
    pub confirmed: Option<Lsn>,
    /// For how long nobody has read from it; PostgreSQL 17 and later.
    pub inactive_ms: Option<i64>,
    /// Kept up to date on standbys; PostgreSQL 17 and later.
    pub failover: Option<bool>,
    /// A standby's copy of a primary's slot; PostgreSQL 17 and later.
    pub synced: Option<bool>,
    pub invalidation_reason: Option<String>,
}

/// Lists all slots of a server, by name. Every role may.
///
/// # Errors
/// What the server says.
pub async fn list(client: &Client) -> Result<Vec<Listed>, QueryError> {
    let failed = |error| QueryError::new("list the replication slots", error);
    // `to_jsonb` gives what a version does not have as NULL instead of an error.
    let sql = format!(
        "SELECT s.slot_name::text, s.database::text, s.plugin::text, s.temporary, s.active_pid, \
                      nullif(a.application_name, ''), pg_catalog.pg_wal_lsn_diff(w.position, s.restart_lsn)::bigint, \
                      s.wal_status, s.safe_wal_size, s.confirmed_flush_lsn, \
                      (extract(epoch FROM pg_catalog.clock_timestamp() - (j->>'inactive_since')::timestamptz) * 1000)::bigint, \
                      (j->>'failover')::bool, (j->>'synced')::bool, \
                      {REASON} \
               FROM pg_catalog.pg_replication_slots AS s \
               CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(s)) AS v (j) \
               CROSS JOIN (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                                       ELSE pg_catalog.pg_current_wal_lsn() END) AS w (position) \
               LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.active_pid \
               ORDER BY s.slot_name"
    );
    let rows = client.query(&sql, &[]).await.map_err(failed)?;
    rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
}

fn read(row: &Row) -> Result<Listed, tokio_postgres::Error> {
    let confirmed: Option<tokio_postgres::types::PgLsn> = row.try_get(9)?;
    Ok(Listed {
        name: row.try_get(0)?,
        database: row.try_get(1)?,
        plugin: row.try_get(2)?,
        temporary: row.try_get(3)?,
        active_pid: row.try_get(4)?,
        application_name: row.try_get(5)?,
        retained_bytes: row.try_get(6)?,
        wal_status: row.try_get(7)?,
        safe_wal_size: row.try_get(8)?,
        confirmed: confirmed.map(|lsn| Lsn(lsn.into())),
        inactive_ms: row.try_get(10)?,
        failover: row.try_get(11)?,
        synced: row.try_get(12)?,
        invalidation_reason: row.try_get(13)?,
    })
}
