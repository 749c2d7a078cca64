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
//! * A read that was worth its wake-up never naps: there is more already.
//!
//! **Over loopback** the server's own work for each message depends on whether the receiver's window is open: then the
//! kernel carries every message through both ends of the connection at once, in the server's time (4 µs of it a row);
//! while it is closed, messages pile up at the sender, and come together when it opens (1 µs). So there the window is
//! made small ([`LOOPBACK_WINDOW_BYTES`]), which costs nothing where a round trip does not; naps are as long as it takes
//! to fill it many times; and after one, reads follow each other until nothing is left, for each of them opens the window
//! for what has piled up behind it. Measured with a bare reader that drops all it reads, on a machine with two cores:
//!
//! | window, nap | 600,000 rows, 1,000 a transaction | 200,000 transactions of a row |
//! |---|---:|---:|
//! | the kernel's, none | 3.65 s | 3.4 s |
//! | 64 KiB, 1 ms, one read | 2.34 s | 1.9 to 2.7 s |
//! | 32 KiB, 1 ms, all there is | 2.24 s | 3.1 s |
//! | 32 KiB, 2 ms, all there is | 1.67 s | 1.25 s |

use std::time::{Duration, Instant};

use super::gulp::BUFFER_BYTES;

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

/// What the receive buffer is set to over loopback; the kernel doubles it for its own needs.
pub(super) const LOOPBACK_WINDOW_BYTES: usize = 32 << 10;
/// How long a nap is there.
const LOOPBACK_NAP: Duration = Duration::from_millis(2);

/// Decides on naps.
#[derive(Debug)]
pub(super) struct Pace {
    nap: Duration,
    full_read_bytes: usize,
    loopback: bool,
    napping: bool,
    burst_began: Instant,
    burst_reads: u32,
}

impl Pace {
    /// Begins awake; `loopback` says that the server is on this machine and that its window was made small.
    pub fn new(loopback: bool, now: Instant) -> Pace {
        // After a nap over loopback, a read is all that there is, up to a buffer's size.
        let (nap, full_read_bytes) = if loopback { (LOOPBACK_NAP, BUFFER_BYTES) } else { (NAP, FULL_READ_BYTES) };
        Pace { nap, full_read_bytes, loopback, napping: false, burst_began: now, burst_reads: 0 }
    }

    /// Returns true when what a read brought is not all that there is.
    pub fn more(&self) -> bool {
        self.loopback && self.napping
    }

    /// Takes note of a read and returns how long to nap before the next one.
    pub fn after_read(&mut self, bytes: usize, messages: usize, now: Instant) -> Option<Duration> {
        if self.napping {
            if bytes >= self.full_read_bytes {
                return None;
            }
            if messages >= NAP_MESSAGES_MIN {
                return Some(self.nap);
            }
            self.napping = false;
            self.burst_reads = 0;
        }
        if self.burst_reads == 0 || now.duration_since(self.burst_began) > BURST {
            (self.burst_began, self.burst_reads) = (now, 0);
        }
        self.burst_reads += 1;
        self.napping = self.burst_reads >= BURST_READS;
        (self.napping && bytes < self.full_read_bytes).then_some(self.nap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step is (microseconds since the one before, bytes); the result has an `n` for each nap.
    /// A message has 100 bytes.
    fn check(steps: impl IntoIterator<Item = (u64, usize)>, expected: &str) {
        let mut now = Instant::now();
        let mut pace = Pace::new(false, now);
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
    fn over_loopback_a_flood_naps_whatever_it_brings() {
        let mut now = Instant::now();
        let mut pace = Pace::new(true, now);
        let mut naps = 0;
        for _ in 0..20 {
            now += Duration::from_micros(10);
            naps += u32::from(pace.after_read(100_000, 300, now) == Some(LOOPBACK_NAP));
        }
        assert_eq!(naps, 9);
        assert_eq!(pace.after_read(100, 1, now), None, "it ebbs");
    }

    #[test]
    fn full_reads_need_no_nap() {
        let flood = std::iter::repeat_n((10, 150), 12).chain(std::iter::repeat_n((300, 1 << 20), 3));
        check(flood, "...........n...");
    }
}
