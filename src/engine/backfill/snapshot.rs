//! Which transactions a chunk's rows already contain.
//!
//! `pg_current_snapshot()` prints `xmin:xmax:xip,…`: transactions below `xmin` are over, those from `xmax` on had not
//! begun to end, and in between the listed ones were running. A transaction that comes out of the stream has committed,
//! so the snapshot either sees all of it or nothing.
//!
//! **The top-level xid suffices.** The stream names a transaction by its top-level xid, and the list holds top-level
//! xids only. A subtransaction's xid is always greater than its parent's and leaves the list of running transactions in
//! the same moment, so a snapshot sees a transaction's changes, all of them, exactly when it sees its top-level xid.
//!
//! **Epochs.** Snapshots have 64-bit xids, the stream has the low 32 bits. Postgres itself never lets two xids that
//! matter be 2^31 apart, so the 64-bit xid is the one nearest to the snapshot's `xmax`.
//!
//! **On a standby** the list is empty whatever runs (the server keeps what it knows of running transactions where
//! `pg_current_snapshot()` does not look), so between `xmin` and `xmax` the xid says nothing. There the position
//! decides: a commit becomes visible while its record is replayed, so what ended at or before the replay position taken
//! *before* the snapshot is seen, and what began behind the first record after the position taken *after* it is not.
//! In between nobody knows ([`Sight::Unclear`]), and the chunk is read again; that is one record in most cases, and
//! none when nothing beyond the second position had even been received.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::change::Span;
use crate::lsn::Lsn;

/// A transaction of the stream, as far as visibility needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u64, u64)", into = "(u32, u64, u64)")]
pub struct Commit {
    pub xid: u32,
    pub commit_lsn: Lsn,
    pub end_lsn: Lsn,
}

impl From<(u32, u64, u64)> for Commit {
    fn from((xid, commit_lsn, end_lsn): (u32, u64, u64)) -> Commit {
        Commit { xid, commit_lsn: Lsn(commit_lsn), end_lsn: Lsn(end_lsn) }
    }
}

impl From<Commit> for (u32, u64, u64) {
    fn from(commit: Commit) -> Self {
        (commit.xid, commit.commit_lsn.0, commit.end_lsn.0)
    }
}

impl From<&Span> for Commit {
    fn from(span: &Span) -> Commit {
        Commit { xid: span.xid, commit_lsn: span.commit_lsn, end_lsn: span.end_lsn }
    }
}

/// Whether a snapshot sees a transaction that has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Seen,
    Unseen,
    /// A standby can't say.
    Unclear,
}

/// What a standby says around a snapshot of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// `pg_last_wal_replay_lsn()` before the snapshot was taken.
    pub before: Lsn,
    /// The same afterwards.
    pub after: Lsn,
    /// Nothing beyond `after` had been received when `after` was read, so no record was half replayed.
    pub quiet: bool,
}

/// The snapshot under which a chunk was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    /// Sorted.
    xip: Vec<u64>,
    replay: Option<Replay>,
}

/// What was wrong with a text that should have been a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a snapshot such as 10:20:10,14,15")]
pub struct BadSnapshot(pub String);

impl FromStr for Snapshot {
    type Err = BadSnapshot;

    fn from_str(text: &str) -> Result<Snapshot, BadSnapshot> {
        let parse = || {
            let mut parts = text.splitn(3, ':');
            let xmin: u64 = parts.next()?.parse().ok()?;
            let xmax: u64 = parts.next()?.parse().ok()?;
            let list = parts.next()?;
            let xip: Option<Vec<u64>> = match list {
                "" => Some(Vec::new()),
                list => list.split(',').map(|xid| xid.parse().ok()).collect(),
            };
            let mut xip = xip?;
            xip.sort_unstable();
            // A snapshot that a slot exported may have its xmax before its xmin, since only commits move the one and
            // running transactions the other. Everything before xmin is visible then as ever.
            Some(Snapshot { xmin, xmax: xmax.max(xmin), xip, replay: None })
        };
        parse().ok_or_else(|| BadSnapshot(text.to_owned()))
    }
}

/// The largest header of a WAL page: a record may begin that far behind the end of the one before it.
const PAGE_HEADER_BYTES_MAX: u64 = 40;

impl Snapshot {
    /// Says that the snapshot was taken on a standby.
    pub fn on_standby(mut self, replay: Replay) -> Snapshot {
        self.replay = Some(replay);
        self
    }

    /// Returns the 64-bit xid that `xid` is the lower half of.
    fn widen(&self, xid: u32) -> u64 {
        let distance = xid.wrapping_sub(self.xmax as u32) as i32;
        self.xmax.saturating_add_signed(i64::from(distance))
    }

    /// Says whether rows read under this snapshot contain what `commit` did.
    pub fn sees(&self, commit: &Commit) -> Sight {
        let xid = self.widen(commit.xid);
        if xid < self.xmin {
            return Sight::Seen;
        }
        if xid >= self.xmax {
            return Sight::Unseen;
        }
        match self.replay {
            None if self.xip.binary_search(&xid).is_ok() => Sight::Unseen,
            None => Sight::Seen,
            Some(replay) if commit.end_lsn <= replay.before => Sight::Seen,
            Some(replay) if replay.quiet && commit.commit_lsn >= replay.after => Sight::Unseen,
            Some(replay) if commit.commit_lsn.0 > replay.after.0 + PAGE_HEADER_BYTES_MAX => Sight::Unseen,
            Some(_) => Sight::Unclear,
        }
    }

    /// Returns true when every transaction up to `xid` is over and its end is visible.
    pub fn is_past(&self, xid: u32) -> bool {
        self.widen(xid) < self.xmin
    }

    /// Returns a transaction that `self` misses although `earlier` sees it, if there is one.
    pub fn misses_of(&self, earlier: &Snapshot) -> Option<u32> {
        let seen_earlier =
            |xid: u64| xid < earlier.xmin || (xid < earlier.xmax && earlier.xip.binary_search(&xid).is_err());
        if self.xmax < earlier.xmax {
            return Some(earlier.xmax.wrapping_sub(1) as u32);
        }
        self.xip.iter().copied().find(|&xid| seen_earlier(xid)).map(|xid| xid as u32)
    }

    /// Returns the last xid that had been handed out to a transaction that is over.
    pub fn last_completed(&self) -> u32 {
        self.xmax.wrapping_sub(1) as u32
    }

    /// Returns true when the stream must have gone beyond the chunk's position, not just up to it.
    pub(super) fn must_be_passed_strictly(&self) -> bool {
        self.replay.is_some_and(|replay| !replay.quiet)
    }
}

impl std::fmt::Display for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (i, xid) in self.xip.iter().enumerate() {
            write!(f, "{}{xid}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(xid: u32, at: u64) -> Commit {
        Commit { xid, commit_lsn: Lsn(at), end_lsn: Lsn(at + 48) }
    }

    #[test]
    fn reads_what_postgres_prints() {
        for text in ["10:20:10,14,15", "7:7:", "4294967299:4294967301:4294967299"] {
            assert_eq!(text.parse::<Snapshot>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1:2", "1:2:x", "1:2:,", "1:3:1,", "-1:2:", "1:2:1:1"] {
            assert_eq!(text.parse::<Snapshot>(), Err(BadSnapshot(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn an_exported_snapshot_may_have_its_bounds_in_reverse() {
        let snapshot: Snapshot = "5573:5561:".parse().unwrap();
        let sight = |xid| snapshot.sees(&commit(xid, 0));
        assert_eq!([5560, 5561, 5572].map(sight), [Sight::Seen; 3]);
        assert_eq!(sight(5573), Sight::Unseen);
    }

    #[test]
    fn sees_what_was_over() {
        let snapshot: Snapshot = "10:20:10,14,15".parse().unwrap();
        for xid in 3..30 {
            let seen = xid < 20 && ![10, 14, 15].contains(&xid);
            assert_eq!(snapshot.sees(&commit(xid, 0)) == Sight::Seen, seen, "{xid}");
        }
        assert!(snapshot.is_past(9) && !snapshot.is_past(10));
    }

    #[test]
    fn compares_across_the_end_of_an_epoch() {
        // The third epoch has just begun; the stream has the low 32 bits.
        let start = 3u64 << 32;
        let snapshot: Snapshot = format!("{}:{}:{}", start - 2, start + 6, start + 4).parse().unwrap();
        let sight = |xid: u32| snapshot.sees(&commit(xid, 0));
        assert_eq!(sight(u32::MAX - 100), Sight::Seen);
        assert_eq!(sight(u32::MAX), Sight::Seen);
        assert_eq!(sight(3), Sight::Seen);
        assert_eq!(sight(4), Sight::Unseen);
        assert_eq!(sight(5), Sight::Seen);
        assert_eq!(sight(6), Sight::Unseen);
        // And shortly before its end.
        let snapshot: Snapshot = format!("{}:{}:", start - 3, start - 3).parse().unwrap();
        assert_eq!(snapshot.sees(&commit(u32::MAX - 3, 0)), Sight::Seen);
        assert_eq!(snapshot.sees(&commit(5, 0)), Sight::Unseen);
    }

    #[test]
    fn a_standby_goes_by_position() {
        let replay = Replay { before: Lsn(1000), after: Lsn(2000), quiet: false };
        let snapshot = "10:20:".parse::<Snapshot>().unwrap().on_standby(replay);
        assert_eq!(snapshot.sees(&commit(9, 5000)), Sight::Seen);
        assert_eq!(snapshot.sees(&commit(20, 0)), Sight::Unseen);
        assert_eq!(snapshot.sees(&commit(15, 952)), Sight::Seen);
        assert_eq!(snapshot.sees(&commit(15, 953)), Sight::Unclear);
        assert_eq!(snapshot.sees(&commit(15, 2000)), Sight::Unclear);
        assert_eq!(snapshot.sees(&commit(15, 2041)), Sight::Unseen);
        let quiet = "10:20:".parse::<Snapshot>().unwrap().on_standby(Replay { quiet: true, ..replay });
        assert_eq!(quiet.sees(&commit(15, 2000)), Sight::Unseen);
        assert_eq!(quiet.sees(&commit(15, 1990)), Sight::Unclear);
    }

    #[test]
    fn finds_what_a_later_snapshot_misses() {
        let snapshot = |text: &str| text.parse::<Snapshot>().unwrap();
        let exported = snapshot("10:20:12");
        assert_eq!(snapshot("10:25:12,22").misses_of(&exported), None);
        assert_eq!(snapshot("10:25:12,15").misses_of(&exported), Some(15));
        assert_eq!(snapshot("9:25:9").misses_of(&exported), Some(9));
        assert_eq!(snapshot("10:19:12").misses_of(&exported), Some(19));
    }
}
