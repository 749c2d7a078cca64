//! Opens a group: connects its destination, takes the flows over, and starts the tasks that feed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::batch::Cut;
use crate::change::Position;
use crate::datastore::{self, BackfillRow, DataStoreError, FlowRow, NewFlow, Owned, Scope, StateTable};
use crate::eventstore::{self, Appender, Publisher};
use crate::fault;
use crate::lsn::Lsn;
use crate::postgres::{self, Backoff};
use crate::sink::{Addressed, Destination, TableWriter, Writer as Writes};

use super::copying::{self, Copying};
use super::failure::{Chain, EngineError, Verdict};
use super::group::{Event, Failure, Prepared, Transforming, Writer};
use super::output;
use super::plan::{FlowPlan, GroupPlan, TransformKind, TransformPlan};
use super::prepare::Source;
use super::publish::Publishing;
use super::rejot::{self, Left};
use super::stopped;
use super::target::Place;
use super::transform::{FlowTarget, Runner, Running};
use super::{Context, Problem, load};

/// What is to be opened.
pub struct Target<'a> {
    /// The group's number in its run.
    pub index: usize,
    pub plan: &'a GroupPlan,
    pub source: &'a Source,
    /// The destinations that are open already, by slug.
    pub others: &'a [(String, DatabaseId)],
    pub events: mpsc::UnboundedSender<Event>,
    pub taken: Arc<Notify>,
}

/// Tells databases apart, whatever they are called: the cluster's system identifier and the database's OID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseId(String);

/// A group, as far as it could be opened.
pub struct Opened {
    /// `None` when no transform of it can run.
    pub running: Option<RunningGroup>,
    /// Transforms that can't run, their checkpoints unless they are released, and why.
    pub refused: Vec<(String, Option<Lsn>, EngineError)>,
    /// Transforms that do not take part for now, and their checkpoints; without those that are released.
    pub left_out: Vec<(String, Lsn)>,
    /// Our right to write the group.
    pub owned: Owned,
    pub database: Option<DatabaseId>,
}

/// A group at work.
pub struct RunningGroup {
    pub batches: mpsc::Sender<Cut>,
    pub task: JoinHandle<()>,
    /// The least checkpoint of its transforms.
    pub from: Lsn,
    pub tables: Vec<(String, String)>,
    /// The same of each of its transforms.
    pub reads: Vec<Vec<(String, String)>>,
    /// True while rows are being copied.
    pub copying: Arc<AtomicBool>,
    pub owned: Owned,
    /// Its transforms and their flows.
    pub transforms: Vec<(String, Vec<String>)>,
    /// The transactions that ReJot stored there, of those that may come again, in order.
    pub stored_by_rejot: Vec<Lsn>,
}

/// Opens a group. `without` tells which transforms stay stopped.
///
/// # Errors
/// The destination can't be reached or used at all. What concerns one transform is in [`Opened::refused`].
pub async fn open(
    context: &Arc<Context>,
    target: Target<'_>,
    without: impl Fn(&str) -> bool,
) -> Result<Opened, EngineError> {
    let Target { index, plan, source, others, events, taken } = target;
    let slug = &plan.slug;
    let mut client = connect(context, &source.slug, plan).await?;
    let database = database(&client).await;
    // Both would take the flows from each other, and write one transform's state twice.
    if let Some((other, _)) = others.iter().find(|(_, other)| database.as_ref() == Some(other)) {
        let what = format!("destinations `{other}` and `{slug}` are the same database");
        let hint = Some(format!("let the consumers of `{slug}` name `{other}`, so that they commit together"));
        return Err(EngineError::Setup { what, hint });
    }
    let data_store = |source| EngineError::DataStore { slug: slug.clone(), source };
    let migrated = datastore::migrate(&mut client).await.map_err(data_store)?;
    if !migrated.is_empty() {
        tracing::info!(destination = slug, "made `rejot_data_store` (migrations {migrated:?})");
    }
    let mut segment = None;
    if plan.event_store {
        rejot::has_stopped(context, &client, plan, source).await?;
        let migrated = datastore::apply(&mut client, &datastore::EVENTS).await.map_err(data_store)?;
        if !migrated.is_empty() {
            tracing::info!(event_store = slug, "made `rejot_events` (migrations {migrated:?})");
        }
        let newest = eventstore::newest_segment(&client).await.map_err(data_store)?;
        segment = Some(Arc::new(AtomicI32::new(newest)));
    }
    let scope = Scope { manifest: context.manifest.clone(), source: source.slug.clone() };
    let known = datastore::flows(&client, &scope).await.map_err(data_store)?;
    let mut left = Left::look(&client, context, plan, source, &known).await?;
    let wanted: Vec<NewFlow> =
        plan.transforms.iter().flat_map(|transform| new_flows(transform, &known, &left)).collect();
    let start = datastore::Start {
        lsn: source.confirmed,
        system_identifier: source.system_identifier.clone(),
        timeline: source.timeline,
        slot_name: source.slot.clone(),
    };
    let left_out = plan.transforms.iter().filter(|transform| without(&transform.name));
    let stopped: Vec<String> =
        left_out.flat_map(|transform| transform.flows.iter().map(|flow| flow.name.clone())).collect();
    let owned = datastore::take_over(&mut client, &scope, &wanted, &stopped, &start).await.map_err(data_store)?;
    source.goes_on(&owned.flows);
    left.forget(&client, &context.manifest, plan, &wanted).await?;

    let mut opened =
        Opened { running: None, refused: Vec::new(), left_out: Vec::new(), owned: owned.clone(), database };
    let mut transforms: Vec<Running> = Vec::new();
    let mut tables: Vec<Writes> = Vec::new();
    if plan.event_store {
        let writer = TableWriter::prepare(&client, eventstore::events_table()).await;
        tables.push(writer.map_err(|source| EngineError::Sink { slug: slug.clone(), source })?.into());
    }
    let saved = datastore::backfills(&client, &scope).await.map_err(data_store)?;
    for transform in &plan.transforms {
        if without(&transform.name) {
            let from = least_checkpoint(transform, &owned.flows, source);
            opened.left_out.extend(from.map(|from| (transform.name.clone(), from)));
            continue;
        }
        let ready = async {
            let mut parts = Vec::new();
            let mut writers = Vec::new();
            let anew = anew(transform, &owned.flows, source, &start)?;
            let together = together(transform, anew.as_ref().unwrap_or(&owned.flows));
            for part in &together {
                for row in &part.rows {
                    source.check_checkpoint(row)?;
                    source.check_branch(row).await?;
                }
                if anew.is_none() && part.rows.iter().any(|row| row.timeline != Some(source.timeline)) {
                    let flows: Vec<String> = part.rows.iter().map(|row| row.flow.clone()).collect();
                    let put = datastore::put_timeline(&client, &owned, &flows, source.timeline).await;
                    put.map_err(data_store)?;
                }
                let first_table = if plan.event_store { 0 } else { tables.len() + writers.len() };
                let opening = Part {
                    context,
                    client: &client,
                    group: plan,
                    source,
                    transform,
                    owned: &owned,
                    start: &start,
                    anew: anew.is_some(),
                    segment: segment.as_ref(),
                    left: &left,
                };
                let (running, more) = opening.open(part, together.len(), first_table, &saved).await?;
                parts.push(running);
                writers.extend(more);
            }
            Ok((parts, writers))
        };
        match ready.await {
            Ok((parts, writers)) => {
                transforms.extend(parts);
                tables.extend(writers);
            }
            Err(error) if of_group(&error) => return Err(error),
            Err(error) => {
                let names: Vec<String> = transform.flows.iter().map(|flow| flow.name.clone()).collect();
                let problem = Problem::of(&source.slug, Some(&transform.name), &error);
                stopped::mark(&client, &owned, &names, &problem, false).await;
                // One that was released may have begun anew by now.
                let rows = datastore::flows(&client, &scope).await.map_err(data_store)?;
                let from = least_checkpoint(transform, &rows, source);
                opened.refused.push((transform.name.clone(), from, error));
            }
        }
    }
    if transforms.is_empty() {
        return Ok(opened);
    }
    let session = datastore::Session::prepare(&client, owned.clone()).await.map_err(data_store)?;
    let names: Vec<(String, Vec<String>)> = transforms
        .iter()
        .map(|transform| (transform.name.clone(), transform.flows.iter().map(|flow| flow.name.clone()).collect()))
        .collect();
    let from = transforms.iter().map(|transform| transform.from).min().expect("there is a transform");
    let goes_on = |publishing: &&Publishing| !publishing.began_anew();
    let streams = transforms.iter().flat_map(|transform| &transform.publishing).filter(goes_on);
    let streams: Vec<i32> = streams.flat_map(Publishing::streams).collect();
    let stored_by_rejot = left.stored(&client, plan, source, &streams).await?;
    let mut whole = vec![false; tables.len()];
    transforms.iter().flat_map(|transform| &transform.flows).for_each(|flow| whole[flow.table] = flow.whole);
    let writer = Writer {
        group: index,
        slug: slug.clone(),
        client,
        session,
        destination: Destination::new(tables),
        segment,
        whole,
        told_missing: Vec::new(),
        flows: names.iter().flat_map(|(_, flows)| flows.clone()).collect(),
        states: transforms.iter().map(|transform| transform.state.clone()).collect(),
        guests: transforms.iter().filter_map(Running::guest).collect(),
        events: events.clone(),
    };
    let reads_of = |transform: &Running| {
        let reads = |(schema, table): &&(String, String)| transform.runner.reads(schema, table);
        source.tables.iter().filter(reads).cloned().collect::<Vec<_>>()
    };
    let reads: Vec<Vec<(String, String)>> = transforms.iter().map(reads_of).collect();
    let mut tables = reads.concat();
    tables.sort();
    tables.dedup();
    let (batches, received) = mpsc::channel(1);
    let (prepared, rows) = mpsc::channel(1);
    let copying = Arc::new(AtomicBool::new(transforms.iter().any(|transform| transform.copying.is_some())));
    // All write one table of events: what is wrong with it is nobody's own.
    let of_table = if plan.event_store { Vec::new() } else { table_owners(&transforms) };
    let making = Transforming {
        transforms,
        batches: received,
        taken,
        writer: prepared,
        copying: copying.clone(),
        through: from,
        inside: false,
        reports: context.options.copied.clone(),
        slug: slug.clone(),
    };
    let task = tokio::spawn(feed(index, making, of_table, writer, rows, events));
    let transforms = names;
    opened.running =
        Some(RunningGroup { batches, task, from, tables, reads, copying, owned, transforms, stored_by_rejot });
    Ok(opened)
}

/// Tells whether what keeps a transform from being opened will pass, and concerns all of its group. A transform's statements
/// run in a session of its own.
fn of_group(error: &EngineError) -> bool {
    let of_transform = matches!(error, EngineError::NotPublishedYet { .. } | EngineError::PublicSql { .. });
    error.verdict() == Verdict::Retry && !of_transform
}

/// Runs a group's two tasks until both have ended, and says how.
async fn feed(
    index: usize,
    making: Transforming,
    of_table: Vec<usize>,
    writer: Writer,
    rows: mpsc::Receiver<Prepared>,
    events: mpsc::UnboundedSender<Event>,
) {
    let making = AbortOnDrop(tokio::spawn(making.run()));
    let mut written = writer.run(rows).await;
    if let Err(Failure { transform: transform @ None, error: EngineError::Sink { source, .. } }) = &mut written {
        *transform = source.table_index().and_then(|table| of_table.get(table).copied());
    }
    let failure = match written {
        // The transforms wait for a writer that is gone.
        Err(failure) => Some(failure),
        Ok(()) => match making.finish().await {
            Ok(made) => made.err(),
            Err(panic) => Some(Failure { transform: None, error: EngineError::Bug(panic) }),
        },
    };
    // Nobody listens when the source has given up on this group.
    let _ = events.send(Event::Ended { group: index, failure });
}

/// Returns the transform that each table of the destination belongs to.
fn table_owners(transforms: &[Running]) -> Vec<usize> {
    let owners = transforms.iter().enumerate();
    let mut owners: Vec<(usize, usize)> =
        owners.flat_map(|(index, transform)| transform.flows.iter().map(move |flow| (flow.table, index))).collect();
    owners.sort_unstable();
    owners.into_iter().map(|(_, transform)| transform).collect()
}

/// Ends a task with its owner.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn finish(mut self) -> Result<T, String> {
        (&mut self.0).await.map_err(|error| error.to_string())
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns which database it is; `None` where the server does not say.
async fn database(client: &Client) -> Option<DatabaseId> {
    let sql = "SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) || ' ' || oid::text \
               FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
    let row = client.query_one(sql, &[]).await.ok()?;
    row.try_get(0).ok().map(DatabaseId)
}

/// Waits until a destination that was away can be reached again.
pub async fn returns(context: Arc<Context>, source: String, plan: GroupPlan) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        tokio::time::sleep(backoff.next_wait().max(Duration::from_millis(100))).await;
        match connect(&context, &source, &plan).await {
            Ok(_) => return,
            Err(error) => tracing::debug!(source, destination = plan.slug, "still away: {}", Chain(&error)),
        }
    }
}

/// Connects to a destination. The session's name has the source in it: a takeover knows a paused owner's session by it.
///
/// # Errors
/// It can't be reached.
pub async fn connect(context: &Context, source: &str, plan: &GroupPlan) -> Result<Client, EngineError> {
    let name = format!("{} {source}", context.application_name());
    let session = postgres::Session::destination(name);
    postgres::connect(&plan.connection, &session).await.map_err(|source| EngineError::Connect {
        role: "destination",
        slug: plan.slug.clone(),
        source,
    })
}

/// Returns the flows that a destination does not have yet. Those of one transform are copied together, but for those
/// that go on where ReJot `left` off.
fn new_flows(transform: &TransformPlan, known: &[FlowRow], left: &Left) -> Vec<NewFlow> {
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
struct Together<'a> {
    flows: Vec<&'a FlowPlan>,
    rows: Vec<&'a FlowRow>,
    backfill: Option<&'a str>,
    from: Lsn,
}

/// Sorts a transform's flows by where they are: mostly they are all at the same point, but for one that came later and
/// still copies what there was before it.
fn together<'a>(transform: &'a TransformPlan, rows: &'a [FlowRow]) -> Vec<Together<'a>> {
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
fn rows_of<'a>(transform: &'a TransformPlan, rows: &'a [FlowRow]) -> impl Iterator<Item = &'a FlowRow> {
    rows.iter().filter(|row| transform.flows.iter().any(|flow| flow.name == row.flow))
}

/// Returns up to where the source may forget as far as a transform is concerned; `None` when it is released.
fn least_checkpoint(transform: &TransformPlan, rows: &[FlowRow], source: &Source) -> Option<Lsn> {
    if rows_of(transform, rows).any(|row| row.released) {
        return None;
    }
    Some(rows_of(transform, rows).map(|row| row.lsn).min().unwrap_or(source.confirmed))
}

/// Returns how the rows of a released transform's flows begin anew, at `start` and all together; `None` when it was not
/// released and goes on from its checkpoint.
fn anew(
    transform: &TransformPlan,
    rows: &[FlowRow],
    source: &Source,
    start: &datastore::Start,
) -> Result<Option<Vec<FlowRow>>, EngineError> {
    if !rows_of(transform, rows).any(|row| row.released) {
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

/// What it takes to open a transform.
struct Part<'a> {
    context: &'a Arc<Context>,
    client: &'a Client,
    group: &'a GroupPlan,
    source: &'a Source,
    transform: &'a TransformPlan,
    owned: &'a Owned,
    /// Where flows begin.
    start: &'a datastore::Start,
    /// It was released, and begins anew.
    anew: bool,
    /// The segment that events are appended to, where the destination is an event store.
    segment: Option<&'a Arc<AtomicI32>>,
    /// What ReJot left.
    left: &'a Left,
}

impl Part<'_> {
    /// Makes a transform ready to run for flows that are at the same point, and their tables ready to be written.
    async fn open(
        &self,
        together: &Together<'_>,
        parts: usize,
        first_table: usize,
        saved: &[BackfillRow],
    ) -> Result<(Running, Vec<Writes>), EngineError> {
        let Part { context, client, group, source, transform, owned, start, anew, segment: _, left } = *self;
        let scope = &owned.scope;
        let data_store = |source| EngineError::DataStore { slug: group.slug.clone(), source };
        let mut saved = saved;
        if anew {
            let former = rows_of(transform, &owned.flows).filter_map(|row| row.backfill.clone());
            let backfills: Vec<String> = former.chain(together.backfill.map(str::to_owned)).collect();
            datastore::forget(client, owned, &transform.name, &backfills).await.map_err(data_store)?;
            saved = &[];
        }
        let state = StateTable { scope: scope.clone(), transform: transform.name.clone() };
        let runner = load::runner(context, source, group, transform, &state).await?;
        if parts > 1 && runner.is_stateful() {
            return Err(load::flows_apart(transform));
        }
        let public_schemas = runner.public_schemas();
        let mut flows = Vec::new();
        let mut writers = Vec::new();
        let mut appenders: Vec<Option<Appender>> = public_schemas.iter().map(|_| None).collect();
        let mut epoch = together.rows.iter().map(|row| row.epoch.max(1)).max().unwrap_or(1);
        let mut has_past = false;
        for flow in &together.flows {
            let public_schema = public_schemas
                .iter()
                .position(|public| *public.name == *flow.public_schema && public.major == flow.major)
                .ok_or_else(|| load::no_such_public_schema(transform, flow, &public_schemas))?;
            if let Some(segment) = self.segment {
                let public = &public_schemas[public_schema];
                let component_digest = runner.component_digest();
                let publisher = Publisher {
                    manifest: &scope.manifest,
                    source: &scope.source,
                    public,
                    component_digest,
                    taken_over_at: left.taken_over_at,
                };
                let stream = eventstore::register(client, &publisher).await;
                let (stream, copied) =
                    stream.map_err(|source| EngineError::Publish { slug: group.slug.clone(), source })?;
                rejot::tell(&flow.name, copied);
                if let Runner::Sql(sql) = &runner
                    && sql.changes_without_key()
                {
                    let (source, public_schema) = (&source.slug, &flow.name);
                    tracing::info!(
                        source,
                        public_schema,
                        "it has no key: a table that consumes it takes new rows alone"
                    );
                }
                appenders[public_schema] = Some(Appender::new(&stream, public, segment.clone()));
                has_past |= stream.last != Position::START;
                // Behind what is there, also where the source's log is another one; what is behind ReJot's, and does not go on
                // from it, is not of the first.
                let behind = stream.last.epoch == 0 || stream.last.commit_lsn >= start.lsn;
                epoch = epoch.max(stream.last.epoch.max(1) + i32::from(behind));
                let name = flow.name.clone();
                flows.push(FlowTarget { name, public_schema: public_schema as u32, table: 0, whole: true });
                continue;
            }
            if let (Runner::Sql(sql), Some(_)) = (&runner, flow.target.table())
                && sql.changes_without_key()
            {
                return Err(sql.refuse_table(&flow.name));
            }
            let exact = matches!(transform.kind, TransformKind::Table { .. });
            let place = Place { context, slug: &group.slug, connection: &group.connection, client };
            let public = &public_schemas[public_schema];
            writers.push(place.writer(&flow.name, &flow.target, public, exact).await?);
            let table = first_table + flows.len();
            let (name, whole) = (flow.name.clone(), flow.target.is_whole() && !left.may_lack_rows(flow));
            flows.push(FlowTarget { name, public_schema: public_schema as u32, table, whole });
        }
        let is_new = together.backfill.is_some_and(|name| saved.iter().all(|row| row.name != name));
        // A flow that is new, or begins anew, to a stream that has events: what consumers have of it goes first.
        let begins_anew = anew || (has_past && is_new);
        if !begins_anew {
            epoch = together.rows.iter().map(|row| row.epoch.max(1)).max().unwrap_or(1);
        }
        let mut publishing = self.segment.map(|_| Publishing::new(appenders, epoch));
        if begins_anew {
            writers = self.begin_anew(together, writers, publishing.as_mut(), epoch).await?;
        }
        let copies = |(schema, table): &&(String, String)| runner.copies(schema, table);
        let tables: Vec<(String, String)> = source.tables.iter().filter(copies).cloned().collect();
        let copying = match together.backfill {
            None => None,
            Some(name) => {
                let (from, application_name) = (together.from, context.application_name());
                let start = copying::Start { name, tables: &tables, from, saved, application_name };
                match Copying::open(source, start).await? {
                    Some(copying) => Some(copying),
                    None => {
                        datastore::finish_backfills(client, scope, &[name.to_owned()]).await.map_err(data_store)?;
                        None
                    }
                }
            }
        };
        let state = runner.is_stateful().then_some(state);
        let outputs = output::checks(client, group, scope, transform, &public_schemas).await?;
        let (name, from) = (transform.name.clone(), together.from);
        let running = Running { name, runner, flows, from, copying, state, outputs, publishing };
        Ok((running, writers))
    }

    /// Empties the tables of flows that were released, and lifts the release with it.
    async fn begin_anew(
        &self,
        together: &Together<'_>,
        writers: Vec<Writes>,
        publishing: Option<&mut Publishing>,
        epoch: i32,
    ) -> Result<Vec<Writes>, EngineError> {
        let Part { client, group, source, transform, owned, start, anew, .. } = *self;
        let refused = |source| EngineError::DataStore { slug: group.slug.clone(), source };
        let server = |act| move |source| refused(DataStoreError::query(act)(source));
        let flows: Vec<String> = together.flows.iter().map(|flow| flow.name.clone()).collect();
        let sink = |source| EngineError::Sink { slug: group.slug.clone(), source };
        // What consumers have of a stream goes with the event that empties it, and comes anew behind that.
        let (mut events, mut destination) = (None, Destination::new(writers));
        if let Some(publishing) = publishing {
            events = Some(publishing.begin_anew(start.lsn)?);
            destination =
                Destination::new(vec![TableWriter::prepare(client, eventstore::events_table()).await.map_err(sink)?]);
        } else if let Some(consumer) = destination.has_statements() {
            return Err(load::statements_anew(transform, consumer));
        } else if let Some(table) = destination.reaches_out() {
            return Err(EngineError::Setup {
                what: format!(
                    "transform `{}` begins anew, and to empty {table} would reach into other tables, by foreign keys with \
                     ON DELETE CASCADE or SET",
                    transform.name
                ),
                hint: Some(format!(
                    "empty {table} and what refers to it yourself, and start all flows that write them anew; or drop the \
                     foreign keys that refer to {table}"
                )),
            });
        }
        client.batch_execute("BEGIN").await.map_err(server("begin"))?;
        let begun = async {
            match &events {
                None => destination.empty(client).await.map_err(sink)?,
                Some(events) => {
                    let events: Vec<Addressed<'_>> = events.iter().map(|row| Addressed { table: 0, row }).collect();
                    destination.write(client, &events).await.map_err(sink)?;
                }
            }
            let backfill = together.backfill.expect("what begins anew is copied");
            datastore::begin_anew(client, owned, &flows, start, backfill, epoch).await.map_err(refused)
        };
        let begun = begun.await;
        fault::point("before-anew");
        let end = if begun.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = client.batch_execute(end).await.map_err(server("end a transaction"));
        begun.and(ended)?;
        fault::point("after-anew");
        let what = match (anew, &events) {
            (true, None) => "was released: its tables are emptied and copied anew",
            (true, Some(_)) => "was released: its streams begin anew",
            (false, _) => "is new to streams that have events: they begin anew",
        };
        tracing::info!(source = source.slug, destination = group.slug, transform = transform.name, "{what}");
        Ok(if events.is_none() { destination.into_writers() } else { Vec::new() })
    }
}
