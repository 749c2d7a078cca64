//! The transactions that a chunk's snapshot has to see.
//!
//! The merge drops the changes of keys that are not copied yet, because a later chunk will contain them. That is right
//! only if the chunk's snapshot sees the transactions they came from, and it need not: a commit is in the WAL, and in
//! the stream, before it becomes visible – for microseconds, or for as long as a synchronous standby takes to answer.
//! So the xids whose changes were dropped are remembered until some snapshot has seen them. Visibility only grows on
//! one server, so what one snapshot has seen all later ones see, and the list stays as short as the traffic between two
//! snapshots.
//!
//! **The bound.** At most [`DELIVERED_MAX`] are kept one by one. Older ones are folded into `floor`, the greatest xid
//! that was forgotten: a snapshot that is past the floor (everything up to it is over) sees them all. That asks for more
//! than is needed – a transaction that began before the floor and goes on holds the backfill up until it ends – so it
//! is sound, and rare. What is saved with a checkpoint is the same list, cut to [`SAVED_MAX`].
//!
//! **The fence.** What committed before the stream's own start never comes out of it, and must be in every chunk as
//! well. Where the slot is new, its exported snapshot names exactly those transactions ([`Fence::Exported`]). Otherwise
//! everything that had been handed an xid when the backfill began must be over ([`Fence::Finished`]).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::snapshot::{Commit, Sight, Snapshot};

/// How many transactions are remembered one by one.
const DELIVERED_MAX: usize = 65_536;

/// How many of them are saved with a checkpoint.
const SAVED_MAX: usize = 256;

/// What committed before the stream began and is therefore not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The snapshot that the slot exported when it was made, as `pg_current_snapshot()` prints it in a session that
    /// has imported it. The stream begins right behind it.
    Exported(Snapshot),
    /// A snapshot taken by any session after the stream's start was fixed: all that had begun by then must be over.
    Finished(Snapshot),
}

/// The transactions that were delivered and may not be visible yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivered {
    /// In the order of the stream.
    recent: VecDeque<Commit>,
    floor: Option<u32>,
    exported: Option<Snapshot>,
}

/// What a new chunk's snapshot has to see.
#[derive(Clone, Debug, Default)]
pub struct MustSee {
    recent: Vec<Commit>,
    floor: Option<u32>,
    exported: Option<Snapshot>,
}

impl MustSee {
    /// Returns a transaction that the stream has delivered and the snapshot misses, if there is one: the chunk must
    /// be opened again, a little later.
    pub fn missing_in(&self, snapshot: &Snapshot) -> Option<u32> {
        let floor = self.floor.filter(|&floor| !snapshot.is_past(floor));
        floor
            .or_else(|| self.exported.as_ref().and_then(|exported| snapshot.misses_of(exported)))
            .or_else(|| self.recent.iter().find(|commit| snapshot.sees(commit) != Sight::Seen).map(|commit| commit.xid))
    }
}

impl Delivered {
    pub(super) fn new(fence: Option<Fence>) -> Delivered {
        match fence {
            None => Delivered::default(),
            Some(Fence::Exported(snapshot)) => Delivered { exported: Some(snapshot), ..Delivered::default() },
            Some(Fence::Finished(snapshot)) => {
                Delivered { floor: Some(snapshot.last_completed()), ..Delivered::default() }
            }
        }
    }

    /// Remembers that a change of `commit` was left to a later chunk.
    pub(super) fn record(&mut self, commit: Commit) {
        if self.recent.back().is_some_and(|last| last.xid == commit.xid) {
            return;
        }
        if self.recent.len() == DELIVERED_MAX {
            let oldest = self.recent.pop_front().expect("it is full");
            self.floor = Some(greatest(self.floor, oldest.xid));
        }
        self.recent.push_back(commit);
    }

    /// Returns what the snapshot of a read that begins now must see.
    pub(super) fn must_see(&self) -> MustSee {
        MustSee { recent: self.recent.iter().copied().collect(), floor: self.floor, exported: self.exported.clone() }
    }

    /// Forgets what `snapshot` sees.
    ///
    /// The floor and the fence are forgotten only by a snapshot that was checked against them.
    pub(super) fn prune(&mut self, snapshot: &Snapshot) {
        self.recent.retain(|commit| snapshot.sees(commit) != Sight::Seen);
        if self.floor.is_some_and(|floor| snapshot.is_past(floor)) {
            self.floor = None;
        }
        if self.exported.as_ref().is_some_and(|exported| snapshot.misses_of(exported).is_none()) {
            self.exported = None;
        }
    }

    pub(super) fn save(&self) -> SavedDelivered {
        let cut = self.recent.len().saturating_sub(SAVED_MAX);
        let forgotten = self.recent.iter().take(cut).fold(self.floor, |floor, c| Some(greatest(floor, c.xid)));
        SavedDelivered {
            recent: self.recent.iter().skip(cut).copied().collect(),
            floor: forgotten,
            exported: self.exported.as_ref().map(Snapshot::to_string),
        }
    }

    /// Adds what was saved.
    pub(super) fn restore(&mut self, saved: SavedDelivered) -> Result<(), super::snapshot::BadSnapshot> {
        if let Some(text) = saved.exported {
            self.exported = Some(text.parse()?);
        }
        self.floor = match (saved.floor, self.floor) {
            (Some(saved), floor) => Some(greatest(floor, saved)),
            (None, floor) => floor,
        };
        self.recent = saved.recent.into();
        Ok(())
    }
}

/// Returns the later of two xids, as Postgres compares them.
fn greatest(floor: Option<u32>, xid: u32) -> u32 {
    match floor {
        Some(floor) if floor.wrapping_sub(xid) as i32 > 0 => floor,
        _ => xid,
    }
}

/// [`Delivered`] as it is kept beside a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedDelivered {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<Commit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exported: Option<String>,
}
