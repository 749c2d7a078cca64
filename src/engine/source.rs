//! Keeps one source's flows going: owns them, opens a run, and decides what follows when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use crate::batch::BatchLimits;
use crate::datastore::Owned;
use crate::lsn::Lsn;
use crate::postgres::Backoff;
use crate::postgres::replication::{ReplicationStream, StreamOptions};
use crate::progress::Progress;

use super::destination::{self, Opened, Target};
use super::dispatch::Dispatch;
use super::failure::{Chain, EngineError, Verdict};
use super::group::Failure;
use super::plan::SourcePlan;
use super::prepare;
use super::stream::{Group, Outcome, Run};
use super::{Context, Problem};

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(30);
/// A run that lasted this long was a good one: the next failure starts the back-off anew.
const GOOD_RUN: Duration = Duration::from_secs(30);
/// How long the first try to reach a destination that went away waits, while others go on.
const REJOIN_FIRST: Duration = Duration::from_secs(1);

/// Where a transform stopped for good, until the process is restarted.
type Stopped = BTreeMap<(String, String), Problem>;

/// Runs one source's flows until they are caught up, somebody asks to stop, or nothing is left that could run.
///
/// # Errors
/// What stopped flows for good, one problem a transform or one for the source.
pub async fn run(context: Arc<Context>, plan: SourcePlan, mut stop: watch::Receiver<bool>) -> Result<(), Vec<Problem>> {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
    let mut stopped = Stopped::new();
    let mut until = None;
    loop {
        let started = std::time::Instant::now();
        let mut stopping = stop.clone();
        let ended = tokio::select! {
            ended = run_once(&context, &plan, &mut stopped, &mut until, &mut stop) => ended,
            () = asked_during_start(&mut stopping) => Ok(Outcome::Shutdown),
        };
        if started.elapsed() >= GOOD_RUN {
            backoff.reset();
        }
        let failures = match ended {
            Ok(Outcome::Shutdown | Outcome::CaughtUp) => break,
            Ok(Outcome::Failed(failures)) => failures,
            Err(error) => match error.verdict() {
                Verdict::Stop => return Err(vec![Problem::of(&plan.slug, None, &error)]),
                Verdict::Retry | Verdict::Yield | Verdict::Anew => {
                    vec![(usize::MAX, Failure { transform: None, error })]
                }
            },
        };
        let mut wait = false;
        for (_, failure) in failures {
            match failure.error.verdict() {
                Verdict::Retry => {
                    wait = true;
                    tracing::warn!(source = plan.slug, "{}", Chain(&failure.error));
                }
                Verdict::Anew => {
                    tracing::info!(source = plan.slug, "{}; beginning anew with it", Chain(&failure.error))
                }
                Verdict::Yield => tracing::warn!(source = plan.slug, "{}", Chain(&failure.error)),
                // Those are in `stopped` already.
                Verdict::Stop => {}
            }
        }
        let transforms: usize = plan.groups.iter().map(|group| group.transforms.len()).sum();
        if stopped.len() >= transforms {
            break;
        }
        if wait {
            let pause = backoff.next_wait();
            tracing::info!(source = plan.slug, "trying again in {:.1} s", pause.as_secs_f64());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = asked(&mut stop) => break,
            }
        }
    }
    if stopped.is_empty() { Ok(()) } else { Err(stopped.into_values().collect()) }
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
    stopped: &mut Stopped,
    until: &mut Option<Lsn>,
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
        let without = |name: &str| stopped.contains_key(&(group.slug.clone(), name.to_owned()));
        let target = Target {
            index: opening.groups.len(),
            plan: group,
            source: &source,
            events: events.clone(),
            taken: taken.clone(),
        };
        match destination::open(context, target, without).await {
            Ok(opened) => opening.take(plan, group.slug.clone(), opened, stopped),
            Err(error) if error.verdict() == Verdict::Retry => {
                tracing::warn!(source = plan.slug, destination = group.slug, "{}", Chain(&error));
                // What it has is unknown; that much of the log must be kept.
                opening.progress.durable(&group.slug, source.confirmed);
                opening.away.push((usize::MAX, Failure { transform: None, error }));
            }
            Err(error) if error.verdict() == Verdict::Yield => return Err(error),
            Err(error) => {
                for transform in &group.transforms {
                    let problem = Problem::of(&plan.slug, Some(&transform.name), &error);
                    problem.log();
                    stopped.insert((group.slug.clone(), transform.name.clone()), problem);
                }
                opening.progress.durable(&group.slug, source.confirmed);
            }
        }
    }
    drop(events);
    if opening.groups.is_empty() {
        return Ok(Outcome::Failed(opening.away));
    }
    let Opening { groups, names, tasks, progress, away, start } = opening;
    let start = start.expect("there is a group");
    let options = StreamOptions::new(&plan.config.slot_name, &plan.config.publication_name, start);
    let stream = ReplicationStream::start(&plan.connection, options)
        .await
        .map_err(|source| EngineError::Replication { slug: plan.slug.clone(), source })?;
    tracing::info!(source = plan.slug, slot = plan.config.slot_name, from = %start, "streaming");
    let readers = groups.iter().map(Group::reads).collect();
    let run = Run {
        slug: &plan.slug,
        stream,
        groups,
        events: received,
        taken,
        progress,
        lock: &source.client,
        catalog: &source,
        until: *until,
        rejoin_after: REJOIN_FIRST,
        urgent: false,
        rejoin: !away.is_empty(),
    };
    let outcome = run.run(Dispatch::new(readers, BatchLimits::default(), source.epoch, start), stop).await;
    // The tasks have said that they ended, or are given up: what they had open is rolled back with their connections.
    tasks.iter().for_each(|task| task.abort());
    let mut outcome = outcome?;
    if let Outcome::Failed(failures) = &mut outcome {
        for (group, failure) in failures.iter() {
            if failure.error.verdict() == Verdict::Stop {
                let (slug, owned, transforms) = &names[*group];
                let destination = plan.groups.iter().find(|group| group.slug == *slug).expect("a group of the plan");
                // An error that no transform owns stops all of its group.
                let failed = failure.transform.map_or(&transforms[..], |index| &transforms[index..=index]);
                for (transform, flows) in failed {
                    let problem = Problem::of(&plan.slug, Some(transform), &failure.error);
                    problem.log();
                    destination::record_stop(context, destination, owned, flows, &problem).await;
                    stopped.insert((slug.clone(), transform.clone()), problem);
                }
            }
        }
        failures.extend(away);
    }
    Ok(outcome)
}

/// What has been opened for a run.
#[derive(Default)]
struct Opening {
    groups: Vec<Group>,
    /// Of each group: its slug, our right to write it, and its transforms with their flows.
    names: Vec<(String, Owned, Vec<(String, Vec<String>)>)>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    progress: Progress,
    /// Destinations that could not be reached now.
    away: Vec<(usize, Failure)>,
    start: Option<Lsn>,
}

impl Opening {
    fn take(&mut self, plan: &SourcePlan, slug: String, opened: Opened, stopped: &mut Stopped) {
        for (transform, checkpoint, error) in opened.refused {
            let problem = Problem::of(&plan.slug, Some(&transform), &error);
            problem.log();
            stopped.insert((slug.clone(), transform.clone()), problem);
            self.progress.durable(&format!("{slug}/{transform}"), checkpoint);
        }
        for (transform, checkpoint) in opened.left_out {
            self.progress.durable(&format!("{slug}/{transform}"), checkpoint);
        }
        let Some(running) = opened.running else { return };
        self.progress.durable(&slug, running.from);
        self.start = Some(self.start.map_or(running.from, |start| start.min(running.from)));
        self.names.push((slug.clone(), running.owned, running.transforms));
        self.tasks.push(running.task);
        self.groups.push(Group {
            reader: slug,
            tables: running.tables,
            transforms: running.reads,
            copying: running.copying,
            batches: Some(running.batches),
        });
    }
}
