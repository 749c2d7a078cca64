//! `/read`: a page of transactions, each of them whole, for ReJot's clients and whoever reads as they do.
//!
//! A page ends between transactions of the source. One that is larger than the limit is answered whole all the same, up to a
//! bound; one beyond the bound comes in parts, each with an id to go on from, and `"partial": true` on all but the last.
//!
//! ReJot's clients send all the cursors that they have to every service, so what is not published here is left out. They know
//! no truncate: it is told as a delete of each row that was there ([`eventstore::emptied`]), unless it is asked for as it is.

use std::collections::HashMap;

use hyper::header::HeaderValue;
use serde_json::{Value, json, value::RawValue};

use super::answer::{Answer, Refusal, raw_json};
use super::cursor::{self, transaction_id};
use super::gone::Reader;
use super::store::{Found, Located, Store, find, name};
use crate::change::{Op, Position};
use crate::eventstore::{self, Event, Shape, Stream, Wanted, op_name};

/// What one answer may hold at most, should a single transaction be that large.
const OPERATIONS_MAX: usize = 10_000;
const BYTES_MAX: usize = 32 << 20;
/// Deletes that stand for one truncate: there are no positions inside of it at which a page could end.
const EMPTIED_MAX: i64 = 100_000;
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

/// What is asked for, as it stands in the URL.
pub struct Asked<'a> {
    pub cursors: Option<&'a str>,
    pub limit: Option<&'a str>,
    pub truncates: Option<&'a str>,
}

/// A transaction of the source, as far as it was asked for.
struct Transaction {
    last: Position,
    /// The stream of its last event, by its place among those that are read.
    stream: usize,
    partial: bool,
    operations: Vec<Box<RawValue>>,
}

/// Answers `/read?cursors=…&limit=…`.
///
/// # Errors
/// The request is wrong, or the store can't be read.
pub async fn read(stores: &[Store], asked: Asked<'_>) -> Result<Answer, Refusal> {
    let mut limit = match asked.limit.map(str::parse::<usize>) {
        None => LIMIT_DEFAULT,
        Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => limit,
        Some(_) => {
            return Err(Refusal::bad(
                "`limit` is not a whole number from 1 to 1000",
                "leave it out, or write limit=100",
            ));
        }
    };
    let truncates = match asked.truncates {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Refusal::bad("`truncates` is neither true nor false", "leave it out, or write true")),
    };
    let hint = "write ?cursors=[…], percent-encoded; GET /public-schemas tells what is published";
    let value: Value = match asked.cursors {
        Some(text) => serde_json::from_str(text).map_err(|_| Refusal::bad("`cursors` is no JSON", hint))?,
        None => json!([]),
    };
    let cursors = cursor::all(&value)?;
    let Found { located, unknown, .. } = find(stores, &cursors).await?;
    let mut told: Vec<String> = Vec::new();
    for located in &located {
        let (transactions, horizons) = page(located, limit, truncates).await?;
        limit = limit.saturating_sub(transactions.iter().map(|one| one.operations.len()).sum());
        told.extend(transactions.iter().map(|transaction| document(transaction, &horizons)));
        if limit == 0 {
            break;
        }
    }
    let text = format!("[{}]", told.join(","));
    let raw = RawValue::from_string(text).map_err(|_| Refusal::later("an event can't be told"))?;
    let mut answer = raw_json(&raw);
    // Whoever mistypes a name sees it all the same.
    if let Some(names) = HeaderValue::from_str(&unknown.join(", ")).ok().filter(|_| !unknown.is_empty()) {
        answer.headers_mut().insert("pelton-not-published", names);
    }
    Ok(answer)
}

fn document(transaction: &Transaction, horizons: &[Position]) -> String {
    let partial = if transaction.partial { ",\"partial\":true" } else { "" };
    let operations: Vec<&str> = transaction.operations.iter().map(|operation| operation.get()).collect();
    let horizon = Some(horizons[transaction.stream]).filter(|horizon| *horizon > transaction.last);
    let id = transaction_id(transaction.last, horizon);
    format!("{{\"transactionId\":\"{id}\"{partial},\"operations\":[{}]}}", operations.join(","))
}

/// Reads whole transactions, as one snapshot shows them, and the horizons of their streams.
async fn page(
    located: &Located<'_>,
    limit: usize,
    truncates: bool,
) -> Result<(Vec<Transaction>, Vec<Position>), Refusal> {
    let Located { store, streams, wanted, .. } = located;
    let held = store.session().await?;
    let client = held.client();
    let failed = |error: tokio_postgres::Error| store.failed(&error);
    client.batch_execute(eventstore::BEGIN_READING).await.map_err(failed)?;
    Reader::of(located).refuse(store, client, wanted).await?;
    let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
    let now = eventstore::streams(client).await.map_err(|error| store.failed(&error))?;
    let horizon_of = |id: &i32| now.iter().find(|stream| stream.id == *id).map_or(Position::START, |now| now.horizon);
    let horizons: Vec<Position> = ids.iter().map(horizon_of).collect();
    let shapes = eventstore::shapes(client, &ids, 0).await.map_err(|error| store.failed(&error))?;
    let of_shape = |shape: &Shape| (shape.id, (shape.public.minor, !shape.public.key().is_empty()));
    let shapes = shapes.iter().map(of_shape).collect();
    let mut events = eventstore::events();
    let mut taken = Taken { limit, shapes, wanted: wanted.clone(), transactions: Vec::new(), operations: 0, bytes: 0 };
    let mut full = false;
    while !full {
        let asked = limit as i64 + 1;
        let asked_for = taken.wanted.clone();
        let mut page = events.page(client, &asked_for, asked).await.map_err(|error| store.failed(&error))?;
        let (mut count, mut emptied) = (0, None);
        while let Some(event) = page.next().await.map_err(|error| store.failed(&error))? {
            count += 1;
            let place = taken.place(&event);
            if !taken.has_room(place.position, place.alone) {
                full = true;
                break;
            }
            if !truncates && event.op().is_ok_and(|op| op == Op::Truncate) {
                // Another question over this session has its answer behind the page.
                emptied = Some(place);
                break;
            }
            let operation = operation_of(&event, &streams[place.stream], place.minor)?;
            taken.put(place, event.bytes(), [operation]);
        }
        drop(page);
        match emptied {
            Some(place) => {
                let keys = emptied_by(store, client, &streams[place.stream], &place, horizons[place.stream]).await?;
                let minor = place.minor;
                let deletes = keys.iter().map(|key| {
                    let document = Some((",\"objectKeys\":", &**key));
                    operation(Op::Delete, &streams[place.stream], minor, document)
                });
                let deletes = deletes.collect::<Result<Vec<_>, _>>()?;
                taken.put(place, keys.iter().map(String::len).sum(), deletes);
            }
            None => full |= count < asked,
        }
    }
    client.batch_execute("COMMIT").await.map_err(failed)?;
    held.done();
    // A truncate of nothing is nothing.
    taken.transactions.retain(|transaction| !transaction.operations.is_empty());
    Ok((taken.transactions, horizons))
}

/// Returns the keys of the rows that a truncate takes away.
async fn emptied_by(
    store: &Store,
    client: &tokio_postgres::Client,
    stream: &Stream,
    place: &Place,
    horizon: Position,
) -> Result<Vec<String>, Refusal> {
    let keys = eventstore::emptied(client, stream.id, place.position, EMPTIED_MAX + 1).await;
    let keys = keys.map_err(|error| store.failed(&error))?;
    let why = match keys {
        _ if !place.has_key => "its rows have no key by which they could be told one by one".to_owned(),
        _ if horizon > Position::START && !stream.merged => "not all events in front of it are kept".to_owned(),
        keys if keys.len() as i64 > EMPTIED_MAX => format!("there were more than {EMPTIED_MAX} rows"),
        keys => return Ok(keys),
    };
    let what = format!("{} was emptied at {}, which can't be told as deletes: {why}", name(stream), place.position);
    let id = transaction_id(place.position, None);
    let hint = format!(
        "write &truncates=true to be told of it as one operation of type `truncate`; or empty the table, and go on with \
         transactionId \"{id}\""
    );
    Err(Refusal::conflict(what, hint))
}

/// Where an event lies.
#[derive(Clone, Copy)]
struct Place {
    position: Position,
    /// The place of its stream among those that are read.
    stream: usize,
    /// It belongs to no transaction.
    alone: bool,
    minor: u32,
    has_key: bool,
}

struct Taken {
    limit: usize,
    /// Of shapes: the minor version, and whether there is a key.
    shapes: HashMap<i32, (u32, bool)>,
    wanted: Vec<Wanted>,
    transactions: Vec<Transaction>,
    operations: usize,
    bytes: usize,
}

impl Taken {
    fn place(&self, event: &Event) -> Place {
        let stream = self.wanted.iter().position(|wanted| wanted.stream == event.stream());
        let (minor, has_key) = self.shapes.get(&event.shape()).copied().unwrap_or_default();
        Place {
            position: event.position(),
            stream: stream.expect("only what was wanted comes"),
            alone: event.is_copied(),
            minor,
            has_key,
        }
    }

    /// Begins the transaction of the next event, where it is another one; false when the page is full without it.
    fn has_room(&mut self, position: Position, alone: bool) -> bool {
        let enough = self.operations >= self.limit || self.bytes >= BYTES_MAX;
        let of_last = |last: &Transaction| !alone && last.last.is_same_transaction(&position);
        if !self.transactions.last().is_some_and(of_last) {
            if enough {
                return false;
            }
            let transaction = Transaction { last: position, stream: 0, partial: false, operations: Vec::new() };
            self.transactions.push(transaction);
        } else if enough && self.transactions.len() > 1 {
            // It did not fit, and comes whole next time.
            self.transactions.pop();
            return false;
        } else if self.operations >= OPERATIONS_MAX || self.bytes >= BYTES_MAX {
            if let Some(last) = self.transactions.last_mut() {
                last.partial = true;
            }
            return false;
        }
        true
    }

    fn put(&mut self, place: Place, bytes: usize, operations: impl IntoIterator<Item = Box<RawValue>>) {
        let transaction = self.transactions.last_mut().expect("one was begun");
        let before = transaction.operations.len();
        transaction.operations.extend(operations);
        (transaction.last, transaction.stream) = (place.position, place.stream);
        self.wanted[place.stream].after = place.position;
        self.operations += transaction.operations.len() - before;
        self.bytes += bytes;
    }
}

fn operation_of(event: &Event, stream: &Stream, minor: u32) -> Result<Box<RawValue>, Refusal> {
    let op = event.op().map_err(|_| unknown())?;
    let document = match op {
        Op::Delete if event.key().is_some() => event.key().map(|key| (",\"objectKeys\":", key)),
        Op::Truncate => None,
        _ => event.object().map(|object| (",\"object\":", object)),
    };
    operation(op, stream, minor, document)
}

fn unknown() -> Refusal {
    Refusal::later("an event was written by a later version")
}

/// Returns an operation as ReJot's readers expect it: values as the event store has them.
fn operation(op: Op, stream: &Stream, minor: u32, document: Option<(&str, &str)>) -> Result<Box<RawValue>, Refusal> {
    let schema = json!({ "name": stream.public_schema, "version": { "major": stream.major, "minor": minor } });
    let manifest = json!(stream.manifest);
    let document = document.map(|(name, document)| format!("{name}{document}")).unwrap_or_default();
    let text = format!(
        "{{\"type\":\"{}\",\"sourceManifestSlug\":{manifest},\"sourcePublicSchema\":{schema}{document}}}",
        op_name(op)
    );
    RawValue::from_string(text).map_err(|_| unknown())
}
