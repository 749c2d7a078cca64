//! `rejot_data_store`: what Pelton keeps in a destination, beside the rows that it writes there.
//!
//! A flow's checkpoint moves in the transaction that writes its rows and its transform's state ([`Session`]), so all
//! three are there together or not at all. Whoever writes must own the flow: a takeover raises the owner's token in
//! every flow's row ([`take_over`]), and every writing transaction begins with an update of those rows under the token
//! it was given. That update takes the rows' locks, so a takeover waits for a transaction in flight, sees its checkpoint,
//! and no later one of the former owner can commit.

mod consumer;
mod deployment;
mod error;
mod flow;
mod forget_manifest;
mod former;
mod migrate;
mod readers;
mod rejot;
mod released;
mod repaired;
mod session;
mod shadow;
mod state;
mod store;
mod violation;

pub use consumer::{
    ConsumerRow, ConsumerSession, Control, CursorMove, NewConsumer, Stop, consumers, control_consumer, drop_consumer,
    flushed_consumers, mark_consumer_stopped, take_over_consumers,
};
pub use deployment::{
    Began, COMPONENT_BYTES_MAX, Deployed, Deployment, DeploymentState, RunsAs, attempt_begins, attempt_ended,
    attempt_taken_back, begin_component, component, deploy, deployed, refuse_deployment,
};
pub use error::DataStoreError;
pub use flow::{FlowRow, NewFlow, Owned, Scope, Start, flows, mark_stopped, put_timeline, take_over};
pub use forget_manifest::{Remembered, forget_manifest, remembered};
pub use migrate::{
    EVENTS, Entry, History, ORDINARY, PRIVILEGED, Set, State, apply, history, migrate, record, removal, script,
};
pub use readers::{SlotReader, slot_readers};
pub use rejot::{forget_seen, late_ordinal, seen_by_rejot};
pub use released::{begin_anew, forget, release};
pub use repaired::{copy_anew, go_on, lock};
pub use session::{Commit, Committed, Session};
pub use shadow::{ShadowFound, ShadowRow, put_shadow, shadows};
pub use state::{BackfillRow, StateTable, backfills, finish_backfills, put_backfills};
pub use store::store_id;
pub use violation::{CountedUnder, ViolationRow, Violations, forget_violations, put_violations, violations};

/// The schema that holds all of it.
pub const SCHEMA: &str = "rejot_data_store";

/// Looks whether a table of `rejot_data_store` is there; no privilege is needed for that.
async fn has_table(client: &tokio_postgres::Client, name: &str) -> Result<bool, DataStoreError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n \
               ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)";
    let row = client.query_one(sql, &[&SCHEMA, &name]).await;
    Ok(row.map_err(DataStoreError::query("look for the tables"))?.get(0))
}
