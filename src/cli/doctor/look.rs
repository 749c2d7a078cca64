//! Looking at everything that a manifest names.
//!
//! Sources come first, since a destination's tables are held against what the source has; then destinations, since what
//! a source must still have depends on how far the flows are there; then all are judged.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cli::check;
use crate::cli::files;
use crate::cli::report::Failure;
use crate::engine::{Plan, Unsupported};
use crate::manifest::Manifest;
use crate::postgres::{self, Session};
use crate::setup::{self, Begun, Described, Facts, Item, Severity, Side, Target, facts::SourceFacts};
use crate::wasm;

/// What was found.
pub struct Report {
    /// Of components, of services, and of the manifest where it asks for what can't be run.
    pub components: Vec<Item>,
    pub servers: Vec<Server>,
}

/// A server, and what was found there.
pub struct Server {
    pub target: Target,
    /// `None` when it could not be looked at.
    pub facts: Option<Facts>,
    pub items: Vec<Item>,
}

impl Report {
    /// Returns what was looked at, of components and of all servers.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.components.iter().chain(self.servers.iter().flat_map(|server| &server.items))
    }
}

/// Looks at components, sources and destinations.
///
/// # Errors
/// WebAssembly can't be run here at all.
pub async fn at(manifest: &Manifest) -> Result<Report, Failure> {
    let options = wasm::HostOptions { cache_dir: files::cache_dir() };
    let host = Arc::new(wasm::Host::new(options).map_err(|error| Failure::of(&error, error.hint()))?);
    let mut components = Vec::new();
    let mut described = Described::new();
    for checked in check::transforms(&host, manifest).await {
        described.extend(checked.descriptor.map(|descriptor| (checked.file.clone(), descriptor)));
        let place = format!("component {}", checked.file.display());
        match checked.told {
            Ok(line) => components.push(Item::right("component", place, line)),
            Err(findings) => components.extend(findings.into_iter().map(|finding| {
                let why = "its flows can't run, or not as the manifest says";
                let item = Item::amiss(Severity::Error, "component", place.clone(), finding.what(), why);
                finding.hint().into_iter().fold(item, Item::step)
            })),
        }
    }
    let plan = match Plan::new(manifest) {
        Ok(plan) => plan,
        Err(refused) => {
            components.extend(refused.into_iter().map(|Unsupported { what, hint, .. }| {
                let why = "nothing of the manifest runs while it asks for that";
                Item::amiss(Severity::Error, "manifest", format!("manifest {}", manifest.file), what, why).step(hint)
            }));
            return Ok(Report { components, servers: Vec::new() });
        }
    };

    components.extend(setup::services(&plan).await);
    let mut servers = inspect_all(&manifest.slug, setup::sources(&plan, &described)).await;
    let seen: HashMap<String, &SourceFacts> = servers
        .iter()
        .filter_map(|(server, _)| Some((server.target.slug.clone(), server.facts.as_ref()?.source.as_ref()?)))
        .collect();
    let destinations = setup::destinations(&plan, &described, |slug| seen.get(slug).copied());
    let destinations = destinations.into_iter().chain(setup::event_stores(&plan)).collect();
    let destinations = inspect_all(&manifest.slug, destinations).await;
    for (server, _) in &mut servers {
        let begun = destinations.iter().flat_map(|(destination, _)| begun(destination, &server.target.slug)).collect();
        if let Side::Source(source) = &mut server.target.side {
            source.begun = begun;
        }
    }
    let judged = servers.into_iter().chain(destinations).map(|(mut server, failed)| {
        server.items = match (&server.facts, failed) {
            (Some(facts), _) => setup::rules(&server.target, facts),
            (None, failed) => failed.into_iter().collect(),
        };
        server
    });
    Ok(Report { components, servers: judged.collect() })
}

/// Returns the flows of a source that a destination has.
fn begun(destination: &Server, source: &str) -> Vec<Begun> {
    let facts = destination.facts.as_ref().and_then(|facts| facts.destination.as_ref());
    let flows = facts.and_then(|facts| facts.checkpoints.as_ref());
    let flows = flows.into_iter().flatten().filter(|flow| flow.source == source);
    flows.map(|flow| flow.clone().into()).collect()
}

/// Looks at servers, all at once; with each that can't be looked at comes why.
async fn inspect_all(manifest: &str, targets: Vec<Target>) -> Vec<(Server, Option<Item>)> {
    let inspected = targets.into_iter().map(|target| async move {
        let name = format!("pelton {manifest} doctor");
        let session = match target.side {
            Side::Source(_) => Session::source(name),
            _ => Session::destination(name),
        };
        let client = match postgres::connect(&target.connection, &session).await {
            Ok(client) => client,
            Err(error) => {
                let failed = setup::unreachable(&target, &error);
                return (Server { target, facts: None, items: Vec::new() }, Some(failed));
            }
        };
        match setup::inspect(&client, &target).await {
            Ok(facts) => (Server { target, facts: Some(facts), items: Vec::new() }, None),
            Err(error) => {
                let failed = setup::not_inspected(&target, &error);
                (Server { target, facts: None, items: Vec::new() }, Some(failed))
            }
        }
    });
    futures_util::future::join_all(inspected).await
}
