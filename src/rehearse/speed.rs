//! What a change costs, on a fixture's own changes.

use std::time::{Duration, Instant};

use super::cut::{Cut, cut};
use super::running::Rehearsal;
use super::verdict::setup;
use crate::fixture::{Fixture, Transaction};
use crate::wasm::Component;

/// As many changes as a batch of a backlog has, about; with fewer the call itself would count most.
const CHANGES: usize = 1_000;
/// How long it is measured. What was compiled just now is not warm yet, so the first batch does not count.
const AT_LEAST: Duration = Duration::from_millis(100);
const BATCHES_MIN: usize = 3;

/// Runs a fixture's transactions, over and over in large batches, and returns the median time a change, the host's share
/// included. The state goes on as it grows.
///
/// `None` where that says nothing: a fixture without changes, or one on which the transform does not start, rejects a
/// change or fails.
pub async fn speed(component: &Component, fixture: &Fixture) -> Option<Duration> {
    let of_once: usize = fixture.transactions.iter().map(|transaction| transaction.changes.len()).sum();
    if of_once == 0 {
        return None;
    }
    let times = CHANGES.div_ceil(of_once);
    let transactions: Vec<Transaction> = std::iter::repeat_n(&fixture.transactions, times).flatten().cloned().collect();
    let changes = (times * of_once) as u32;
    let mut rehearsal = Rehearsal::start(component, &setup(fixture)).await.ok()?;
    let mut spent = Vec::new();
    let begun = Instant::now();
    while spent.len() <= BATCHES_MIN || begun.elapsed() < AT_LEAST {
        let piece = cut(&fixture.relations, &transactions, Cut::Nowhere).pop()?;
        let started = Instant::now();
        let output = rehearsal.run(piece.batch).await.ok()?;
        spent.push(started.elapsed());
        if !output.rejected.is_empty() {
            return None;
        }
    }
    let mut spent = spent.split_off(1);
    spent.sort_unstable();
    Some(spent[spent.len() / 2] / changes)
}
