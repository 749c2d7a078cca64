//! Waits until a deployment is taken, and says how far it is.

use std::time::{Duration, Instant};

use super::failed;
use super::show::Report;
use crate::cli::report::Failure;
use crate::datastore::DeploymentState;
use crate::engine::{FoundTarget, Plan, short_digest};
use crate::manifest::Manifest;
use crate::postgres::{self, slot};

const POLL: Duration = Duration::from_millis(100);
/// How often is looked whether anybody runs the manifest, and how often in vain until it is said that nobody does: a run
/// that begins anew lets its slot go for a moment.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS_MAX: u32 = 6;

/// Waits for `patience` at most, for each of the deployments of these numbers. Returns what became of them.
///
/// # Errors
/// A destination can't be asked any more.
pub async fn until_taken(
    plan: &Plan,
    manifest: &Manifest,
    mut wishes: Vec<(FoundTarget, i64)>,
    patience: Duration,
) -> Result<Vec<Report>, Failure> {
    let begun = Instant::now();
    let mut reports = Vec::new();
    let (mut looked, mut idle) = (begun, 0);
    while !wishes.is_empty() {
        let mut open = Vec::new();
        for (found, number) in wishes {
            let now = found.now().await.map_err(|error| failed(&error))?;
            let report = Report::new(&found.target, now.as_ref());
            let state = report.deployment.as_ref().map(|one| (one.number, one.state));
            match state {
                Some((current, DeploymentState::Wanted)) if current == number => open.push((found, number)),
                _ => {
                    say(&report);
                    reports.push(report);
                }
            }
        }
        wishes = open;
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            let running = match wishes.first() {
                Some((found, _)) => is_read(plan, manifest, &found.target.source).await,
                None => true,
            };
            idle = if running { 0 } else { idle + 1 };
        }
        let note = if idle >= LOOKS_MAX {
            "no `pelton sync` runs now; the next one begins with it"
        } else if begun.elapsed() >= patience {
            "it was not taken in this time, and stays wanted: `pelton deploy --status` shows it"
        } else {
            tokio::time::sleep(POLL).await;
            continue;
        };
        for (found, _) in wishes.drain(..) {
            let now = found.now().await.map_err(|error| failed(&error))?;
            reports.push(Report { note: Some(note.to_owned()), ..Report::new(&found.target, now.as_ref()) });
        }
    }
    Ok(reports)
}

/// Says on stderr what became of one.
fn say(report: &Report) {
    let Some(deployment) = &report.deployment else { return };
    let (transform, destination, digest) = (&report.transform, &report.destination, short_digest(&deployment.digest));
    if let (DeploymentState::Taken, Some(lsn)) = (deployment.state, deployment.lsn) {
        eprintln!("{destination}: `{transform}` runs as component {digest} from {lsn} on");
    }
}

/// Tells whether somebody reads a source's slot; true where that can't be found out.
async fn is_read(plan: &Plan, manifest: &Manifest, source: &str) -> bool {
    let Some(source) = plan.sources.iter().find(|one| one.slug == source) else { return true };
    let session = postgres::Session::source(format!("pelton {} deploy", manifest.slug));
    let Ok(client) = postgres::connect(&source.connection, &session).await else { return true };
    match slot::look_up(&client, &source.config.slot_name).await {
        Ok(slot) => slot.is_some_and(|slot| slot.active_pid.is_some()),
        Err(_) => true,
    }
}
