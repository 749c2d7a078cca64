//! What consumers elsewhere say of themselves: how far they are, so that nothing is removed that they have not read.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json as answer};
use super::cursor::{Cursor, one, position_of};
use super::store::{Store, find, locate, name as name_of, other_origin, unknown};
use crate::change::Position;
use crate::eventstore::{self, Deployment, Registered, Stream};

/// More consumers than one manifest has.
const CONSUMERS_MAX: usize = 1_000;
/// More is not counted.
const COUNT_MAX: i64 = 10_000_000;

/// `POST /consumers`: records them, and tells which have missed something, and which are refused.
///
/// # Errors
/// The request is wrong, or the store can't be written.
pub async fn register(stores: &[Store], body: &Value) -> Result<Answer, Refusal> {
    let hint = "write {\"manifest\": …, \"destination\": …, \"consumers\": [{\"consumer\": …, \"sourceManifest\": …, \
                \"publicSchema\": …, \"majorVersion\": 1, \"cursor\": …, \"origin\": …}]}";
    let wrong = |what: &str| Refusal::bad(what, hint);
    let manifest = name(&body["manifest"]).ok_or_else(|| wrong("`manifest` is no name"))?;
    let destination = destination(&body["destination"]).ok_or_else(|| wrong("`destination` is no name"))?;
    let of = Deployment { manifest, destination };
    let list = body["consumers"].as_array().ok_or_else(|| wrong("`consumers` is no list"))?;
    if list.len() > CONSUMERS_MAX {
        return Err(wrong("there are too many consumers"));
    }
    let mut cursors: Vec<Cursor> = Vec::new();
    let mut consumers: Vec<Registered<'_>> = Vec::new();
    for one in list {
        let text = |field: &str| name(&one[field]).ok_or_else(|| wrong(&format!("`{field}` is no name")));
        let major = one["majorVersion"].as_u64().and_then(|major| i32::try_from(major).ok());
        let cursor = one["cursor"].as_str().and_then(position_of);
        let consumer = Registered {
            consumer: text("consumer")?,
            source_manifest: text("sourceManifest")?,
            public_schema: text("publicSchema")?,
            major: major.ok_or_else(|| wrong("`majorVersion` is no version"))?,
            cursor: cursor.ok_or_else(|| wrong("`cursor` is no position"))?,
            origin: one["origin"].as_str(),
        };
        if consumers.iter().any(|other| other.consumer == consumer.consumer) {
            return Err(wrong(&format!("consumer `{}` is there twice", consumer.consumer)));
        }
        cursors.push(Cursor {
            manifest: consumer.source_manifest.to_owned(),
            public_schema: consumer.public_schema.to_owned(),
            major: consumer.major,
            after: Some(consumer.cursor),
            origin: None,
            began_under: None,
        });
        consumers.push(consumer);
    }
    let found = find(stores, &cursors).await?;
    let mut refused: Vec<Value> = Vec::new();
    let mut refuse = |consumer: &str, refusal: &Refusal| {
        let mut told = refusal.document();
        told["consumer"] = consumer.into();
        refused.push(told);
    };
    let is_unknown = |cursor: &Cursor| found.unknown.contains(&cursor.name());
    for (consumer, cursor) in consumers.iter().zip(&cursors).filter(|(_, cursor)| is_unknown(cursor)) {
        refuse(consumer.consumer, &unknown(&cursor.name(), &found.known));
    }
    let mut registered = Vec::new();
    for located in &found.located {
        refuse_the_owners(located.store, manifest)?;
        let mut good: Vec<Registered<'_>> = Vec::new();
        for (consumer, cursor) in consumers.iter().zip(&cursors) {
            let Some(stream) = located.streams.iter().find(|stream| name_of(stream) == cursor.name()) else { continue };
            if consumer.origin.is_some_and(|origin| origin != stream.origin) {
                refuse(consumer.consumer, &other_origin(stream));
            } else if is_beyond(consumer.cursor, stream) {
                refuse(consumer.consumer, &beyond(consumer.cursor, stream));
            } else {
                good.push(*consumer);
            }
        }
        let written = located.store.with(async |client| eventstore::register_consumers(client, of, &good).await);
        registered.extend(written.await?);
    }
    let missed: Vec<&str> = registered.iter().filter(|(_, missed)| *missed).map(|(name, _)| &**name).collect();
    Ok(answer(&json!({ "registered": registered.len(), "missed": missed, "refused": refused })))
}

/// Tells whether a position lies behind the last transaction of a stream: whoever told it would hold nothing.
fn is_beyond(cursor: Position, stream: &Stream) -> bool {
    (cursor.epoch, cursor.commit_lsn) > (stream.last.epoch, stream.last.commit_lsn)
}

fn beyond(cursor: Position, stream: &Stream) -> Refusal {
    let what = format!("{cursor} is beyond the end of {}, which is at {}", name_of(stream), stream.last);
    let hint = "an event store that has lost its last events gets them again, and the consumer goes on by itself; one that was \
                restored from a backup, or made anew, is read from its beginning, into an empty table";
    Refusal::conflict(what, hint)
}

/// Nobody speaks over HTTP for consumers of the manifests that are served: they read the event store themselves.
fn refuse_the_owners(store: &Store, manifest: &str) -> Result<(), Refusal> {
    if !store.manifests.iter().any(|slug| slug == manifest) {
        return Ok(());
    }
    let what = format!("`{manifest}` is the manifest of this service, whose consumers read the event store itself");
    Err(Refusal::new(StatusCode::FORBIDDEN, what, "give the manifest that reads over HTTP a slug of its own"))
}

/// `DELETE /consumers?manifest=…&destination=…&consumer=…`: forgets one.
///
/// # Errors
/// The request is wrong, or a store can't be written.
pub async fn forget(
    stores: &[Store],
    manifest: Option<&str>,
    destination: Option<&str>,
    consumer: Option<&str>,
) -> Result<Answer, Refusal> {
    let (Some(manifest), Some(consumer)) = (manifest, consumer) else {
        let hint = "write ?manifest=…&destination=…&consumer=…";
        return Err(Refusal::bad("it takes `manifest` and `consumer`", hint));
    };
    let of = Deployment { manifest, destination: destination.unwrap_or_default() };
    let mut forgotten = false;
    for store in stores {
        refuse_the_owners(store, manifest)?;
        let there = store.with(async |client| eventstore::forget_consumer(client, of, consumer).await);
        forgotten |= there.await?;
    }
    Ok(answer(&json!({ "forgotten": forgotten })))
}

/// `POST /events/count`: how many events are behind a cursor, up to a limit.
///
/// # Errors
/// The request is wrong, or the store can't be read.
pub async fn count(stores: &[Store], body: &Value) -> Result<Answer, Refusal> {
    let cursor = one(&body["cursor"])?;
    let limit = body["limit"].as_i64().unwrap_or(COUNT_MAX).clamp(1, COUNT_MAX);
    let located = locate(stores, &[cursor]).await?;
    let wanted = located.wanted[0];
    let count = located.store.with(async |client| eventstore::count(client, wanted, limit).await).await?;
    Ok(answer(&json!({ "count": count })))
}

/// `POST /events/before`: the position in front of the first event that was committed at a time or later.
///
/// # Errors
/// The request is wrong, or the store can't be read.
pub async fn before(stores: &[Store], body: &Value) -> Result<Answer, Refusal> {
    let hint = "write a time, such as 2026-11-21 10:00+00";
    let cursor = one(&body["cursor"])?;
    let time = body["time"].as_str().ok_or_else(|| Refusal::bad("`time` is no text", hint))?;
    if time.len() > 100 || time.contains('\0') {
        return Err(Refusal::bad("`time` is no time", hint));
    }
    let located = locate(stores, &[cursor]).await?;
    let held = located.store.session().await?;
    let found = eventstore::before(held.client(), located.wanted[0].stream, time).await.map_err(|error| {
        // What the server refuses of a text that it was given is a matter of the text.
        match error.refused_value() {
            true => Refusal::bad("`time` is no time", hint),
            false => located.store.failed(&error),
        }
    })?;
    held.done();
    Ok(answer(&json!({ "position": found.map(|position| position.to_string()) })))
}

fn name(value: &Value) -> Option<&str> {
    value.as_str().filter(|name| !name.is_empty() && name.len() <= 1024 && !name.contains('\0'))
}

/// Reads what tells a destination from others; it may be left out.
fn destination(value: &Value) -> Option<&str> {
    if value.is_null() { Some("") } else { name(value) }
}
