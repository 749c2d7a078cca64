//! A fixture run as it stands, and what differs from what it expects.

use super::cut::Cut;
use super::outcome::{run, unstarted};
use super::running::{Rehearsal, Setup, Unstartable};
use crate::fixture::{Difference, Expected, Failure, Fixture, Outcome, compare};
use crate::wasm::{Component, GuestError, Limits};

/// What came of a fixture.
pub struct Verdict {
    /// Of each transaction.
    pub found: Vec<Vec<Outcome>>,
    /// Of all of them; of a transform that does not start, that failure alone.
    pub all: Vec<Outcome>,
    /// What differs, with the number of its transaction from 1; `None` for what is expected of the whole.
    pub differences: Vec<(Option<usize>, Difference)>,
    /// Set when the transform did not start and nobody expects that.
    pub unstarted: Option<Unstartable>,
    /// The errors in which transactions ended, with the guest's own lines.
    pub errors: Vec<GuestError>,
    /// How many transactions expect nothing, and nothing is expected of the whole.
    pub open: usize,
    /// The numbers, from 1, of those among them that failed: nobody said that they should.
    pub failed: Vec<usize>,
    /// The transform started.
    pub started: bool,
}

impl Verdict {
    /// Returns whether everything is as expected.
    pub fn is_good(&self) -> bool {
        self.differences.is_empty() && self.unstarted.is_none() && self.failed.is_empty()
    }
}

/// Returns whether a transaction, or the start, ended in a way that no author means, such as a crash, and that the fixture does
/// not expect.
pub fn broke(fixture: &Fixture, verdict: &Verdict) -> bool {
    let broken = |found: &[Outcome]| {
        found.iter().any(|one| matches!(one, Outcome::Failed(Failure::Crash { .. } | Failure::Other(_))))
    };
    let expects = |expected: &Option<Expected>, found: &[Outcome]| {
        expected.as_ref().is_some_and(|expected| compare(expected, found).is_empty())
    };
    if expects(&fixture.expected, &verdict.all) {
        return false;
    }
    !verdict.started && !fixture.transactions.is_empty()
        || fixture
            .transactions
            .iter()
            .zip(&verdict.found)
            .any(|(transaction, found)| broken(found) && !expects(&transaction.expected, found))
}

/// Returns what a fixture's transform is started with.
pub(super) fn setup(fixture: &Fixture) -> Setup {
    let default = Limits::default();
    Setup {
        settings: fixture.settings.clone(),
        limits: Limits {
            memory_mib: fixture.memory_mib.unwrap_or(default.memory_mib),
            timeout_ms: fixture.timeout_ms.unwrap_or(default.timeout_ms),
        },
        relations: fixture.relations.clone(),
    }
}

/// Runs a fixture, one batch a transaction, and compares.
pub async fn verdict(component: &Component, fixture: &Fixture) -> Verdict {
    let mut verdict = Verdict {
        found: vec![Vec::new(); fixture.transactions.len()],
        all: Vec::new(),
        differences: Vec::new(),
        unstarted: None,
        errors: Vec::new(),
        open: 0,
        failed: Vec::new(),
        started: true,
    };
    let whole = fixture.expected.as_ref();
    match Rehearsal::start(component, &setup(fixture)).await {
        Ok(mut rehearsal) => {
            verdict.found = run(&mut rehearsal, &fixture.transactions, Cut::Transactions, 1).await;
            verdict.all = verdict.found.concat();
            verdict.errors = rehearsal.take_errors();
        }
        Err(error) => {
            verdict.started = false;
            verdict.all = vec![Outcome::Failed(unstarted(&error))];
            match whole {
                None => verdict.unstarted = Some(error),
                Some(whole) => verdict.differences.extend(compare(whole, &verdict.all).into_iter().map(|d| (None, d))),
            }
            return verdict;
        }
    }
    for (i, (transaction, found)) in fixture.transactions.iter().zip(&verdict.found).enumerate() {
        match &transaction.expected {
            Some(expected) => {
                verdict.differences.extend(compare(expected, found).into_iter().map(|d| (Some(i + 1), d)));
            }
            None if whole.is_none() => {
                verdict.open += 1;
                if found.iter().any(|outcome| matches!(outcome, Outcome::Failed(_))) {
                    verdict.failed.push(i + 1);
                }
            }
            None => {}
        }
    }
    if let Some(whole) = whole {
        verdict.differences.extend(compare(whole, &verdict.all).into_iter().map(|d| (None, d)));
    }
    verdict
}
