//! Decides whether a flow's slot was lost, and whether what was lost can be mended.

use tokio_postgres::Client;

use crate::datastore::FlowRow;
use crate::lsn::Lsn;
use crate::postgres::replication::forks;
use crate::postgres::{self, slot};

use super::super::failure::{Chain, EngineError};
use super::super::plan::{FlowPlan, SourcePlan, TransformKind};
use super::super::{Context, prepare};
use super::RepairOptions;

/// Says what keeps the flows from going on; `None` when they can.
pub async fn lost(
    context: &Context,
    plan: &SourcePlan,
    client: &Client,
    flows: &[(&FlowPlan, &FlowRow)],
) -> Result<Option<String>, EngineError> {
    let slug = &plan.slug;
    let failed = |source| EngineError::Source { slug: slug.clone(), source };
    let facts = postgres::preflight::facts(client).await.map_err(failed)?;
    let here = facts.identity.system_identifier.to_string();
    let flow = |is: &dyn Fn(&FlowRow) -> bool| flows.iter().map(|(_, row)| *row).find(|row| is(row));
    if let Some(flow) = flow(&|flow| flow.system_identifier != here) {
        return Ok(Some(format!(
            "it is another cluster (system identifier {here}) than the one that flow `{}` was fed from ({})",
            flow.flow, flow.system_identifier
        )));
    }
    // Any other that is released comes back by itself.
    let never_back = |(plan, row): &&(&FlowPlan, &FlowRow)| row.released && !plan.target.backfill();
    if let Some((_, flow)) = flows.iter().find(never_back) {
        return Ok(Some(format!("what flow `{}` missed since {} is gone: it was released", flow.flow, flow.lsn)));
    }
    let name = &plan.config.slot_name;
    let not_ready = |error: slot::SlotError| EngineError::NotReady {
        slug: slug.clone(),
        problem: Chain(&error).to_string(),
        hint: error.hint(),
        transient: error.is_transient(),
    };
    let Some(slot) = slot::look_up(client, name).await.map_err(not_ready)? else {
        return Ok(Some(format!("replication slot \"{name}\" does not exist")));
    };
    match slot.usable(&facts.database) {
        Ok(()) => {}
        Err(error @ slot::SlotError::Lost { .. }) => return Ok(Some(error.to_string())),
        Err(error) => return Err(not_ready(error)),
    }
    let confirmed = slot.confirmed_flush.unwrap_or(Lsn::ZERO);
    if let Some(flow) = flow(&|flow| !flow.released && flow.lsn < confirmed) {
        return Ok(Some(format!(
            "replication slot \"{name}\" is confirmed up to {confirmed}, beyond the checkpoint {} of flow `{}`",
            flow.lsn, flow.flow
        )));
    }
    let end = prepare::position(client).await.map_err(failed)?;
    if let Some(flow) = flow(&|flow| !facts.in_recovery && flow.lsn > end) {
        return Ok(Some(format!(
            "the write-ahead log ends at {end}, before the checkpoint {} of flow `{}`: the server was restored from a \
             backup, or is another branch of it",
            flow.lsn, flow.flow
        )));
    }
    let here = facts.identity.timeline;
    let apart = |flow: &FlowRow| flow.timeline.is_some_and(|timeline| timeline != here);
    if flow(&apart).is_none() {
        return Ok(None);
    }
    let forks = forks(&plan.connection, &context.application_name(), here).await;
    let forks = forks.map_err(|source| EngineError::Replication { slug: slug.clone(), source })?;
    let lies_there = |flow: &FlowRow| forks.iter().any(|f| Some(f.timeline) == flow.timeline && f.at >= flow.lsn);
    Ok(flow(&|flow| apart(flow) && !lies_there(flow)).map(|flow| {
        format!("it is on timeline {here}, which has not what flow `{}` applied up to {}", flow.flow, flow.lsn)
    }))
}

/// Stops in front of flows whose gap nobody has accepted.
pub fn refuse_gaps(plan: &SourcePlan, flows: &[(&FlowPlan, &FlowRow)], how: RepairOptions) -> Result<(), EngineError> {
    let has_gap = |flow: &FlowPlan| !flow.target.backfill() && flows.iter().any(|(known, _)| known.name == flow.name);
    for transform in plan.groups.iter().flat_map(|group| &group.transforms) {
        let Some(gap) = transform.flows.iter().find(|flow| has_gap(flow)) else { continue };
        if !how.accept_gap {
            return Err(EngineError::Setup {
                what: format!(
                    "flow `{}` has `backfill: false`: it holds only what changed since it began, and what it missed can't \
                     be found any more",
                    gap.name
                ),
                hint: Some(
                    "accept that it stays missing with --accept-gap, or set `backfill: true`, so that its table is made \
                     what the source's is"
                        .to_owned(),
                ),
            });
        }
        let is_component = matches!(transform.kind, TransformKind::Wasm(_));
        if let Some(other) = transform.flows.iter().find(|flow| is_component && flow.target.backfill()) {
            return Err(EngineError::Setup {
                what: format!(
                    "flows `{}` and `{}` are of one component, and only one of them has `backfill: false`: the one goes on \
                     with a gap, the other must be copied anew, and a component can't do both",
                    gap.name, other.name
                ),
                hint: Some("give both the same `backfill`".to_owned()),
            });
        }
    }
    Ok(())
}
