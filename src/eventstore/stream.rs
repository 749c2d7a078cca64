//! Streams, and what their rows look like: each of their *shapes*.

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::{Position, query};
use crate::change::{Column, Kind, PublicSchema};
use crate::datastore::DataStoreError;
use crate::lsn::Lsn;

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
