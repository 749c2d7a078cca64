//! The mirrors of a manifest, for `pelton status`.

use serde_json::json;

use super::columns::{self, duration};
use crate::engine::{Chain, MirrorPlan, Plan};
use crate::eventstore::{self, MirrorRow, Stream, Wanted};
use crate::manifest::Manifest;
use crate::postgres::{self, Session};

/// A mirror as it is now.
pub struct Found {
    store: String,
    of: String,
    row: Option<MirrorRow>,
    /// Events that are not mirrored yet, up to [`BEHIND_MAX`].
    behind: Option<i64>,
    trouble: Option<(String, Option<String>)>,
}

/// More are not counted.
const BEHIND_MAX: i64 = 100_000;

impl Found {
    /// What is wrong with it, and what to do about it.
    pub fn problem(&self) -> Option<(&str, Option<&str>)> {
        let of_row = || {
            let row = self.row.as_ref()?;
            Some((row.problem.as_deref()?, row.hint.as_deref()))
        };
        self.trouble.as_ref().map(|(what, hint)| (&**what, hint.as_deref())).or_else(of_row)
    }

    fn state(&self) -> &'static str {
        match &self.row {
            _ if self.trouble.is_some() => "unknown",
            None => "new",
            Some(row) if row.problem.is_some() => "stopped",
            Some(_) => "live",
        }
    }

    fn lag_ms(&self) -> Option<u64> {
        if self.behind == Some(0) {
            return Some(0);
        }
        let micros = self.row.as_ref()?.commit_time?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_micros() as i64;
        u64::try_from((now - micros) / 1000).ok()
    }
}

/// Looks at all mirrors that a manifest has. A database that can't be reached is part of what is found.
pub async fn look(manifest: &Manifest, plan: &Plan) -> Vec<Found> {
    let mut found = Vec::new();
    for mirror in &plan.mirrors {
        let (store, of) = (mirror.store.clone(), mirror.upstream.clone());
        found.push(match look_at(manifest, mirror).await {
            Ok((row, behind)) => Found { store, of, row, behind: Some(behind), trouble: None },
            Err(trouble) => Found { store, of, row: None, behind: None, trouble: Some(trouble) },
        });
    }
    found
}

async fn look_at(
    manifest: &Manifest,
    mirror: &MirrorPlan,
) -> Result<(Option<MirrorRow>, i64), (String, Option<String>)> {
    let session = Session::destination("pelton status");
    let reached = |error: postgres::ConnectError| (Chain(&error).to_string(), error.hint());
    let refused = |error: crate::datastore::DataStoreError| (Chain(&error).to_string(), error.hint());
    let client = postgres::connect(&mirror.connection, &session).await.map_err(reached)?;
    let rows = eventstore::mirrors(&client, &manifest.slug).await.map_err(refused)?;
    let upstream = postgres::connect(&mirror.upstream_connection, &session).await.map_err(reached)?;
    let theirs = eventstore::streams(&upstream).await.map_err(refused)?;
    let ours = eventstore::streams(&client).await.map_err(refused)?;
    let mut behind = 0;
    for stream in &theirs {
        let same = |other: &&Stream| other.origin == stream.origin;
        let after = ours.iter().find(same).map(|stream| stream.last).unwrap_or_default();
        let wanted = Wanted { stream: stream.id, after };
        behind += eventstore::count(&upstream, wanted, BEHIND_MAX + 1).await.map_err(refused)?;
    }
    Ok((rows.into_iter().find(|row| row.upstream_slug == mirror.upstream), behind))
}

/// Prints mirrors as columns, and what stopped them.
pub fn print(found: &[Found]) {
    let head = ["MIRROR", "OF", "STATE", "EVENTS", "EVENTS LEFT", "BEHIND"].map(str::to_owned);
    let line = |one: &Found| {
        let unknown = || "-".to_owned();
        let behind = |behind: i64| if behind > BEHIND_MAX { format!("> {BEHIND_MAX}") } else { behind.to_string() };
        [
            one.store.clone(),
            one.of.clone(),
            one.state().to_owned(),
            one.row.as_ref().map_or_else(unknown, |row| row.events.to_string()),
            one.behind.map_or_else(unknown, behind),
            one.lag_ms().map_or_else(unknown, duration),
        ]
    };
    columns::print(std::iter::once(head).chain(found.iter().map(line)));
    for one in found {
        if let Some((problem, hint)) = one.problem() {
            println!("\n{}: {problem}", one.store);
            if let Some(hint) = hint {
                println!("  Hint: {hint}");
            }
        }
    }
}

/// Returns a mirror for scripts.
pub fn to_json(one: &Found) -> serde_json::Value {
    let problem = one.problem();
    json!({
        "mirror": one.store,
        "of": one.of,
        "state": one.state(),
        "events": one.row.as_ref().map(|row| row.events),
        "eventsLeft": one.behind,
        "lagMs": one.lag_ms(),
        "problem": problem.map(|(what, _)| what),
        "hint": problem.and_then(|(_, hint)| hint),
    })
}
