//! Keeps event stores from growing for ever: removes every now and then what their retention does not keep.
//!
//! Nothing depends on it: what it can't do now it does later, and another process may do it instead.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::failure::{Chain, EngineError};
use super::plan::RetentionPlan;
use super::{Context, Problem};
use crate::eventstore::{self, KeptFor, Limits, Pruned};
use crate::manifest::Retention;
use crate::postgres;

/// It looks this often at least.
const LOOK_MAX: Duration = Duration::from_secs(15);
/// Publishers that run have heard by then that a segment has ended (`group::SEGMENT_LOOK`).
const SETTLED: Duration = Duration::from_secs(15);
/// Who holds a segment is told this often.
const TOLD_EVERY: Duration = Duration::from_secs(3600);

/// Runs until `over`.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(
    context: Arc<Context>,
    plan: RetentionPlan,
    mut over: watch::Receiver<bool>,
) -> Result<(), Vec<Problem>> {
    let look = plan.retention.max_age.map_or(LOOK_MAX, |age| (age / 16).clamp(Duration::from_secs(1), LOOK_MAX));
    let mut told: Option<(KeptFor, tokio::time::Instant)> = None;
    loop {
        match once(&context, &plan, &over).await {
            Ok(pruned) => tell(&plan, &pruned, &mut told),
            Err(error) => {
                let (event_store, hint) = (&plan.store, error.hint());
                let hint = hint.as_deref().unwrap_or("-");
                tracing::warn!(event_store, hint, "its retention waits: {}", Chain(&error));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(look) => {}
            _ = over.wait_for(|over| *over) => return Ok(()),
        }
    }
}

async fn once(context: &Context, plan: &RetentionPlan, over: &watch::Receiver<bool>) -> Result<Pruned, EngineError> {
    let session = postgres::Session::destination(format!("{} retention", context.application_name()));
    let connected = postgres::connect(&plan.connection, &session).await;
    let mut client =
        connected.map_err(|source| EngineError::Connect { role: "event store", slug: plan.store.clone(), source })?;
    let failed = |source| EngineError::EventStore { slug: plan.store.clone(), source };
    if !eventstore::is_there(&client).await.map_err(failed)? {
        return Ok(Pruned::default());
    }
    let Retention { max_age, max_bytes, compact } = plan.retention;
    let limits = Limits { max_age, max_bytes, compact, force: false, settled: SETTLED };
    eventstore::prune(&mut client, &limits, |_| !*over.borrow()).await.map_err(failed)
}

fn tell(plan: &RetentionPlan, pruned: &Pruned, told: &mut Option<(KeptFor, tokio::time::Instant)>) {
    let event_store = &plan.store;
    if !pruned.dropped.is_empty() {
        let (segments, events) = (pruned.dropped.len(), pruned.events);
        tracing::info!(event_store, segments, events, "removed what is older than its retention");
    }
    let Some((segment, kept_for)) = &pruned.kept_for else {
        *told = None;
        return;
    };
    let same = |kept: &KeptFor| kept.manifest == kept_for.manifest && kept.consumer == kept_for.consumer;
    if told.as_ref().is_some_and(|(kept, at)| same(kept) && at.elapsed() < TOLD_EVERY) {
        return;
    }
    *told = Some((kept_for.clone(), tokio::time::Instant::now()));
    let KeptFor { manifest, consumer, cursor } = kept_for;
    tracing::warn!(
        event_store,
        segment,
        manifest,
        consumer,
        hint = "let it read on; or, if it is gone for good, `pelton events forget`; or `pelton events prune --force`, after which it stops",
        "older events are kept, for it has not read behind {cursor}"
    );
}
