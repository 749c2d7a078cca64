//! The mirrors of a manifest, for `pelton status`.

use serde_json::json;

use super::columns::{self, duration};
use super::standing::{self, BEHIND_MAX, Trouble};
use crate::engine::{MirrorPlan, Plan};
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
    /// What keeps it from being looked at.
    trouble: Option<Trouble>,
}

impl Found {
    /// What is wrong with it, and what to do about it.
    pub fn problem(&self) -> Option<Trouble> {
        let of_row = |row: &MirrorRow| Trouble::recorded(row.problem.as_ref(), row.hint.as_ref());
        self.trouble.clone().or_else(|| self.row.as_ref().and_then(of_row))
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
        standing::lag_ms(self.behind, self.row.as_ref().and_then(|row| row.commit_time))
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

async fn look_at(manifest: &Manifest, mirror: &MirrorPlan) -> Result<(Option<MirrorRow>, i64), Trouble> {
    let session = Session::destination("pelton status");
    let client = postgres::connect(&mirror.connection, &session).await?;
    let rows = eventstore::mirrors(&client, &manifest.slug).await?;
    let upstream = postgres::connect(&mirror.upstream_connection, &session).await?;
    let theirs = eventstore::streams(&upstream).await?;
    let ours = eventstore::streams(&client).await?;
    let mut behind = 0;
    for stream in &theirs {
        let same = |other: &&Stream| other.origin == stream.origin;
        let after = ours.iter().find(same).map(|stream| stream.last).unwrap_or_default();
        let wanted = Wanted { stream: stream.id, after };
        behind += eventstore::count(&upstream, wanted, BEHIND_MAX + 1).await?;
    }
    Ok((rows.into_iter().find(|row| row.upstream_slug == mirror.upstream), behind))
}

/// Prints mirrors as columns, and what stopped them.
pub fn print(found: &[Found]) {
    let head = ["MIRROR", "OF", "STATE", "EVENTS", "EVENTS LEFT", "BEHIND"].map(str::to_owned);
    let line = |one: &Found| {
        let unknown = || "-".to_owned();
        [
            one.store.clone(),
            one.of.clone(),
            one.state().to_owned(),
            one.row.as_ref().map_or_else(unknown, |row| row.events.to_string()),
            one.behind.map_or_else(unknown, standing::behind),
            one.lag_ms().map_or_else(unknown, duration),
        ]
    };
    columns::print(std::iter::once(head).chain(found.iter().map(line)));
    found.iter().for_each(|one| one.problem().iter().for_each(|problem| problem.print(&one.store)));
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
        "problem": problem.as_ref().map(|problem| &problem.what),
        "hint": problem.as_ref().and_then(|problem| problem.hint.as_ref()),
    })
}
