//! When to nap before the next read.
//!
//! Waking up costs more than reading: the kernel's work for a wake-up and a system call is that of some tens of
//! messages. A nap trades a fraction of a millisecond of waiting for one wake-up instead of many. It pays while wake-ups
//! follow closely upon each other, and only then; so the rule counts them. Whether the data is "behind" is not asked:
//! pgoutput's messages don't say (their `wal_end` is their own position), and a backlog that the server decodes slowly
//! comes one wake-up a message just like a quick succession of small transactions.
//!
//! * Awake: [`BURST_READS`] reads within [`BURST`] of each other start the naps.
//! * Napping: a nap that brought fewer than [`NAP_MESSAGES_MIN`] ends them at once, so a stream that goes quiet
//!   delivers its next message without delay.
//! * A read that filled its buffer never naps: there is more already.

use std::time::{Duration, Instant};

/// As many reads …
const BURST_READS: u32 = 12;
/// … within this time are a flood of wake-ups.
const BURST: Duration = Duration::from_millis(1);

/// A read of at least this much was worth its wake-up.
const FULL_READ_BYTES: usize = 32 << 10;

/// A nap that brings fewer, each of which might have been a wake-up, was not worth the waiting.
const NAP_MESSAGES_MIN: usize = 8;

/// How long a nap is: within 200 to 400 µs the socket fills; longer naps let the server run into its full buffer.
const NAP: Duration = Duration::from_micros(250);

/// Decides on naps.
#[derive(Debug)]
pub(super) struct Pace {
    napping: bool,
    burst_began: Instant,
    burst_reads: u32,
}

impl Pace {
    pub fn new(now: Instant) -> Pace {
        Pace { napping: false, burst_began: now, burst_reads: 0 }
    }

    /// Takes note of a read and returns how long to nap before the next one.
    pub fn after_read(&mut self, bytes: usize, messages: usize, now: Instant) -> Option<Duration> {
        if self.napping {
            if bytes >= FULL_READ_BYTES {
                return None;
            }
            if messages >= NAP_MESSAGES_MIN {
                return Some(NAP);
            }
            self.napping = false;
            self.burst_reads = 0;
        }
        if self.burst_reads == 0 || now.duration_since(self.burst_began) > BURST {
            (self.burst_began, self.burst_reads) = (now, 0);
        }
        self.burst_reads += 1;
        self.napping = self.burst_reads >= BURST_READS;
        (self.napping && bytes < FULL_READ_BYTES).then_some(NAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step is (microseconds since the one before, bytes); the result has an `n` for each nap.
    /// A message has 100 bytes.
    fn check(steps: impl IntoIterator<Item = (u64, usize)>, expected: &str) {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let after = |(wait, bytes): (u64, usize)| {
            now += Duration::from_micros(wait);
            if pace.after_read(bytes, bytes.div_ceil(100), now).is_some() { 'n' } else { '.' }
        };
        assert_eq!(steps.into_iter().map(after).collect::<String>(), expected);
    }

    #[test]
    fn a_trickle_is_delivered_at_once() {
        check(std::iter::repeat_n((500, 200), 20), "....................");
    }

    #[test]
    fn one_small_transaction_after_a_pause_is_delivered_at_once() {
        check([(1_000_000, 100), (20, 100), (20, 100), (20, 100), (1_000_000, 100), (20, 100)], "......");
    }

    #[test]
    fn a_flood_of_small_reads_naps_until_it_ebbs() {
        let flood = std::iter::repeat_n((10, 150), 12).chain(std::iter::repeat_n((300, 20_000), 3));
        check(flood.chain([(300, 100), (300, 100)]), "...........nnnn..");
    }

    #[test]
    fn full_reads_need_no_nap() {
        let flood = std::iter::repeat_n((10, 150), 12).chain(std::iter::repeat_n((300, 1 << 20), 3));
        check(flood, "...........n...");
    }
}
