//! What ReJot published becomes the beginning of a stream.
//!
//! ReJot's table of events, which migration 8 renames to `rejot_event`, is copied stream by stream, each in the transaction
//! that registers it; so a stream has all of ReJot's events or none, whatever is killed. They are of epoch 0: before
//! everything that is published from then on. Their place is ReJot's: the position at which the source delivered their
//! transaction (of which no two have the same), and their index in it. It is not the commit's: a transaction that began before
//! another one, and was committed behind it, was stored behind it, too, at a lesser position. ReJot's consumers, which were
//! past that, never got it. So it takes its place behind all that was stored before it ([`late_ordinal`]), which is the order
//! of the commits.
//!
//! Objects stay as ReJot wrote them. The shape that the events are of is marked ([`MARK`]), and whoever reads them makes of
//! ReJot's JSON what Postgres reads ([`text_of`]): an array becomes Postgres's own, an interval's parts and a buffer's bytes
//! their text.

use bytes::{BufMut, BytesMut};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::{PgLsn, ToSql};

use super::register::{Publisher, StreamConflict};
use super::stream::{attrs_document, columns_document};
use super::{BadEvent, query};
use crate::change::{Kind, PublicSchema};
use crate::datastore::{DataStoreError, late_ordinal};
use crate::lsn::Lsn;

/// The attribute of a shape whose events ReJot wrote.
const MARK: &str = "rejot";

/// What was copied of ReJot's events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copied {
    pub events: u64,
    /// Of those that have no object there is nothing to read.
    pub left_out: i64,
    /// Deletes that do not say which row went: they have other fields than the key.
    pub deletes_left_out: i64,
}

/// The attribute of an event whose place is not where its transaction began: where that is.
const BEGUN: &str = "rejotTransaction";

/// Returns true for a shape whose events ReJot wrote.
pub fn is_of_rejot(written: &PublicSchema) -> bool {
    written.attrs.iter().any(|(name, _)| name == MARK)
}

/// Returns the public schemas of a manifest, with their major versions, of which ReJot left events and no stream has begun.
///
/// # Errors
/// What the server says.
pub async fn left_by_rejot(client: &Client, manifest: &str) -> Result<Vec<(String, i32)>, DataStoreError> {
    if !is_there(client).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT DISTINCT public_schema_name::text, public_schema_major_version::integer \
               FROM rejot_events.rejot_event AS e WHERE manifest_slug = $1 AND NOT EXISTS (SELECT FROM rejot_events.stream AS s \
               WHERE s.manifest_slug = $1 AND s.public_schema_name = e.public_schema_name \
               AND s.public_schema_major_version = e.public_schema_major_version)";
    let rows = client.query(sql, &[&manifest]).await.map_err(query("look for ReJot's events"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn is_there(client: &Client) -> Result<bool, DataStoreError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n \
               ON n.oid = c.relnamespace WHERE n.nspname = 'rejot_events' AND c.relname = 'rejot_event')";
    Ok(client.query_one(sql, &[]).await.map_err(query("look for ReJot's events"))?.get(0))
}

/// What a position looks like.
const POSITION: &str = "^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$";

/// The events of one public schema.
const OF_STREAM: &str = "FROM rejot_events.rejot_event WHERE manifest_slug = $1 AND public_schema_name = $2 \
     AND public_schema_major_version = $3::integer";

/// Copies ReJot's events into a stream that has none yet, in the transaction that is open.
///
/// # Errors
/// They are not what ReJot writes, or what the server says.
pub(super) async fn copy(
    transaction: &Client,
    stream: i32,
    segment: i32,
    publisher: &Publisher<'_>,
) -> Result<Copied, StreamConflict> {
    let failed = |error| StreamConflict::from(query("take over ReJot's events")(error));
    if !is_there(transaction).await? {
        return Ok(Copied::default());
    }
    let Publisher { manifest, public, .. } = *publisher;
    let (name, major) = (&*public.name, public.major as i32);
    let of_stream: [&(dyn ToSql + Sync); 3] = [&manifest, &name, &major];
    // A whole transaction of ReJot's is one INSERT of its own; nobody may add one behind our look.
    let lock = "LOCK TABLE rejot_events.rejot_event IN SHARE MODE";
    transaction.batch_execute(lock).await.map_err(failed)?;
    let look = format!(
        "SELECT count(*), count(*) FILTER (WHERE transaction_id !~ '{POSITION}'), \
         count(*) FILTER (WHERE jsonb_typeof(object) IS DISTINCT FROM 'object') {OF_STREAM}"
    );
    let row = transaction.query_one(&look, &of_stream).await.map_err(failed)?;
    let (all, nowhere, left_out): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    if nowhere > 0 {
        let public_schema = format!("{name}@{major}");
        return Err(StreamConflict::RejotPosition { public_schema, events: nowhere });
    }
    if all == 0 {
        return Ok(Copied::default());
    }
    // The order of a shape's id is that in which streams had them: the present one comes behind.
    let shapes = format!(
        "INSERT INTO rejot_events.shape (stream_id, public_schema_minor_version, columns, attrs, number) \
         SELECT $4, minor, $5::text::jsonb, $6::text::jsonb, row_number() OVER (ORDER BY minor) \
         FROM (SELECT DISTINCT coalesce(public_schema_minor_version, 0)::integer AS minor {OF_STREAM}) AS m ORDER BY minor"
    );
    let (columns, attrs) = (columns_document(public), attrs_document(&[(MARK.to_owned(), "7".to_owned())]).to_string());
    let parameters: Vec<&(dyn ToSql + Sync)> = [&of_stream[..], &[&stream, &columns, &attrs]].concat();
    transaction.execute(&shapes, &parameters).await.map_err(failed)?;
    let key: Vec<&str> = public.key().into_iter().map(|index| &*public.columns[index].name).collect();
    let is_late = "begun < place";
    // A delete whose one field has another name than the one column of the key can mean nothing else.
    let copy = format!(
        "WITH stored AS (SELECT *, transaction_id::pg_lsn AS begun, coalesce(created_at, 'epoch') AS stored_at {OF_STREAM} \
             AND jsonb_typeof(object) = 'object'), \
         placed AS (SELECT *, max(begun) OVER (ORDER BY stored_at, begun, operation_idx ROWS UNBOUNDED PRECEDING) AS place \
             FROM stored), \
         counted AS (SELECT *, row_number() OVER late AS number FROM placed \
             WINDOW late AS (PARTITION BY place, {is_late} ORDER BY stored_at, begun, operation_idx)), \
         e AS (SELECT *, CASE WHEN {is_late} THEN number + max({late} - number) OVER late ELSE operation_idx END AS ordinal \
             FROM counted WINDOW late AS (PARTITION BY place, {is_late} ORDER BY number)) \
         INSERT INTO rejot_events.event (stream_id, epoch, commit_lsn, ordinal, segment, shape_id, operation, xid, \
         commit_time, key, object, attributes) \
         SELECT $4, 0, e.place, e.ordinal, $5, s.id, e.operation, 0, e.stored_at, \
         (CASE WHEN cardinality($6::text[]) = 0 THEN NULL \
         WHEN e.operation = 'delete' AND NOT e.object ?& $6::text[] \
         THEN jsonb_build_object(($6::text[])[1], (SELECT value FROM jsonb_each(e.object))) \
         ELSE (SELECT coalesce(jsonb_object_agg(k, e.object -> k), '{{}}') FROM unnest($6::text[]) AS k WHERE e.object ? k) END)::text, \
         CASE WHEN e.operation <> 'delete' OR cardinality($6::text[]) = 0 THEN e.object::text END, \
         CASE WHEN {is_late} THEN jsonb_build_object('{BEGUN}', e.begun::text)::text END \
         FROM e JOIN rejot_events.shape AS s ON s.stream_id = $4 \
         AND s.public_schema_minor_version = coalesce(e.public_schema_minor_version, 0) \
         WHERE e.operation <> 'delete' OR cardinality($6::text[]) = 0 OR e.object ?& $6::text[] \
         OR (cardinality($6::text[]) = 1 AND (SELECT count(*) FROM jsonb_object_keys(e.object)) = 1)",
        late = late_ordinal("stored_at"),
    );
    let parameters: Vec<&(dyn ToSql + Sync)> = [&of_stream[..], &[&stream, &segment, &key]].concat();
    let events = transaction.execute(&copy, &parameters).await.map_err(failed)?;
    if let Some(at) = publisher.taken_over_at {
        let sql = "UPDATE rejot_events.stream SET taken_over_lsn = $2 WHERE id = $1";
        transaction.execute(sql, &[&stream, &PgLsn::from(at.0)]).await.map_err(failed)?;
    }
    crate::fault::point("rejot-copied");
    Ok(Copied { events, left_out, deletes_left_out: all - left_out - events.cast_signed() })
}

/// Returns the places of the transactions that ReJot stored in streams, from one on, in order.
///
/// # Errors
/// What the server says.
pub async fn stored_by_rejot(client: &Client, streams: &[i32], from: Lsn) -> Result<Vec<Lsn>, DataStoreError> {
    let sql = format!(
        "SELECT DISTINCT coalesce((attributes::jsonb ->> '{BEGUN}')::pg_lsn, commit_lsn) FROM rejot_events.event \
         WHERE stream_id = ANY ($1) AND epoch = 0 AND commit_lsn >= $2 ORDER BY 1"
    );
    let from = PgLsn::from(from.0);
    let rows = client.query(&sql, &[&streams, &from]).await.map_err(query("read what ReJot has stored"))?;
    Ok(rows.iter().map(|row| Lsn(row.get::<_, PgLsn>(0).into())).collect())
}

/// Returns the last transaction that ReJot stored of a manifest's public schemas, given with their major versions, by where it
/// begins; `None` where there is none.
///
/// # Errors
/// What the server says.
pub async fn last_of_rejot(
    client: &Client,
    manifest: &str,
    public_schemas: &[(String, i32)],
) -> Result<Option<Lsn>, DataStoreError> {
    let (names, majors): (Vec<&str>, Vec<i32>) = public_schemas.iter().map(|(name, major)| (&**name, *major)).unzip();
    let sql = format!(
        "SELECT max(e.transaction_id::pg_lsn) FROM rejot_events.rejot_event AS e \
         JOIN unnest($2::text[], $3::integer[]) AS u (name, major) ON u.name = e.public_schema_name \
         AND u.major = e.public_schema_major_version WHERE e.manifest_slug = $1 AND e.transaction_id ~ '{POSITION}'"
    );
    let row = client.query_one(&sql, &[&manifest, &names, &majors]).await;
    let row = row.map_err(query("read what ReJot has stored"))?;
    Ok(row.get::<_, Option<PgLsn>>(0).map(|lsn| Lsn(lsn.into())))
}

/// Returns a stream that has events of ReJot's in a segment which its flow may be sent again: it is not yet where the source's log
/// was when they were taken over, and what is sent again is known by them alone.
///
/// # Errors
/// What the server says.
pub(super) async fn being_taken_over(client: &Client, segment: i32) -> Result<Option<String>, DataStoreError> {
    let failed = || query("look how far flows are that take over ReJot's events");
    // Where nothing was ever published there are no flows.
    let flows = "SELECT to_regclass('rejot_data_store.flow') IS NOT NULL";
    if !client.query_one(flows, &[]).await.map_err(failed())?.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT t.manifest_slug || '/' || t.public_schema_name || '@' || t.public_schema_major_version \
         FROM rejot_events.stream AS t JOIN rejot_data_store.flow AS f ON f.manifest_slug = t.manifest_slug \
         AND f.source_slug = t.source_slug AND f.public_schema_name = t.public_schema_name \
         AND f.public_schema_major_version = t.public_schema_major_version \
         WHERE f.lsn < t.taken_over_lsn AND f.epoch <= 1 \
         AND EXISTS (SELECT FROM rejot_events.event_{segment} AS e WHERE e.stream_id = t.id AND e.epoch = 0) LIMIT 1"
    );
    let row = client.query_opt(&sql, &[]).await.map_err(failed())?;
    Ok(row.map(|row| row.get(0)))
}

/// Makes Postgres's text of a document that ReJot wrote for a column that is no jsonb.
pub(super) fn text_of(kind: &Kind, name: &str, raw: &str) -> Result<String, BadEvent> {
    let document: Value =
        serde_json::from_str(raw).map_err(|_| BadEvent(format!("column `{name}` holds a broken document")))?;
    let text = match (kind, &document) {
        (Kind::Array(_), Value::Array(elements)) => Some(array(elements)),
        (Kind::Interval, Value::Object(parts)) => interval(parts),
        (Kind::Bytea, Value::Object(buffer)) => bytes(buffer),
        (Kind::Other(name), Value::Object(point)) if &**name == "point" => {
            point.get("x").zip(point.get("y")).map(|(x, y)| format!("({x},{y})"))
        }
        (Kind::Json | Kind::Text, _) => Some(raw.to_owned()),
        _ => None,
    };
    text.ok_or_else(|| BadEvent(format!("column `{name}` holds a document that can't be read as {kind}")))
}

/// As Postgres reads an array: every element but NULL in quotes.
fn array(elements: &[Value]) -> String {
    let element = |element: &Value| match element {
        Value::Null => "NULL".to_owned(),
        Value::Array(elements) => array(elements),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    };
    format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `{"days": 1, "milliseconds": 5.5}`: what is not there is 0.
fn interval(parts: &serde_json::Map<String, Value>) -> Option<String> {
    const UNITS: [&str; 7] = ["years", "months", "days", "hours", "minutes", "seconds", "milliseconds"];
    let part = |(unit, value): (&String, &Value)| {
        UNITS.contains(&&**unit).then_some(())?;
        Some(format!("{} {unit}", value.as_number()?))
    };
    let parts: Option<Vec<String>> = parts.iter().map(part).collect();
    let text = parts?.join(" ");
    Some(if text.is_empty() { "0 seconds".to_owned() } else { text })
}

/// `{"type": "Buffer", "data": [1, 255]}`
fn bytes(buffer: &serde_json::Map<String, Value>) -> Option<String> {
    let data = buffer.get("data")?.as_array()?;
    let bytes: Option<Vec<u8>> = data.iter().map(|byte| byte.as_u64()?.try_into().ok()).collect();
    let mut text = BytesMut::from(&b"\\x"[..]);
    text.put_slice(hex::encode(bytes?).as_bytes());
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_what_postgres_reads() {
        let check = |kind: Kind, raw: &str, expected: &str| {
            assert_eq!(text_of(&kind, "c", raw).unwrap(), expected, "{raw}");
        };
        let texts = || Kind::Array("text".into());
        check(texts(), r#"["a", null, "b\"c\\", "NULL", ""]"#, r#"{"a",NULL,"b\"c\\","NULL",""}"#);
        check(texts(), r#"[[1, true], [2.5, {"a": "x"}]]"#, r#"{{"1","true"},{"2.5","{\"a\":\"x\"}"}}"#);
        check(texts(), "[]", "{}");
        check(Kind::Interval, r#"{"days": 1, "milliseconds": 5.5}"#, "1 days 5.5 milliseconds");
        check(Kind::Interval, "{}", "0 seconds");
        check(Kind::Bytea, r#"{"type": "Buffer", "data": [0, 255]}"#, "\\x00ff");
        check(Kind::Json, r#"{"a": [1.50]}"#, r#"{"a": [1.50]}"#);
        check(Kind::Other("point".into()), r#"{"x": 1.5, "y": -2}"#, "(1.5,-2)");
        for (kind, raw) in [
            (Kind::Int32, "[1]"),
            (Kind::Interval, r#"{"weeks": 1}"#),
            (Kind::Interval, r#"{"days": "1; DROP"}"#),
            (Kind::Bytea, r#"{"data": [256]}"#),
            (texts(), r#"{"a": 1}"#),
        ] {
            let error = text_of(&kind, "c", raw).unwrap_err().to_string();
            assert!(error.contains("`c`") && !error.contains("DROP"), "{error}");
        }
    }
}
