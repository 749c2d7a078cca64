//! Keeps event stores from growing for ever: removes every now and then what their retention does not keep.
//!
//! Nothing depends on it: what it can't do now it does later, and another process may do it instead.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::failure::{Chain, EngineError};
use super::plan::RetentionPlan;
use super::{Context, Problem};
use crate::eventstore::{self, Holder, KeptFor, Limits, Pruned};
use crate::manifest::Retention;
use crate::postgres;

/// It looks this often at least.
const LOOK_MAX: Duration = Duration::from_secs(15);
/// Publishers that run have heard by then that a segment has ended (`group::SEGMENT_LOOK`).
const SETTLED: Duration = Duration::from_secs(15);
/// How long those who use the log are waited for, longer each time in vain.
const PATIENCE_FIRST: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(600);
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
    let mut told = Told::default();
    let mut patience = PATIENCE_FIRST;
    loop {
        let mut ended = over.clone();
        let pruned = tokio::select! {
            pruned = once(&context, &plan, patience, &over) => pruned,
            // Whatever it does ends with its session, or is gone on with the next time.
            _ = ended.wait_for(|over| *over) => return Ok(()),
        };
        match pruned {
            Ok(pruned) => {
                patience = if pruned.waited { PATIENCE_MAX.min(patience * 2) } else { PATIENCE_FIRST };
                told.tell(&plan.store, &pruned);
            }
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

async fn once(
    context: &Context,
    plan: &RetentionPlan,
    patience: Duration,
    over: &watch::Receiver<bool>,
) -> Result<Pruned, EngineError> {
    let session = postgres::Session::destination(format!("{} retention", context.application_name()));
    let connected = postgres::connect(&plan.connection, &session).await;
    let mut client =
        connected.map_err(|source| EngineError::Connect { role: "event store", slug: plan.store.clone(), source })?;
    let failed = |source| EngineError::EventStore { slug: plan.store.clone(), source };
    if !eventstore::is_there(&client).await.map_err(failed)? {
        return Ok(Pruned::default());
    }
    let Retention { max_age, max_bytes, compact } = plan.retention;
    let limits = Limits { max_age, max_bytes, compact, force: false, settled: SETTLED, patience };
    eventstore::prune(&mut client, &limits, |_| !*over.borrow()).await.map_err(failed)
}

/// What holds segments, and when that was told.
#[derive(Default)]
struct Told {
    reader: Option<(KeptFor, Instant)>,
    session: Option<(Holder, Instant)>,
    taken_over: Option<((i32, String), Instant)>,
}

impl Told {
    fn tell(&mut self, event_store: &str, pruned: &Pruned) {
        if !pruned.dropped.is_empty() {
            let (segments, events) = (pruned.dropped.len(), pruned.events);
            tracing::info!(event_store, segments, events, "removed what is older than its retention");
        }
        let taken_over = pruned.taken_over.as_ref();
        if let (true, Some((segment, stream))) = (is_new(&mut self.taken_over, taken_over, |a, b| a == b), taken_over) {
            tracing::info!(event_store, segment, stream, "ReJot's events stay until their flow is past them");
        }
        let kept_for = pruned.kept_for.as_ref().map(|(_, kept)| kept);
        let same = |told: &KeptFor, now: &KeptFor| {
            (&told.manifest, &told.consumer, &told.destination) == (&now.manifest, &now.consumer, &now.destination)
        };
        if let (true, Some((segment, kept))) = (is_new(&mut self.reader, kept_for, same), &pruned.kept_for) {
            tracing::warn!(
                event_store,
                segment,
                hint = "let it read on; or, if it is gone for good, `pelton events forget`; or `pelton events prune --force`, after which it stops",
                "older events are kept, for {kept}"
            );
        }
        let same = |told: &Holder, now: &Holder| told.pid == now.pid;
        if let (true, Some(holder)) = (is_new(&mut self.session, pruned.held_by.as_ref(), same), &pruned.held_by) {
            let hint = format!(
                "it goes on by itself once that has ended; SELECT pg_terminate_backend({}) ends it",
                holder.pid
            );
            tracing::warn!(event_store, hint, "an old segment can't be dropped yet: it is waited for {holder}");
        }
    }
}

/// Returns true for what was not told yet, or long ago.
fn is_new<T: Clone>(told: &mut Option<(T, Instant)>, now: Option<&T>, same: impl Fn(&T, &T) -> bool) -> bool {
    let Some(now) = now else {
        *told = None;
        return false;
    };
    if told.as_ref().is_some_and(|(before, at)| same(before, now) && at.elapsed() < TOLD_EVERY) {
        return false;
    }
    *told = Some((now.clone(), Instant::now()));
    true
}
