//! What came of batches, as what came of transactions.

use std::collections::BTreeSet;

use super::cut::{Cut, cut};
use super::running::{Rehearsal, Unstartable};
use crate::change::{Batch, Kind, Op, PublicSchema, Row, Span, Tuple, Value};
use crate::fixture::{Cell, Failure, Field, Outcome, PublicRow, Transaction};
use crate::wasm::{Descriptor, GuestError, Output};

/// What came of one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Index of the change in its batch.
    pub change: u32,
    pub outcome: Outcome,
}

/// What came of a batch.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// In the order of the changes.
    pub made: Vec<Made>,
    /// The rows among it, as a destination is given them.
    pub rows: Vec<Row>,
}

/// What public schemas are called: by their name, with the major version where several have it.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    several: BTreeSet<String>,
}

impl Labels {
    /// Tells apart what all of these components publish.
    pub fn of<'a>(descriptors: impl IntoIterator<Item = &'a Descriptor>) -> Labels {
        let all: BTreeSet<(&str, u32)> = descriptors
            .into_iter()
            .flat_map(|descriptor| &descriptor.public_schemas)
            .map(|schema| (&*schema.name, schema.major))
            .collect();
        let is_twice = |name: &str| all.iter().filter(|(other, _)| *other == name).count() > 1;
        Labels { several: all.iter().filter(|(name, _)| is_twice(name)).map(|(name, _)| (*name).to_owned()).collect() }
    }

    /// Returns what a public schema is called.
    pub fn label(&self, schema: &PublicSchema) -> String {
        match self.several.contains(&*schema.name) {
            true => format!("{} {}", schema.name, schema.major),
            false => schema.name.to_string(),
        }
    }
}

/// Runs transactions, cut as asked, each batch delivered `times` times, and returns what came of each transaction.
///
/// A batch that fails is the failure of the transaction with the change that was found, otherwise of its last one; the
/// others of the batch have no rows then.
pub async fn run(rehearsal: &mut Rehearsal, transactions: &[Transaction], how: Cut, times: u32) -> Vec<Vec<Outcome>> {
    let relations = rehearsal.relations().to_vec();
    let labels = Labels::of([rehearsal.component().descriptor()]);
    let mut found: Vec<Vec<Outcome>> = vec![Vec::new(); transactions.len()];
    for piece in cut(&relations, transactions, how) {
        for made in play(rehearsal, piece.batch, times, &labels).await.made {
            found[locate(transactions, piece.first + made.change as usize)].push(made.outcome);
        }
    }
    found
}

/// Runs one batch, delivered `times` times, and returns what came of it.
///
/// A failure is all that comes of its batch; it is that of the change that was found, otherwise of the last one. The error
/// itself is kept in the rehearsal.
pub async fn play(rehearsal: &mut Rehearsal, batch: Batch, times: u32, labels: &Labels) -> Played {
    if batch.changes.is_empty() {
        return Played::default();
    }
    let (spans, last) = (batch.spans.clone(), batch.changes.len() as u32 - 1);
    let made = |change: u32, outcome: Outcome| Made { change, outcome: numbered(outcome, number(&spans, change)) };
    match rehearsal.deliver(batch, times).await {
        Ok(output) => {
            let outcomes = outcomes(rehearsal.component().descriptor(), labels, &output);
            let made = outcomes.into_iter().map(|(change, outcome)| made(change, outcome)).collect();
            Played { made, rows: output.rows }
        }
        Err(error) => {
            let change = error.place().map_or(last, |place| place.change);
            let made = vec![made(change, Outcome::Failed(failure(&error)))];
            rehearsal.keep(error);
            Played { made, rows: Vec::new() }
        }
    }
}

/// Returns the transaction of a change.
fn locate(transactions: &[Transaction], change: usize) -> usize {
    let ends = transactions.iter().scan(0, |end, transaction| {
        *end += transaction.changes.len();
        Some(*end)
    });
    ends.into_iter().position(|end| change < end).unwrap_or(transactions.len() - 1)
}

/// Returns the number of a change in its transaction, from 1.
fn number(spans: &[Span], change: u32) -> u32 {
    let span = spans.iter().find(|span| (span.first..span.first + span.count).contains(&change));
    span.map_or(1, |span| (span.first_in_transaction + u64::from(change - span.first) + 1) as u32)
}

/// Puts the number of the change in its transaction where an outcome has one.
fn numbered(outcome: Outcome, change: u32) -> Outcome {
    match outcome {
        Outcome::Rejected { code, message, .. } => Outcome::Rejected { change, code, message },
        Outcome::Failed(Failure::Crash { change: Some(_) }) => Outcome::Failed(Failure::Crash { change: Some(change) }),
        other => other,
    }
}

/// Returns rows and rejections in the order of their changes, each with its change's index in the batch.
fn outcomes(descriptor: &Descriptor, labels: &Labels, output: &Output) -> Vec<(u32, Outcome)> {
    let row = |row: &Row| (row.source, Outcome::Row(public_row(&descriptor.public_schemas, labels, row)));
    let rows = output.rows.iter().map(row);
    let rejected = output.rejected.iter().map(|rejection| {
        let (code, message) = (rejection.code.clone(), rejection.message.clone());
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

fn public_row(schemas: &[PublicSchema], labels: &Labels, row: &Row) -> PublicRow {
    let schema = &schemas[row.public_schema as usize];
    let public_schema = labels.label(schema);
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
