//! `/read`: a page of transactions, each of them whole.
//!
//! A page ends between transactions of the source. One that is larger than the limit is answered whole all the same, up to a
//! bound; one beyond the bound comes in parts, each with an id to go on from, and `"partial": true` on all but the last.

use std::collections::HashMap;

use serde_json::{Value, json, value::RawValue};

use super::answer::{Answer, Refusal, json as answer_json};
use super::cursor::{self, transaction_id};
use super::store::{Located, Store, locate};
use crate::change::{Op, Position};
use crate::eventstore::{self, Event, Stream, Wanted, op_name};

/// What one answer may hold at most, should a single transaction be that large.
const OPERATIONS_MAX: usize = 10_000;
const BYTES_MAX: usize = 32 << 20;
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

/// A transaction of the source, as far as it was asked for.
struct Transaction {
    last: Position,
    partial: bool,
    operations: Vec<Box<RawValue>>,
}

/// Answers `/read?cursors=…&limit=…`.
///
/// # Errors
/// The request is wrong, or the store can't be read.
pub async fn read(stores: &[Store], cursors: Option<&str>, limit: Option<&str>) -> Result<Answer, Refusal> {
    let limit = match limit.map(str::parse::<usize>) {
        None => LIMIT_DEFAULT,
        Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => limit,
        Some(_) => {
            return Err(Refusal::bad(
                "`limit` is not a whole number from 1 to 1000",
                "leave it out, or write limit=100",
            ));
        }
    };
    let hint = "write ?cursors=[…], percent-encoded; GET /public-schemas tells what is published";
    let text = cursors.ok_or_else(|| Refusal::bad("there are no `cursors`", hint))?;
    let value: Value = serde_json::from_str(text).map_err(|_| Refusal::bad("`cursors` is no JSON", hint))?;
    let cursors = cursor::all(&value)?;
    if cursors.is_empty() {
        return Ok(answer_json(&json!([])));
    }
    let located = locate(stores, &cursors).await?;
    let transactions = page(&located, limit).await?;
    let mut text = String::from("[");
    for (index, transaction) in transactions.iter().enumerate() {
        let separator = if index > 0 { "," } else { "" };
        let partial = if transaction.partial { ",\"partial\":true" } else { "" };
        let operations: Vec<&str> = transaction.operations.iter().map(|operation| operation.get()).collect();
        let id = transaction_id(transaction.last);
        text +=
            &format!("{separator}{{\"transactionId\":\"{id}\"{partial},\"operations\":[{}]}}", operations.join(","));
    }
    text.push(']');
    let raw = RawValue::from_string(text).map_err(|_| Refusal::later("an event can't be told"))?;
    Ok(super::answer::raw_json(&raw))
}

/// Reads whole transactions, as one snapshot shows them.
async fn page(located: &Located<'_>, limit: usize) -> Result<Vec<Transaction>, Refusal> {
    let Located { store, streams, wanted } = located;
    let held = store.session().await?;
    let client = held.client();
    let failed = |error: tokio_postgres::Error| store.failed(&error);
    client.batch_execute(eventstore::BEGIN_READING).await.map_err(failed)?;
    let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
    let shapes = eventstore::shapes(client, &ids, 0).await.map_err(|error| store.failed(&error))?;
    let minors: HashMap<i32, u32> = shapes.iter().map(|shape| (shape.id, shape.public.minor)).collect();
    let mut wanted = wanted.clone();
    let mut events = eventstore::events();
    let mut taken = Taken { limit, minors, transactions: Vec::new(), operations: 0, bytes: 0 };
    let mut full = false;
    while !full {
        let asked = limit as i64 + 1;
        let mut page = events.page(client, &wanted, asked).await.map_err(|error| store.failed(&error))?;
        let mut count = 0;
        while let Some(event) = page.next().await.map_err(|error| store.failed(&error))? {
            count += 1;
            full = !taken.take(&event, streams, &mut wanted)?;
            if full {
                break;
            }
        }
        full |= count < asked;
    }
    client.batch_execute("COMMIT").await.map_err(failed)?;
    held.done();
    Ok(taken.transactions)
}

struct Taken {
    limit: usize,
    /// The minor versions of shapes.
    minors: HashMap<i32, u32>,
    transactions: Vec<Transaction>,
    operations: usize,
    bytes: usize,
}

impl Taken {
    /// Takes an event; false when the page was full without it.
    fn take(&mut self, event: &Event, streams: &[Stream], wanted: &mut [Wanted]) -> Result<bool, Refusal> {
        let position = event.position();
        let enough = self.operations >= self.limit || self.bytes >= BYTES_MAX;
        let of_last = |last: &Transaction| !event.is_copied() && last.last.is_same_transaction(&position);
        if !self.transactions.last().is_some_and(of_last) {
            if enough {
                return Ok(false);
            }
            self.transactions.push(Transaction { last: position, partial: false, operations: Vec::new() });
        } else if enough && self.transactions.len() > 1 {
            // It did not fit, and comes whole next time.
            self.transactions.pop();
            return Ok(false);
        } else if self.operations >= OPERATIONS_MAX || self.bytes >= BYTES_MAX {
            if let Some(last) = self.transactions.last_mut() {
                last.partial = true;
            }
            return Ok(false);
        }
        let transaction = self.transactions.last_mut().expect("one was begun");
        let index = wanted.iter().position(|wanted| wanted.stream == event.stream());
        let index = index.expect("only what was wanted comes");
        transaction.operations.push(operation(
            event,
            &streams[index],
            self.minors.get(&event.shape()).copied().unwrap_or(0),
        )?);
        transaction.last = position;
        wanted[index].after = position;
        self.operations += 1;
        self.bytes += event.bytes();
        Ok(true)
    }
}

/// Returns an operation as ReJot's readers expect it: values as the event store has them.
fn operation(event: &Event, stream: &Stream, minor: u32) -> Result<Box<RawValue>, Refusal> {
    let unknown = || Refusal::later("an event was written by a later version");
    let op = event.op().map_err(|_| unknown())?;
    let (name, document) = match op {
        Op::Delete if event.key().is_some() => (",\"objectKeys\":", event.key()),
        Op::Truncate => ("", None),
        _ => (",\"object\":", event.object()),
    };
    let schema = json!({ "name": stream.public_schema, "version": { "major": stream.major, "minor": minor } });
    let manifest = json!(stream.manifest);
    let document = document.map(|document| format!("{name}{document}")).unwrap_or_default();
    let text = format!(
        "{{\"type\":\"{}\",\"sourceManifestSlug\":{manifest},\"sourcePublicSchema\":{schema}{document}}}",
        op_name(op)
    );
    RawValue::from_string(text).map_err(|_| unknown())
}
