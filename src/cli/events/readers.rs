//! `pelton events readers` and `pelton events forget`: for whom an event store keeps what it has.

use serde_json::json;

use super::super::columns::{self, duration};
use super::super::report::Failure;
use super::store::database;
use super::{APPLICATION, Chosen};
use crate::datastore::DataStoreError;
use crate::eventstore::{self, Deployment, Reader};

/// Prints who reads.
///
/// # Errors
/// The manifest's problems, an event store that can't be reached.
pub async fn list(chosen: &Chosen, json: bool) -> Result<(), Failure> {
    let (database, _) = database(chosen)?;
    let client = database.connect(APPLICATION).await?;
    let failed = |error: DataStoreError| database.failed(&error, error.hint());
    if !eventstore::is_there(&client).await.map_err(failed)? {
        return Err(
            database.refused("there is no event store yet", "`pelton sync` makes it once it publishes something")
        );
    }
    let readers = eventstore::readers(&client).await.map_err(failed)?;
    if json {
        let reader = |one: &Reader| {
            json!({
                "manifest": one.manifest, "reader": one.consumer, "destination": one.destination, "reads": one.stream, "cursor": one.cursor.to_string(),
                "toldSecondsAgo": one.told_seconds, "missed": one.missed,
            })
        };
        println!("{:#}", readers.iter().map(reader).collect::<serde_json::Value>());
        return Ok(());
    }
    let head = ["MANIFEST", "READER", "DESTINATION", "READS", "CURSOR", "TOLD", "MISSED"].map(str::to_owned);
    let line = |one: &Reader| {
        [
            one.manifest.clone(),
            one.consumer.clone(),
            destination(one).to_owned(),
            one.stream.clone(),
            one.cursor.to_string(),
            format!("{} ago", duration(u64::try_from(one.told_seconds).unwrap_or(0) * 1000)),
            if one.missed { "events that were removed by force".to_owned() } else { "-".to_owned() },
        ]
    };
    columns::print(std::iter::once(head).chain(readers.iter().map(line)));
    Ok(())
}

/// Returns how a reader's destination is shown.
fn destination(reader: &Reader) -> &str {
    if reader.destination.is_empty() { "-" } else { &reader.destination }
}

/// Forgets one. `of_destination` chooses, by the first characters, where one manifest runs into several destinations.
///
/// # Errors
/// The manifest's problems, an event store that can't be reached, nobody of that name, or several.
pub async fn forget(
    chosen: &Chosen,
    manifest: &str,
    reader: &str,
    of_destination: Option<&str>,
) -> Result<(), Failure> {
    let (database, _) = database(chosen)?;
    let client = database.connect(APPLICATION).await?;
    let failed = |error: DataStoreError| database.failed(&error, error.hint());
    let mut found = Vec::new();
    if eventstore::is_there(&client).await.map_err(failed)? {
        found = eventstore::readers(&client).await.map_err(failed)?;
    }
    let is_meant = |one: &Reader| of_destination.is_none_or(|name| destination(one).starts_with(name));
    found.retain(|one| one.manifest == manifest && one.consumer == reader && is_meant(one));
    match &found[..] {
        [] => {
            let what = format!("nobody called `{reader}` of manifest `{manifest}` reads it");
            Err(database.refused(what, "`pelton events readers` shows who does"))
        }
        [one] => {
            let of = Deployment { manifest, destination: &one.destination };
            eventstore::forget_consumer(&client, of, reader).await.map_err(failed)?;
            println!("Forgot `{reader}` of manifest `{manifest}`: nothing is kept for it any more.");
            Ok(())
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|one| format!("{} at {}", destination(one), one.cursor)).collect();
            let what = format!("`{reader}` of manifest `{manifest}` reads it into several destinations");
            Err(database.refused(what, format!("choose one with --destination: {}", names.join(", "))))
        }
    }
}
