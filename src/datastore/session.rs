//! The transaction that moves checkpoints: opened before rows are written, committed with them.

use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Statement};

use super::{DataStoreError, Owned};
use crate::lsn::Lsn;

/// What the next commit moves.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// Every transaction of the source whose commit record lies before it is applied.
    pub through: Lsn,
    /// When the newest of them was committed, microseconds since 1970-01-01 UTC; `None` leaves it.
    pub commit_time: Option<i64>,
    /// The flows that take part, and how many rows each has got since the last commit.
    pub flows: &'a [String],
    pub rows: &'a [i64],
}

/// Where the destination's own log stands after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Lies behind the commit.
    pub position: Lsn,
    /// What of the log is flushed.
    pub flushed: Lsn,
}

/// One connection to a destination, prepared for transactions that move the checkpoints of an owner's flows.
///
/// `synchronous_commit` is off: a commit returns before the destination has flushed it. Rows, state and checkpoint are
/// lost together or not at all, and nothing may be confirmed to the source before [`Session::flushed`] has passed
/// what [`Session::commit`] returned.
pub struct Session {
    owned: Owned,
    own: Statement,
    checkpoint: Statement,
    position: Statement,
    flush: Statement,
}

/// Whoever holds a lock on a destination table for long holds up that destination alone: waiting fails, the others go
/// on, and it is tried again.
const SETTINGS: &str = "SET synchronous_commit = off; SET lock_timeout = '30s'";

impl Session {
    /// Prepares the connection.
    ///
    /// # Errors
    /// What the server says.
    pub async fn prepare(client: &Client, owned: Owned) -> Result<Session, DataStoreError> {
        let query = DataStoreError::query;
        client.batch_execute(SETTINGS).await.map_err(query("configure the session"))?;
        let prepare = async |sql: &str| client.prepare(sql).await.map_err(query("prepare a statement"));
        Ok(Session {
            owned,
            own: prepare(
                "SELECT count(*) FROM (SELECT FROM rejot_data_store.flow \
                 WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow = ANY ($4) FOR NO KEY UPDATE) AS mine",
            )
            .await?,
            checkpoint: prepare(
                "UPDATE rejot_data_store.flow SET lsn = greatest(lsn, $4), updated_at = now(), \
                 commit_time = coalesce(to_timestamp($5::bigint / 1000000.0), commit_time), \
                 rows_applied = rows_applied + u.rows \
                 FROM unnest($6::text[], $7::bigint[]) AS u (flow, rows) \
                 WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow.flow = u.flow",
            )
            .await?,
            position: prepare("SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()").await?,
            flush: prepare("SELECT pg_current_wal_flush_lsn()").await?,
        })
    }

    /// Returns whose flows these are.
    pub fn owned(&self) -> &Owned {
        &self.owned
    }

    /// Opens a transaction and makes sure that `flows` are still ours, with their rows locked until it ends.
    ///
    /// # Errors
    /// [`DataStoreError::StaleOwner`] when another process has taken them over; the transaction is then useless.
    pub async fn begin(&self, client: &Client, flows: &[String]) -> Result<(), DataStoreError> {
        let scope = &self.owned.scope;
        let begin = async { client.batch_execute("BEGIN").await.map_err(DataStoreError::query("begin")) };
        let own = async {
            client
                .query_one(&self.own, &[&scope.manifest, &scope.source, &self.owned.token, &flows])
                .await
                .map_err(DataStoreError::query("check who owns the flows"))
        };
        // Both are on their way before the first answer: one round trip.
        let ((), row) = tokio::try_join!(begin, own)?;
        let stale = row.get::<_, i64>(0) != flows.len() as i64;
        if stale && !crate::fault::sabotaged("ownership") {
            return Err(self.owned.stale());
        }
        Ok(())
    }

    /// Moves the checkpoints, commits, and returns where the destination's own log then stands: one round trip.
    ///
    /// # Errors
    /// What the server says; the caller can't know then whether the transaction was committed, and must read the
    /// checkpoints again on a new connection.
    pub async fn commit(&self, client: &Client, commit: &Commit<'_>) -> Result<Committed, DataStoreError> {
        let scope = &self.owned.scope;
        let through = PgLsn::from(commit.through.0);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] = [
            &scope.manifest,
            &scope.source,
            &self.owned.token,
            &through,
            &commit.commit_time,
            &commit.flows,
            &commit.rows,
        ];
        let moved = async {
            client.execute(&self.checkpoint, &parameters).await.map_err(DataStoreError::query("move the checkpoints"))
        };
        let committed = async { client.batch_execute("COMMIT").await.map_err(DataStoreError::query("commit")) };
        let position = async {
            client.query_one(&self.position, &[]).await.map_err(DataStoreError::query("read the position of the log"))
        };
        // When the update fails, the server answers the COMMIT with a rollback: `try_join` returns the update's error.
        let (_, (), row) = tokio::try_join!(moved, committed, position)?;
        let lsn = |column: usize| Lsn(row.get::<_, PgLsn>(column).into());
        Ok(Committed { position: lsn(0), flushed: lsn(1) })
    }

    /// Returns how far the destination has flushed its own log.
    ///
    /// # Errors
    /// What the server says.
    pub async fn flushed(&self, client: &Client) -> Result<Lsn, DataStoreError> {
        let row =
            client.query_one(&self.flush, &[]).await.map_err(DataStoreError::query("read what the log has flushed"))?;
        Ok(Lsn(row.get::<_, PgLsn>(0).into()))
    }

    /// Makes all earlier commits durable at once, with an empty synchronous transaction that writes.
    ///
    /// # Errors
    /// What the server says.
    pub async fn flush_now(&self, client: &Client) -> Result<(), DataStoreError> {
        let scope = &self.owned.scope;
        // An update of our own rows gives the transaction an id, without which COMMIT flushes nothing.
        let sql = "BEGIN; SET LOCAL synchronous_commit = on";
        client.batch_execute(sql).await.map_err(DataStoreError::query("begin a flush"))?;
        client
            .execute(
                "UPDATE rejot_data_store.flow SET updated_at = now() \
                 WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3",
                &[&scope.manifest, &scope.source, &self.owned.token],
            )
            .await
            .map_err(DataStoreError::query("flush"))?;
        client.batch_execute("COMMIT").await.map_err(DataStoreError::query("flush"))
    }
}
