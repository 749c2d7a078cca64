//! `pelton events readers` and `pelton events forget`: for whom an event store keeps what it has.

use serde_json::json;

use super::super::columns::{self, duration};
use super::super::report::Failure;
use super::store::database;
use super::{APPLICATION, Chosen};
use crate::datastore::DataStoreError;
use crate::eventstore::{self, Reader};

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
                "manifest": one.manifest, "reader": one.consumer, "reads": one.stream, "cursor": one.cursor.to_string(),
                "toldSecondsAgo": one.told_seconds, "missed": one.missed,
            })
        };
        println!("{:#}", readers.iter().map(reader).collect::<serde_json::Value>());
        return Ok(());
    }
    let head = ["MANIFEST", "READER", "READS", "CURSOR", "TOLD", "MISSED"].map(str::to_owned);
    let line = |one: &Reader| {
        [
            one.manifest.clone(),
            one.consumer.clone(),
            one.stream.clone(),
            one.cursor.to_string(),
            format!("{} ago", duration(u64::try_from(one.told_seconds).unwrap_or(0) * 1000)),
            if one.missed { "events that were removed by force".to_owned() } else { "-".to_owned() },
        ]
    };
    columns::print(std::iter::once(head).chain(readers.iter().map(line)));
    Ok(())
}

/// Forgets one.
///
/// # Errors
/// The manifest's problems, an event store that can't be reached, nobody of that name.
pub async fn forget(chosen: &Chosen, manifest: &str, reader: &str) -> Result<(), Failure> {
    let (database, _) = database(chosen)?;
    let client = database.connect(APPLICATION).await?;
    let failed = |error: DataStoreError| database.failed(&error, error.hint());
    if eventstore::is_there(&client).await.map_err(failed)?
        && eventstore::forget_consumer(&client, crate::eventstore::Deployment { manifest, destination: "" }, reader).await.map_err(failed)?
    {
        println!("Forgot `{reader}` of manifest `{manifest}`: nothing is kept for it any more.");
        return Ok(());
    }
    let what = format!("nobody called `{reader}` of manifest `{manifest}` reads it");
    Err(database.refused(what, "`pelton events readers` shows who does"))
}
