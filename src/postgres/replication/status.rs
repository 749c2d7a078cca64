//! When to tell the server what is durable.
//!
//! A status update goes out at once when a keepalive asks for one; soon after the confirmed position moved, but not
//! for every single commit; and regularly, so that `wal_sender_timeout` never strikes, whatever else the thread waits
//! for. All of them carry the confirmed position and nothing else.

use std::time::{Duration, Instant};

use crate::lsn::Lsn;

/// Confirmations that follow each other more quickly than this share a status update.
const MOVED_INTERVAL: Duration = Duration::from_millis(10);

/// The longest time between two updates.
const REGULAR_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Returns the time between regular updates: a third of `wal_sender_timeout` (zero: there is none), 10 s at most.
pub(super) fn regular_interval(wal_sender_timeout: Duration) -> Duration {
    if wal_sender_timeout.is_zero() { REGULAR_INTERVAL_MAX } else { REGULAR_INTERVAL_MAX.min(wal_sender_timeout / 3) }
}

/// Decides when a status is due.
#[derive(Debug)]
pub(super) struct Feedback {
    regular: Duration,
    sent_at: Instant,
    sent: Lsn,
    asked: bool,
}

impl Feedback {
    pub fn new(regular: Duration, now: Instant) -> Feedback {
        Feedback { regular, sent_at: now, sent: Lsn::ZERO, asked: false }
    }

    /// The server asked for a status.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Returns when the next status is due if nothing else happens; it may have passed already.
    pub fn due_at(&self, confirmed: Lsn, now: Instant) -> Instant {
        if self.asked {
            now
        } else if confirmed > self.sent {
            self.sent_at + MOVED_INTERVAL.min(self.regular)
        } else {
            self.sent_at + self.regular
        }
    }

    /// A status with `confirmed` was sent.
    pub fn sent(&mut self, confirmed: Lsn, now: Instant) {
        (self.sent, self.sent_at, self.asked) = (confirmed, now, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_goes_out_when_asked_soon_after_a_move_and_regularly() {
        let start = Instant::now();
        let mut feedback = Feedback::new(regular_interval(Duration::from_secs(60)), start);
        let wait = |feedback: &Feedback, lsn| feedback.due_at(Lsn(lsn), start) - start;
        assert_eq!(wait(&feedback, 0), Duration::from_secs(10));
        assert_eq!(wait(&feedback, 7), MOVED_INTERVAL);
        feedback.ask();
        assert_eq!(wait(&feedback, 0), Duration::ZERO);
        feedback.sent(Lsn(7), start);
        assert_eq!(wait(&feedback, 7), Duration::from_secs(10));
    }

    #[test]
    fn the_interval_stays_below_wal_sender_timeout() {
        assert_eq!(regular_interval(Duration::from_secs(2)), Duration::from_secs(2) / 3);
        assert_eq!(regular_interval(Duration::ZERO), REGULAR_INTERVAL_MAX);
    }
}
