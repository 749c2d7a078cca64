//! The server is fit to be a source, and the slot is there: as it was, made, or made anew with a snapshot.

use tokio_postgres::Client;

use crate::lsn::Lsn;
use crate::postgres::preflight::{self, Facts};
use crate::postgres::replication::{ExportedSnapshot, SnapshotSlot, create_slot_with_snapshot};
use crate::postgres::slot;

use super::{Chain, Context, EngineError, For, SourcePlan};

/// Makes sure that the server can be a source at all. Returns what it says of itself.
pub(super) async fn fit(client: &Client, plan: &SourcePlan, wants: For) -> Result<Facts, EngineError> {
    let slug = &plan.slug;
    let refused_query = |source| EngineError::Source { slug: slug.clone(), source };
    let facts = preflight::facts(client).await.map_err(refused_query)?;
    let slot = slot::look_up(client, &plan.config.slot_name).await.map_err(|error| not_ready(slug, error))?;
    match slot.as_ref().map(|slot| slot.usable(&facts.database)) {
        Some(Err(slot::SlotError::Lost { .. })) if wants == For::Comparing => {}
        Some(Err(error)) => return Err(not_ready(slug, error)),
        None | Some(Ok(())) => {}
    }
    let findings = facts.findings(slot.is_some(), slot.is_some_and(|slot| slot.active_pid.is_some()));
    if findings.is_empty() {
        return Ok(facts);
    }
    let problems: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let hints: Vec<String> = findings.iter().map(|finding| finding.hint()).collect();
    Err(EngineError::NotReady {
        slug: slug.clone(),
        problem: problems.join("; "),
        hint: Some(hints.join("; ")),
        // Somebody else's backup, or a walsender of ours that has not noticed yet that we are gone.
        transient: findings.iter().all(|finding| matches!(finding, preflight::Finding::NoFreeSender { .. })),
    })
}

pub(in crate::engine) fn not_ready(slug: &str, error: slot::SlotError) -> EngineError {
    EngineError::NotReady {
        slug: slug.to_owned(),
        problem: Chain(&error).to_string(),
        hint: error.hint(),
        transient: error.is_transient(),
    }
}

/// Makes the slot when it is absent, and returns its position.
pub(super) async fn ensure_slot(client: &Client, plan: &SourcePlan, standby: bool) -> Result<Lsn, EngineError> {
    let slug = &plan.slug;
    let name = &plan.config.slot_name;
    let found = slot::look_up(client, name).await.map_err(|error| not_ready(slug, error))?;
    match found {
        Some(slot) => Ok(slot.confirmed_flush.unwrap_or(Lsn::ZERO)),
        None => {
            // Waits for the transactions that are running now: only behind them does a slot know all changes.
            tracing::info!(source = slug, slot = name, "making the replication slot");
            if standby {
                slot::say_what_a_standby_waits_for();
            }
            slot::create(client, name).await.map_err(|error| not_ready(slug, error))
        }
    }
}

/// Exports a snapshot behind which the slot has everything: that of the slot itself where it must be made anew, otherwise
/// that of one that goes with the session.
pub(super) async fn snapshot(
    context: &Context,
    client: &Client,
    plan: &SourcePlan,
    facts: &Facts,
) -> Result<ExportedSnapshot, EngineError> {
    let slug = &plan.slug;
    let name = &plan.config.slot_name;
    let found = slot::look_up(client, name).await.map_err(|error| not_ready(slug, error))?;
    let (confirmed, is_lost) = match &found {
        None => (Lsn::ZERO, true),
        Some(slot) => (slot.confirmed_flush.unwrap_or(Lsn::ZERO), slot.usable(&facts.database).is_err()),
    };
    let slot = match is_lost {
        false => SnapshotSlot {
            name: format!("pelton_compare_{:016x}", fastrand::u64(..)),
            temporary: true,
            failover: false,
        },
        true => {
            if found.is_some() {
                slot::drop_slot(client, name).await.map_err(|error| not_ready(slug, error))?;
            }
            tracing::info!(source = slug, slot = name, "making the replication slot anew");
            SnapshotSlot { name: name.clone(), temporary: false, failover: facts.version >= 17 && !facts.in_recovery }
        }
    };
    if facts.in_recovery {
        slot::say_what_a_standby_waits_for();
    }
    // Waits for the transactions that are running now: only behind them does a slot know all changes.
    let made = create_slot_with_snapshot(&plan.connection, &context.application_name(), &slot).await;
    let made = made.map_err(|source| EngineError::Replication { slug: slug.clone(), source })?;
    match made.consistent_point >= confirmed {
        true => Ok(made),
        false => Err(EngineError::Bug(format!("slot \"{name}\" is confirmed beyond a snapshot that was made later"))),
    }
}
