//! From event stores, and from services of other manifests, into destinations: each consumer has a cursor of its own, and none holds another one up.
//!
//! ```text
//! mod         the consumers of one event store into one destination: runs them, and starts anew
//!   once      one run: who is ready, in which lanes
//!   standing  who does not take part for now
//!   lane      events → rows → sink → cursors, for consumers that go on together
//!     remote  the same from a service: lines as they come
//!     gather  pages of events → batches that end between transactions of the source
//!   running   lanes at work: whether somebody has changed, caught up, failed
//!   registrar tells the event store how far its consumers are
//! ```
//!
//! Consumers of one source that have read about as much go on in one lane: their rows and cursors commit together, so a
//! reader of the destination sees tables change together that changed together. One that lags (it is new, was rewound, or
//! was paused) has a lane of its own until it has caught up. One that fails is left out, and the others go on.
//!
//! There is one way to recover from anything here too: all lanes end, and others begin at the cursors that are committed.

mod gather;
mod lane;
mod once;
mod registrar;
mod remote;
mod running;
mod standing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Client;

use crate::datastore::{self, Stop};
use crate::postgres::{self, Backoff};

use self::once::Run;
use self::standing::Standing;

use super::failure::{Chain, EngineError, Verdict};
use super::plan::ReaderPlan;
use super::upstream::UpstreamPlan;
use super::{Context, Problem};

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(30);
const GOOD_RUN: Duration = Duration::from_secs(30);

/// Runs that end sooner are not begun again at once.
const HASTE: Duration = Duration::from_millis(500);

/// What a run came to.
enum Outcome {
    Stopped,
    CaughtUp,
    /// Somebody changed a consumer, a stream appeared, or one that lagged has caught up.
    Changed,
    /// Somebody resumed a consumer that had stopped.
    Resumed(String),
    Failed {
        consumer: Option<String>,
        error: EngineError,
        /// Others were in its lane, so that it may be any of them.
        shared: bool,
    },
}

/// Runs the consumers of one event store into one destination until they are caught up, somebody asks to stop, or none is
/// left that could run. `published` turns true once this process publishes nothing more.
///
/// # Errors
/// What stopped consumers for good.
pub async fn run(
    context: Arc<Context>,
    plan: ReaderPlan,
    published: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Vec<Problem>> {
    if let UpstreamPlan::Service(service) = &plan.upstream
        && service.is_exposed()
    {
        let url = service.url.to_string();
        tracing::warn!(
            url,
            hint = "write `https://` into its url",
            "the token is sent to the service without encryption"
        );
    }
    let until = context.options.until_caught_up;
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
    let mut standing = Standing::default();
    loop {
        let started = Instant::now();
        let run = Run { context: &context, plan: &plan, published: &published, standing: &standing };
        let mut asked = stop.clone();
        let outcome = tokio::select! {
            outcome = run.once() => outcome,
            _ = asked.wait_for(|stop| *stop) => Ok(Outcome::Stopped),
        };
        let failed = |error| Outcome::Failed { consumer: None, error, shared: false };
        let wait = match outcome.unwrap_or_else(failed) {
            Outcome::Stopped | Outcome::CaughtUp => break,
            Outcome::Changed => HASTE.saturating_sub(started.elapsed()),
            Outcome::Resumed(consumer) => {
                standing.stopped.remove(&consumer);
                Duration::ZERO
            }
            Outcome::Failed { error, .. } if error.verdict() == Verdict::Anew => {
                let (event_store, destination) = (&plan.store, &plan.destination);
                tracing::info!(event_store, destination, "{}; going on with it", Chain(&error));
                HASTE.saturating_sub(started.elapsed())
            }
            Outcome::Failed { consumer: None, error, shared: true } if error.verdict() == Verdict::Stop => {
                tracing::warn!(event_store = plan.store, "{}; each consumer goes on alone", Chain(&error));
                standing.alone = true;
                Duration::ZERO
            }
            Outcome::Failed { consumer, error, .. }
                if error.verdict() == Verdict::Stop || (until && error.needs_somebody()) =>
            {
                let names = match consumer {
                    Some(name) => vec![name],
                    None => plan.consumers.iter().map(|consumer| consumer.name.clone()).collect(),
                };
                for name in names {
                    let problem = Problem { consumer: Some(name.clone()), ..Problem::of(&plan.store, None, &error) };
                    problem.log();
                    let recorded = record(&context, &plan, &name, &problem, false).await;
                    standing.stopped.insert(name, (problem, recorded));
                }
                if standing.stopped.len() >= plan.consumers.len() {
                    break;
                }
                Duration::ZERO
            }
            Outcome::Failed { consumer, error, .. } => {
                if started.elapsed() >= GOOD_RUN {
                    backoff.reset();
                }
                // One alone holds nobody: the others go on at once.
                let (wait, others) = match &consumer {
                    Some(name) if plan.consumers.len() > 1 => {
                        let problem =
                            Problem { consumer: Some(name.clone()), ..Problem::of(&plan.store, None, &error) };
                        record(&context, &plan, name, &problem, true).await;
                        (standing.pause(name), true)
                    }
                    _ => {
                        if let EngineError::Service { .. } = error {
                            for one in plan.consumers.iter().filter(|one| standing.takes_part(&one.name)) {
                                let problem = Problem::of(&plan.store, None, &error);
                                record(&context, &plan, &one.name, &problem, true).await;
                            }
                        }
                        (backoff.next_wait(), false)
                    }
                };
                let (event_store, destination, hint) = (&plan.store, &plan.destination, error.hint());
                let (consumer, hint) = (consumer.as_deref().unwrap_or("-"), hint.as_deref().unwrap_or("-"));
                let seconds = wait.as_secs_f64();
                tracing::warn!(
                    event_store,
                    destination,
                    consumer,
                    hint,
                    "{}; trying again in {seconds:.1} s",
                    Chain(&error)
                );
                if others { Duration::ZERO } else { wait }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    if standing.stopped.is_empty() {
        return Ok(());
    }
    Err(standing.stopped.into_values().map(|(problem, _)| problem).collect())
}

/// Records for `pelton status` why a consumer does not go on. Returns whether that worked.
async fn record(context: &Context, plan: &ReaderPlan, consumer: &str, problem: &Problem, retries: bool) -> bool {
    let recorded = async {
        let client = destination(context, plan).await?;
        let failed = |source| EngineError::DataStore { slug: plan.destination.clone(), source };
        let rows = datastore::consumers(&client, &context.manifest).await.map_err(failed)?;
        let Some(row) = rows.iter().find(|row| row.consumer == consumer) else { return Ok(()) };
        let stop = Stop { problem: &problem.what, hint: problem.hint.as_deref(), retries };
        let marked = datastore::mark_consumer_stopped(&client, &context.manifest, consumer, row.owner, stop).await;
        marked.map_err(failed)
    };
    match recorded.await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("could not record the stop for `pelton status`: {}", Chain(&error));
            false
        }
    }
}

async fn destination(context: &Context, plan: &ReaderPlan) -> Result<Client, EngineError> {
    let name = format!("{} from {}", context.application_name(), plan.store);
    let connected = postgres::connect(&plan.connection, &postgres::Session::destination(name)).await;
    connected.map_err(|source| EngineError::Connect { role: "destination", slug: plan.destination.clone(), source })
}
