//! Where ReJot was, and how its slot is gone on from.
//!
//! ReJot confirmed of each transaction the byte behind the position at which its beginning was delivered, which is that of its
//! first change. So a slot that ReJot has read from stands one byte behind a record's beginning, where nobody else leaves
//! one: records begin at multiples of eight, and the positions that a server makes slots at, or that Pelton confirms, lie
//! between records. Any other slot may have missed something, and the streams begin anew.
//!
//! It must also have gone along with the events. ReJot confirms what it can't store, and once its table has another name it
//! can't store anything. So a slot is trusted that stands where it stood while the table was still there and nobody read
//! ([`Publishers`]), or no further than the last transaction that was stored. All sources of the manifest that publish into the
//! event store are looked at before it is taken over, for ReJot may run apart for each.
//!
//! Behind that byte the server sends again what was committed later, the last transactions that ReJot stored among it. They
//! are known by where they begin, and nothing of them is published once more ([`super::dispatch`]). That holds in the log that
//! ReJot read: a stream that begins anew, as it does behind another cluster's log, is of a later epoch and has none of them.

use std::sync::Mutex;

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use crate::datastore::{self, FlowRow, NewFlow};
use crate::eventstore;
use crate::lsn::Lsn;
use crate::postgres::{self, QueryError, slot};

use super::Context;
use super::failure::{Chain, EngineError};
use super::plan::{FlowPlan, GroupPlan, SourcePlan};
use super::prepare::{self, Source};

/// Records of the log begin at multiples of this (`MAXALIGN`).
const ALIGNED: u64 = 8;

/// Returns true for a slot's position that ReJot has confirmed.
fn has_confirmed(confirmed: Lsn) -> bool {
    confirmed.0 % ALIGNED == 1
}

/// The sources that publish into event stores.
pub struct Publishers {
    all: Vec<SourcePlan>,
    /// Event store, source, and the position of its slot, while ReJot's table was there and nobody read from the slot.
    stood: Mutex<Vec<(String, String, Lsn)>>,
}

impl Publishers {
    /// Of these sources, those that publish into an event store; none was looked at yet.
    pub fn new(sources: &[SourcePlan]) -> Publishers {
        let publishes = |source: &&SourcePlan| source.groups.iter().any(|group| group.event_store);
        Publishers { all: sources.iter().filter(publishes).cloned().collect(), stood: Mutex::default() }
    }

    fn note(&self, store: &str, source: &str, position: Lsn) {
        let mut stood = self.stood.lock().expect("nobody panics while holding it");
        stood.retain(|(of, by, _)| (&**of, &**by) != (store, source));
        stood.push((store.to_owned(), source.to_owned(), position));
    }

    fn stood_at(&self, store: &str, source: &str, position: Lsn) -> bool {
        let stood = self.stood.lock().expect("nobody panics while holding it");
        stood.iter().any(|(of, by, at)| (&**of, &**by, *at) == (store, source, position))
    }
}

/// Makes sure that ReJot reads from none of the sources while their event store is about to be taken over: it would find its
/// table gone, and confirm what it could not store.
///
/// # Errors
/// It does, and is waited for, as is a source that can't be asked; or what the servers say.
pub async fn has_stopped(
    context: &Context,
    client: &Client,
    plan: &GroupPlan,
    source: &Source,
) -> Result<(), EngineError> {
    let history = datastore::history(client, &datastore::EVENTS).await;
    let history = history.map_err(|source| EngineError::DataStore { slug: plan.slug.clone(), source })?;
    if history.version_of_rejot().is_none() {
        return Ok(());
    }
    let others = context.rejot.all.iter().filter(|other| other.slug != source.slug);
    for other in others.filter(|other| other.groups.iter().any(|group| group.event_store && group.slug == plan.slug)) {
        let session = postgres::Session::source(context.application_name());
        let asked = match postgres::connect(&other.connection, &session).await {
            Ok(other_client) => position(&other_client, plan, &other.slug, &other.config.slot_name).await,
            Err(source) => Err(EngineError::Connect { role: "source", slug: other.slug.clone(), source }),
        };
        let stood = asked.map_err(|error| match error {
            error @ EngineError::NotReady { .. } => error,
            error => not_taken_over(
                plan,
                &other.slug,
                &format!("it can't be seen whether ReJot still reads from its slot: {}", Chain(&error)),
            ),
        })?;
        stood.into_iter().for_each(|stood| context.rejot.note(&plan.slug, &other.slug, stood));
    }
    let stood = position(&source.client, plan, &source.slug, &source.slot).await?;
    stood.into_iter().for_each(|stood| context.rejot.note(&plan.slug, &source.slug, stood));
    Ok(())
}

/// Returns where a slot stands that nobody reads from; `None` where there is none.
async fn position(client: &Client, plan: &GroupPlan, source: &str, slot: &str) -> Result<Option<Lsn>, EngineError> {
    let found = slot::look_up(client, slot).await.map_err(|error| prepare::not_ready(source, error))?;
    match found.as_ref().and_then(|found| found.active_pid) {
        Some(pid) => {
            let what = format!("replication slot \"{slot}\" is still being read by process {pid}");
            Err(not_taken_over(plan, source, &what))
        }
        None => Ok(found.and_then(|found| found.confirmed_flush)),
    }
}

fn not_taken_over(plan: &GroupPlan, source: &str, why: &str) -> EngineError {
    EngineError::NotReady {
        slug: source.to_owned(),
        problem: format!("event store `{}` was made by ReJot, and {why}", plan.slug),
        hint: Some(
            "stop ReJot, wherever it writes into that event store: it would lose what it can't store any more; `pelton sync` \
             goes on by itself then"
                .to_owned(),
        ),
        transient: true,
    }
}

/// Says what of ReJot's events became the beginning of a stream.
pub fn tell(public_schema: &str, copied: eventstore::Copied) {
    let eventstore::Copied { events, left_out, deletes_left_out } = copied;
    if events > 0 {
        tracing::info!(public_schema, events, "took over the events that ReJot stored");
    }
    if left_out > 0 {
        tracing::warn!(public_schema, events = left_out, "events of ReJot's have no object, and are left out");
    }
    if deletes_left_out > 0 {
        tracing::warn!(
            public_schema,
            events = deletes_left_out,
            "deletes that ReJot stored have other fields than the key, so nobody knows of which rows they are, and are left out"
        );
    }
}

/// What ReJot left for the flows of a group.
pub struct Left {
    /// Public schemas with their major versions whose new flows go on from ReJot's slot, and copy nothing.
    goes_on: Vec<(String, i32)>,
    /// At a destination that ReJot wrote from events in its memory: the public schemas, and the last transaction it applied.
    seen: Vec<(String, i32, Lsn)>,
    /// Where the source's log is, if flows into an event store go on from ReJot's slot: all that ReJot has stored was committed
    /// before.
    pub taken_over_at: Option<Lsn>,
}

impl Left {
    /// Looks for it. `known` are the flows that have begun.
    ///
    /// # Errors
    /// What the server says.
    pub async fn look(
        client: &Client,
        context: &Context,
        plan: &GroupPlan,
        source: &Source,
        known: &[FlowRow],
    ) -> Result<Left, EngineError> {
        let manifest = &context.manifest;
        let refused = |source| EngineError::DataStore { slug: plan.slug.clone(), source };
        let mut left = Left { goes_on: Vec::new(), seen: Vec::new(), taken_over_at: None };
        if !plan.event_store {
            left.seen = datastore::seen_by_rejot(client, manifest).await.map_err(refused)?;
        }
        let mut flows = plan.transforms.iter().flat_map(|transform| &transform.flows);
        if flows.all(|flow| known.iter().any(|row| row.flow == flow.name)) {
            return Ok(left);
        }
        let there = match plan.event_store {
            true => eventstore::left_by_rejot(client, manifest).await.map_err(refused)?,
            false => left.seen.iter().map(|(name, major, _)| (name.clone(), *major)).collect(),
        };
        if there.is_empty() {
            return Ok(left);
        }
        let goes_along = match plan.event_store {
            true => {
                let last = async {
                    let flows = plan.transforms.iter().flat_map(|transform| &transform.flows);
                    let all: Vec<_> = flows.map(|flow| (flow.public_schema.clone(), flow.major as i32)).collect();
                    eventstore::last_of_rejot(client, manifest, &all).await.map_err(refused)
                };
                context.rejot.stood_at(&plan.slug, &source.slug, source.confirmed)
                    || last.await?.is_some_and(|last| source.confirmed.0 <= last.0 + 1)
            }
            false => true,
        };
        if has_confirmed(source.confirmed) && goes_along {
            left.goes_on = there;
            // What was confirmed and not applied was in a memory that is gone.
            left.seen.iter().filter(|(.., seen)| seen.0 + 1 < source.confirmed.0).for_each(|(name, major, _)| {
                left.goes_on.retain(|other| (&other.0, &other.1) != (name, major));
            });
        }
        if left.goes_on.is_empty() {
            let (source, slot, destination) = (&source.slug, &source.slot, &plan.slug);
            match plan.event_store {
                true => tracing::warn!(
                    source,
                    slot,
                    event_store = destination,
                    "this slot is not where ReJot left one when it stored its last event: its events are kept, and their streams begin anew behind them"
                ),
                false => tracing::warn!(
                    source,
                    slot,
                    destination,
                    "ReJot has not applied all that it confirmed to this slot: the tables are copied"
                ),
            }
        }
        if plan.event_store && !left.goes_on.is_empty() {
            let sql =
                "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END";
            let row = source.client.query_one(sql, &[]).await;
            let row = row.map_err(|source_error| EngineError::Source {
                slug: source.slug.clone(),
                source: QueryError::new("read the position of the log", source_error),
            })?;
            left.taken_over_at = Some(Lsn(row.get::<_, PgLsn>(0).into()));
        }
        Ok(left)
    }

    /// Returns true for a new flow that goes on where ReJot was.
    pub fn goes_on(&self, flow: &FlowPlan) -> bool {
        self.goes_on.iter().any(|(name, major)| *name == flow.public_schema && *major == flow.major as i32)
    }

    /// Forgets what ReJot had applied of flows that are new and copied instead.
    ///
    /// # Errors
    /// What the server says.
    pub async fn forget(
        &mut self,
        client: &Client,
        manifest: &str,
        plan: &GroupPlan,
        wanted: &[NewFlow],
    ) -> Result<(), EngineError> {
        let is_copied = |name: &str, major: i32| {
            wanted.iter().any(|new| new.backfill.is_some() && new.public_schema == name && new.major == major)
        };
        let forgotten: Vec<_> = self.seen.extract_if(.., |(name, major, _)| is_copied(name, *major)).collect();
        for (name, major, _) in forgotten {
            let forgotten = datastore::forget_seen(client, manifest, &name, major).await;
            forgotten.map_err(|source| EngineError::DataStore { slug: plan.slug.clone(), source })?;
        }
        Ok(())
    }

    /// Returns true for a flow whose table need not have all rows of the source, since ReJot began it.
    pub fn may_lack_rows(&self, flow: &FlowPlan) -> bool {
        self.seen.iter().any(|(name, major, _)| *name == flow.public_schema && *major == flow.major as i32)
    }

    /// Returns the transactions that ReJot has stored in these streams, or applied, of those that the source may send again, by
    /// where they begin and in order.
    ///
    /// # Errors
    /// What the servers say.
    pub async fn stored(
        &self,
        client: &Client,
        plan: &GroupPlan,
        source: &Source,
        streams: &[i32],
    ) -> Result<Vec<Lsn>, EngineError> {
        let refused = |source| EngineError::DataStore { slug: plan.slug.clone(), source };
        if streams.is_empty() {
            let mut seen: Vec<Lsn> = self.seen.iter().map(|(.., seen)| *seen).collect();
            seen.sort_unstable();
            return Ok(seen);
        }
        // A transaction that is sent has all of its changes behind the slot's restart_lsn.
        let slot = slot::look_up(&source.client, &source.slot).await;
        let slot = slot.map_err(|error| prepare::not_ready(&source.slug, error))?;
        let from = slot.and_then(|slot| slot.restart_lsn).unwrap_or(Lsn::ZERO);
        eventstore::stored_by_rejot(client, streams, from).await.map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rejot_confirms_a_byte_behind_the_beginning_of_a_record() {
        for (confirmed, by_rejot) in [("0/16B3749", true), ("1/1", true), ("0/16B3748", false), ("0/0", false)] {
            assert_eq!(has_confirmed(confirmed.parse().unwrap()), by_rejot, "{confirmed}");
        }
    }
}
