//! What `pelton test` says: coloured on a terminal, plain elsewhere.

use serde_json::{Value, json};

use super::Tested;
use crate::cli::words::{DIM, GREEN, RED, coloured, counted};
use crate::fixture::Difference;

/// Beyond that many differences of one fixture nobody reads on.
const DIFFERENCES_MAX: usize = 20;

/// Prints one fixture: a line when all is well, what differs otherwise.
pub fn tested(tested: &Tested) {
    let Tested { file, fixture, verdict, checks, accepted, refused } = tested;
    let transactions = fixture.transactions.len();
    let changes: usize = fixture.transactions.iter().map(|t| t.changes.len()).sum();
    let word = if tested.is_good() { coloured(GREEN, "ok") } else { coloured(RED, "FAILED") };
    let mut line = format!("{word} {file}: {}, {}", counted(transactions, "transaction"), counted(changes, "change"));
    let made = checks.iter().filter(|check| check.skipped.is_none()).count();
    line += &format!(", {}", counted(made, "check"));
    if verdict.open > 0 {
        line += &format!("; {} without `expect`, which --accept writes", counted(verdict.open, "transaction"));
    }
    match accepted {
        Some(0) => line += "; all is as expected already",
        Some(lists) => line += &format!("; {} accepted", counted(*lists, "list")),
        None => {}
    }
    println!("{line}");
    if *refused {
        println!("  nothing is accepted: a crash, a limit or a start that fails is no expectation; mend it first");
    }
    for number in &verdict.failed {
        println!("  transaction {number} failed, and nothing says that it should");
    }
    if let Some(error) = &verdict.unstarted {
        println!("  the transform does not start: {error}");
    }
    for (transaction, difference) in verdict.differences.iter().take(DIFFERENCES_MAX) {
        print_difference(file, *transaction, difference);
    }
    if let Some(more @ 1..) = verdict.differences.len().checked_sub(DIFFERENCES_MAX) {
        println!("  and {} more", counted(more, "difference"));
    }
    if !verdict.is_good() {
        for error in &verdict.errors {
            println!("  {}", coloured(DIM, &format!("the transform said: {error}")));
        }
    }
    for check in checks {
        for failure in &check.failures {
            println!("  check {}: {failure}", coloured(RED, check.name));
        }
        if let Some(reason) = &check.skipped {
            println!("  {}", coloured(DIM, &format!("check {} is skipped: {reason}", check.name)));
        }
        for note in &check.notes {
            println!("  {}", coloured(DIM, &format!("check {}: {note}", check.name)));
        }
    }
}

fn print_difference(file: &str, transaction: Option<usize>, difference: &Difference) {
    let of = transaction.map_or("the whole".to_owned(), |number| format!("transaction {number}"));
    let at = difference.at;
    println!("  {file}:{}:{}: number {} of what comes of {of}", at.line, at.column, difference.number);
    for detail in &difference.details {
        println!("    {detail}");
    }
    if let Some(expected) = &difference.expected {
        println!("  {}", coloured(RED, &format!("- {expected}")));
    }
    if let Some(found) = &difference.found {
        println!("  {}", coloured(GREEN, &format!("+ {found}")));
    }
}

/// Prints how it ended.
pub fn summary(tested: &[Tested]) {
    let bad = tested.iter().filter(|one| !one.is_good()).count();
    if tested.is_empty() {
        return;
    }
    match bad {
        0 => println!("{} passed.", counted(tested.len(), "fixture")),
        bad => println!("{} of {} failed.", bad, counted(tested.len(), "fixture")),
    }
}

pub fn to_json(tested: &Tested) -> Value {
    let difference = |(transaction, difference): &(Option<usize>, Difference)| {
        json!({
            "transaction": transaction,
            "line": difference.at.line,
            "column": difference.at.column,
            "number": difference.number,
            "expected": difference.expected,
            "found": difference.found,
            "details": difference.details,
        })
    };
    let check = |check: &crate::rehearse::CheckResult| {
        json!({
            "name": check.name,
            "skipped": check.skipped,
            "failures": check.failures,
            "notes": check.notes,
        })
    };
    json!({
        "fixture": tested.file,
        "passed": tested.is_good(),
        "transactions": tested.fixture.transactions.len(),
        "withoutExpect": tested.verdict.open,
        "accepted": tested.accepted,
        "unstarted": tested.verdict.unstarted.as_ref().map(ToString::to_string),
        "differences": tested.verdict.differences.iter().map(difference).collect::<Vec<_>>(),
        "errors": tested.verdict.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "checks": tested.checks.iter().map(check).collect::<Vec<_>>(),
    })
}
