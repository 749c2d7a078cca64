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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    fn delivered(xids: impl IntoIterator<Item = u32>) -> Delivered {
        let mut delivered = Delivered::default();
        for xid in xids {
            delivered.record(Commit { xid, commit_lsn: Lsn(u64::from(xid)), end_lsn: Lsn(u64::from(xid) + 1) });
        }
        delivered
    }

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    #[test]
    fn remembers_until_a_snapshot_has_seen_it() {
        let mut delivered = delivered([10, 10, 12, 11]);
        assert_eq!(delivered.must_see().missing_in(&snapshot("11:13:11")), Some(11));
        delivered.prune(&snapshot("11:13:11"));
        assert_eq!(delivered.must_see().missing_in(&snapshot("11:20:11")), Some(11));
        assert_eq!(delivered.must_see().missing_in(&snapshot("14:20:14")), None);
        delivered.prune(&snapshot("14:20:14"));
        assert_eq!(delivered.save(), SavedDelivered::default());
    }

    #[test]
    fn what_does_not_fit_is_folded_into_the_greatest_xid() {
        // Across the end of an epoch: 2^32 - 10 comes before 5.
        let first = u32::MAX - 9;
        let full = delivered((0..DELIVERED_MAX as u32 + 15).map(|n| first.wrapping_add(n)));
        assert_eq!(full.recent.len(), DELIVERED_MAX);
        assert_eq!(full.floor, Some(4));
        let past = |xmin: u64| snapshot(&format!("{xmin}:{}:{xmin}", (1u64 << 32) + 1_000_000));
        assert_eq!(full.must_see().missing_in(&past((1 << 32) + 4)), Some(4));
        assert_ne!(full.must_see().missing_in(&past((1 << 32) + 5)), Some(4));
        // Saved, all but the newest are folded; restored, a snapshot must be past them.
        let saved = serde_json::to_value(full.save()).unwrap();
        let mut restored = Delivered::default();
        restored.restore(serde_json::from_value(saved).unwrap()).unwrap();
        assert_eq!(restored.recent.len(), SAVED_MAX);
        let newest_folded = first.wrapping_add((DELIVERED_MAX + 15 - SAVED_MAX - 1) as u32);
        assert_eq!(restored.floor, Some(newest_folded));
    }

    #[test]
    fn a_fence_is_kept_until_it_is_passed_and_over_a_restart() {
        for (fence, misses, sees) in [
            (Fence::Exported(snapshot("10:20:12")), "10:30:13", "10:30:12,25"),
            (Fence::Finished(snapshot("10:20:12")), "19:30:19", "20:30:20"),
        ] {
            let mut fenced = Delivered::new(Some(fence));
            fenced.prune(&snapshot(misses));
            let mut restored = Delivered::default();
            restored.restore(fenced.save()).unwrap();
            assert!(restored.must_see().missing_in(&snapshot(misses)).is_some());
            assert_eq!(restored.must_see().missing_in(&snapshot(sees)), None);
            restored.prune(&snapshot(sees));
            assert_eq!(restored.save(), SavedDelivered::default());
        }
    }
}
