//! Which LSN may be confirmed to the source.
//!
//! Postgres may discard what is confirmed, so what is confirmed must be durable everywhere it is wanted. Each flow has
//! a checkpoint, committed with its rows; a checkpoint counts here only once its destination has flushed it. The least
//! of them, detached flows included, may be confirmed, and nothing else: a keepalive's position becomes a checkpoint
//! first. Positions given to [`Progress::durable`] never go back, so neither does what is confirmed.

use std::collections::BTreeMap;

use crate::lsn::Lsn;

/// The durable checkpoints of everything that reads one source.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    checkpoints: BTreeMap<String, Lsn>,
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
        self.checkpoints.values().min().copied()
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
}
