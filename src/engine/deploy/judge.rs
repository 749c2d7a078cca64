//! Whether a component may go on where another one is: what speaks against it, with the mend.
//!
//! Whatever is found here leaves the one that runs as it is.

use super::super::failure::EngineError;
use super::super::load;
use super::super::plan::TransformPlan;
use super::choose::short;
use crate::change::{Relation, breaks};
use crate::datastore::RunsAs;
use crate::manifest::WasmConfig;
use crate::wasm::{Component, Descriptor};

/// A component that is to take over.
pub struct Candidate<'a> {
    pub transform: &'a TransformPlan,
    pub config: &'a WasmConfig,
    pub component: &'a Component,
    /// What it is to take the place of, where that can still be described.
    pub running: Option<&'a Descriptor>,
    pub runs_as: Option<&'a RunsAs>,
    /// What the transform remembers is forgotten, and its tables are copied anew.
    pub anew: bool,
    /// The tables that are published at the source, where that is known.
    pub published: Option<&'a [(String, String)]>,
}

/// Says what speaks against a candidate; the first thing that does.
///
/// # Errors
/// That, with what to do.
pub fn judge(candidate: &Candidate<'_>) -> Result<(), EngineError> {
    let Candidate { transform, config, component, running, runs_as, anew, published } = *candidate;
    let new = component.descriptor();
    let refuse = |what: String, hint: String| Err(EngineError::Setup { what, hint: Some(hint) });
    if let Some(old) = running.filter(|old| old.name != new.name) {
        return refuse(
            format!("the component is `{}`, and transform `{}` is component `{}`", new.name, transform.name, old.name),
            "deploy it to the transform that it belongs to; for a new one, add its public schemas to the manifest"
                .to_owned(),
        );
    }
    for flow in &transform.flows {
        let is_it =
            |public: &&crate::change::PublicSchema| *public.name == *flow.public_schema && public.major == flow.major;
        let Some(is) = new.public_schemas.iter().find(is_it) else {
            return Err(load::no_such_public_schema(transform, flow, &new.public_schemas));
        };
        let was = running.and_then(|old| old.public_schemas.iter().find(is_it));
        // One of a smaller minor version is what ran before: those who read it did without what has come since.
        let was = was.filter(|was| is.minor >= was.minor);
        let broken: Vec<String> =
            was.map(|was| breaks(was, is)).unwrap_or_default().iter().map(ToString::to_string).collect();
        if !broken.is_empty() {
            return refuse(
                format!(
                    "public schema `{}` {}.{} would break those who read it: {}",
                    is.name,
                    is.major,
                    is.minor,
                    broken.join("; ")
                ),
                format!(
                    "publish it as `{}` {}.0, beside {} for as long as that is read, or bring back what it had",
                    is.name,
                    is.major + 1,
                    is.major
                ),
            );
        }
    }
    load::settings(component, config)?;
    let subscribed = new.subscriptions.iter().filter(|one| one.schema != Relation::MESSAGE_SCHEMA);
    for wanted in subscribed {
        let Some(tables) = published else { break };
        if !tables.iter().any(|(schema, table)| *schema == wanted.schema && *table == wanted.table) {
            let table = format!("{}.{}", wanted.schema, wanted.table);
            return refuse(
                format!("the component reads table {table}, which is not published"),
                format!(
                    "add {table} to the publication (`pelton setup --add-table {table}`) and restart `pelton sync`; rows \
                     that are there already are copied only if the flows are started anew"
                ),
            );
        }
    }
    let Some(runs_as) = runs_as.filter(|_| !anew) else { return Ok(()) };
    let was_stateful = running.map_or(runs_as.has_state, |old| old.stateful);
    match (was_stateful, new.stateful) {
        (false, true) => refuse(
            format!(
                "the component keeps state, and component {} of transform `{}` does not: what it would have to remember is past",
                short(&runs_as.digest),
                transform.name
            ),
            load::STATE_ANEW.to_owned(),
        ),
        (true, false) if runs_as.has_state => refuse(
            format!(
                "the component keeps no state, and what transform `{}` remembers (state version {}) would be of the past",
                transform.name, runs_as.state_version
            ),
            load::STATE_ANEW.to_owned(),
        ),
        (_, true) if runs_as.has_state && runs_as.state_version != new.state_version as i32 => {
            Err(load::other_state_version(&transform.name, runs_as.state_version, new.state_version))
        }
        _ => Ok(()),
    }
}
