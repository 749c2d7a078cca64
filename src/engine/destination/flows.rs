//! What is recorded of a group's flows, and which of them go on together.

use crate::datastore::{self, FlowRow, NewFlow};
use crate::lsn::Lsn;

use super::super::deploy::is_released;
use super::super::failure::EngineError;
use super::super::load;
use super::super::plan::{FlowPlan, TransformPlan};
use super::super::prepare::Source;
use super::super::rejot::Left;

/// Returns the flows that a destination does not have yet. Those of one transform are copied together, but for those
/// that go on where ReJot `left` off.
pub fn new_flows(transform: &TransformPlan, known: &[FlowRow], left: &Left) -> Vec<NewFlow> {
    let is_new = |flow: &&FlowPlan| known.iter().all(|row| row.flow != flow.name);
    let new: Vec<&FlowPlan> = transform.flows.iter().filter(is_new).collect();
    let copied = |flow: &FlowPlan| flow.target.backfill() && !left.goes_on(flow);
    let backfill = new.iter().find(|flow| copied(flow)).map(|flow| flow.name.clone());
    let row = |flow: &&FlowPlan| NewFlow {
        flow: flow.name.clone(),
        public_schema: flow.public_schema.clone(),
        major: flow.major as i32,
        backfill: backfill.clone().filter(|_| copied(flow)),
    };
    new.iter().map(row).collect()
}

/// Flows of one transform that are at the same point: one instance of it serves them all.
pub struct Together<'a> {
    pub flows: Vec<&'a FlowPlan>,
    pub rows: Vec<&'a FlowRow>,
    pub backfill: Option<&'a str>,
    pub from: Lsn,
}

/// Sorts a transform's flows by where they are: mostly they are all at the same point, but for one that came later and
/// still copies what there was before it.
pub fn together<'a>(transform: &'a TransformPlan, rows: &'a [FlowRow]) -> Vec<Together<'a>> {
    let mut parts: Vec<Together<'a>> = Vec::new();
    for flow in &transform.flows {
        let Some(row) = rows.iter().find(|row| row.flow == flow.name) else { continue };
        let backfill = row.backfill.as_deref();
        match parts.iter_mut().find(|part| part.backfill == backfill && part.from == row.lsn) {
            Some(part) => {
                part.flows.push(flow);
                part.rows.push(row);
            }
            None => parts.push(Together { flows: vec![flow], rows: vec![row], backfill, from: row.lsn }),
        }
    }
    parts
}

/// Returns a transform's rows among `rows`.
pub fn rows_of<'a>(transform: &'a TransformPlan, rows: &'a [FlowRow]) -> impl Iterator<Item = &'a FlowRow> {
    rows.iter().filter(|row| transform.flows.iter().any(|flow| flow.name == row.flow))
}

/// Returns up to where the source may forget as far as a transform is concerned; `None` when it is released.
pub fn least_checkpoint(transform: &TransformPlan, rows: &[FlowRow], source: &Source) -> Option<Lsn> {
    if is_released(transform, rows) {
        return None;
    }
    Some(rows_of(transform, rows).map(|row| row.lsn).min().unwrap_or(source.confirmed))
}

/// Returns how the rows of a released transform's flows begin anew, at `start` and all together; `None` when it was not
/// released and goes on from its checkpoint.
pub fn anew(
    transform: &TransformPlan,
    rows: &[FlowRow],
    source: &Source,
    start: &datastore::Start,
) -> Result<Option<Vec<FlowRow>>, EngineError> {
    if !is_released(transform, rows) {
        return Ok(None);
    }
    // Whoever points the manifest elsewhere by mistake must not find the tables emptied.
    rows_of(transform, rows).try_for_each(|row| source.check_cluster(row))?;
    if let Some(flow) = transform.flows.iter().find(|flow| !flow.target.backfill()) {
        return Err(load::released_without_backfill(transform, flow));
    }
    let backfill = transform.flows.first().map(|flow| flow.name.clone());
    let timeline = Some(start.timeline);
    let row = |row: &FlowRow| FlowRow {
        lsn: start.lsn,
        timeline,
        backfill: backfill.clone(),
        released: false,
        ..row.clone()
    };
    Ok(Some(rows_of(transform, rows).map(row).collect()))
}
