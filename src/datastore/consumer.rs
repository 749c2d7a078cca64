//! The rows of `rejot_data_store.consumer`: cursors in event stores, and whose they are.
//!
//! A cursor moves in the transaction that writes the rows of the events up to it ([`ConsumerSession`]). Each consumer has
//! an owner's token of its own: whoever takes it over raises it, and so does whoever pauses, resumes or rewinds it, so that
//! nobody goes on from a cursor that is no longer true.

use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row, Statement};

use super::{DataStoreError, former, rejot};
use crate::change::Position;
use crate::lsn::Lsn;

/// A consumer that a manifest has.
#[derive(Clone, Debug)]
pub struct NewConsumer {
    pub consumer: String,
    pub source_manifest: String,
    pub public_schema: String,
    pub major: i32,
    /// Where it begins if it is new, and ReJot did not feed its destination before; `None` where nobody knows yet, and it is
    /// made later.
    pub start: Option<Position>,
    /// The UUID of its stream, once there is one.
    pub origin: Option<String>,
}

/// A consumer's row.
#[derive(Clone, Debug)]
pub struct ConsumerRow {
    pub consumer: String,
    pub source_manifest: String,
    pub public_schema: String,
    pub major: i32,
    /// The position of the last event that is applied.
    pub cursor: Position,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: Option<i64>,
    pub owner: i64,
    /// Somebody paused it.
    pub paused: bool,
    /// Set while it is stopped.
    pub problem: Option<String>,
    pub hint: Option<String>,
    /// While it is stopped: it is tried again by itself.
    pub retries: bool,
    pub rows_applied: i64,
    /// The UUID of the stream that the cursor is of.
    pub origin: Option<String>,
}

const COLUMNS: &str = "consumer, source_manifest_slug, public_schema_name, public_schema_major_version, epoch, \
     commit_lsn, ordinal, (extract(epoch FROM commit_time) * 1000000)::bigint, owner, paused, problem, hint, rows_applied, origin::text, \
     retries";

impl ConsumerRow {
    fn from_row(row: &Row) -> ConsumerRow {
        ConsumerRow {
            consumer: row.get(0),
            source_manifest: row.get(1),
            public_schema: row.get(2),
            major: row.get(3),
            cursor: Position { epoch: row.get(4), commit_lsn: Lsn(row.get::<_, PgLsn>(5).into()), ordinal: row.get(6) },
            commit_time: row.get(7),
            owner: row.get(8),
            paused: row.get(9),
            problem: row.get(10),
            hint: row.get(11),
            rows_applied: row.get(12),
            origin: row.get(13),
            retries: row.get(14),
        }
    }
}

/// Returns the consumers of a manifest in one destination, by name; none where there are no tables of ours.
///
/// # Errors
/// What the server says.
pub async fn consumers(client: &Client, manifest: &str) -> Result<Vec<ConsumerRow>, DataStoreError> {
    if !super::has_table(client, "consumer").await? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {COLUMNS} FROM rejot_data_store.consumer WHERE manifest_slug = $1 ORDER BY consumer");
    let rows = client.query(&sql, &[&manifest]).await.map_err(DataStoreError::query("read the consumers"))?;
    Ok(rows.iter().map(ConsumerRow::from_row).collect())
}

/// Makes durable where consumers are, and returns them.
///
/// # Errors
/// What the server says.
pub async fn flushed_consumers(
    client: &Client,
    manifest: &str,
    names: &[&str],
) -> Result<Vec<ConsumerRow>, DataStoreError> {
    let query = DataStoreError::query;
    client.batch_execute("BEGIN; SET LOCAL synchronous_commit = on").await.map_err(query("begin a flush"))?;
    // Without something written a commit flushes nothing.
    let sql = format!(
        "UPDATE rejot_data_store.consumer SET updated_at = now() WHERE manifest_slug = $1 AND consumer = ANY ($2) \
         RETURNING {COLUMNS}"
    );
    let rows = client.query(&sql, &[&manifest, &names]).await.map_err(query("flush"))?;
    client.batch_execute("COMMIT").await.map_err(query("flush"))?;
    Ok(rows.iter().map(ConsumerRow::from_row).collect())
}

/// Takes over consumers, and makes those that are missing; returns them with their new owner's token.
///
/// Waits for a transaction of the former owner that is in flight: its cursor is in what is returned, and no later one of it
/// can commit. One that is paused inside of it is not waited for for long ([`super::former`]). What stopped them is forgotten, but for those of `stopped`.
///
/// # Errors
/// What the server says.
pub async fn take_over_consumers(
    client: &mut Client,
    manifest: &str,
    wanted: &[NewConsumer],
    stopped: &[String],
) -> Result<Vec<ConsumerRow>, DataStoreError> {
    loop {
        match try_take_over(client, manifest, wanted, stopped).await {
            Ok(taken) => return Ok(taken),
            Err(failed) => former::make_room(client, "rejot_data_store.consumer", failed).await?,
        }
    }
}

async fn try_take_over(
    client: &mut Client,
    manifest: &str,
    wanted: &[NewConsumer],
    stopped: &[String],
) -> Result<Vec<ConsumerRow>, DataStoreError> {
    let query = DataStoreError::query;
    let transaction = client.transaction().await.map_err(query("begin a takeover"))?;
    transaction.batch_execute(former::LOCK_WAIT).await.map_err(query("begin a takeover"))?;
    let mut translated: Vec<&NewConsumer> = Vec::new();
    for new in wanted {
        let of_rejot = rejot::cursor(&transaction, new).await?;
        let Some(start) = of_rejot.or(new.start) else { continue };
        let sql = "INSERT INTO rejot_data_store.consumer (manifest_slug, consumer, source_manifest_slug, \
                   public_schema_name, public_schema_major_version, epoch, commit_lsn, ordinal) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let found = "UPDATE rejot_data_store.consumer SET origin = $3::text::uuid \
                     WHERE manifest_slug = $1 AND consumer = $2 AND origin IS NULL";
        let lsn = PgLsn::from(start.commit_lsn.0);
        let made = transaction
            .execute(
                sql,
                &[
                    &manifest,
                    &new.consumer,
                    &new.source_manifest,
                    &new.public_schema,
                    &new.major,
                    &start.epoch,
                    &lsn,
                    &start.ordinal,
                ],
            )
            .await
            .map_err(query("make a consumer"))?;
        if let Some(origin) = &new.origin {
            let found = transaction.execute(found, &[&manifest, &new.consumer, origin]).await;
            found.map_err(query("record the stream of a consumer"))?;
        }
        if made > 0 && of_rejot.is_some() {
            tracing::info!(consumer = new.consumer, cursor = %start, "goes on where ReJot was");
            translated.push(new);
        }
    }
    for new in translated {
        rejot::forget_cursor(&transaction, new).await?;
    }
    let names: Vec<&str> = wanted.iter().map(|new| &*new.consumer).collect();
    // The locks first: what the former owner commits until then is seen by the statement that follows.
    let lock = "SELECT FROM rejot_data_store.consumer WHERE manifest_slug = $1 AND consumer = ANY ($2) \
                ORDER BY consumer FOR UPDATE";
    transaction.query(lock, &[&manifest, &names]).await.map_err(query("wait for a former owner's transaction"))?;
    let raise = format!(
        "UPDATE rejot_data_store.consumer SET owner = owner + 1, updated_at = now(), \
         problem = CASE WHEN consumer = ANY ($3) THEN problem END, hint = CASE WHEN consumer = ANY ($3) THEN hint END \
         WHERE manifest_slug = $1 AND consumer = ANY ($2) RETURNING {COLUMNS}"
    );
    let rows = transaction.query(&raise, &[&manifest, &names, &stopped]).await.map_err(query("take over consumers"))?;
    transaction.commit().await.map_err(query("commit a takeover"))?;
    Ok(rows.iter().map(ConsumerRow::from_row).collect())
}

/// Why a consumer stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stop<'a> {
    pub problem: &'a str,
    pub hint: Option<&'a str>,
    /// It is tried again by itself.
    pub retries: bool,
}

/// Records why a consumer stopped, and what it needs. Only its owner may.
///
/// # Errors
/// What the server says.
pub async fn mark_consumer_stopped(
    client: &Client,
    manifest: &str,
    consumer: &str,
    owner: i64,
    stop: Stop<'_>,
) -> Result<(), DataStoreError> {
    let Stop { problem, hint, retries } = stop;
    let sql = "UPDATE rejot_data_store.consumer SET problem = $4, hint = $5, retries = $6, updated_at = now() \
               WHERE manifest_slug = $1 AND consumer = $2 AND owner = $3";
    let marked = client.execute(sql, &[&manifest, &consumer, &owner, &problem, &hint, &retries]).await;
    marked.map(drop).map_err(DataStoreError::query("record a stopped consumer"))
}

/// How somebody changes a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Pause,
    Resume,
    /// The next event that it applies is the first behind this position.
    Rewind(Position),
}

/// Changes a consumer, whoever runs it: the owner's token is raised, so what is in flight can't commit any more. Returns
/// false when there is no such consumer.
///
/// # Errors
/// What the server says.
pub async fn control_consumer(
    client: &Client,
    manifest: &str,
    consumer: &str,
    control: Control,
) -> Result<bool, DataStoreError> {
    let failed = DataStoreError::query("change a consumer");
    let update = |set: &str| {
        format!(
            "UPDATE rejot_data_store.consumer SET {set}, owner = owner + 1, updated_at = now() \
             WHERE manifest_slug = $1 AND consumer = $2"
        )
    };
    let changed = match control {
        Control::Pause => client.execute(&update("paused = true"), &[&manifest, &consumer]).await,
        Control::Resume => {
            client.execute(&update("paused = false, problem = NULL, hint = NULL"), &[&manifest, &consumer]).await
        }
        Control::Rewind(to) => {
            let sql = update("epoch = $3, commit_lsn = $4, ordinal = $5, problem = NULL, hint = NULL");
            let lsn = PgLsn::from(to.commit_lsn.0);
            client.execute(&sql, &[&manifest, &consumer, &to.epoch, &lsn, &to.ordinal]).await
        }
    };
    changed.map(|rows| rows > 0).map_err(failed)
}

/// Forgets a consumer. Its rows stay. Returns false when there is no such consumer.
///
/// # Errors
/// What the server says.
pub async fn drop_consumer(client: &Client, manifest: &str, consumer: &str) -> Result<bool, DataStoreError> {
    let sql = "DELETE FROM rejot_data_store.consumer WHERE manifest_slug = $1 AND consumer = $2";
    let dropped = client.execute(sql, &[&manifest, &consumer]).await;
    dropped.map(|rows| rows > 0).map_err(DataStoreError::query("drop a consumer"))
}

/// What a commit moves.
#[derive(Clone, Debug)]
pub struct CursorMove<'a> {
    pub consumer: &'a str,
    pub cursor: Position,
    pub rows: i64,
}

/// One connection to a destination, prepared for transactions that move the cursors of some consumers.
///
/// `synchronous_commit` is off: rows and cursor are lost together or not at all.
pub struct ConsumerSession {
    manifest: String,
    consumers: Vec<String>,
    owners: Vec<i64>,
    own: Statement,
    cursors: Statement,
}

/// See `Session`: who holds a lock on a destination table for long holds up that destination alone.
const SETTINGS: &str = "SET synchronous_commit = off; SET lock_timeout = '30s'";

impl ConsumerSession {
    /// Prepares the connection for these consumers and their owner's tokens.
    ///
    /// # Errors
    /// What the server says.
    pub async fn prepare(
        client: &Client,
        manifest: &str,
        owned: &[(String, i64)],
    ) -> Result<ConsumerSession, DataStoreError> {
        let query = DataStoreError::query;
        client.batch_execute(SETTINGS).await.map_err(query("configure the session"))?;
        let prepare = async |sql: &str| client.prepare(sql).await.map_err(query("prepare a statement"));
        Ok(ConsumerSession {
            manifest: manifest.to_owned(),
            consumers: owned.iter().map(|(consumer, _)| consumer.clone()).collect(),
            owners: owned.iter().map(|(_, owner)| *owner).collect(),
            own: prepare(
                "SELECT count(*) FROM (SELECT FROM rejot_data_store.consumer AS c \
                 JOIN unnest($2::text[], $3::bigint[]) AS u (consumer, owner) ON u.consumer = c.consumer AND u.owner = c.owner \
                 WHERE c.manifest_slug = $1 FOR NO KEY UPDATE OF c) AS mine",
            )
            .await?,
            cursors: prepare(
                "UPDATE rejot_data_store.consumer AS c SET epoch = u.epoch, commit_lsn = u.commit_lsn, ordinal = u.ordinal, \
                 commit_time = coalesce(to_timestamp($2::bigint / 1000000.0), commit_time), \
                 rows_applied = rows_applied + u.rows, updated_at = now() \
                 FROM unnest($3::text[], $4::integer[], $5::pg_lsn[], $6::bigint[], $7::bigint[]) \
                 AS u (consumer, epoch, commit_lsn, ordinal, rows) WHERE c.manifest_slug = $1 AND c.consumer = u.consumer",
            )
            .await?,
        })
    }

    /// Opens a transaction and makes sure that the consumers are still ours, with their rows locked until it ends.
    ///
    /// # Errors
    /// [`DataStoreError::StaleConsumer`] when somebody has changed one or taken it over; the transaction is then useless.
    pub async fn begin(&self, client: &Client) -> Result<(), DataStoreError> {
        let begin = async { client.batch_execute("BEGIN").await.map_err(DataStoreError::query("begin")) };
        let own = async {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&self.manifest, &self.consumers, &self.owners];
            let row = client.query_one(&self.own, &parameters).await;
            row.map_err(DataStoreError::query("check who owns the consumers"))
        };
        let ((), row) = tokio::try_join!(begin, own)?;
        if row.get::<_, i64>(0) == self.consumers.len() as i64 || crate::fault::sabotaged("ownership") {
            return Ok(());
        }
        Err(DataStoreError::StaleConsumer { manifest: self.manifest.clone() })
    }

    /// Moves cursors and commits: one round trip. `commit_time` is that of the newest transaction.
    ///
    /// # Errors
    /// What the server says; the caller can't know then whether the transaction was committed.
    pub async fn commit(
        &self,
        client: &Client,
        moves: &[CursorMove<'_>],
        commit_time: Option<i64>,
    ) -> Result<(), DataStoreError> {
        let consumers: Vec<&str> = moves.iter().map(|one| one.consumer).collect();
        let epochs: Vec<i32> = moves.iter().map(|one| one.cursor.epoch).collect();
        let lsns: Vec<PgLsn> = moves.iter().map(|one| PgLsn::from(one.cursor.commit_lsn.0)).collect();
        let ordinals: Vec<i64> = moves.iter().map(|one| one.cursor.ordinal).collect();
        let rows: Vec<i64> = moves.iter().map(|one| one.rows).collect();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&self.manifest, &commit_time, &consumers, &epochs, &lsns, &ordinals, &rows];
        let moved = async {
            client.execute(&self.cursors, &parameters).await.map_err(DataStoreError::query("move the cursors"))
        };
        let committed = async { client.batch_execute("COMMIT").await.map_err(DataStoreError::query("commit")) };
        // When the update fails, the server answers the COMMIT with a rollback: `try_join` returns the update's error.
        tokio::try_join!(moved, committed).map(|(_, ())| ())
    }
}
