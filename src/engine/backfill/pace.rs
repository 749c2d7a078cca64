//! How many rows the next chunk should have.
//!
//! A chunk should take about half a second and hold a few MiB, whichever is less. The size follows the last chunk, by at
//! most a factor of four; a chunk that had to be given up, because too much changed while it was read, is made smaller.

use std::time::Duration;

const ROWS_FIRST: u32 = 2_000;
const ROWS_MIN: u32 = 100;
const ROWS_MAX: u32 = 500_000;
const TARGET: Duration = Duration::from_millis(500);
pub(super) const TARGET_BYTES: usize = 4 << 20;

/// The number of rows to ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rows: u32,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { rows: ROWS_FIRST }
    }

    pub(super) fn rows(self) -> u32 {
        self.rows
    }

    /// Learns from a chunk of which `rows` rows were read.
    pub(super) fn read(&mut self, rows: usize, bytes: usize, elapsed: Duration) {
        if rows == 0 {
            return;
        }
        let by_time = TARGET.as_secs_f64() / elapsed.as_secs_f64().max(1e-6);
        let by_bytes = TARGET_BYTES as f64 / bytes.max(1) as f64;
        let factor = by_time.min(by_bytes).min(4.0);
        self.rows = ((rows as f64 * factor) as u32).clamp(ROWS_MIN, ROWS_MAX);
    }

    /// Learns that too much changed during a read.
    pub(super) fn given_up(&mut self) {
        self.rows = (self.rows / 4).max(ROWS_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_time_and_size() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new();
        pace.read(2_000, 100_000, ms(5));
        assert_eq!(pace.rows(), 8_000);
        pace.read(8_000, 16 << 20, ms(100));
        assert_eq!(pace.rows(), 2_000);
        pace.read(2_000, 100_000, ms(1_000));
        assert_eq!(pace.rows(), 1_000);
        pace.given_up();
        assert_eq!(pace.rows(), 250);
        pace.read(3, 64 << 20, ms(9_000));
        assert_eq!(pace.rows(), ROWS_MIN);
        pace.read(500_000, 1, ms(1));
        assert_eq!(pace.rows(), ROWS_MAX);
    }
}
