//! How the consumers of a manifest are doing.

use serde_json::json;

use super::super::columns::{self, duration};
use super::super::standing::{self, BEHIND_MAX, Trouble};
use super::APPLICATION;
use crate::datastore::{self, ConsumerRow};
use crate::engine::{ConsumerPlan, Plan, ReaderPlan, Upstream};
use crate::eventstore::Stream;
use crate::manifest::Manifest;
use crate::postgres::{self, Session};

/// A consumer as it is now.
pub struct Found {
    plan: ConsumerPlan,
    store: String,
    row: Option<ConsumerRow>,
    /// Events that it has not read, up to [`BEHIND_MAX`].
    behind: Option<i64>,
    /// What keeps it from being looked at.
    trouble: Option<Trouble>,
}

impl Found {
    fn state(&self) -> &'static str {
        match &self.row {
            _ if self.trouble.is_some() => "unknown",
            None => "new",
            Some(row) if row.paused => "paused",
            Some(row) if row.problem.is_some() && row.retries => "retrying",
            Some(row) if row.problem.is_some() => "stopped",
            Some(_) => "live",
        }
    }

    /// What is wrong with it, and what to do about it.
    pub fn problem(&self) -> Option<Trouble> {
        let of_row = |row: &ConsumerRow| Trouble::recorded(row.problem.as_ref(), row.hint.as_ref());
        self.trouble.clone().or_else(|| self.row.as_ref().and_then(of_row))
    }

    /// How old the last applied change is, in milliseconds, while there are more.
    fn lag_ms(&self) -> Option<u64> {
        standing::lag_ms(self.behind, self.row.as_ref().and_then(|row| row.commit_time))
    }
}

/// Looks at all consumers of event stores that a manifest has.
/// A database that can't be reached is part of what is found.
pub async fn look(manifest: &Manifest, plan: &Plan) -> Vec<Found> {
    let mut found = Vec::new();
    for reader in &plan.readers {
        let looked = look_at(manifest, reader).await;
        for consumer in &reader.consumers {
            let mut one =
                Found { plan: consumer.clone(), store: reader.store.clone(), row: None, behind: None, trouble: None };
            match &looked {
                Err(trouble) => one.trouble = Some(trouble.clone()),
                Ok((rows, upstream, streams)) => {
                    one.row = rows.iter().find(|row| row.consumer == consumer.name).cloned();
                    let stream = stream_of(streams, consumer);
                    if let (Some(row), Some(stream)) = (&one.row, stream) {
                        one.behind = upstream.count(stream, row.cursor, BEHIND_MAX + 1).await.ok();
                    }
                }
            }
            found.push(one);
        }
    }
    found
}

pub(super) fn stream_of<'a>(streams: &'a [Stream], consumer: &ConsumerPlan) -> Option<&'a Stream> {
    streams.iter().find(|stream| consumer.reads(stream))
}

async fn look_at(
    manifest: &Manifest,
    reader: &ReaderPlan,
) -> Result<(Vec<ConsumerRow>, Upstream, Vec<Stream>), Trouble> {
    let session = Session::destination(APPLICATION);
    let client = postgres::connect(&reader.connection, &session).await?;
    let rows = datastore::consumers(&client, &manifest.slug).await?;
    let upstream = reader.upstream.open(&reader.store, APPLICATION).await?;
    let (streams, _) = upstream.streams().await?;
    Ok((rows, upstream, streams))
}

/// Prints consumers as columns, and what stopped them.
pub fn print(found: &[Found]) {
    let head =
        ["CONSUMER", "READS", "FROM", "INTO", "STATE", "CURSOR", "EVENTS LEFT", "BEHIND", "ROWS"].map(str::to_owned);
    let line = |one: &Found| {
        let unknown = || "-".to_owned();
        let ConsumerPlan { name, source_manifest, public_schema, major, target } = &one.plan;
        [
            name.clone(),
            format!("{source_manifest}/{public_schema}@{major}"),
            one.store.clone(),
            match target.table() {
                Some(table) => format!("{} {}.{}", table.data_store, table.table.schema, table.table.name),
                None => format!("{} by SQL", target.data_store()),
            },
            one.state().to_owned(),
            one.row.as_ref().map_or_else(unknown, |row| row.cursor.to_string()),
            one.behind.map_or_else(unknown, standing::behind),
            one.lag_ms().map_or_else(unknown, duration),
            one.row.as_ref().map_or_else(unknown, |row| row.rows_applied.to_string()),
        ]
    };
    columns::print(std::iter::once(head).chain(found.iter().map(line)));
    found.iter().for_each(|one| one.problem().iter().for_each(|problem| problem.print(&one.plan.name)));
}

/// Returns a consumer for scripts.
pub fn to_json(one: &Found) -> serde_json::Value {
    let problem = one.problem();
    json!({
        "consumer": one.plan.name,
        "sourceManifest": one.plan.source_manifest,
        "publicSchema": one.plan.public_schema,
        "majorVersion": one.plan.major,
        "eventStore": one.store,
        "destination": one.plan.target.data_store(),
        "state": one.state(),
        "cursor": one.row.as_ref().map(|row| row.cursor.to_string()),
        "eventsLeft": one.behind,
        "lagMs": one.lag_ms(),
        "rows": one.row.as_ref().map(|row| row.rows_applied),
        "problem": problem.as_ref().map(|problem| &problem.what),
        "hint": problem.as_ref().and_then(|problem| problem.hint.as_ref()),
    })
}
