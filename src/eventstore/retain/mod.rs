//! What an event store no longer keeps.
//!
//! Events lie in *segments*, stretches of time with a partition each. A segment that is old enough, or that there is no room
//! for, goes: of streams with a key its events are merged into the newest of each key ([`merge`]), which lie in segment 0, so
//! that whoever begins at the start still gets every row; without compaction, and without a key, they are removed. Each
//! stream has a *horizon*: events up to there are no longer what they were.
//!
//! What makes it safe:
//! - Nothing goes that a registered consumer has not read. Consumers register before they read (a mirror is one too), and
//!   whatever removes holds a lock on their table, so none comes in between. By force it goes all the same, and who has not
//!   read it is marked: it stops, rather than going on as if nothing had been there ([`gap`]).
//! - A stream's events go in their order, and its horizon moves in the transaction that removes them. A crash leaves a store
//!   that has gone a little further.
//! - A segment is closed before it is looked at for the last time, and taken out of the log without locking readers out.
//! - Merged events keep the position of the newest event that is in them, so a consumer that is inside of them, which keeps
//!   them from being merged any further, goes on behind it.

mod gap;
mod horizon;
mod merge;
mod prune;
mod segment;

pub use gap::{Gap, gap};
pub use horizon::{Horizon, Horizons};
pub use prune::{KeptFor, Limits, Pruned, prune};
pub use segment::{Holder, Segment, newest_segment, segments};

/// One process at a time removes. "pelton" in ASCII, with a number behind that of [`super::stream`].
const LOCK: i64 = 0x70_65_6C_74_6F_72;
