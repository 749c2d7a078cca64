//! How long to wait before the next try: exponential back-off with full jitter.
//!
//! Full jitter (a uniformly random wait below the current ceiling) keeps many clients that lost the same server from
//! coming back at the same moment. The type only computes; the loop that waits owns the clock.

use std::time::Duration;

/// Waits that grow from try to try.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    ceiling: Duration,
    tries: u32,
}

impl Default for Backoff {
    /// 100 ms, doubling to 30 s.
    fn default() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(30))
    }
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, ceiling: first, tries: 0 }
    }

    /// Returns how long to wait before the next try: between nothing and a ceiling that doubles with every call.
    pub fn next_wait(&mut self) -> Duration {
        self.wait_with(fastrand::f64())
    }

    /// Starts over, after a try that worked.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
        self.tries = 0;
    }

    /// Returns how many waits there were since the last [`reset`](Backoff::reset).
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// `random` is in `0.0..1.0`.
    fn wait_with(&mut self, random: f64) -> Duration {
        let wait = self.ceiling.mul_f64(random.clamp(0.0, 1.0));
        self.ceiling = self.ceiling.saturating_mul(2).min(self.most);
        self.tries = self.tries.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_to_its_limit_and_starts_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..12).map(|_| backoff.wait_with(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]);
        assert_eq!(backoff.tries(), 12);
        backoff.reset();
        assert_eq!(backoff.wait_with(0.5).as_millis(), 50);
        assert_eq!(backoff.tries(), 1);
    }

    #[test]
    fn a_wait_is_random_below_the_ceiling() {
        let waits: Vec<Duration> = (0..50).map(|_| Backoff::default().next_wait()).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(100)));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "fifty equal waits are no jitter");
    }
}
