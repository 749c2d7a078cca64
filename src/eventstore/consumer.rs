//! Who reads an event store, and up to where they are done.

use tokio_postgres::Client;
use tokio_postgres::types::{PgLsn, ToSql};

use super::{Position, Wanted, query};
use crate::datastore::DataStoreError;
use crate::lsn::Lsn;

/// Whose consumers they are: those of a manifest, as it runs into one destination.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a> {
    pub manifest: &'a str,
    /// The UUID of the destination, or of the event store that mirrors; empty where it is not told.
    pub destination: &'a str,
}

/// A consumer, and a cursor that is durable at its destination.
#[derive(Clone, Copy, Debug)]
pub struct Registered<'a> {
    pub consumer: &'a str,
    pub source_manifest: &'a str,
    pub public_schema: &'a str,
    pub major: i32,
    pub cursor: Position,
    /// The UUID of the stream that the cursor is of, where it is known.
    pub origin: Option<&'a str>,
}

/// Records how far consumers of a deployment are, so that nothing is removed that they have not read. Returns those that have
/// a stream, each with whether events behind its cursor are gone already.
///
/// Whoever told a position before has held everything behind it since, but by force. Whoever did not, or went back behind what
/// it told, may have lost what lies up to the horizon; and nobody who is beyond that, for readers stop where something is
/// missing ([`super::Horizons`]), and tell late how far they are. The lock that whoever removes events takes keeps the two apart. What was told
/// without a destination is the first one's that names one.
///
/// # Errors
/// What the server says.
pub async fn register_consumers(
    client: &Client,
    of: Deployment<'_>,
    consumers: &[Registered<'_>],
) -> Result<Vec<(String, bool)>, DataStoreError> {
    let Deployment { manifest, destination } = of;
    let names: Vec<&str> = consumers.iter().map(|one| one.consumer).collect();
    let manifests: Vec<&str> = consumers.iter().map(|one| one.source_manifest).collect();
    let schemas: Vec<&str> = consumers.iter().map(|one| one.public_schema).collect();
    let majors: Vec<i32> = consumers.iter().map(|one| one.major).collect();
    let epochs: Vec<i32> = consumers.iter().map(|one| one.cursor.epoch).collect();
    let lsns: Vec<PgLsn> = consumers.iter().map(|one| PgLsn::from(one.cursor.commit_lsn.0)).collect();
    let ordinals: Vec<i64> = consumers.iter().map(|one| one.cursor.ordinal).collect();
    let named = "UPDATE rejot_events.consumer AS c SET destination = $2 WHERE manifest_slug = $1 AND consumer = ANY ($3) \
                 AND destination = '' AND NOT EXISTS (SELECT FROM rejot_events.consumer AS o \
                 WHERE o.manifest_slug = $1 AND o.consumer = c.consumer AND o.destination = $2)";
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&manifest, &names, &manifests, &schemas, &majors, &epochs, &lsns, &ordinals, &destination];
    let sql = "INSERT INTO rejot_events.consumer AS c (manifest_slug, destination, consumer, stream_id, epoch, commit_lsn, \
               ordinal, missed) SELECT $1, $9, u.consumer, t.id, u.epoch, u.commit_lsn, u.ordinal, \
               (u.epoch, u.commit_lsn, u.ordinal) <> (0, '0/0', 0) AND (u.epoch, u.commit_lsn, u.ordinal) \
               < (t.horizon_epoch, t.horizon_lsn, t.horizon_ordinal) \
               FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::pg_lsn[], $8::bigint[]) \
               AS u (consumer, source_manifest, public_schema, major, epoch, commit_lsn, ordinal) \
               JOIN rejot_events.stream AS t ON t.manifest_slug = u.source_manifest \
               AND t.public_schema_name = u.public_schema AND t.public_schema_major_version = u.major \
               ON CONFLICT (manifest_slug, consumer, destination) DO UPDATE SET stream_id = excluded.stream_id, epoch = excluded.epoch, \
               commit_lsn = excluded.commit_lsn, ordinal = excluded.ordinal, updated_at = now(), \
               missed = excluded.missed AND (c.missed OR c.stream_id <> excluded.stream_id \
               OR (c.epoch, c.commit_lsn, c.ordinal) > (excluded.epoch, excluded.commit_lsn, excluded.ordinal)) \
               RETURNING consumer, missed";
    let failed = || query("register consumers");
    client.execute(named, &[&manifest, &destination, &names]).await.map_err(failed())?;
    let rows = client.query(sql, &parameters).await.map_err(failed())?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Who reads an event store, as it was told.
#[derive(Clone, Debug)]
pub struct Reader {
    pub manifest: String,
    pub consumer: String,
    /// The UUID of what it writes into; empty where it is not told.
    pub destination: String,
    /// `shop/orders@1`
    pub stream: String,
    pub cursor: Position,
    /// Seconds since it was told.
    pub told_seconds: i64,
    /// Events were removed by force that it had not read.
    pub missed: bool,
}

/// Returns who reads an event store.
///
/// # Errors
/// What the server says.
pub async fn readers(client: &Client) -> Result<Vec<Reader>, DataStoreError> {
    let sql = "SELECT c.epoch, c.commit_lsn, c.ordinal, c.manifest_slug, c.consumer, t.manifest_slug || '/' \
               || t.public_schema_name || '@' || t.public_schema_major_version, \
               extract(epoch FROM now() - c.updated_at)::bigint, c.missed, c.destination \
               FROM rejot_events.consumer AS c JOIN rejot_events.stream AS t ON t.id = c.stream_id \
               ORDER BY c.manifest_slug, c.consumer, c.destination";
    let rows = client.query(sql, &[]).await.map_err(query("read who reads"))?;
    let reader = |row: &tokio_postgres::Row| Reader {
        cursor: super::stream::position(row, 0),
        manifest: row.get(3),
        consumer: row.get(4),
        stream: row.get(5),
        told_seconds: row.get(6),
        missed: row.get(7),
        destination: row.get(8),
    };
    Ok(rows.iter().map(reader).collect())
}

/// Counts the events behind a position, up to a limit.
///
/// # Errors
/// What the server says.
pub async fn count(client: &Client, wanted: Wanted, limit: i64) -> Result<i64, DataStoreError> {
    let sql = "SELECT count(*) FROM (SELECT FROM rejot_events.event WHERE stream_id = $1 \
               AND (epoch, commit_lsn, ordinal) > ($2, $3, $4) ORDER BY epoch, commit_lsn, ordinal LIMIT $5) AS e";
    let lsn = PgLsn::from(wanted.after.commit_lsn.0);
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&wanted.stream, &wanted.after.epoch, &lsn, &wanted.after.ordinal, &limit];
    let row = client.query_one(sql, &parameters).await.map_err(query("count events"))?;
    Ok(row.get(0))
}

/// Returns the position in front of the first event that was committed at a time, in any form that Postgres reads, or later;
/// `None` when there is no such event.
///
/// # Errors
/// It is no time, or what the server says.
pub async fn before(client: &Client, stream: i32, time: &str) -> Result<Option<Position>, DataStoreError> {
    // Rows that existed before have no time: they are older than all others.
    let sql = "SELECT epoch, commit_lsn, ordinal FROM rejot_events.event WHERE stream_id = $1 \
               AND commit_time >= $2::text::timestamptz ORDER BY stream_id, epoch, commit_lsn, ordinal LIMIT 1";
    let row = client.query_opt(sql, &[&stream, &time]).await.map_err(query("look for a time"))?;
    Ok(row.map(|row| in_front(super::stream::position(&row, 0))))
}

/// Returns the last position in front of one: before the first event of a transaction, the end of whatever lies before.
fn in_front(of: Position) -> Position {
    match of.ordinal.checked_sub(1).filter(|ordinal| *ordinal >= 0) {
        Some(ordinal) => Position { ordinal, ..of },
        None => Position { commit_lsn: Lsn(of.commit_lsn.0.saturating_sub(1)), ordinal: i64::MAX, ..of },
    }
}

/// Forgets a consumer of a deployment, or what was told of it without a destination. Returns false when there is none.
///
/// # Errors
/// What the server says.
pub async fn forget_consumer(client: &Client, of: Deployment<'_>, consumer: &str) -> Result<bool, DataStoreError> {
    if super::streams(client).await?.is_empty() {
        return Ok(false);
    }
    let sql = "DELETE FROM rejot_events.consumer AS c WHERE manifest_slug = $1 AND consumer = $2 AND (destination = $3 \
               OR destination = '' AND NOT EXISTS (SELECT FROM rejot_events.consumer AS o \
               WHERE o.manifest_slug = $1 AND o.consumer = $2 AND o.destination = $3))";
    client
        .execute(sql, &[&of.manifest, &consumer, &of.destination])
        .await
        .map(|rows| rows > 0)
        .map_err(query("forget a consumer"))
}

/// Returns the position of the event that so many others of these streams follow, or the first one; `None` without events.
///
/// # Errors
/// What the server says.
pub async fn last(client: &Client, streams: &[i32], events: i64) -> Result<Option<Position>, DataStoreError> {
    if streams.is_empty() {
        return Ok(None);
    }
    let sql = "SELECT e.epoch, e.commit_lsn, e.ordinal FROM unnest($1::integer[]) AS s (id), LATERAL (SELECT epoch, \
               commit_lsn, ordinal FROM rejot_events.event WHERE stream_id = s.id \
               ORDER BY stream_id DESC, epoch DESC, commit_lsn DESC, ordinal DESC LIMIT $2) AS e \
               ORDER BY e.epoch DESC, e.commit_lsn DESC, e.ordinal DESC LIMIT $2";
    let rows = client.query(sql, &[&streams, &events.max(1)]).await.map_err(query("read the last events"))?;
    Ok(rows.last().map(|row| super::stream::position(row, 0)))
}

/// Counts the events of streams behind positions: (stream, operation, events).
///
/// # Errors
/// What the server says.
pub async fn count_all(
    client: &Client,
    wanted: &[Wanted],
) -> Result<Vec<(i32, crate::change::Op, i64)>, DataStoreError> {
    use crate::change::Op;
    let streams: Vec<i32> = wanted.iter().map(|one| one.stream).collect();
    let epochs: Vec<i32> = wanted.iter().map(|one| one.after.epoch).collect();
    let lsns: Vec<PgLsn> = wanted.iter().map(|one| PgLsn::from(one.after.commit_lsn.0)).collect();
    let ordinals: Vec<i64> = wanted.iter().map(|one| one.after.ordinal).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT e.stream_id, e.operation, count(*) FROM rejot_events.event AS e \
               JOIN unnest($1::integer[], $2::integer[], $3::pg_lsn[], $4::bigint[]) AS u (id, epoch, commit_lsn, ordinal) \
               ON e.stream_id = u.id AND (e.epoch, e.commit_lsn, e.ordinal) > (u.epoch, u.commit_lsn, u.ordinal) \
               GROUP BY 1, 2";
    let rows = client.query(sql, &[&streams, &epochs, &lsns, &ordinals]).await.map_err(query("count events"))?;
    let op = |row: &tokio_postgres::Row| match row.get::<_, &str>(1) {
        "insert" => Op::Insert,
        "update" => Op::Update,
        "delete" => Op::Delete,
        _ => Op::Truncate,
    };
    Ok(rows.iter().map(|row| (row.get(0), op(row), row.get(2))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_front_of_a_transaction_is_a_position_that_can_be_told() {
        for (of, expected) in [("1:0/20:5", "1:0/20:4"), ("1:0/20:0", "1:0/1F:9223372036854775807")] {
            let found = in_front(of.parse().unwrap());
            assert_eq!(found.to_string(), expected);
            assert_eq!(found.to_string().parse(), Ok(found));
        }
    }
}
