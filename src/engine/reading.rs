//! Which tables the flows read, and on which of them a checkpoint counts.
//!
//! # Why a table that was read is never added to a publication
//! A table that a publication lacks sends no changes. A flow whose checkpoint is behind such a stretch has lost changes
//! for good, and the stream does not say so. If such a table were added again at the next start, nobody could tell any
//! more. So it stays out, and its flows stay stopped, at every start, until somebody has decided: whoever starts the
//! flow anew takes its checkpoint away, and then the table is added; whoever adds it by hand accepts the gap.
//!
//! Tables that only new flows read are added: a flow is new until something is copied for it, or, where nothing is to
//! be copied, until it has a checkpoint at all.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::change::Relation;
use crate::datastore::{self, Deployed, Scope};
use crate::manifest::{self, WasmConfig};
use crate::postgres;
use crate::postgres::catalog::TableName;
use crate::wasm;

use super::deploy::{Whose, choose};
use super::failure::Chain;
use super::plan::{GroupPlan, SourcePlan, TransformKind, TransformPlan};
use super::{Context, load};

/// What a transform reads.
pub struct Reads {
    /// Index in the source's groups.
    group: usize,
    flows: Vec<String>,
    pub tables: Vec<TableName>,
}

/// Why a table must not be added to a publication that lacks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// These flows have read it.
    By(Vec<String>),
    /// A destination that can't be asked now may have such a flow.
    Unknown { destination: String },
}

/// Returns the tables that each transform reads. A component that can't be loaded is reported when its flow is opened.
pub async fn reads(context: &Context, source: &SourcePlan) -> Vec<Reads> {
    let mut reads = Vec::new();
    for (group, plan) in source.groups.iter().enumerate() {
        let components = components(context, source, plan).await;
        for transform in &plan.transforms {
            let tables = match &transform.kind {
                TransformKind::Wasm(config) => component_tables(context, plan, &components, transform, config).await,
                kind => tables(kind),
            };
            let flows = transform.flows.iter().map(|flow| flow.name.clone()).collect();
            reads.push(Reads { group, flows, tables });
        }
    }
    reads
}

/// What a destination says of its components, and the session that it said it in; nothing where it can't be asked, or
/// has no component.
async fn components(context: &Context, source: &SourcePlan, group: &GroupPlan) -> Option<(Client, Vec<Deployed>)> {
    if !group.transforms.iter().any(|transform| matches!(transform.kind, TransformKind::Wasm(_))) {
        return None;
    }
    let session = postgres::Session::destination(context.application_name());
    let client = postgres::connect(&group.connection, &session).await.ok()?;
    let scope = Scope { manifest: context.manifest.clone(), source: source.slug.clone() };
    let deployed = datastore::deployed(&client, &scope).await.ok()?;
    Some((client, deployed))
}

/// Returns what the component reads that a transform is to run as; the manifest's, where its destination can't be asked.
async fn component_tables(
    context: &Context,
    group: &GroupPlan,
    components: &Option<(Client, Vec<Deployed>)>,
    transform: &TransformPlan,
    config: &WasmConfig,
) -> Vec<TableName> {
    let component = match components {
        None => load::component(&context.host, config).await,
        Some((client, deployed)) => {
            let deployed = deployed.iter().find(|one| one.transform == transform.name);
            let destination = &*group.slug;
            let whose = Whose { context, client, destination, transform, config, deployed, anew: false };
            choose(&whose).await.map(|chosen| chosen.component)
        }
    };
    let tables = |component: wasm::Component| {
        let subscriptions = &component.descriptor().subscriptions;
        subscriptions.iter().map(|s| TableName::new(s.schema.clone(), s.table.clone())).collect()
    };
    component.map(tables).unwrap_or_default()
}

fn tables(kind: &TransformKind) -> Vec<TableName> {
    match kind {
        TransformKind::Table { projection, .. } => vec![table_name(&projection.table)],
        TransformKind::Sql(plan) => plan.statements.iter().map(|statement| table_name(&statement.table)).collect(),
        TransformKind::Wasm(_) => Vec::new(),
    }
}

/// Returns a table of the manifest under the name that the catalog knows.
pub fn table_name(table: &manifest::TableName) -> TableName {
    TableName::new(table.schema.clone(), table.name.clone())
}

/// Returns which of the tables that `lacks` says a publication lacks must stay out of it, and why.
///
/// Destinations are asked only if one of their flows reads such a table.
pub async fn held(
    context: &Context,
    plan: &SourcePlan,
    reads: &[Reads],
    lacks: impl Fn(&TableName) -> bool,
) -> BTreeMap<TableName, Held> {
    let mut held = BTreeMap::new();
    for (index, group) in plan.groups.iter().enumerate() {
        let mut lacking: Vec<(&[String], &TableName)> = Vec::new();
        for reads in reads.iter().filter(|reads| reads.group == index) {
            let tables = reads.tables.iter().filter(|table| table.schema != Relation::MESSAGE_SCHEMA && lacks(table));
            lacking.extend(tables.map(|table| (&reads.flows[..], table)));
        }
        if lacking.is_empty() {
            continue;
        }
        let begun = begun(context, plan, group).await;
        for (flows, table) in lacking {
            match &begun {
                Ok(begun) => {
                    let readers: Vec<String> = flows.iter().filter(|flow| begun.contains(flow)).cloned().collect();
                    if readers.is_empty() {
                        continue;
                    }
                    match held.entry(table.clone()).or_insert_with(|| Held::By(Vec::new())) {
                        Held::By(all) => all.extend(readers),
                        unknown => *unknown = Held::By(readers),
                    }
                }
                Err(why) => {
                    tracing::debug!(destination = group.slug, "it can't be asked what its flows have read: {why}");
                    held.entry(table.clone()).or_insert_with(|| Held::Unknown { destination: group.slug.clone() });
                }
            }
        }
    }
    held
}

/// Returns the flows of a destination that have read something, or what keeps it from being asked.
async fn begun(context: &Context, plan: &SourcePlan, group: &GroupPlan) -> Result<Vec<String>, String> {
    let session = postgres::Session::destination(context.application_name());
    let client = postgres::connect(&group.connection, &session).await.map_err(|error| Chain(&error).to_string())?;
    let scope = Scope { manifest: context.manifest.clone(), source: plan.slug.clone() };
    let flows = datastore::flows(&client, &scope).await.map_err(|error| Chain(&error).to_string())?;
    // Without flows there may be no tables of ours at all.
    if flows.is_empty() {
        return Ok(Vec::new());
    }
    let saved = datastore::backfills(&client, &scope).await.map_err(|error| Chain(&error).to_string())?;
    let has_begun = |backfill: Option<&String>| backfill.is_none_or(|name| saved.iter().any(|row| row.name == *name));
    Ok(flows.into_iter().filter(|flow| has_begun(flow.backfill.as_ref())).map(|flow| flow.flow).collect())
}
