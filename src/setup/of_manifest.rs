//! What a manifest asks of its databases: one job for each connection that is used.
//!
//! What can't be run yet (flows of SQL) can be prepared all the same.

use super::target::{self, Described, DestinationTarget, Side, SourceTarget, Target};
use super::wish::{Job, RoleWish};
use crate::engine::{self, Plan};
use crate::manifest::{ConnectionConfig, Manifest, PublicSchemaConfig};

/// Returns the jobs. `described` has what components say of themselves; one that can't be loaded is left out.
pub fn jobs(manifest: &Manifest, described: &Described) -> Vec<Job> {
    let (plan, _) = Plan::of_what_runs(manifest);
    let mut planned = target::sources(&plan, described);
    planned.extend(target::destinations(&plan, described, |_| None));
    let mut jobs = Vec::new();
    for connection in &manifest.connections {
        let ConnectionConfig::Postgres(to) = &connection.config else { continue };
        let slug = connection.slug.as_str();
        let role = RoleWish { name: to.user.clone(), password: to.password.clone() };
        let has = |targets: &[Target], of: fn(&Side) -> bool| targets.iter().any(|target| of(&target.side));
        let of_it = planned.iter().filter(|target| target.slug == slug).cloned();
        let mut targets: Vec<Target> = of_it.collect();
        let add = |side: Side| Target::new(slug, to.clone(), side);
        if !has(&targets, |side| matches!(side, Side::Source(_)))
            && let Some(source) = idle_source(manifest, slug)
        {
            targets.insert(0, add(Side::Source(source)));
        }
        let written = manifest.consumer_schemas.iter().any(|consumer| consumer.config.destination() == slug);
        if written && !has(&targets, |side| matches!(side, Side::Destination(_))) {
            let (manifest, sources, tables) = (manifest.slug.clone(), Vec::new(), Vec::new());
            targets.push(add(Side::Destination(DestinationTarget { manifest, sources, tables })));
        }
        if manifest.event_stores.iter().any(|store| store.slug == *slug) {
            targets.push(add(Side::EventStore { published: true }));
        }
        targets.iter_mut().for_each(|target| target.role = Some(role.name.clone()));
        if let Some(first) = targets.first() {
            let place = first.place.clone();
            jobs.push(Job { place, connection: to.clone(), role: Some(role), targets });
        }
    }
    jobs
}

/// A source that no flow reads yet: what its public schemas name is wanted.
fn idle_source(manifest: &Manifest, slug: &str) -> Option<SourceTarget> {
    let config = manifest.data_store(slug)?.source.as_ref()?;
    let schemas = manifest.public_schemas.iter().filter(|schema| schema.source == slug);
    let needed = schemas.filter_map(|schema| match &schema.config {
        PublicSchemaConfig::Table(projection) => Some(engine::table_name(&projection.table)),
        _ => None,
    });
    Some(SourceTarget::new(config, needed.collect(), Vec::new()))
}
