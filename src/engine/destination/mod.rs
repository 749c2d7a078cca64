//! Opens a group: connects its destination, takes the flows over, and starts the tasks that feed it.

mod flows;
mod opening;
mod part;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::batch::Cut;
use crate::datastore::{self, DataStoreError, NewFlow, Owned, Scope};
use crate::eventstore;
use crate::lsn::Lsn;
use crate::postgres::{self, Backoff};
use crate::sink::{Destination, TableWriter, Writer as Writes};

use super::failure::{Chain, EngineError, Verdict};
use super::group::{Event, Failure, Prepared, Transforming, Writer};
use super::plan::GroupPlan;
use super::prepare::Source;
use super::publish::Publishing;
use super::rejot::{self, Left};
use super::stopped;
use super::transform::Running;
use super::{Context, Problem};

use self::flows::{least_checkpoint, new_flows};
use self::opening::Opening;

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
        let mut opening = Opening {
            context,
            client: &mut client,
            plan,
            source,
            owned: &owned,
            start: &start,
            segment: segment.as_ref(),
            left: &left,
            saved: &saved,
            first_table: if plan.event_store { 0 } else { tables.len() },
        };
        let ready = opening.open(transform).await;
        match ready {
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
/// run in a session of its own, and a guest that asks to be called again asks for itself.
fn of_group(error: &EngineError) -> bool {
    let of_transform =
        matches!(error, EngineError::NotPublishedYet { .. } | EngineError::PublicSql { .. } | EngineError::Guest(_));
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
    connect_as(plan, name).await
}

/// Connects to a destination to look for deployments. A takeover does not mistake it for a session that writes; and no lock
/// is waited for long, for what it does can be done later.
///
/// # Errors
/// It can't be reached.
pub async fn connect_to_deploy(context: &Context, plan: &GroupPlan) -> Result<Client, EngineError> {
    let client = connect_as(plan, format!("{} deploy", context.application_name())).await?;
    let set = client.batch_execute("SET lock_timeout = '2s'").await.map_err(DataStoreError::query("set lock_timeout"));
    set.map_err(|source| EngineError::DataStore { slug: plan.slug.clone(), source })?;
    Ok(client)
}

async fn connect_as(plan: &GroupPlan, name: String) -> Result<Client, EngineError> {
    let session = postgres::Session::destination(name);
    postgres::connect(&plan.connection, &session).await.map_err(|source| EngineError::Connect {
        role: "destination",
        slug: plan.slug.clone(),
        source,
    })
}
