//! Streams, and what their rows look like.
//!
//! A publisher registers what it is going to append before it does ([`register`]); what has changed since it last ran (a
//! column that was added, another component) is another *shape* of the same stream. Each event names its own.

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::rejot::Copied;
use super::{Position, query, rejot};
use crate::change::{Break, Column, Kind, PublicSchema, breaks};
use crate::datastore::DataStoreError;
use crate::lsn::Lsn;

/// What somebody publishes.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    pub manifest: &'a str,
    pub source: &'a str,
    pub public: &'a PublicSchema,
    /// The SHA-256 of the component that makes it, in hexadecimal.
    pub component_digest: Option<&'a str>,
    /// Where the source's log is, if what ReJot has stored is gone on from.
    pub taken_over_at: Option<Lsn>,
}

/// A stream of an event store.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub id: i32,
    pub manifest: String,
    pub source: String,
    pub public_schema: String,
    pub major: i32,
    /// The newest shape.
    pub shape: i32,
    /// A component makes it.
    pub from_component: bool,
    /// The position of its last event, gone or not.
    pub last: Position,
    /// A UUID: the same in all mirrors of the stream, whose positions compare with one another.
    pub origin: String,
    /// The event stores that it came through, by their UUIDs, the nearest last; none where it is published here.
    pub path: Vec<String>,
    /// Events up to this position have been removed, or merged into the newest of each key.
    pub horizon: Position,
    /// All of them were merged: who begins at the start gets every row.
    pub merged: bool,
}

/// One of the shapes that a stream's rows have had.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub id: i32,
    pub stream: i32,
    pub public: PublicSchema,
    pub component_digest: Option<String>,
}

impl Shape {
    /// Returns what another service must know to read the events that were made under it.
    pub fn document(&self) -> Value {
        json!({
            "id": self.id,
            "minorVersion": self.public.minor,
            "columns": self.public.columns.iter().map(column_document).collect::<Value>(),
            "attrs": attrs_document(&self.public.attrs),
            "component": self.component_digest,
        })
    }

    /// Reads what [`Shape::document`] returns; `None` when it is none.
    pub fn of_document(document: &Value, stream: i32, public_schema: &str, major: u32) -> Option<Shape> {
        let columns = document["columns"].as_array()?;
        Some(Shape {
            id: document["id"].as_i64()?.try_into().ok()?,
            stream,
            public: PublicSchema {
                name: public_schema.into(),
                major,
                minor: document["minorVersion"].as_u64()?.try_into().ok()?,
                columns: columns.iter().map(column_of).collect(),
                attrs: attrs_of(&document["attrs"]),
            },
            component_digest: document["component"].as_str().map(str::to_owned),
        })
    }
}

/// A stream can't be published to from here.
#[derive(Debug, thiserror::Error)]
pub enum StreamConflict {
    #[error(
        "public schema `{public_schema}@{major}` of `{manifest}` has been published from source `{found}`, whose positions \
         don't compare with those of `{source_slug}`"
    )]
    OtherSource { manifest: String, public_schema: String, major: u32, found: String, source_slug: String },
    #[error(
        "public schema `{public_schema}@{major}` of `{manifest}` is mirrored into this event store, so nobody else may publish it here"
    )]
    Mirrored { manifest: String, public_schema: String, major: u32 },
    #[error(
        "public schema `{public_schema}` {major}.{minor} would break those who read {major}.{deployed_minor}: {}",
        breaks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Breaking { public_schema: String, major: u32, minor: u32, deployed_minor: u32, breaks: Vec<Break> },
    #[error(
        "{events} events that ReJot stored of `{public_schema}` have a transaction_id that is no position in a log"
    )]
    RejotPosition { public_schema: String, events: i64 },
    #[error(transparent)]
    DataStore(#[from] DataStoreError),
}

/// Two publishers must not make one shape twice. "pelton" in ASCII, with a number behind those of the migrations.
pub(super) const LOCK: i64 = 0x70_65_6C_74_6F_71;

/// Registers a stream under its present shape, and returns it with the position of its last event, and with what of ReJot's
/// events became its beginning.
///
/// # Errors
/// The stream belongs to another source, the shape would break those who read it, or what the server says.
pub async fn register(client: &Client, publisher: &Publisher<'_>) -> Result<(Stream, Copied), StreamConflict> {
    let failed = |error| StreamConflict::from(query("register a stream")(error));
    client.batch_execute("BEGIN").await.map_err(failed)?;
    let registered = try_register(client, publisher).await;
    let end = if registered.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await.map_err(failed);
    let stream = registered?;
    ended.map(|()| stream)
}

/// Registers a stream in the transaction that is open.
async fn try_register(transaction: &Client, publisher: &Publisher<'_>) -> Result<(Stream, Copied), StreamConflict> {
    let Publisher { manifest, source, public, component_digest, .. } = *publisher;
    let failed = |error| StreamConflict::from(query("register a stream")(error));
    transaction.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let (name, major, minor) = (&*public.name, public.major as i32, public.minor as i32);
    let insert = "INSERT INTO rejot_events.stream (manifest_slug, source_slug, public_schema_name, \
                  public_schema_major_version) SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM rejot_events.stream \
                  WHERE manifest_slug = $1 AND public_schema_name = $3 AND public_schema_major_version = $4)";
    transaction.execute(insert, &[&manifest, &source, &name, &major]).await.map_err(failed)?;
    let find = "SELECT id, source_slug, origin::text, path <> '{}', horizon_epoch, horizon_lsn, horizon_ordinal, merged \
                FROM rejot_events.stream \
                WHERE manifest_slug = $1 AND public_schema_name = $2 AND public_schema_major_version = $3";
    let row = transaction.query_one(find, &[&manifest, &name, &major]).await.map_err(failed)?;
    let (id, found): (i32, String) = (row.get(0), row.get(1));
    if row.get(3) {
        let (manifest, public_schema) = (manifest.to_owned(), name.to_owned());
        return Err(StreamConflict::Mirrored { manifest, public_schema, major: public.major });
    }
    let (origin, horizon, merged) = (row.get(2), position(&row, 4), row.get(7));
    if found != source {
        return Err(StreamConflict::OtherSource {
            manifest: manifest.to_owned(),
            public_schema: name.to_owned(),
            major: public.major,
            found,
            source_slug: source.to_owned(),
        });
    }
    let segment = "SELECT max(id) FROM rejot_events.segment";
    let segment = transaction.query_one(segment, &[]).await.map_err(failed)?.get(0);
    let mut last = last_of(transaction, id).await.map_err(failed)?.max(horizon);
    let mut copied = Copied::default();
    if last == Position::START {
        copied = rejot::copy(transaction, id, segment, publisher).await?;
        last = last_of(transaction, id).await.map_err(failed)?;
    }
    let columns = columns_document(public);
    let attrs = attrs_document(&public.attrs).to_string();
    // The newest shape alone counts: a component that is rolled back makes another one.
    let find = "SELECT id FROM (SELECT * FROM rejot_events.shape WHERE stream_id = $1 ORDER BY id DESC LIMIT 1) AS newest \
                WHERE public_schema_minor_version = $2 AND columns = $3::text::jsonb AND attrs = $4::text::jsonb \
                AND component_digest IS NOT DISTINCT FROM $5";
    let found =
        transaction.query_opt(find, &[&id, &minor, &columns, &attrs, &component_digest]).await.map_err(failed)?;
    let shape = match found {
        Some(row) => row.get(0),
        None => {
            refuse_a_break(transaction, id, publisher).await?;
            let insert = "INSERT INTO rejot_events.shape (stream_id, public_schema_minor_version, columns, attrs, \
                          component_digest, number) SELECT $1, $2, $3::text::jsonb, $4::text::jsonb, $5, \
                          coalesce(max(number), 0) + 1 FROM rejot_events.shape WHERE stream_id = $1 RETURNING id";
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&id, &minor, &columns, &attrs, &component_digest];
            transaction.query_one(insert, &parameters).await.map_err(failed)?.get(0)
        }
    };
    let stream = Stream {
        id,
        manifest: manifest.to_owned(),
        source: source.to_owned(),
        public_schema: name.to_owned(),
        major,
        shape,
        from_component: component_digest.is_some(),
        last,
        origin,
        path: Vec::new(),
        horizon,
        merged,
    };
    Ok((stream, copied))
}

async fn last_of(client: &Client, stream: i32) -> Result<Position, tokio_postgres::Error> {
    let last = "SELECT epoch, commit_lsn, ordinal FROM rejot_events.event WHERE stream_id = $1 \
                ORDER BY stream_id DESC, epoch DESC, commit_lsn DESC, ordinal DESC LIMIT 1";
    let last = client.query_opt(last, &[&stream]).await?;
    Ok(last.map_or(Position::START, |row| position(&row, 0)))
}

/// Refuses a shape that breaks those who read the newest one under the same major version.
///
/// A smaller minor version is a component that is rolled back: those who read have met it before.
async fn refuse_a_break(transaction: &Client, stream: i32, publisher: &Publisher<'_>) -> Result<(), StreamConflict> {
    let public = publisher.public;
    let shapes = shapes(transaction, &[stream], 0).await?;
    let Some(deployed) = shapes.first().map(|shape| &shape.public).filter(|newest| newest.minor <= public.minor) else {
        return Ok(());
    };
    let mut breaks = breaks(deployed, public);
    // A table's own NULLs are there, whatever is said of them; to hold the whole table back would help nobody.
    breaks.retain(|found| publisher.component_digest.is_some() || !matches!(found, Break::Nullable { .. }));
    if breaks.is_empty() {
        return Ok(());
    }
    Err(StreamConflict::Breaking {
        public_schema: public.name.to_string(),
        major: public.major,
        minor: public.minor,
        deployed_minor: deployed.minor,
        breaks,
    })
}

/// Reads a position from three columns of a row.
pub(super) fn position(row: &tokio_postgres::Row, first: usize) -> Position {
    Position {
        epoch: row.get(first),
        commit_lsn: Lsn(row.get::<_, PgLsn>(first + 1).into()),
        ordinal: row.get(first + 2),
    }
}

/// Returns true where there is an event store of this version.
///
/// # Errors
/// What the server says.
pub async fn is_there(client: &Client) -> Result<bool, DataStoreError> {
    // By what readers need of its migrations. Whoever reads one of before waits until it is migrated.
    let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n \
                 ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid \
                 WHERE n.nspname = 'rejot_events' AND c.relname = 'event' AND a.attname = 'object' \
                 AND a.atttypid = 'pg_catalog.text'::pg_catalog.regtype)";
    client.query_one(there, &[]).await.map(|row| row.get(0)).map_err(query("look for streams"))
}

/// Returns the streams of an event store, in the order in which they were registered; none where nothing was published.
///
/// # Errors
/// What the server says.
pub async fn streams(client: &Client) -> Result<Vec<Stream>, DataStoreError> {
    if !is_there(client).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT t.id, t.manifest_slug, t.source_slug, t.public_schema_name, t.public_schema_major_version, \
               (SELECT max(s.id) FROM rejot_events.shape AS s WHERE s.stream_id = t.id), l.epoch, l.commit_lsn, l.ordinal, \
               EXISTS (SELECT FROM rejot_events.shape AS s \
               WHERE s.stream_id = t.id AND s.component_digest IS NOT NULL), \
               t.origin::text, t.path::text[], t.horizon_epoch, t.horizon_lsn, t.horizon_ordinal, t.merged \
               FROM rejot_events.stream AS t LEFT JOIN LATERAL (SELECT e.epoch, e.commit_lsn, e.ordinal \
               FROM rejot_events.event AS e WHERE e.stream_id = t.id \
               ORDER BY e.stream_id DESC, e.epoch DESC, e.commit_lsn DESC, e.ordinal DESC LIMIT 1) AS l ON true ORDER BY t.id";
    let rows = client.query(sql, &[]).await.map_err(query("read the streams"))?;
    let stream = |row: &tokio_postgres::Row| {
        let horizon = position(row, 12);
        Stream {
            id: row.get(0),
            manifest: row.get(1),
            source: row.get(2),
            public_schema: row.get(3),
            major: row.get(4),
            shape: row.get(5),
            from_component: row.get(9),
            last: row.get::<_, Option<i32>>(6).map_or(horizon, |_| position(row, 6).max(horizon)),
            origin: row.get(10),
            path: row.get(11),
            horizon,
            merged: row.get(15),
        }
    };
    Ok(rows.iter().map(stream).collect())
}

/// Returns shapes that streams have had, the newest first; `after` leaves out those up to it.
///
/// # Errors
/// What the server says.
pub async fn shapes(client: &Client, streams: &[i32], after: i32) -> Result<Vec<Shape>, DataStoreError> {
    select_shapes(client, "s.id > $2", streams, &after).await
}

/// Returns shapes that streams have had, but for those of `known`, the newest first: ids need not appear in their order.
///
/// # Errors
/// What the server says.
pub async fn other_shapes(client: &Client, streams: &[i32], known: &[i32]) -> Result<Vec<Shape>, DataStoreError> {
    select_shapes(client, "s.id <> ALL ($2)", streams, &known).await
}

async fn select_shapes(
    client: &Client,
    condition: &str,
    streams: &[i32],
    parameter: &(dyn tokio_postgres::types::ToSql + Sync),
) -> Result<Vec<Shape>, DataStoreError> {
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT s.id, s.stream_id, t.public_schema_name, t.public_schema_major_version, s.public_schema_minor_version, \
         s.columns::text, s.attrs::text, s.component_digest FROM rejot_events.shape AS s \
         JOIN rejot_events.stream AS t ON t.id = s.stream_id WHERE s.stream_id = ANY ($1) AND {condition} ORDER BY s.id DESC"
    );
    let rows = client.query(&sql, &[&streams, parameter]).await.map_err(query("read the shapes of streams"))?;
    let shape = |row: &tokio_postgres::Row| {
        let json = |column: usize| serde_json::from_str::<Value>(row.get(column)).unwrap_or_default();
        let columns = json(5);
        Shape {
            id: row.get(0),
            stream: row.get(1),
            public: PublicSchema {
                name: row.get::<_, String>(2).into(),
                major: row.get::<_, i32>(3) as u32,
                minor: row.get::<_, i32>(4) as u32,
                columns: columns.as_array().into_iter().flatten().map(column_of).collect(),
                attrs: attrs_of(&json(6)),
            },
            component_digest: row.get(7),
        }
    };
    Ok(rows.iter().map(shape).collect())
}

/// Returns the columns of a public schema as a shape has them.
pub(super) fn columns_document(public: &PublicSchema) -> String {
    Value::Array(public.columns.iter().map(column_document).collect()).to_string()
}

fn column_document(column: &Column) -> Value {
    let kind = match &column.kind {
        Kind::Enumeration => "enum".to_owned(),
        kind => kind.type_name(),
    };
    json!({
        "name": column.name,
        "type": kind,
        "modifier": column.type_modifier,
        "nullable": column.nullable,
        "key": column.key,
        "attrs": attrs_document(&column.attrs),
    })
}

fn column_of(document: &Value) -> Column {
    let text = |name: &str| document[name].as_str().unwrap_or_default();
    let flag = |name: &str, default: bool| document[name].as_bool().unwrap_or(default);
    let kind = match text("type") {
        "enum" => Kind::Enumeration,
        name => match (Kind::of_name(name), name.strip_suffix("[]")) {
            (Some(kind), _) => kind,
            (None, Some(element)) => Kind::Array(element.into()),
            (None, None) => Kind::Other(name.into()),
        },
    };
    Column {
        name: text("name").into(),
        kind,
        type_oid: 0,
        type_modifier: document["modifier"].as_i64().and_then(|modifier| modifier.try_into().ok()).unwrap_or(-1),
        nullable: flag("nullable", true),
        key: flag("key", false),
        attrs: attrs_of(&document["attrs"]),
    }
}

/// As pairs, for an attribute's order may matter, and jsonb keeps none of an object's.
pub(super) fn attrs_document(attrs: &[(String, String)]) -> Value {
    attrs.iter().map(|(name, value)| json!([name, value])).collect()
}

fn attrs_of(document: &Value) -> Vec<(String, String)> {
    let pair = |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
    document.as_array().into_iter().flatten().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_back_as_they_were() {
        let kinds = [
            Kind::Int32,
            Kind::Numeric,
            Kind::Enumeration,
            Kind::Array("text".into()),
            Kind::Other("public.mood".into()),
            Kind::Timestamptz,
            Kind::Text,
        ];
        for kind in kinds {
            let column = Column {
                name: "é\"x".into(),
                kind,
                type_oid: 0,
                type_modifier: 655_366,
                nullable: false,
                key: true,
                attrs: vec![("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())],
            };
            assert_eq!(column_of(&column_document(&column)), column);
        }
    }
}
