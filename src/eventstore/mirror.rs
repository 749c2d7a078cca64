//! Mirrors: the streams of another event store, kept here with the same positions.
//!
//! A mirrored stream has the origin of the one that it is a copy of, and its path: the stores that it came through. A path
//! that would lead back is refused, so mirrors form no circle, however many manifests they are in. How far a stream is
//! mirrored is in its row, and moves in the transaction that appends the events, under an owner's token.

use std::collections::HashMap;

use tokio_postgres::Client;
use tokio_postgres::types::{PgLsn, ToSql};

use super::stream::position;
use super::{Position, Stream, query};
use crate::datastore::DataStoreError;
use crate::postgres::quote_literal;

/// An event store that is mirrored somewhere.
#[derive(Clone, Debug)]
pub struct Upstream<'a> {
    /// Its UUID.
    pub id: &'a str,
    /// How the manifest that mirrors names it.
    pub slug: &'a str,
    /// That manifest.
    pub manifest: &'a str,
}

/// A stream can't be mirrored here.
#[derive(Debug, thiserror::Error)]
pub enum MirrorConflict {
    #[error("`{stream}` comes from this very event store: it would be a mirror of itself")]
    Cycle { stream: String },
    #[error("`{stream}` is here already, and is another stream of the same name, whose positions don't compare")]
    OtherStream { stream: String },
    #[error(transparent)]
    DataStore(#[from] DataStoreError),
}

/// A stream that is mirrored.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// Its id here.
    pub id: i32,
    /// The position of the last event that is here.
    pub after: Position,
}

/// What of another event store is mirrored here, by the ids that it has there.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    pub streams: HashMap<i32, Mirrored>,
    pub shapes: HashMap<i32, i32>,
}

impl Adopted {
    /// Returns how far a stream is, by its id here.
    pub fn after(&self, stream: i32) -> Position {
        self.streams.values().find(|mirrored| mirrored.id == stream).map(|mirrored| mirrored.after).unwrap_or_default()
    }

    /// Records how far a stream is, by its id here.
    pub fn moved(&mut self, stream: i32, to: Position) {
        if let Some(mirrored) = self.streams.values_mut().find(|mirrored| mirrored.id == stream) {
            mirrored.after = to;
        }
    }
}

/// A mirror's row.
#[derive(Clone, Debug)]
pub struct MirrorRow {
    pub upstream_slug: String,
    pub events: i64,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: Option<i64>,
    pub problem: Option<String>,
    pub hint: Option<String>,
}

/// Returns the UUID of an event store.
///
/// # Errors
/// What the server says.
pub async fn store_id(client: &Client) -> Result<String, DataStoreError> {
    let row = client.query_one("SELECT id::text FROM rejot_events.store", &[]).await;
    row.map(|row| row.get(0)).map_err(query("read which event store it is"))
}

/// Takes a mirror over, and returns the new owner's token. Waits for a transaction of the former owner; no later one of it can
/// commit.
///
/// # Errors
/// What the server says.
pub async fn take_over_mirror(client: &Client, upstream: &Upstream<'_>) -> Result<i64, DataStoreError> {
    let sql = "INSERT INTO rejot_events.mirror AS m (upstream, manifest_slug, upstream_slug, owner) \
               VALUES ($1::text::uuid, $2, $3, 1) ON CONFLICT (upstream) DO UPDATE SET owner = m.owner + 1, \
               manifest_slug = excluded.manifest_slug, upstream_slug = excluded.upstream_slug, problem = NULL, hint = NULL, \
               updated_at = now() RETURNING owner";
    let row = client.query_one(sql, &[&upstream.id, &upstream.manifest, &upstream.slug]).await;
    row.map(|row| row.get(0)).map_err(query("take a mirror over"))
}

/// Records why a mirror stopped, and what it needs.
///
/// # Errors
/// What the server says.
pub async fn mark_mirror_stopped(
    client: &Client,
    manifest: &str,
    upstream_slug: &str,
    problem: &str,
    hint: Option<&str>,
) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_events.mirror SET problem = $3, hint = $4, updated_at = now() \
               WHERE manifest_slug = $1 AND upstream_slug = $2";
    let marked = client.execute(sql, &[&manifest, &upstream_slug, &problem, &hint]).await;
    marked.map(drop).map_err(query("record a stopped mirror"))
}

/// Returns what an event store mirrors for a manifest; nothing where it is no event store yet.
///
/// # Errors
/// What the server says.
pub async fn mirrors(client: &Client, manifest: &str) -> Result<Vec<MirrorRow>, DataStoreError> {
    if !super::is_there(client).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT upstream_slug, events, (extract(epoch FROM commit_time) * 1000000)::bigint, problem, hint \
               FROM rejot_events.mirror WHERE manifest_slug = $1 ORDER BY upstream_slug";
    let rows = client.query(sql, &[&manifest]).await.map_err(query("read the mirrors"))?;
    let row = |row: &tokio_postgres::Row| MirrorRow {
        upstream_slug: row.get(0),
        events: row.get(1),
        commit_time: row.get(2),
        problem: row.get(3),
        hint: row.get(4),
    };
    Ok(rows.iter().map(row).collect())
}

/// Returns the UUIDs of the event stores that some manifests mirror here.
///
/// # Errors
/// What the server says.
pub async fn upstreams(client: &Client, manifests: &[String]) -> Result<Vec<String>, DataStoreError> {
    let sql = "SELECT upstream::text FROM rejot_events.mirror WHERE manifest_slug = ANY ($1)";
    let rows = client.query(sql, &[&manifests]).await.map_err(query("read what is mirrored"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The rows of `rejot_events.shape` of some streams, as they are handed on.
#[derive(Clone, Debug)]
pub struct ShapeRow {
    pub id: i32,
    pub stream: i32,
    number: i32,
    minor: i32,
    columns: String,
    attrs: String,
    component_digest: Option<String>,
}

/// Returns all shapes of an event store, in their order.
///
/// # Errors
/// What the server says.
pub async fn shape_rows(client: &Client) -> Result<Vec<ShapeRow>, DataStoreError> {
    let sql = "SELECT id, stream_id, number, public_schema_minor_version, columns::text, attrs::text, component_digest \
               FROM rejot_events.shape ORDER BY stream_id, number";
    let rows = client.query(sql, &[]).await.map_err(query("read the shapes of streams"))?;
    let shape = |row: &tokio_postgres::Row| ShapeRow {
        id: row.get(0),
        stream: row.get(1),
        number: row.get(2),
        minor: row.get(3),
        columns: row.get(4),
        attrs: row.get(5),
        component_digest: row.get(6),
    };
    Ok(rows.iter().map(shape).collect())
}

/// Makes the streams of another event store and their shapes here, as far as they are not.
///
/// # Errors
/// Streams that can't be mirrored here, or what the server says.
pub async fn adopt(
    client: &mut Client,
    upstream: &str,
    own: &str,
    streams: &[Stream],
    shapes: &[ShapeRow],
) -> Result<Adopted, MirrorConflict> {
    let failed = || query("make a mirrored stream");
    let transaction = client.transaction().await.map_err(failed())?;
    let lock = "SELECT pg_catalog.pg_advisory_xact_lock($1)";
    transaction.execute(lock, &[&super::register::LOCK]).await.map_err(failed())?;
    let mut adopted = Adopted::default();
    for stream in streams {
        let name = || format!("{}/{}@{}", stream.manifest, stream.public_schema, stream.major);
        let mut path = stream.path.clone();
        path.push(upstream.to_owned());
        if path.iter().any(|store| store == own) {
            return Err(MirrorConflict::Cycle { stream: name() });
        }
        let lsn = PgLsn::from(stream.horizon.commit_lsn.0);
        let find = "SELECT mirrored_epoch, mirrored_lsn, mirrored_ordinal, id, origin::text, path::text[] \
                    FROM rejot_events.stream WHERE manifest_slug = $1 AND public_schema_name = $2 \
                    AND public_schema_major_version = $3";
        let named: [&(dyn ToSql + Sync); 3] = [&stream.manifest, &stream.public_schema, &stream.major];
        let found = transaction.query_opt(find, &named).await.map_err(failed())?;
        let insert = "INSERT INTO rejot_events.stream (manifest_slug, source_slug, public_schema_name, \
                      public_schema_major_version, origin, path, horizon_epoch, horizon_lsn, horizon_ordinal, merged) \
                      VALUES ($1, $2, $3, $4, $5::text::uuid, $6::text[]::uuid[], $7, $8, $9, $10)";
        let parameters: [&(dyn ToSql + Sync); 10] = [
            &stream.manifest,
            &stream.source,
            &stream.public_schema,
            &stream.major,
            &stream.origin,
            &path,
            &stream.horizon.epoch,
            &lsn,
            &stream.horizon.ordinal,
            &stream.merged,
        ];
        let row = match found {
            Some(row) => row,
            None => {
                transaction.execute(insert, &parameters).await.map_err(failed())?;
                transaction.query_one(find, &named).await.map_err(failed())?
            }
        };
        let (id, origin, found): (i32, String, Vec<String>) = (row.get(3), row.get(4), row.get(5));
        if origin != stream.origin || found.is_empty() {
            return Err(MirrorConflict::OtherStream { stream: name() });
        }
        if found != path {
            let update = "UPDATE rejot_events.stream SET path = $2::text[]::uuid[] WHERE id = $1";
            transaction.execute(update, &[&id, &path]).await.map_err(failed())?;
        }
        let after = position(&row, 0);
        if after == Position::START {
            // Nothing is here yet: what will be is what the original has now.
            let update = "UPDATE rejot_events.stream SET horizon_epoch = $2, horizon_lsn = $3, horizon_ordinal = $4, \
                          merged = $5 WHERE id = $1 AND (horizon_epoch, horizon_lsn, horizon_ordinal, merged) \
                          <> ($2, $3, $4, $5)";
            let (epoch, ordinal) = (stream.horizon.epoch, stream.horizon.ordinal);
            let parameters: [&(dyn ToSql + Sync); 5] = [&id, &epoch, &lsn, &ordinal, &stream.merged];
            transaction.execute(update, &parameters).await.map_err(failed())?;
        }
        adopted.streams.insert(stream.id, Mirrored { id, after });
        let known = "SELECT number, id FROM rejot_events.shape WHERE stream_id = $1";
        let known = transaction.query(known, &[&id]).await.map_err(failed())?;
        let known: HashMap<i32, i32> = known.iter().map(|row| (row.get(0), row.get(1))).collect();
        for shape in shapes.iter().filter(|shape| shape.stream == stream.id) {
            let here = match known.get(&shape.number) {
                Some(&here) => here,
                None => {
                    let insert = "INSERT INTO rejot_events.shape (stream_id, number, public_schema_minor_version, columns, \
                                  attrs, component_digest) VALUES ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6) \
                                  RETURNING id";
                    let parameters: [&(dyn ToSql + Sync); 6] =
                        [&id, &shape.number, &shape.minor, &shape.columns, &shape.attrs, &shape.component_digest];
                    transaction.query_one(insert, &parameters).await.map_err(failed())?.get(0)
                }
            };
            adopted.shapes.insert(shape.id, here);
        }
    }
    transaction.commit().await.map_err(failed())?;
    Ok(adopted)
}

/// Begins a transaction of a mirror; false when another process has taken it over.
///
/// # Errors
/// What the server says.
pub async fn begin_mirroring(client: &Client, upstream: &str, owner: i64) -> Result<bool, DataStoreError> {
    let failed = || query("begin to mirror");
    let sql = "SELECT FROM rejot_events.mirror WHERE upstream = $1::text::uuid AND owner = $2 FOR NO KEY UPDATE";
    let begin = async { client.batch_execute("BEGIN").await.map_err(failed()) };
    let own = async { client.query_opt(sql, &[&upstream, &owner]).await.map_err(failed()) };
    // In this order: what is polled first is sent first.
    let ((), row) = futures_util::future::try_join(begin, own).await?;
    Ok(row.is_some())
}

/// How far a stream was mirrored, and is with what is appended.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub from: Position,
    pub to: Position,
}

/// What a transaction of a mirror has appended.
#[derive(Clone, Debug, Default)]
pub struct Appended {
    /// Of each stream, by its id here.
    pub last: HashMap<i32, Moved>,
    pub events: i64,
    /// Of the newest transaction, microseconds since 1970-01-01 UTC.
    pub commit_time: Option<i64>,
}

/// Records how far streams are mirrored, tells whoever listens, and commits.
///
/// # Errors
/// What the server says; whether it was committed can't be known then.
pub async fn commit_mirrored(client: &Client, upstream: &str, appended: &Appended) -> Result<(), DataStoreError> {
    let failed = || query("record how far streams are mirrored");
    let ids: Vec<i32> = appended.last.keys().copied().collect();
    let columns = |of: &dyn Fn(&Moved) -> Position| {
        let at: Vec<Position> = appended.last.values().map(of).collect();
        let lsns: Vec<PgLsn> = at.iter().map(|at| PgLsn::from(at.commit_lsn.0)).collect();
        (at.iter().map(|at| at.epoch).collect::<Vec<i32>>(), lsns, at.iter().map(|at| at.ordinal).collect::<Vec<i64>>())
    };
    let (epochs, lsns, ordinals) = columns(&|moved| moved.to);
    let (was_epochs, was_lsns, was_ordinals) = columns(&|moved| moved.from);
    let moved = "UPDATE rejot_events.stream AS t SET mirrored_epoch = u.epoch, mirrored_lsn = u.lsn, \
                 mirrored_ordinal = u.ordinal FROM unnest($1::integer[], $2::integer[], $3::pg_lsn[], $4::bigint[], \
                 $5::integer[], $6::pg_lsn[], $7::bigint[]) \
                 AS u (id, epoch, lsn, ordinal, was_epoch, was_lsn, was_ordinal) WHERE t.id = u.id AND (t.mirrored_epoch, \
                 t.mirrored_lsn, t.mirrored_ordinal) = (u.was_epoch, u.was_lsn, u.was_ordinal)";
    let parameters: [&(dyn ToSql + Sync); 7] = [&ids, &epochs, &lsns, &ordinals, &was_epochs, &was_lsns, &was_ordinals];
    if client.execute(moved, &parameters).await.map_err(failed())? != ids.len() as u64 {
        // Somebody else mirrors the same stream here from another store.
        return Err(DataStoreError::StaleMirror { upstream: upstream.to_owned() });
    }
    let counted = "UPDATE rejot_events.mirror SET events = events + $2, updated_at = now(), \
                   commit_time = coalesce(to_timestamp($3::bigint / 1000000.0), commit_time) \
                   WHERE upstream = $1::text::uuid";
    client.execute(counted, &[&upstream, &appended.events, &appended.commit_time]).await.map_err(failed())?;
    client.batch_execute("NOTIFY rejot_events; COMMIT").await.map_err(failed())
}

/// Makes durable what is committed.
///
/// # Errors
/// What the server says.
pub async fn flush_mirror(client: &Client, upstream: &str) -> Result<(), DataStoreError> {
    let sql = format!(
        "BEGIN; SET LOCAL synchronous_commit = on; UPDATE rejot_events.mirror SET updated_at = now() \
         WHERE upstream = {}; COMMIT",
        quote_literal(upstream)
    );
    client.batch_execute(&sql).await.map_err(query("make a mirror durable"))
}
