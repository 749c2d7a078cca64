//! When a batch that was collected is handed over.
//!
//! A transaction of the destination costs the same few round trips whether it holds one row or ten thousand, and both
//! servers' CPU with them. So while changes flood in, a batch is left to grow to [`ENOUGH_BYTES`] or [`AGE_MAX`],
//! whichever comes first. While they don't, it is handed over at once: a single transaction waits for nothing.
//!
//! A flood is measured by what arrived lately, not by what is behind: pgoutput does not say what is behind, and what
//! matters is the number of small batches that there would be. So it is one of bytes or of transactions; the latter is
//! set so low that a line which is busy with small batches, and has little CPU left to read, still sees it. A flood that
//! stops is noticed by [`SILENCE`].

use std::time::Duration;

use tokio::time::Instant;

/// A batch of this size is worth a transaction of its own.
const ENOUGH_BYTES: usize = 1 << 20;
/// The longest that a batch is left to grow.
const AGE_MAX: Duration = Duration::from_millis(20);
/// When nothing arrives for so long, nothing more is expected soon.
const SILENCE: Duration = Duration::from_millis(2);

/// What arrives is counted over windows of this length …
const WINDOW: Duration = Duration::from_millis(5);
/// … and is a flood when two of them brought so much: some ten thousand rows a second.
const FLOOD_BYTES: usize = 64 << 10;
/// … or so many transactions: two thousand a second. Fewer can have a batch each.
const FLOOD_TRANSACTIONS: u64 = 20;

/// Decides when batches are handed over.
#[derive(Debug)]
pub struct Pace {
    window_began: Instant,
    window: Arrived,
    /// What the window before brought.
    before: Arrived,
    last: Instant,
}

/// What a window brought.
#[derive(Clone, Copy, Debug, Default)]
struct Arrived {
    bytes: usize,
    transactions: u64,
}

impl Pace {
    /// Begins with nothing having arrived.
    pub fn new(now: Instant) -> Pace {
        Pace { window_began: now, window: Arrived::default(), before: Arrived::default(), last: now }
    }

    /// Takes note of what arrived: its size, and how many transactions it completed.
    pub fn arrived(&mut self, bytes: usize, transactions: u64, now: Instant) {
        let windows = now.duration_since(self.window_began);
        if windows >= WINDOW {
            self.before = if windows < WINDOW * 2 { self.window } else { Arrived::default() };
            (self.window_began, self.window) = (now, Arrived::default());
        }
        self.window.bytes += bytes;
        self.window.transactions += transactions;
        self.last = now;
    }

    /// Returns when a batch of this size, begun at `since`, is to be handed over; at once if that is not after `now`.
    pub fn due(&self, bytes: usize, since: Instant, now: Instant) -> Instant {
        let flood = self.window.bytes + self.before.bytes >= FLOOD_BYTES
            || self.window.transactions + self.before.transactions >= FLOOD_TRANSACTIONS;
        if flood && bytes < ENOUGH_BYTES { (since + AGE_MAX).min(self.last + SILENCE) } else { now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step is (milliseconds since the one before, bytes); returns after how many more milliseconds a batch that
    /// was begun with the last step, and holds what it brought, is due.
    fn due_ms(steps: &[(u64, usize)]) -> u128 {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for &(wait, bytes) in steps {
            now += Duration::from_millis(wait);
            pace.arrived(bytes, 1, now);
        }
        pace.due(steps.last().unwrap().1, now, now).duration_since(now).as_millis()
    }

    #[test]
    fn a_single_transaction_is_handed_over_at_once() {
        assert_eq!(due_ms(&[(100, 500)]), 0);
        assert_eq!(due_ms(&[(100, 500), (1, 500), (1, 500), (1, 500)]), 0);
    }

    #[test]
    fn a_flood_lets_a_batch_grow_until_it_ebbs() {
        assert_eq!(due_ms(&[(100, 40_000), (1, 40_000)]), 2);
        assert_eq!(due_ms(&[(100, 40_000), (1, 40_000), (100, 500)]), 0, "a flood is forgotten");
    }

    #[test]
    fn many_small_transactions_are_a_flood() {
        assert_eq!(due_ms(&[(0, 100); 25]), 2);
        assert_eq!(due_ms(&[(1, 100); 40]), 0, "a thousand a second can have a batch each");
    }

    #[test]
    fn a_batch_in_a_flood_waits_no_longer_than_its_age_and_size_allow() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        let last = begun + AGE_MAX - Duration::from_millis(1);
        pace.arrived(FLOOD_BYTES, 1, last);
        assert_eq!(pace.due(1, begun, last), begun + AGE_MAX);
        assert_eq!(pace.due(ENOUGH_BYTES, begun, last), last);
    }
}
