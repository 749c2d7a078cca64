//! What becomes of a slot that nobody reads: how fast write-ahead log piles up, and how long it lasts.
//!
//! Two rates are known: of the second in which the server was looked at, and the mean since its statistics were reset. What
//! is foretold is the worst, so the greater one counts: a quiet second at night says little of the day. A setting is judged
//! by the mean alone, which a busy second does not change.

use std::time::Duration;

/// What is known of a server's write-ahead log.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wal {
    /// Bytes a second, while it was looked at; `None` where that can't be seen.
    pub now: Option<f64>,
    /// Bytes a second, as a mean since the statistics were reset; `None` where that is less than an hour ago.
    pub mean: Option<f64>,
}

impl Wal {
    /// Returns the bytes a second that count; `None` where nothing is known.
    pub fn rate(&self) -> Option<f64> {
        [self.now, self.mean].into_iter().flatten().filter(|rate| rate.is_finite()).reduce(f64::max)
    }

    /// Returns the same by the mean alone.
    pub fn usual(&self) -> Wal {
        Wal { now: None, ..*self }
    }

    /// Returns how long it takes to write that many bytes; `None` where nothing is written, or nothing is known.
    pub fn lasts(&self, size: u64) -> Option<Duration> {
        let rate = self.rate().filter(|rate| *rate >= 1.0)?;
        // Beyond a century, it does not matter.
        Duration::try_from_secs_f64(size as f64 / rate).ok().filter(|time| time.as_secs() < 100 * 365 * 86_400)
    }

    /// Says how fast, in words: `12 MB an hour`.
    pub fn per_hour(&self) -> Option<String> {
        Some(format!("{} an hour", bytes((self.rate()? * 3600.0) as u64)))
    }
}

/// Prints a number of bytes as Postgres's `pg_size_pretty` would.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 10 * 1024 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    format!("{value} {}", UNITS[unit])
}

/// Prints a time in its largest unit: `3 h`.
pub fn time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_rate_counts_and_no_rate_foretells_nothing() {
        let wal = Wal { now: Some(10.0), mean: Some(1024.0) };
        assert_eq!(wal.lasts(1 << 20).map(time).as_deref(), Some("17 min"));
        assert_eq!(wal.per_hour().as_deref(), Some("3600 kB an hour"));
        assert_eq!(Wal { now: Some(0.0), mean: None }.lasts(1 << 20), None);
        assert_eq!(Wal::default().per_hour(), None);
        assert_eq!(Wal { now: Some(1.0), mean: Some(f64::NAN) }.lasts(u64::MAX), None);
    }

    #[test]
    fn sizes_and_times_are_printed_for_people() {
        assert_eq!([0, 10_239, 10_240, 50 << 30].map(bytes), ["0 bytes", "10239 bytes", "10 kB", "50 GB"]);
        let of = |seconds| time(Duration::from_secs(seconds));
        assert_eq!([59, 600, 86_400, 864_000].map(of), ["59 s", "10 min", "24 h", "10 days"]);
    }
}
