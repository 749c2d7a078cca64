//! Transforms that do not take part for now, and when they may again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::postgres::Backoff;

use super::Problem;
use super::failure::Verdict;

/// A transform that is taken out of its group for a while stays out for at least this long.
const PAUSE_LEAST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// One that went on for so long since its last pause has recovered from it.
const RECOVERED: Duration = Duration::from_secs(60);

/// A destination and a transform.
pub type Place = (String, String);

/// Who does not take part.
#[derive(Default)]
pub struct Apart {
    /// For good, until the process is restarted.
    pub stopped: BTreeMap<Place, Problem>,
    /// What failed in a way that may pass, while others of its group go on without it.
    paused: BTreeMap<Place, Pause>,
}

struct Pause {
    until: Instant,
    backoff: Backoff,
}

impl Apart {
    /// Returns true while a transform is out, for good or for a while.
    pub fn has(&self, slug: &str, transform: &str) -> bool {
        let place = (slug.to_owned(), transform.to_owned());
        let paused = self.paused.get(&place).is_some_and(|pause| pause.until > Instant::now());
        paused || self.stopped.contains_key(&place)
    }

    /// Takes a transform out, for good or, where that may pass, for a while: others of its group go on without it.
    pub fn add(&mut self, slug: &str, transform: &str, problem: Problem, verdict: Verdict) {
        let place = (slug.to_owned(), transform.to_owned());
        if verdict == Verdict::Retry {
            let (source, hint) = (&problem.source, problem.hint.as_deref().unwrap_or("-"));
            let seconds = self.pause(place).as_secs_f64();
            tracing::warn!(source, transform, hint, "{}; trying again in {seconds:.1} s", problem.what);
        } else {
            problem.log();
            self.stopped.insert(place, problem);
        }
    }

    /// Takes a transform out for a while, longer with each time that it fails. Returns for how long.
    fn pause(&mut self, place: Place) -> Duration {
        let now = Instant::now();
        let pause = self
            .paused
            .entry(place)
            .or_insert_with(|| Pause { until: now, backoff: Backoff::new(PAUSE_LEAST, PAUSE_MOST) });
        if now.saturating_duration_since(pause.until) >= RECOVERED {
            pause.backoff.reset();
        }
        let wait = pause.backoff.next_wait().max(PAUSE_LEAST);
        pause.until = now + wait;
        wait
    }

    /// Lets a transform take part again: it was deployed anew.
    pub fn revive(&mut self, place: &Place) {
        self.stopped.remove(place);
        self.paused.remove(place);
    }

    /// Returns when the first of the paused transforms may take part again.
    pub fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        self.paused.values().map(|pause| pause.until).filter(|&until| until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_that_fails_again_is_out_for_longer_but_not_for_good() {
        let place = || ("destination".to_owned(), "transform".to_owned());
        let mut apart = Apart::default();
        let waits: Vec<Duration> = (0..50).map(|_| apart.pause(place())).collect();
        assert!(waits.iter().all(|wait| (PAUSE_LEAST..=PAUSE_MOST).contains(wait)));
        assert!(waits[10..].iter().any(|&wait| wait > PAUSE_LEAST * 2), "{waits:?}");
        assert!(apart.has("destination", "transform") && !apart.has("destination", "another"));
        assert!(apart.next().is_some());
    }
}
