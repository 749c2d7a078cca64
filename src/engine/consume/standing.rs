//! Which consumers do not take part for now, and how the others go on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::Problem;
use super::{BACKOFF_MOST, GOOD_RUN};
use crate::postgres::Backoff;

/// Who does not take part, and how the others go on.
#[derive(Default)]
pub(super) struct Standing {
    /// For good, or until somebody resumes it; and whether its row says so.
    pub(super) stopped: BTreeMap<String, (Problem, bool)>,
    /// For a while, since what it failed at may pass.
    paused: BTreeMap<String, (Instant, Backoff)>,
    /// Something fails that names no consumer: each goes on alone, so that the guilty one shows.
    pub(super) alone: bool,
}

impl Standing {
    /// Returns true when a consumer is neither stopped nor out for a while.
    pub(super) fn takes_part(&self, consumer: &str) -> bool {
        let paused = self.paused.get(consumer).is_some_and(|(until, _)| *until > Instant::now());
        !paused && !self.stopped.contains_key(consumer)
    }

    /// Takes a consumer out for a while, longer with each time that it fails. Returns for how long.
    pub(super) fn pause(&mut self, consumer: &str) -> Duration {
        let now = Instant::now();
        let new = || (now, Backoff::new(Duration::from_secs(1), BACKOFF_MOST));
        let (until, backoff) = self.paused.entry(consumer.to_owned()).or_insert_with(new);
        if now.saturating_duration_since(*until) >= GOOD_RUN {
            backoff.reset();
        }
        let wait = backoff.next_wait().max(Duration::from_secs(1));
        *until = now + wait;
        wait
    }

    /// Returns when the first of those that are out for a while may take part again.
    pub(super) fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        self.paused.values().map(|(until, _)| *until).filter(|until| *until > now).min()
    }
}
