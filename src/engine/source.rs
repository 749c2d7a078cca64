//! Keeps one source's flows going: owns them, opens a run, and decides what follows when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::batch::BatchLimits;
use crate::datastore::Owned;
use crate::fault;
use crate::lsn::Lsn;
use crate::postgres::Backoff;
use crate::postgres::replication::{ReplicationStream, StreamOptions};
use crate::progress::Progress;

use super::apart::Apart;
use super::deploy::{self, Swaps, Watched};
use super::destination::{self, DatabaseId, Opened, Target};
use super::dispatch::Dispatch;
use super::failure::{Chain, EngineError, Verdict};
use super::group::Failure;
use super::plan::SourcePlan;
use super::prepare;
use super::stopped;
use super::stream::{Group, Outcome, Run};
use super::told::Told;
use super::{Context, Problem};

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(30);
/// A run that lasted this long was a good one: the next failure starts the back-off anew.
const GOOD_RUN: Duration = Duration::from_secs(30);

/// Runs one source's flows until they are caught up, somebody asks to stop, or nothing is left that could run.
///
/// # Errors
/// What stopped flows for good, one problem a transform or one for the source.
pub async fn run(context: Arc<Context>, plan: SourcePlan, mut stop: watch::Receiver<bool>) -> Result<(), Vec<Problem>> {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
    let mut apart = Apart::default();
    let mut until = None;
    // How long what failed last waits for its next try; meanwhile the others go on.
    let mut pause = backoff.next_wait();
    loop {
        let started = Instant::now();
        let mut stopping = stop.clone();
        let ended = tokio::select! {
            ended = run_once(&context, &plan, &mut apart, &mut until, pause, &mut stop) => ended,
            () = asked_during_start(&mut stopping) => Ok(Outcome::Shutdown),
        };
        // One that others went on in while a destination was away says nothing of that destination.
        let away = |failures: &[(usize, Failure)]| failures.iter().any(|(group, _)| *group == usize::MAX);
        if started.elapsed() >= GOOD_RUN && !matches!(&ended, Ok(Outcome::Failed(failures)) if away(failures)) {
            backoff.reset();
        }
        let failures = match ended {
            Ok(Outcome::Shutdown | Outcome::CaughtUp) => break,
            Ok(Outcome::Failed(failures)) => failures,
            Err(error) if error.verdict() == Verdict::Stop => {
                let problem = Problem::of(&plan.slug, None, &error);
                // Other sources go on, and nobody would know until they end.
                problem.log();
                return Err(vec![problem]);
            }
            Err(error) => vec![(usize::MAX, Failure { transform: None, error })],
        };
        let mut wait = false;
        for (_, failure) in &failures {
            let verdict = failure.error.verdict();
            wait |= verdict == Verdict::Retry;
            if verdict == Verdict::Anew {
                tracing::info!(source = plan.slug, "{}; beginning anew with it", Chain(&failure.error));
            } else {
                let hint = failure.error.hint();
                tracing::warn!(source = plan.slug, hint = hint.as_deref().unwrap_or("-"), "{}", Chain(&failure.error));
            }
        }
        let transforms: usize = plan.groups.iter().map(|group| group.transforms.len()).sum();
        if apart.stopped.len() >= transforms {
            break;
        }
        if wait {
            // A run in which others went on has waited already.
            let left = pause.saturating_sub(started.elapsed());
            pause = backoff.next_wait();
            if !left.is_zero() {
                tracing::info!(source = plan.slug, "trying again in {:.1} s", left.as_secs_f64());
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = asked(&mut stop) => break,
            }
        }
    }
    if apart.stopped.is_empty() { Ok(()) } else { Err(apart.stopped.into_values().collect()) }
}

/// Waits until somebody asks to stop.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the process listens to signals.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Gives a run that streams the time to end in good order; one that is still waiting for something ends at once.
async fn asked_during_start(stop: &mut watch::Receiver<bool>) {
    asked(stop).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
}

async fn run_once(
    context: &Arc<Context>,
    plan: &SourcePlan,
    apart: &mut Apart,
    until: &mut Option<Lsn>,
    pause: Duration,
    stop: &mut watch::Receiver<bool>,
) -> Result<Outcome, EngineError> {
    let source = tokio::select! {
        source = prepare::source(context, plan) => source?,
        () = asked(stop) => return Ok(Outcome::Shutdown),
    };
    if context.options.until_caught_up && until.is_none() {
        *until = Some(prepare::end_of_log(&source).await?);
    }
    let mut opening = Opening::default();
    let (events, received) = mpsc::unbounded_channel();
    let taken = Arc::new(Notify::new());
    for group in &plan.groups {
        let without = |name: &str| apart.has(&group.slug, name);
        let target = Target {
            index: opening.groups.len(),
            plan: group,
            source: &source,
            others: &opening.databases,
            events: events.clone(),
            taken: taken.clone(),
        };
        // Opening may wait long: for a former owner's transaction, for running transactions at the source.
        let opened = tokio::select! {
            opened = destination::open(context, target, without) => opened,
            () = asked(stop) => return Ok(Outcome::Shutdown),
        };
        match opened {
            Ok(opened) => opening.take(plan, group.slug.clone(), opened, apart),
            Err(error) if error.verdict() == Verdict::Retry => {
                tracing::warn!(source = plan.slug, destination = group.slug, "{}", Chain(&error));
                // What it has is unknown; that much of the log must be kept.
                opening.progress.durable(&group.slug, source.confirmed);
                opening.away.push((group.slug.clone(), Failure { transform: None, error }));
            }
            Err(error) if error.verdict() == Verdict::Yield => return Err(error),
            Err(error) => {
                for transform in &group.transforms {
                    let problem = Problem::of(&plan.slug, Some(&transform.name), &error);
                    problem.log();
                    apart.stopped.insert((group.slug.clone(), transform.name.clone()), problem);
                }
                opening.progress.durable(&group.slug, source.confirmed);
            }
        }
    }
    drop(events);
    if let Err(error) = opening.release(context, plan).await {
        opening.tasks.iter().for_each(|task| task.abort());
        return Err(error);
    }
    if opening.groups.is_empty() {
        if let (true, Some(until)) = (opening.away.is_empty(), apart.next()) {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = asked(stop) => return Ok(Outcome::Shutdown),
            }
        }
        return Ok(Outcome::Failed(opening.away.into_iter().map(|(_, failure)| (usize::MAX, failure)).collect()));
    }
    let Opening { groups, names, tasks, progress, away, start, .. } = opening;
    let start = start.expect("there is a group");
    let options = StreamOptions::new(&plan.config.slot_name, &plan.config.publication_name, start);
    let started = tokio::select! {
        started = ReplicationStream::start(&plan.connection, options) => started,
        () = asked(stop) => return Ok(Outcome::Shutdown),
    };
    let stream = match started {
        Ok(stream) => stream,
        Err(source) => {
            tasks.iter().for_each(|task| task.abort());
            let error = EngineError::Replication { slug: plan.slug.clone(), source };
            record_stop_of_all(context, plan, &names, &error).await;
            return Err(error);
        }
    };
    tracing::info!(source = plan.slug, slot = plan.config.slot_name, from = %start, "streaming");
    let readers = groups.iter().map(Group::reads).collect();
    let mut returning = JoinSet::new();
    for group in plan.groups.iter().filter(|group| away.iter().any(|(slug, _)| *slug == group.slug)) {
        returning.spawn(destination::returns(context.clone(), plan.slug.clone(), group.clone()));
    }
    let swaps = Arc::new(Swaps::default());
    // They end with the run.
    let mut watching = JoinSet::new();
    for group in plan.groups.iter().filter(|group| away.iter().all(|(slug, _)| *slug != group.slug)) {
        let published = source.tables.clone();
        let watched =
            Watched { source: plan.slug.clone(), group: group.clone(), published, relations: source.relations() };
        if watched.has_components() {
            watching.spawn(deploy::watch(context.clone(), watched, swaps.clone()));
        }
    }
    let run = Run {
        slug: &plan.slug,
        stream,
        groups,
        events: received,
        taken,
        progress,
        catalog: &source,
        until: *until,
        rejoin_after: pause,
        rejoin_at: apart.next(),
        returning,
        swaps: &swaps,
        urgent: false,
        told: Told::default(),
        held_back_bytes_max: plan.config.detached_wal_max_bytes,
    };
    let outcome = run.run(Dispatch::new(readers, BatchLimits::default(), source.epoch(), start), stop).await;
    watching.abort_all();
    swaps.take().iter().for_each(|place| apart.revive(place));
    // The tasks have said that they ended, or are given up: what they had open is rolled back with their connections.
    tasks.iter().for_each(|task| task.abort());
    let mut outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            record_stop_of_all(context, plan, &names, &error).await;
            return Err(error);
        }
    };
    if let Outcome::Failed(failures) = &mut outcome {
        let mut left = Vec::new();
        for (group, failure) in failures.drain(..) {
            let verdict = failure.error.verdict();
            let Names { slug, owned, transforms } = &names[group];
            // An error that no transform owns is its group's.
            let failed = failure.transform.map_or(&transforms[..], |index| &transforms[index..=index]);
            let passes = matches!(verdict, Verdict::Yield | Verdict::Anew);
            if passes || (verdict == Verdict::Retry && failure.transform.is_none()) {
                left.push((group, failure));
                continue;
            }
            let destination = plan.groups.iter().find(|group| group.slug == *slug).expect("a group of the plan");
            for (transform, flows) in failed {
                let problem = Problem::of(&plan.slug, Some(transform), &failure.error);
                let paused = verdict == Verdict::Retry;
                stopped::record_stop(context, destination, owned, flows, &problem, paused).await;
                apart.add(slug, transform, problem, verdict);
            }
        }
        failures.extend(left);
        failures.extend(away.into_iter().map(|(_, failure)| (usize::MAX, failure)));
    }
    Ok(outcome)
}

/// Records for `pelton status` what stopped the source, and all of its flows with it; nothing where it is tried again.
async fn record_stop_of_all(context: &Context, plan: &SourcePlan, names: &[Names], error: &EngineError) {
    if error.verdict() != Verdict::Stop {
        return;
    }
    let problem = Problem::of(&plan.slug, None, error);
    for Names { slug, owned, transforms } in names {
        let destination = plan.groups.iter().find(|group| group.slug == *slug).expect("a group of the plan");
        let flows: Vec<String> = transforms.iter().flat_map(|(_, flows)| flows.clone()).collect();
        stopped::record_stop(context, destination, owned, &flows, &problem, false).await;
    }
}

/// What is needed to say which flows a failure stops.
struct Names {
    slug: String,
    /// Our right to write the group.
    owned: Owned,
    /// Its transforms and their flows.
    transforms: Vec<(String, Vec<String>)>,
}

/// What has been opened for a run.
#[derive(Default)]
struct Opening {
    groups: Vec<Group>,
    names: Vec<Names>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    progress: Progress,
    /// Destinations that could not be reached now, by slug.
    away: Vec<(String, Failure)>,
    /// Transforms that are stopped, and still hold the source's log back.
    detached: Vec<Detached>,
    databases: Vec<(String, DatabaseId)>,
    start: Option<Lsn>,
}

/// A transform that is stopped.
struct Detached {
    /// Names its checkpoint in [`Progress`].
    reader: String,
    slug: String,
    transform: String,
    flows: Vec<String>,
    owned: Owned,
}

impl Opening {
    fn take(&mut self, plan: &SourcePlan, slug: String, opened: Opened, apart: &mut Apart) {
        let Opened { refused, mut left_out, owned, running, database } = opened;
        self.databases.extend(database.map(|database| (slug.clone(), database)));
        for (transform, checkpoint, error) in refused {
            let problem = Problem::of(&plan.slug, Some(&transform), &error);
            apart.add(&slug, &transform, problem, error.verdict());
            left_out.extend(checkpoint.map(|checkpoint| (transform, checkpoint)));
        }
        for (transform, checkpoint) in left_out {
            let reader = format!("{slug}/{transform}");
            if !apart.stopped.contains_key(&(slug.clone(), transform.clone())) {
                // It lags, and comes back by itself.
                self.progress.durable(&reader, checkpoint);
                continue;
            }
            self.progress.detached(&reader, checkpoint);
            let flows = plan.flows(&slug, &transform);
            self.detached.push(Detached { reader, slug: slug.clone(), transform, flows, owned: owned.clone() });
        }
        let Some(running) = running else { return };
        self.progress.durable(&slug, running.from);
        self.start = Some(self.start.map_or(running.from, |start| start.min(running.from)));
        self.names.push(Names { slug: slug.clone(), owned: running.owned, transforms: running.transforms });
        self.tasks.push(running.task);
        self.groups.push(Group {
            reader: slug,
            tables: running.tables,
            transforms: running.reads,
            stored_by_rejot: running.stored_by_rejot,
            copying: running.copying,
            batches: Some(running.batches),
        });
    }

    /// Releases the stopped transforms that hold back more of the source's log than they may.
    ///
    /// That it is released is durable before its checkpoint ceases to count: nothing beyond it is confirmed earlier.
    async fn release(&mut self, context: &Context, plan: &SourcePlan) -> Result<(), EngineError> {
        let Some(bytes_max) = plan.config.detached_wal_max_bytes else { return Ok(()) };
        for Detached { reader, slug, transform, flows, owned } in &self.detached {
            let held_back_bytes = self.progress.held_back_bytes(reader);
            if held_back_bytes <= bytes_max {
                continue;
            }
            let destination = plan.groups.iter().find(|group| group.slug == *slug).expect("a group of the plan");
            match stopped::release(context, destination, owned, flows).await {
                Ok(()) => {
                    fault::point("after-release");
                    self.progress.release(reader);
                    tracing::warn!(
                        source = plan.slug,
                        destination = slug,
                        transform,
                        held_back_bytes,
                        bytes_max,
                        hint = "mend what stopped it and restart `pelton sync`: it empties its tables and copies them anew",
                        "released: it was stopped and held back more write-ahead log than `detachedWalMax` allows"
                    );
                }
                Err(error) if error.verdict() == Verdict::Yield => return Err(error),
                Err(error) => {
                    tracing::warn!(source = plan.slug, transform, "could not be released: {}", Chain(&error));
                    self.progress.keep(reader);
                }
            }
        }
        Ok(())
    }
}
