//! `rejot_data_store`: what Pelton keeps in a destination, beside the rows that it writes there.
//!
//! A flow's checkpoint moves in the transaction that writes its rows and its transform's state ([`Session`]), so all
//! three are there together or not at all. Whoever writes must own the flow: a takeover raises the owner's token in
//! every flow's row ([`take_over`]), and every writing transaction begins with an update of those rows under the token
//! it was given. That update takes the rows' locks, so a takeover waits for a transaction in flight, sees its checkpoint,
//! and no later one of the former owner can commit.

mod error;
mod flow;
mod migrate;
mod released;
mod session;
mod state;

pub use error::DataStoreError;
pub use flow::{FlowRow, NewFlow, Owned, Scope, Start, flows, mark_stopped, take_over};
pub use migrate::migrate;
pub use released::{begin_anew, forget, release};
pub use session::{Commit, Committed, Session};
pub use state::{BackfillRow, StateTable, backfills, finish_backfills, put_backfills, record_component};

/// The schema that holds all of it.
pub const SCHEMA: &str = "rejot_data_store";
