//! A publisher registers what it is going to append before it does; what has changed since it last ran (a column that was
//! added, another component) is another *shape* of the same stream. Each event names its own.

use tokio_postgres::Client;

use super::rejot::Copied;
use super::stream::{Stream, attrs_document, columns_document, position, shapes};
use super::{Position, query, rejot};
use crate::change::{Break, PublicSchema, breaks};
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

/// Registers streams under their present shapes, all of them or none, and returns each with the position of its last event,
/// and with what of ReJot's events became its beginning.
///
/// # Errors
/// A stream belongs to another source, a shape would break those who read it, or what the server says.
pub async fn register(client: &Client, publishers: &[Publisher<'_>]) -> Result<Vec<(Stream, Copied)>, StreamConflict> {
    let failed = |error| StreamConflict::from(query("register a stream")(error));
    client.batch_execute("BEGIN").await.map_err(failed)?;
    let registered = async {
        let mut streams = Vec::with_capacity(publishers.len());
        for publisher in publishers {
            streams.push(try_register(client, publisher).await?);
        }
        Ok(streams)
    };
    let registered: Result<_, StreamConflict> = registered.await;
    let end = if registered.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await.map_err(failed);
    let streams = registered?;
    ended.map(|()| streams)
}

/// Says what would keep a stream from being registered, and registers nothing.
///
/// # Errors
/// As [`register`].
pub async fn may_register(client: &Client, publisher: &Publisher<'_>) -> Result<(), StreamConflict> {
    match find(client, publisher).await? {
        Some(stream) if newest_shape(client, stream.id, publisher).await?.is_none() => {
            refuse_a_break(client, stream.id, publisher).await
        }
        _ => Ok(()),
    }
}

/// What there is of a stream.
struct Found {
    id: i32,
    origin: String,
    horizon: Position,
    merged: bool,
}

/// Finds a stream that may be published to from here; `None` where there is none yet.
async fn find(client: &Client, publisher: &Publisher<'_>) -> Result<Option<Found>, StreamConflict> {
    let Publisher { manifest, source, public, .. } = *publisher;
    let (name, major) = (&*public.name, public.major as i32);
    let sql = "SELECT id, source_slug, origin::text, path <> '{}', horizon_epoch, horizon_lsn, horizon_ordinal, merged \
               FROM rejot_events.stream \
               WHERE manifest_slug = $1 AND public_schema_name = $2 AND public_schema_major_version = $3";
    let row = client.query_opt(sql, &[&manifest, &name, &major]).await;
    let Some(row) = row.map_err(query("look for a stream"))? else { return Ok(None) };
    let (manifest, public_schema, major) = (manifest.to_owned(), name.to_owned(), public.major);
    if row.get(3) {
        return Err(StreamConflict::Mirrored { manifest, public_schema, major });
    }
    let found: String = row.get(1);
    if found != source {
        let source_slug = source.to_owned();
        return Err(StreamConflict::OtherSource { manifest, public_schema, major, found, source_slug });
    }
    Ok(Some(Found { id: row.get(0), origin: row.get(2), horizon: position(&row, 4), merged: row.get(7) }))
}

/// Returns the newest shape of a stream, if that is how it is published now. The newest alone counts: a component that is
/// rolled back makes another one.
async fn newest_shape(client: &Client, stream: i32, publisher: &Publisher<'_>) -> Result<Option<i32>, StreamConflict> {
    let Publisher { public, component_digest, .. } = *publisher;
    let sql = "SELECT id FROM (SELECT * FROM rejot_events.shape WHERE stream_id = $1 ORDER BY id DESC LIMIT 1) AS newest \
               WHERE public_schema_minor_version = $2 AND columns = $3::text::jsonb AND attrs = $4::text::jsonb \
               AND component_digest IS NOT DISTINCT FROM $5";
    let (columns, attrs) = (columns_document(public), attrs_document(&public.attrs).to_string());
    let minor = public.minor as i32;
    let found = client.query_opt(sql, &[&stream, &minor, &columns, &attrs, &component_digest]).await;
    Ok(found.map_err(query("look for a shape"))?.map(|row| row.get(0)))
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
    let found = find(transaction, publisher).await?.expect("it was made");
    let Found { id, origin, horizon, merged } = found;
    let segment = "SELECT max(id) FROM rejot_events.segment";
    let segment = transaction.query_one(segment, &[]).await.map_err(failed)?.get(0);
    let mut last = last_of(transaction, id).await.map_err(failed)?.max(horizon);
    let mut copied = Copied::default();
    if last == Position::START {
        copied = rejot::copy(transaction, id, segment, publisher).await?;
        last = last_of(transaction, id).await.map_err(failed)?;
    }
    let shape = match newest_shape(transaction, id, publisher).await? {
        Some(shape) => shape,
        None => {
            let (columns, attrs) = (columns_document(public), attrs_document(&public.attrs).to_string());
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
