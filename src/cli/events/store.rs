//! An event store, and which of its events are asked for.

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::Client;

use super::super::databases::{self, Database};
use super::super::report::Failure;
use super::print::{Columns, Printer};
use super::{APPLICATION, Chosen, Filter};
use crate::change::Position;
use crate::datastore::DataStoreError;
use crate::eventstore::{self, Event, Shape, Stream, Wanted};
use crate::manifest::Retention;
use crate::postgres::{self, Session};

/// Events that are read at a time.
const PAGE: i64 = 5_000;
const POLL: Duration = Duration::from_secs(1);

/// An event store, and which of its events are asked for.
pub(super) struct Store {
    database: Database,
    pub(super) client: Client,
    heard: std::sync::Arc<tokio::sync::Notify>,
    pub(super) streams: Vec<Stream>,
    shapes: HashMap<i32, Shape>,
    schema: Option<String>,
    after: Option<Position>,
    condition: Condition,
}

/// What `--key`, `--since` and `--until` say.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    columns: Vec<String>,
    values: Vec<String>,
    since: Option<i64>,
    until: Option<i64>,
}

impl Condition {
    /// Rows that existed before they were published have no time: they are older than all others.
    fn holds(&self, event: &Event) -> bool {
        let time = event.commit_time().unwrap_or(i64::MIN);
        if self.since.is_some_and(|since| time < since) || self.until.is_some_and(|until| time >= until) {
            return false;
        }
        if self.columns.is_empty() {
            return true;
        }
        let Some(key) = event.key().and_then(|key| serde_json::from_str::<serde_json::Value>(key).ok()) else {
            return false;
        };
        self.columns.iter().zip(&self.values).all(|(column, value)| match &key[column.as_str()] {
            serde_json::Value::String(text) => text == value,
            serde_json::Value::Null => false,
            // A number or a truth value, as JSON spells it.
            other => serde_json::from_str(value).is_ok_and(|value: serde_json::Value| value == *other),
        })
    }
}

impl Store {
    /// Returns true when every event of the streams is asked for.
    pub(super) fn is_plain(&self) -> bool {
        self.condition.columns.is_empty() && self.condition.since.is_none() && self.condition.until.is_none()
    }

    pub(super) async fn open(wanted: &Filter) -> Result<Store, Failure> {
        let (database, _) = database(&wanted.chosen)?;
        let connected = postgres::connect_and_hear(&database.connection, &Session::destination(APPLICATION)).await;
        let (client, heard) = connected.map_err(|error| database.failed(&error, error.hint()))?;
        let failed = |error: DataStoreError| database.failed(&error, error.hint());
        let mut streams = eventstore::streams(&client).await.map_err(failed)?;
        if let Some(name) = &wanted.schema {
            let known: Vec<String> = streams.iter().map(name_of).collect();
            streams.retain(|stream| is_named(stream, name));
            if streams.is_empty() {
                let hint = match known.is_empty() {
                    true => "nothing has been published there yet".to_owned(),
                    false => format!("it has {}", known.join(", ")),
                };
                return Err(database.refused(format!("there is no public schema `{name}`"), hint));
            }
        }
        let mut condition = Condition::default();
        for key in &wanted.key {
            let Some((column, value)) = key.split_once('=') else {
                let hint = "write --key COLUMN=VALUE, as --key id=7".to_owned();
                return Err(Failure::new(format!("`{key}` names no column"), Some(hint)));
            };
            condition.columns.push(column.to_owned());
            condition.values.push(value.to_owned());
        }
        condition.since = time(&database, &client, wanted.since.as_deref()).await?;
        condition.until = time(&database, &client, wanted.until.as_deref()).await?;
        let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
        let shapes = eventstore::shapes(&client, &ids, 0).await.map_err(failed)?;
        let shapes = shapes.into_iter().map(|shape| (shape.id, shape)).collect();
        let (schema, after) = (wanted.schema.clone(), wanted.after);
        Ok(Store { database, client, heard, streams, shapes, schema, after, condition })
    }

    async fn execute(&self, act: &'static str, sql: &str) -> Result<(), Failure> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|error| self.failed(&DataStoreError::query(act)(error)))
    }

    pub(super) fn failed(&self, error: &DataStoreError) -> Failure {
        self.database.failed(error, error.hint())
    }

    /// Returns where reading begins.
    pub(super) fn first(&self) -> Vec<Wanted> {
        let after = self.after.unwrap_or(Position::START);
        self.streams.iter().map(|stream| Wanted { stream: stream.id, after }).collect()
    }

    /// Returns where reading begins for the last events that are asked for.
    pub(super) async fn last(&mut self, lines: i64) -> Result<Vec<Wanted>, Failure> {
        let wanted = self.first();
        // Nobody knows how far back a filter's last matches are.
        if !self.condition.columns.is_empty() || self.condition.until.is_some() {
            let mut last = std::collections::VecDeque::new();
            self.read(&mut wanted.clone(), |event| {
                last.push_back((event.stream(), event.position()));
                if last.len() as i64 > lines {
                    last.pop_front();
                }
                true
            })
            .await?;
            return Ok(self.before(&wanted, last.front().map(|(_, position)| *position)));
        }
        let ids: Vec<i32> = wanted.iter().map(|wanted| wanted.stream).collect();
        let last = eventstore::last(&self.client, &ids, lines).await.map_err(|error| self.failed(&error))?;
        Ok(self.before(&wanted, last))
    }

    /// Returns where each stream is read from so that the event at `first` is the first that is printed. Positions of
    /// different sources don't compare, so none begins behind its own end.
    fn before(&self, wanted: &[Wanted], first: Option<Position>) -> Vec<Wanted> {
        let at = |one: &Wanted| {
            let stream = self.streams.iter().find(|stream| stream.id == one.stream);
            let end = stream.map_or(one.after, |stream| stream.last);
            let after = first.map_or(end, |first| just_before(first).min(end)).max(one.after);
            Wanted { after, ..*one }
        };
        wanted.iter().map(at).collect()
    }

    /// Reads to the end of what there is; `take` is given what the filter lets through, and says whether to go on.
    pub(super) async fn read(
        &self,
        wanted: &mut [Wanted],
        mut take: impl FnMut(&Event) -> bool,
    ) -> Result<bool, Failure> {
        let mut events = eventstore::events();
        if wanted.is_empty() {
            return Ok(true);
        }
        loop {
            self.execute("begin to read events", eventstore::BEGIN_READING).await?;
            let mut page = events.page(&self.client, wanted, PAGE).await.map_err(|error| self.failed(&error))?;
            let mut count = 0;
            while let Some(event) = page.next().await.map_err(|error| self.failed(&error))? {
                count += 1;
                let of = wanted.iter_mut().find(|wanted| wanted.stream == event.stream()).expect("it was asked for");
                of.after = event.position();
                if self.condition.holds(&event) && !take(&event) {
                    return Ok(false);
                }
            }
            self.execute("end reading", "COMMIT").await?;
            if count < PAGE {
                return Ok(true);
            }
        }
    }

    pub(super) async fn print(
        &mut self,
        printer: &mut Printer,
        mut wanted: Vec<Wanted>,
        limit: Option<u64>,
        follow: bool,
    ) -> Result<(), Failure> {
        if follow {
            let failed = |error| DataStoreError::query("listen")(error);
            self.client
                .batch_execute("LISTEN rejot_events")
                .await
                .map_err(failed)
                .map_err(|error| self.failed(&error))?;
        }
        loop {
            self.look_again(&mut wanted).await?;
            let mut broken = None;
            let (streams, shapes) = (&self.streams, &self.shapes);
            let go_on = self
                .read(&mut wanted, |event| {
                    let stream = streams.iter().find(|stream| stream.id == event.stream()).expect("it was asked for");
                    let shape = shapes.get(&event.shape());
                    match printer.print(&Columns { stream, shape, event }) {
                        Ok(()) => limit.is_none_or(|limit| printer.printed < limit),
                        Err(error) => {
                            broken = Some(error);
                            false
                        }
                    }
                })
                .await?;
            let flushed = printer.flush();
            if let Some(error) = broken.or(flushed.err()) {
                // `pelton events tail | head` has what it wants.
                if error.kind() == std::io::ErrorKind::BrokenPipe {
                    return Ok(());
                }
                return Err(Failure::new(format!("cannot write events: {error}"), None));
            }
            if !follow || !go_on {
                return Ok(());
            }
            tokio::select! {
                () = self.heard.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    }

    /// Learns of streams and shapes that have come since.
    async fn look_again(&mut self, wanted: &mut Vec<Wanted>) -> Result<(), Failure> {
        let streams = eventstore::streams(&self.client).await.map_err(|error| self.failed(&error))?;
        let name = self.schema.as_deref();
        for stream in streams.into_iter().filter(|stream| name.is_none_or(|name| is_named(stream, name))) {
            if wanted.iter().all(|known| known.stream != stream.id) {
                wanted.push(Wanted { stream: stream.id, after: self.after.unwrap_or(Position::START) });
                self.streams.push(stream);
            }
        }
        let newest = self.shapes.keys().copied().max().unwrap_or(0);
        let ids: Vec<i32> = wanted.iter().map(|wanted| wanted.stream).collect();
        let shapes = eventstore::shapes(&self.client, &ids, newest).await.map_err(|error| self.failed(&error))?;
        self.shapes.extend(shapes.into_iter().map(|shape| (shape.id, shape)));
        Ok(())
    }
}

/// Returns a position that no event can have, in front of this one.
fn just_before(position: Position) -> Position {
    Position { ordinal: position.ordinal - 1, ..position }
}

pub(in crate::cli) fn name_of(stream: &Stream) -> String {
    format!("{}/{}@{}", stream.manifest, stream.public_schema, stream.major)
}

fn is_named(stream: &Stream, name: &str) -> bool {
    let short = format!("{}@{}", stream.public_schema, stream.major);
    name == stream.public_schema || name == short || name == name_of(stream)
}

/// Returns the event store that is meant, and what it keeps.
pub(in crate::cli) fn database(chosen: &Chosen) -> Result<(Database, Option<Retention>), Failure> {
    if let Some(database) = chosen.databases.of_url()? {
        return Ok((database, None));
    }
    let manifest = chosen.databases.manifest()?.expect("there is no URL");
    let stores = databases::event_stores(&manifest);
    let names = || stores.iter().map(|store| format!("`{}`", store.name)).collect::<Vec<_>>().join(", ");
    let database = match (&chosen.store, stores.len()) {
        (_, 0) => {
            let hint = "add `eventStores` to it, or name one with --url".to_owned();
            Err(Failure::new(format!("manifest `{}` has no event store", manifest.slug), Some(hint)))
        }
        (Some(name), _) => stores.iter().find(|store| store.name == *name).cloned().ok_or_else(|| {
            Failure::new(
                format!("manifest `{}` has no event store `{name}`", manifest.slug),
                Some(format!("it has {}", names())),
            )
        }),
        (None, 1) => Ok(stores[0].clone()),
        (None, _) => {
            let what = format!("manifest `{}` has several event stores", manifest.slug);
            Err(Failure::new(what, Some(format!("choose one with --store: {}", names()))))
        }
    }?;
    let store = manifest.event_stores.iter().find(|store| store.slug == database.name);
    let retention = store.and_then(|store| store.retention);
    Ok((database, retention))
}

/// Returns a time as microseconds since 1970-01-01 UTC.
async fn time(database: &Database, client: &Client, time: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = time else { return Ok(None) };
    let sql = "SELECT (extract(epoch FROM $1::text::timestamptz) * 1000000)::bigint";
    match client.query_one(sql, &[&text]).await {
        Ok(row) => Ok(Some(row.get(0))),
        Err(_) => {
            Err(database.refused(format!("`{text}` is no time"), "write one as 2026-11-21 10:00+00, or `yesterday`"))
        }
    }
}
