//! Which LSN may be confirmed to the source.
//!
//! Postgres may discard what is confirmed, so what is confirmed must be durable everywhere it is wanted. Each flow has
//! a checkpoint, committed with its rows; a checkpoint counts here only once its destination has flushed it. The least
//! of them, detached flows included, may be confirmed, and nothing else: a keepalive's position becomes a checkpoint
//! first. Positions given to [`Progress::durable`] never go back, so neither does what is confirmed.
//!
//! A detached reader stands still. What it holds back is what could be confirmed without it: a backlog of those that go
//! on is not its doing. It counts until it is released, which is its owner's to record first.

use std::collections::BTreeMap;

use crate::lsn::Lsn;

/// The durable checkpoints of everything that reads one source.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    checkpoints: BTreeMap<String, Lsn>,
    /// Of readers that stopped, until they are released.
    detached: BTreeMap<String, Lsn>,
}

impl Progress {
    /// Notes that everything committed before `lsn` is durable for `reader`. An older position changes nothing.
    pub fn durable(&mut self, reader: &str, lsn: Lsn) {
        match self.checkpoints.get_mut(reader) {
            Some(checkpoint) => *checkpoint = lsn.max(*checkpoint),
            None => {
                self.checkpoints.insert(reader.to_owned(), lsn);
            }
        }
    }

    /// Returns the newest LSN that is safe to confirm; `None` while nobody reads.
    pub fn confirmable(&self) -> Option<Lsn> {
        self.checkpoints.values().chain(self.detached.values()).min().copied()
    }

    /// Notes that `reader` has stopped at its checkpoint `lsn`.
    pub fn detached(&mut self, reader: &str, lsn: Lsn) {
        self.detached.insert(reader.to_owned(), lsn);
    }

    /// Returns how many bytes of log could be discarded, were it not for that detached reader.
    pub fn held_back_bytes(&self, reader: &str) -> u64 {
        let least = self.checkpoints.values().min();
        self.detached.get(reader).zip(least).map_or(0, |(lsn, least)| least.bytes_since(*lsn))
    }

    /// Returns true when a detached reader holds back more than that many bytes of log.
    pub fn is_held_back(&self, bytes_max: u64) -> bool {
        self.detached.keys().any(|reader| self.held_back_bytes(reader) > bytes_max)
    }

    /// Takes a detached reader out: its checkpoint no longer counts.
    pub fn release(&mut self, reader: &str) {
        self.detached.remove(reader);
    }

    /// Takes a detached reader for one that goes on: it can't be released now.
    pub fn keep(&mut self, reader: &str) {
        if let Some(lsn) = self.detached.remove(reader) {
            self.durable(reader, lsn);
        }
    }

    /// Returns a reader's checkpoint.
    pub fn checkpoint(&self, reader: &str) -> Option<Lsn> {
        self.checkpoints.get(reader).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_reader_decides() {
        let mut progress = Progress::default();
        assert_eq!(progress.confirmable(), None);
        progress.durable("a", Lsn(10));
        progress.durable("b", Lsn(5));
        assert_eq!(progress.confirmable(), Some(Lsn(5)));
        progress.durable("b", Lsn(20));
        assert_eq!(progress.confirmable(), Some(Lsn(10)));
        progress.durable("a", Lsn(3));
        assert_eq!(progress.confirmable(), Some(Lsn(10)), "a checkpoint never goes back");
    }

    #[test]
    fn a_detached_reader_counts_until_it_is_released() {
        let mut progress = Progress::default();
        progress.detached("stopped", Lsn(10));
        assert_eq!(progress.held_back_bytes("stopped"), 0, "nobody else would let go of anything");
        progress.durable("a", Lsn(100));
        progress.durable("b", Lsn(60));
        progress.detached("later", Lsn(55));
        assert_eq!(progress.confirmable(), Some(Lsn(10)));
        assert_eq!([progress.held_back_bytes("stopped"), progress.held_back_bytes("later")], [50, 5]);
        assert!(progress.is_held_back(49) && !progress.is_held_back(50));
        progress.release("stopped");
        assert_eq!(progress.confirmable(), Some(Lsn(55)));
        progress.durable("b", Lsn(80));
        assert!(progress.is_held_back(20));
        progress.keep("later");
        assert!(!progress.is_held_back(0));
        assert_eq!(progress.confirmable(), Some(Lsn(55)));
    }
}
