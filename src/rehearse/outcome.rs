//! What came of batches, as what came of transactions.

use super::cut::{Cut, cut};
use super::running::{Rehearsal, Unstartable};
use crate::change::{Kind, Op, PublicSchema, Row, Tuple, Value};
use crate::fixture::{Cell, Failure, Field, Outcome, PublicRow, Transaction};
use crate::wasm::{Descriptor, GuestError, Output};

/// Runs transactions, cut as asked, each batch delivered `times` times, and returns what came of each transaction.
///
/// A batch that fails is the failure of the transaction with the change that was found, otherwise of its last one; the
/// others of the batch have no rows then.
pub async fn run(rehearsal: &mut Rehearsal, transactions: &[Transaction], how: Cut, times: u32) -> Vec<Vec<Outcome>> {
    let relations = rehearsal.relations().to_vec();
    let mut found: Vec<Vec<Outcome>> = vec![Vec::new(); transactions.len()];
    for piece in cut(&relations, transactions, how) {
        if piece.batch.changes.is_empty() {
            continue;
        }
        let count = piece.batch.changes.len();
        match rehearsal.deliver(piece.batch, times).await {
            Ok(output) => {
                for (change, outcome) in outcomes(rehearsal.component().descriptor(), output) {
                    let (transaction, index) = locate(transactions, piece.first + change as usize);
                    found[transaction].push(numbered(outcome, index));
                }
            }
            Err(error) => {
                let place = error.place().map_or(count - 1, |place| place.change as usize);
                let (transaction, index) = locate(transactions, piece.first + place);
                found[transaction].push(numbered(Outcome::Failed(failure(&error)), index));
                rehearsal.keep(error);
            }
        }
    }
    found
}

/// Returns the transaction of a change, and its index there.
fn locate(transactions: &[Transaction], change: usize) -> (usize, usize) {
    let mut rest = change;
    for (i, transaction) in transactions.iter().enumerate() {
        if rest < transaction.changes.len() {
            return (i, rest);
        }
        rest -= transaction.changes.len();
    }
    (transactions.len() - 1, 0)
}

/// Puts the number of the change in its transaction, from 1, where an outcome has one.
fn numbered(outcome: Outcome, index: usize) -> Outcome {
    let change = index as u32 + 1;
    match outcome {
        Outcome::Rejected { code, message, .. } => Outcome::Rejected { change, code, message },
        Outcome::Failed(Failure::Crash { change: Some(_) }) => Outcome::Failed(Failure::Crash { change: Some(change) }),
        other => other,
    }
}

/// Returns rows and rejections in the order of their changes, each with its change's index in the batch.
fn outcomes(descriptor: &Descriptor, output: Output) -> Vec<(u32, Outcome)> {
    let rows = output.rows.iter().map(|row| (row.source, Outcome::Row(public_row(&descriptor.public_schemas, row))));
    let rejected = output.rejected.into_iter().map(|rejection| {
        let (code, message) = (rejection.code, rejection.message);
        (rejection.index, Outcome::Rejected { change: 0, code, message })
    });
    let mut all: Vec<_> = rows.chain(rejected).collect();
    all.sort_by_key(|(change, _)| *change);
    all
}

/// Says in the words of a fixture how a transform failed to start.
pub(super) fn unstarted(error: &Unstartable) -> Failure {
    match error {
        Unstartable::Settings(_) => Failure::Fatal(error.to_string()),
        Unstartable::Guest(error) => failure(error),
    }
}

/// Says in the words of a fixture how a transform failed.
pub(super) fn failure(error: &GuestError) -> Failure {
    match error {
        GuestError::Retryable { message, after_ms, .. } => {
            Failure::Retry { message: message.clone(), after_ms: *after_ms }
        }
        GuestError::Fatal { message, .. } => Failure::Fatal(message.clone()),
        GuestError::Trap { place, .. } => {
            let one = place.as_ref().filter(|place| place.count == 1);
            Failure::Crash { change: one.map(|place| place.change + 1) }
        }
        other => Failure::Other(other.to_string()),
    }
}

fn public_row(schemas: &[PublicSchema], row: &Row) -> PublicRow {
    let schema = &schemas[row.public_schema as usize];
    let several = schemas.iter().filter(|other| other.name == schema.name).count() > 1;
    let public_schema = match several {
        true => format!("{} {}", schema.name, schema.major),
        false => schema.name.to_string(),
    };
    let key = schema.key();
    let fields = |tuple: &Tuple, columns: &mut dyn Iterator<Item = usize>| -> Vec<Field> {
        let columns: Vec<usize> = columns.collect();
        let field = |(value, index): (Value<'_>, usize)| Field {
            column: schema.columns[index].name.to_string(),
            kind: schema.columns[index].kind.clone(),
            value: cell(value, &schema.columns[index].kind),
        };
        tuple.columns().zip(columns).map(field).collect()
    };
    let all = || fields(&row.values, &mut (0..schema.columns.len()));
    let old = row.old_key.as_ref().map(|old| fields(old, &mut key.iter().copied())).unwrap_or_default();
    let (old, new) = match row.op {
        Op::Insert | Op::Update => (old, all()),
        Op::Delete => {
            let values = all();
            let kept = values.into_iter().enumerate().filter(|(i, _)| key.contains(i)).map(|(_, field)| field);
            (kept.collect(), Vec::new())
        }
        Op::Truncate => (Vec::new(), Vec::new()),
    };
    PublicRow { public_schema, op: row.op, old, new }
}

fn cell(value: Value<'_>, kind: &Kind) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Unchanged => Cell::Unchanged,
        Value::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        // Rows of transforms are text; were one not, its bytes are told.
        Value::Binary(bytes) => Cell::Text(format!("{kind} \\x{}", hex::encode(bytes))),
    }
}
