//! Brings flows back whose slot was lost.
//!
//! A slot that was lost, dropped, moved on, or belongs to another cluster or branch now can't deliver what changed behind
//! the flows' checkpoints. Nothing is skipped: `pelton sync` stops, and this is the way back:
//!
//! 1. The manifest's lock is taken, and only then are checkpoints and slot looked at: what a `sync` that is just ending
//!    confirms must not look like a loss.
//! 2. A slot that is of no use any more is made anew; another stays as it is. Either way there is a snapshot, and the slot
//!    has every change behind it ([`prepare::source_with_snapshot`]).
//! 3. Under that snapshot the flows' tables are compared with the destination's, where nobody else writes: the lock and
//!    the owner's token are ours. What differs is written, and surplus rows are deleted ([`compare`]).
//! 4. The same transaction sets the flows' checkpoints to the snapshot's position, in a new *epoch*: positions of different
//!    epochs don't compare, since another cluster may count from anywhere.
//!
//! So after the commit the destination has the source's rows as of the checkpoint, which is what a checkpoint says. All
//! tables of a destination are mended in one transaction, for they may refer to each other.
//!
//! **Crashes.** Flows whose transaction did not commit still have their former checkpoints, which `sync` goes on refusing
//! for the reason that it refused them before; and the repair begins again, for all flows. Those that were brought back
//! already are compared again. Only a slot that is of no use is ever dropped, and that once every destination has answered.
//!
//! **What can't be compared**, what a component made, tables without a key, and tables of which too much differs, is copied
//! anew: such flows are marked as released, and the next `sync` empties their tables and copies them
//! (`datastore/released.rs`). A flow with `backfill: false` holds just what changed since it began: what it missed can't be
//! found anywhere, so it stops the repair unless the gap is accepted. Where nothing is lost (`always`), such flows are left
//! alone.

mod compare;

use std::sync::Arc;

use tokio_postgres::Client;

use crate::change::{Op, Row, TupleWriter};
use crate::datastore::{self, FlowRow, Owned, Scope, Start, StateTable};
use crate::lsn::Lsn;
use crate::manifest::Manifest;
use crate::postgres::replication::forks;
use crate::postgres::{self, QueryError, quote_table, slot};
use crate::sink::{Addressed, Destination, SinkError, TableTarget, TableWriter};

use super::backfill;
use super::failure::{Chain, EngineError};
use super::plan::{FlowPlan, GroupPlan, SourcePlan, TransformKind, TransformPlan};
use super::prepare::{self, Source};
use super::transform::Runner;
use super::{Context, Options, Problem, begin, destination, load};
use compare::Side;

/// More keys than this are not fetched of a table, nor more bytes of all tables' rows that differ: then it is copied anew.
const KEYS_MAX: u64 = 500_000;
const BYTES_MAX: usize = 64 << 20;

/// How flows are to be repaired.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairOptions {
    /// Compare even if nothing seems to be lost.
    pub always: bool,
    /// Flows with `backfill: false` go on without what they missed.
    pub accept_gap: bool,
    /// Say what is lost and what would be done, and change nothing.
    pub dry_run: bool,
}

/// What became of a source.
#[derive(Clone, Debug)]
pub struct SourceRepair {
    pub source: String,
    pub slot: String,
    /// What was lost; `None`: nothing.
    pub lost: Option<String>,
    pub flows: Vec<FlowRepair>,
}

/// What became of a flow.
#[derive(Clone, Debug)]
pub struct FlowRepair {
    pub flow: String,
    pub destination: String,
    pub outcome: Repaired,
}

/// How a flow goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// Its table is what the source's was at the new slot's first position.
    Compared(Differences),
    /// The next `sync` copies it anew, for this reason.
    CopiedAnew(String),
    /// Nothing was lost, so it was left alone: it can't be compared, for this reason.
    LeftAlone(String),
    /// What it missed stays missing.
    WithGap,
    /// Nothing was changed.
    Planned,
}

/// What a comparison found and mended. Counts of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Rows of the source's table.
    pub rows: u64,
    /// Rows of both ends of which at least the key was carried over to be looked at.
    pub fetched: u64,
    pub written: u64,
    pub deleted: u64,
}

/// Brings back every flow of a manifest whose slot was lost. `told` hears of each source when it is done.
///
/// # Errors
/// The first thing that keeps a source's flows from being brought back, for each source.
pub async fn repair(
    manifest: &Manifest,
    options: Options,
    how: RepairOptions,
    mut told: impl FnMut(SourceRepair),
) -> Result<(), Vec<Problem>> {
    let (plan, context) = begin(manifest, options)?;
    let mut problems = Vec::new();
    for source in &plan.sources {
        match repair_source(&context, source, how).await {
            Ok(repaired) => told(repaired),
            Err(error) => problems.push(Problem::of(&source.slug, None, &error)),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

async fn repair_source(
    context: &Arc<Context>,
    plan: &SourcePlan,
    how: RepairOptions,
) -> Result<SourceRepair, EngineError> {
    let scope = Scope { manifest: context.manifest.clone(), source: plan.slug.clone() };
    let client = prepare::own(context, plan).await?;
    let (mut clients, mut rows) = (Vec::new(), Vec::new());
    for group in &plan.groups {
        let client = destination::connect(context, &plan.slug, group).await?;
        let found = datastore::flows(&client, &scope).await;
        let mut found = found.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        // What the manifest no longer names holds nothing back, and its checkpoint stands still for ever.
        found.retain(|row| flow_of(group, row).is_some());
        rows.push(found);
        clients.push(client);
    }
    let flows: Vec<(&FlowPlan, &FlowRow)> = plan
        .groups
        .iter()
        .zip(&rows)
        .flat_map(|(group, rows)| rows.iter().filter_map(move |row| Some((flow_of(group, row)?, row))))
        .collect();
    let lost = lost(context, plan, &client, &flows).await?;
    let mut repaired =
        SourceRepair { source: plan.slug.clone(), slot: plan.config.slot_name.clone(), lost, flows: Vec::new() };
    if flows.is_empty() || (repaired.lost.is_none() && !how.always) {
        return Ok(repaired);
    }
    let is_lost = repaired.lost.is_some();
    if is_lost {
        refuse_gaps(plan, &flows, how)?;
    }
    if how.dry_run {
        for (group, rows) in plan.groups.iter().zip(&rows) {
            let one = |row: &FlowRow| outcome(group, &row.flow, Repaired::Planned);
            repaired.flows.extend(rows.iter().map(one));
        }
        return Ok(repaired);
    }
    let epoch = flows.iter().map(|(_, row)| row.epoch.max(1).cast_unsigned()).max().unwrap_or(1);
    let (source, mut snapshot) = prepare::source_with_snapshot(context, plan, client).await?;
    let start = Start {
        lsn: snapshot.consistent_point,
        system_identifier: source.system_identifier.clone(),
        timeline: source.timeline,
        slot_name: source.slot.clone(),
    };
    for (group, mut client) in plan.groups.iter().zip(clients) {
        let migrated = datastore::migrate(&mut client).await;
        migrated.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        let taken = datastore::take_over(&mut client, &scope, &[], &[], &start).await;
        let owned = taken.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        let work = Group {
            context,
            plan: group,
            source: &source,
            client: &client,
            owned: &owned,
            start: &start,
            epoch: epoch + u32::from(is_lost),
            is_lost,
        };
        let done = tokio::select! {
            done = work.repair(&snapshot.name) => done?,
            error = snapshot.keeper.lost() => {
                return Err(EngineError::Replication { slug: plan.slug.clone(), source: error });
            }
        };
        repaired.flows.extend(done);
    }
    Ok(repaired)
}

fn flow_of<'a>(group: &'a GroupPlan, row: &FlowRow) -> Option<&'a FlowPlan> {
    group.transforms.iter().flat_map(|transform| &transform.flows).find(|flow| flow.name == row.flow)
}

fn outcome(group: &GroupPlan, flow: &str, outcome: Repaired) -> FlowRepair {
    FlowRepair { flow: flow.to_owned(), destination: group.slug.clone(), outcome }
}

/// Says what keeps the flows from going on; `None` when they can.
async fn lost(
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
    let never_back = |(plan, row): &&(&FlowPlan, &FlowRow)| row.released && !plan.table.backfill;
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
fn refuse_gaps(plan: &SourcePlan, flows: &[(&FlowPlan, &FlowRow)], how: RepairOptions) -> Result<(), EngineError> {
    let has_gap = |flow: &FlowPlan| !flow.table.backfill && flows.iter().any(|(known, _)| known.name == flow.name);
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
        if let Some(other) = transform.flows.iter().find(|flow| is_component && flow.table.backfill) {
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

/// The flows of one destination.
struct Group<'a> {
    context: &'a Arc<Context>,
    plan: &'a GroupPlan,
    source: &'a Source,
    client: &'a Client,
    owned: &'a Owned,
    start: &'a Start,
    epoch: u32,
    is_lost: bool,
}

/// A table that is compared.
struct Compared {
    flow: String,
    writer: TableWriter,
    source: Table,
    destination: Table,
    key: Vec<usize>,
}

/// One end of it.
struct Table {
    from: String,
    columns: Vec<String>,
}

/// What is to be written into a table.
#[derive(Default)]
struct Mend {
    surplus: Vec<Row>,
    changed: Vec<Row>,
}

/// Why flows are not compared, and which.
type Others = Vec<(Vec<String>, String)>;

impl Group<'_> {
    /// Brings the flows back.
    async fn repair(&self, snapshot: &str) -> Result<Vec<FlowRepair>, EngineError> {
        let reader = self.reader(snapshot).await?;
        let (mut compared, mut others, mut gaps) = (Vec::new(), Others::new(), Vec::new());
        for transform in &self.plan.transforms {
            let known = |flow: &&FlowPlan| self.owned.flows.iter().any(|row| row.flow == flow.name);
            let (whole, partial): (Vec<&FlowPlan>, Vec<&FlowPlan>) =
                transform.flows.iter().filter(known).partition(|flow| flow.table.backfill);
            gaps.extend(partial.iter().map(|flow| flow.name.clone()));
            if whole.is_empty() {
                continue;
            }
            match self.comparable(transform, &whole, &reader).await? {
                Ok(tables) => compared.extend(tables),
                Err(why) => others.push((whole.iter().map(|flow| flow.name.clone()).collect(), why)),
            }
        }
        let begin = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = 0; SET LOCAL jit = off";
        self.client.batch_execute(begin).await.map_err(self.at_destination("begin"))?;
        let done = self.in_transaction(compared, others, gaps, &reader).await;
        crate::fault::point("before-repaired");
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.client.batch_execute(end).await.map_err(self.at_destination("end a transaction"));
        let done = done?;
        ended.map(|()| done)
    }

    async fn in_transaction(
        &self,
        compared: Vec<Compared>,
        mut others: Others,
        gaps: Vec<String>,
        reader: &Client,
    ) -> Result<Vec<FlowRepair>, EngineError> {
        datastore::lock(self.client, self.owned).await.map_err(self.refused())?;
        let mut done = Vec::new();
        let (mut names, mut mends, mut writers, mut found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut room = BYTES_MAX;
        for table in compared {
            match self.differences(&table, reader, &mut room).await? {
                Some((differences, mend)) => {
                    names.push(table.flow);
                    mends.push(mend);
                    writers.push(table.writer);
                    found.push(differences);
                }
                None => others.push((vec![table.flow], "too much of it differs".to_owned())),
            }
        }
        let savepoint = "SAVEPOINT pelton_repair";
        self.client.batch_execute(savepoint).await.map_err(self.at_destination("set a savepoint"))?;
        let mut go_on = match self.write(Destination::new(writers), &mends).await {
            Ok(()) => {
                let compared = names.iter().zip(&found);
                done.extend(compared.map(|(flow, found)| outcome(self.plan, flow, Repaired::Compared(*found))));
                names
            }
            // Constraints that refuse the order, as where two rows have swapped a unique value.
            Err(SinkError::Refused { source, .. }) if source.sqlstate.starts_with("23") => {
                let back = "ROLLBACK TO SAVEPOINT pelton_repair";
                self.client.batch_execute(back).await.map_err(self.at_destination("roll back"))?;
                others.push((names, "constraints of the destination refuse what differs".to_owned()));
                Vec::new()
            }
            Err(source) => return Err(EngineError::Sink { slug: self.plan.slug.clone(), source }),
        };
        if self.is_lost {
            done.extend(gaps.iter().map(|flow| outcome(self.plan, flow, Repaired::WithGap)));
            go_on.extend(gaps);
        } else {
            others.push((gaps, "it has `backfill: false`".to_owned()));
        }
        datastore::go_on(self.client, self.owned, &go_on, self.start, self.epoch).await.map_err(self.refused())?;
        for (flows, why) in others {
            if self.is_lost {
                datastore::copy_anew(self.client, self.owned, &flows, self.start, self.epoch)
                    .await
                    .map_err(self.refused())?;
            }
            done.extend(flows.iter().map(|flow| {
                let why = why.clone();
                let told = if self.is_lost { Repaired::CopiedAnew(why) } else { Repaired::LeftAlone(why) };
                outcome(self.plan, flow, told)
            }));
        }
        Ok(done)
    }

    fn refused(&self) -> impl Fn(datastore::DataStoreError) -> EngineError {
        let slug = self.plan.slug.clone();
        move |source| EngineError::DataStore { slug: slug.clone(), source }
    }

    fn at_destination(&self, act: &'static str) -> impl Fn(tokio_postgres::Error) -> EngineError {
        let refused = self.refused();
        move |source| refused(datastore::DataStoreError::query(act)(source))
    }

    fn at_source(&self, doing: &'static str) -> impl Fn(tokio_postgres::Error) -> EngineError {
        let slug = self.source.slug.clone();
        move |error| EngineError::Source { slug: slug.clone(), source: QueryError::new(doing, error) }
    }

    /// Connects to the source once more, for a transaction under the snapshot.
    async fn reader(&self, snapshot: &str) -> Result<Client, EngineError> {
        let session = postgres::Session::source(self.context.application_name());
        let reader = postgres::connect(&self.source.connection, &session).await;
        let reader =
            reader.map_err(|source| EngineError::Connect { role: "source", slug: self.source.slug.clone(), source })?;
        let begin = backfill::begin_under(snapshot);
        reader.batch_execute(&begin).await.map_err(self.at_source("take the snapshot"))?;
        Ok(reader)
    }

    /// Makes what is needed to compare a transform's flows, or says why they can't be.
    async fn comparable(
        &self,
        transform: &TransformPlan,
        flows: &[&FlowPlan],
        reader: &Client,
    ) -> Result<Result<Vec<Compared>, String>, EngineError> {
        let refuse = |why: &str| Ok(Err(why.to_owned()));
        if self.plan.event_store {
            return refuse("consumers have read what was published, so it is published anew, in a later epoch");
        }
        if matches!(transform.kind, TransformKind::Wasm(_)) {
            return refuse("what a component made can't be compared with the source");
        }
        let is_copied = |row: &FlowRow| row.backfill.is_none() && !row.released;
        let row = |flow: &FlowPlan| self.owned.flows.iter().find(|row| row.flow == flow.name);
        if !flows.iter().all(|flow| row(flow).is_some_and(is_copied)) {
            return refuse("it was not copied to the end");
        }
        let state = StateTable { scope: self.owned.scope.clone(), transform: transform.name.clone() };
        let runner = load::runner(self.context, self.source, self.plan, transform, &state).await?;
        let Runner::Table(projection) = runner else { return refuse("it is no table") };
        let public = projection.public_schema();
        let read = |(schema, table): &&(String, String)| projection.reads(schema, table);
        let names: Vec<(String, String)> = self.source.tables.iter().filter(read).cloned().collect();
        let reading = |source| EngineError::BackfillRead { slug: self.source.slug.clone(), source };
        let published = self.source.published(&names);
        let plans = backfill::plan_tables(&self.source.client, &self.source.publication, &published).await;
        let plans = plans.map_err(reading)?;
        let [table] = &plans[..] else { return refuse("its table is published as several") };
        let locked = reader.batch_execute(&backfill::lock(table)).await;
        locked.map_err(self.at_source("lock a table against being rewritten"))?;
        let rewritten = reader.query_one(backfill::WAS_REWRITTEN, &[&table.relation.oid]).await;
        let rewritten = rewritten.and_then(|row| row.try_get::<_, bool>(0));
        if rewritten.map_err(self.at_source("look whether a table was rewritten"))? {
            return Err(reading(backfill::ReadError::Rewritten { table: table.name() }));
        }
        let mut compared = Vec::new();
        for flow in flows {
            let target = TableTarget {
                schema: flow.table.table.schema.clone(),
                table: flow.table.table.name.clone(),
                create_table: flow.table.create_table,
                public: public.clone(),
                exact: true,
            };
            let from = quote_table(&target.schema, &target.table);
            let writer = TableWriter::prepare(self.client, target).await;
            let writer = writer.map_err(|source| EngineError::Sink { slug: self.plan.slug.clone(), source })?;
            if let Some(why) = writer.incomparable() {
                return refuse(why);
            }
            compared.push(Compared {
                flow: flow.name.clone(),
                writer,
                source: Table {
                    from: backfill::from(table),
                    columns: compare::quoted(projection.sources().iter().map(String::as_str)),
                },
                destination: Table {
                    from,
                    columns: compare::quoted(public.columns.iter().map(|column| &*column.name)),
                },
                key: public.key(),
            });
        }
        Ok(Ok(compared))
    }

    /// Finds what differs; `None` when that is too much. `room` is what is left for rows, in bytes.
    async fn differences(
        &self,
        table: &Compared,
        reader: &Client,
        room: &mut usize,
    ) -> Result<Option<(Differences, Mend)>, EngineError> {
        let (at_source, at_destination) = (self.at_source("compare a table"), self.at_destination("compare a table"));
        let side =
            |client, table: &Table, key| Side { client, from: table.from.clone(), columns: table.columns.clone(), key };
        let source = side(reader, &table.source, &table.key[..]);
        let destination = side(self.client, &table.destination, &table.key[..]);
        let rows = source.count().await.map_err(&at_source)?;
        let buckets = compare::buckets(rows);
        // Both ends work at the same time.
        let (there, here) = tokio::join!(source.sums(buckets), destination.sums(buckets));
        let (there, here) = (there.map_err(&at_source)?, here.map_err(&at_destination)?);
        let (differing, fetched) = compare::differing(&there, &here);
        let mut found = Differences { rows, fetched, ..Differences::default() };
        let mut mend = Mend::default();
        if differing.is_empty() {
            return Ok(Some((found, mend)));
        }
        if fetched > KEYS_MAX {
            return Ok(None);
        }
        let (there, here) = tokio::join!(source.keys(buckets, &differing), destination.keys(buckets, &differing));
        let (there, here) = (there.map_err(&at_source)?, here.map_err(&at_destination)?);
        let width = table.source.columns.len();
        let mut writer = TupleWriter::default();
        for key in here.keys().filter(|key| !there.contains_key(*key)) {
            writer.begin();
            for column in 0..width {
                match table.key.iter().position(|&k| k == column).map(|at| key[at].as_deref()) {
                    Some(Some(text)) => writer.text(text.as_bytes()),
                    Some(None) => writer.null(),
                    None => writer.unchanged(),
                }
            }
            writer.end();
        }
        let row = |op| move |values| Row { public_schema: 0, op, source: 0, values, old_key: None };
        mend.surplus = writer.finish().into_iter().map(row(Op::Delete)).collect();
        let differs = |key: &compare::Key| there.get(key).is_some_and(|digest| here.get(key) != Some(digest));
        let mut writer = TupleWriter::default();
        let most = *room;
        let take = |columns: &[Option<&str>]| {
            writer.begin();
            for column in columns {
                match column {
                    Some(text) => writer.text(text.as_bytes()),
                    None => writer.null(),
                }
            }
            writer.end();
            writer.bytes() <= most
        };
        if !source.rows(buckets, &differing, differs, take).await.map_err(&at_source)? {
            return Ok(None);
        }
        *room -= writer.bytes();
        // An update of all columns: it is written whether or not the row is there.
        mend.changed = writer.finish().into_iter().map(row(Op::Update)).collect();
        (found.deleted, found.written) = (mend.surplus.len() as u64, mend.changed.len() as u64);
        Ok(Some((found, mend)))
    }

    /// Deletes what is surplus, of tables that refer to others first, and writes what differs, of those that are referred
    /// to first.
    async fn write(&self, mut into: Destination, mends: &[Mend]) -> Result<(), SinkError> {
        let order = into.parents_first().to_vec();
        for &table in order.iter().rev() {
            let rows: Vec<Addressed<'_>> = mends[table].surplus.iter().map(|row| Addressed { table, row }).collect();
            into.write(self.client, &rows).await?;
        }
        for &table in &order {
            let rows: Vec<Addressed<'_>> = mends[table].changed.iter().map(|row| Addressed { table, row }).collect();
            into.write(self.client, &rows).await?;
        }
        Ok(())
    }
}
