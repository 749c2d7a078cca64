//! What consumers elsewhere say of themselves: how far they are, so that nothing is removed that they have not read.

use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json as answer};
use super::cursor::{Cursor, one, position_of};
use super::store::{Store, locate};
use crate::eventstore::{self, Deployment, Registered};

/// More consumers than one manifest has.
const CONSUMERS_MAX: usize = 1_000;
/// More is not counted.
const COUNT_MAX: i64 = 10_000_000;

/// `POST /consumers`: records them, and tells which have missed something.
///
/// # Errors
/// The request is wrong, a public schema is not there, or the store can't be written.
pub async fn register(stores: &[Store], body: &Value) -> Result<Answer, Refusal> {
    let hint = "write {\"manifest\": …, \"consumers\": [{\"consumer\": …, \"sourceManifest\": …, \"publicSchema\": …, \
                \"majorVersion\": 1, \"cursor\": …}]}";
    let wrong = |what: &str| Refusal::bad(what, hint);
    let manifest = name(&body["manifest"]).ok_or_else(|| wrong("`manifest` is no name"))?;
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
        };
        if consumers.iter().any(|other| other.consumer == consumer.consumer) {
            return Err(wrong(&format!("consumer `{}` is there twice", consumer.consumer)));
        }
        cursors.push(Cursor {
            manifest: consumer.source_manifest.to_owned(),
            public_schema: consumer.public_schema.to_owned(),
            major: consumer.major,
            after: consumer.cursor,
        });
        consumers.push(consumer);
    }
    let mut registered = Vec::new();
    if !consumers.is_empty() {
        let located = locate(stores, &cursors).await?;
        let of = Deployment { manifest, destination: "" };
        let written = located.store.with(async |client| eventstore::register_consumers(client, of, &consumers).await);
        registered = written.await?;
    }
    let missed: Vec<&str> = registered.iter().filter(|(_, missed)| *missed).map(|(name, _)| &**name).collect();
    Ok(answer(&json!({ "registered": consumers.len(), "missed": missed })))
}

/// `DELETE /consumers?manifest=…&consumer=…`: forgets one.
///
/// # Errors
/// The request is wrong, or a store can't be written.
pub async fn forget(stores: &[Store], manifest: Option<&str>, consumer: Option<&str>) -> Result<Answer, Refusal> {
    let (Some(manifest), Some(consumer)) = (manifest, consumer) else {
        return Err(Refusal::bad("it takes `manifest` and `consumer`", "write ?manifest=…&consumer=…"));
    };
    let of = Deployment { manifest, destination: "" };
    let mut forgotten = false;
    for store in stores {
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
