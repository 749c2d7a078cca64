//! Backfill: rows that existed before a flow, copied inside its stream.
//!
//! Chunks of a table are read in key order over ordinary sessions while the stream goes on, and nothing is written to
//! the source. [`Backfill`] decides, without I/O; [`Readers`] read; the engine stands between and owns the order.
//!
//! # What is promised
//!
//! At every boundary between transactions, what was let through of a table is exactly the source's rows with copied keys,
//! as of that position, and every key's insert comes before its changes (`merge.rs` argues it). So what is committed at
//! a checkpoint needs nothing but the frontier to go on from, a subset of a consistent state can't violate a unique
//! constraint at the destination that holds at the source, and no row enters that a crash of the source could take back:
//!
//! - A chunk enters when the stream has gone past a WAL position taken right behind its snapshot. All that the snapshot
//!   sees has been delivered by then, so nothing of a chunk is remembered once it is in.
//! - What the stream delivers meanwhile and the snapshot does not see is held, and worked into the chunk's rows.
//! - A snapshot that misses what was delivered before its read began is taken again (`delivered.rs`).
//!
//! A chunk therefore waits as long as the stream is behind: backfill yields to a stream that can't keep up. Memory is
//! bounded: three chunks of 4 MiB (16 at most) of all tables, 16 MiB of held changes a table in reading, 65,536
//! transactions that may not be visible yet, 10,000 keys to be read one by one.
//!
//! # The protocol
//!
//! One task owns the [`Backfill`] of a group of flows and does, in the order of the stream:
//!
//! 1. *Start*: [`plan_tables`], then [`Backfill::new`] at the checkpoint from which the stream starts, with the saved
//!    progress. The first time give a [`Fence`], for what committed before the stream's start and may not be visible
//!    yet: [`Fence::Exported`] if the slot has just been made (`SET TRANSACTION SNAPSHOT`, then
//!    `pg_current_snapshot()`), otherwise [`Fence::Finished`] with a snapshot taken after the start was fixed. **Whenever
//!    the stream is started again** – a lost connection, a restarted source, another host – drop the `Backfill` and the
//!    [`Readers`] and start from the checkpoint: WAL that was not flushed may have been replaced, and visibility grows
//!    on one server only.
//! 2. *A batch of the stream*: while [`Backfill::must_wait`], keep it and everything behind it back and take only events.
//!    Then [`Backfill::questions`]; for each, [`Readers::answer`] and [`Backfill::learn`]; then [`Backfill::merge`],
//!    whose result goes on to the transforms. Nothing else may be called between the questions and the merge.
//! 3. *A keepalive between transactions*, once all batches before it are merged: [`Backfill::passed`] with its position.
//!    If [`Backfill::waits_for`] says that a chunk waits for a position and nothing comes, ask the server for a keepalive.
//! 4. *An event* of [`Readers::event`]: [`Backfill::opened`], [`Backfill::arrived`], [`Backfill::failed`]. Take events
//!    while the stream is idle too; a failure that is not transient ([`ReadError::is_transient`]) stops the flows of
//!    the table.
//! 5. *After each of these*: start every job of [`Backfill::next_read`] with [`Readers::start`]. Then, for as long as a
//!    batch comes: [`Backfill::questions_to_enter`] and their answers, [`Backfill::enter`]; what it returns goes on to
//!    the transforms like a batch of the stream (give it an id).
//! 6. *With each batch that goes on*: [`Backfill::take_progress`], in the same destination transaction as the batch's
//!    rows and, for a batch of the stream, its checkpoint, each entry replacing the former one of its name. A checkpoint
//!    must not be committed without the progress that was taken with it, and never inside a source transaction.
//!    Once [`Backfill::is_done`] the entries stay, so that a restart knows.
//!
//! A chunk enters as inserts under a span with xid 0, phase backfill and the position of the last transaction delivered,
//! numbered on behind that transaction's changes, also over a restart; a table that starts over enters with a truncate.
//!
//! *Tables without a key* ([`Backfill::tables_to_copy_whole`]): make a slot with an exported snapshot (the group's own,
//! when it is made anew, or a temporary one), [`Backfill::begin_whole`] with its consistent point before anything behind
//! that is merged, [`Readers::start_whole`]; every [`Event::Piece`] goes through [`Backfill::enter_piece`] (at a
//! boundary) and on. Keep the exported snapshot until the first piece. On [`Event::CopyFailed`]:
//! [`Backfill::whole_broke_off`], and again with a new snapshot.

mod copy_text;
mod delivered;
mod error;
mod group;
mod held;
mod key;
mod merge;
#[cfg(test)]
mod model;
mod order;
mod pace;
mod plan;
mod read;
mod read_error;
mod reader;
mod readers;
mod saved;
mod snapshot;
mod sql;
mod status;
mod table;
mod whole;

pub use delivered::{Fence, MustSee};
pub use error::BackfillError;
pub use group::{Backfill, Position};
pub use key::{Key, KeyColumn, KeySpec};
pub use order::Order;
pub use plan::plan_tables;
pub use read::{Arrived, Event, Opened, Question, ReadId, ReadJob, What};
pub use read_error::ReadError;
pub use reader::ChunkReader;
pub use readers::Readers;
pub use snapshot::{BadSnapshot, Commit, Replay, Sight, Snapshot};
pub(super) use sql::{WAS_REWRITTEN, begin_under, from, lock};
pub use status::{TableStage, TableStatus};
pub use table::TablePlan;
