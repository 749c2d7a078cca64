//! What every transform must withstand, tried on its own tables and changes.
//!
//! What is demanded: nothing crashes or becomes fatal, and the same changes give the same rows, however often and however
//! cut they come. A rejected change is an answer, and is reported. Transactions that fail as the fixture stands are left
//! out.

use std::sync::Arc;

use super::cut::Cut;
use super::outcome::run;
use super::running::{Rehearsal, Setup};
use super::verdict::{Verdict, setup};
use crate::change::{Change, Old, Op, Relation, ReplicaIdentity, Tuple, TupleWriter, Value};
use crate::fixture::{Failure, Fixture, Outcome, Transaction, read_under};
use crate::wasm::Component;

/// A check that is made without being asked for.
pub struct Check {
    pub name: &'static str,
    pub what: &'static str,
}

/// The checks, in the order in which they are made.
pub const CHECKS: [Check; 6] = [
    Check { name: "nulls", what: "each nullable column that is read is NULL once" },
    Check { name: "unchanged", what: "an update leaves each large column alone once" },
    Check { name: "identities", what: "the changes come under REPLICA IDENTITY DEFAULT and FULL" },
    Check { name: "redelivery", what: "every batch is delivered twice" },
    Check { name: "cuts", what: "batches are cut at every place" },
    Check { name: "determinism", what: "everything runs twice" },
];

/// How many places are tried; of a longer fixture every so many.
const CUTS_MAX: usize = 200;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    pub name: &'static str,
    /// The reason why it was left out.
    pub skipped: Option<String>,
    /// What went wrong, one sentence each.
    pub failures: Vec<String>,
    /// What is good to know: rejected changes, what could not be tried.
    pub notes: Vec<String>,
}

/// Makes the checks of a fixture that has run, one after the other.
pub struct Checker<'a> {
    component: &'a Component,
    fixture: &'a Fixture,
    setup: Setup,
    /// The transactions that do not fail, and what came of them.
    transactions: Vec<Transaction>,
    found: Vec<Vec<Outcome>>,
}

impl<'a> Checker<'a> {
    pub fn new(component: &'a Component, fixture: &'a Fixture, verdict: &Verdict) -> Checker<'a> {
        let fine = |(_, found): &(&Transaction, &Vec<Outcome>)| !found.iter().any(is_failure);
        let (transactions, found) =
            fixture.transactions.iter().zip(&verdict.found).filter(fine).map(|(t, f)| (t.clone(), f.clone())).unzip();
        Checker { component, fixture, setup: setup(fixture), transactions, found }
    }

    /// Makes one check; `text` and `file` are the fixture's.
    pub async fn check(&self, check: &Check, text: &str, file: &str) -> CheckResult {
        let mut result = CheckResult { name: check.name, skipped: None, failures: Vec::new(), notes: Vec::new() };
        if let Some((_, reason, _)) = self.fixture.skip.iter().find(|(name, ..)| name == check.name) {
            result.skipped = Some(reason.clone());
            return result;
        }
        match check.name {
            "nulls" => self.columns(false, &mut result).await,
            "unchanged" => self.columns(true, &mut result).await,
            "identities" => self.identities(text, file, &mut result).await,
            "redelivery" => self.same(Cut::Transactions, 2, "with every batch delivered twice", &mut result).await,
            "cuts" => self.cuts(&mut result).await,
            _ => self.same(Cut::Transactions, 1, "the second time", &mut result).await,
        }
        result.notes.sort();
        result.notes.dedup();
        result
    }

    async fn cuts(&self, result: &mut CheckResult) {
        self.same(Cut::Nowhere, 1, "with all changes in one batch", result).await;
        let whole = self.component.descriptor().whole_transactions;
        let total: usize = self.transactions.iter().map(|t| t.changes.len()).sum();
        if !whole {
            self.same(Cut::Changes, 1, "with every change in a batch of its own", result).await;
        }
        let mut ends = Vec::new();
        let mut end = 0;
        for transaction in &self.transactions {
            end += transaction.changes.len();
            ends.push(end);
        }
        let places = (1..total).filter(|place| !whole || ends.contains(place));
        for place in places.step_by(total.div_ceil(CUTS_MAX).max(1)) {
            if !result.failures.is_empty() {
                return;
            }
            self.same(Cut::Behind(place), 1, &format!("with a batch ending behind change {place}"), result).await;
        }
    }

    /// Runs all once more, and wants the same.
    async fn same(&self, cut: Cut, times: u32, how: &str, result: &mut CheckResult) {
        let Some(mut rehearsal) = self.start(result).await else { return };
        let found = run(&mut rehearsal, &self.transactions, cut, times).await;
        for (i, (first, second)) in self.found.iter().zip(&found).enumerate() {
            let differs = (0..first.len().max(second.len())).find(|&n| first.get(n) != second.get(n));
            if let Some(n) = differs {
                let shown = |outcome: Option<&Outcome>| outcome.map_or("nothing".to_owned(), ToString::to_string);
                let line = self.transactions[i].at.line;
                result.failures.push(format!(
                    "{how}, the transaction on line {line} has `{}` instead of `{}`",
                    shown(second.get(n)),
                    shown(first.get(n))
                ));
                return;
            }
        }
    }

    async fn identities(&self, text: &str, file: &str, result: &mut CheckResult) {
        for (identity, name) in [(ReplicaIdentity::Default, "DEFAULT"), (ReplicaIdentity::Full, "FULL")] {
            let fixture = match read_under(text, file, identity) {
                Ok(fixture) => fixture,
                Err(problems) => {
                    let why = problems.0.first().map(|problem| problem.message.clone()).unwrap_or_default();
                    result.notes.push(format!("REPLICA IDENTITY {name} is not tried: {why}"));
                    continue;
                }
            };
            let kept = |t: &Transaction| self.transactions.iter().any(|own| own.at == t.at);
            let transactions: Vec<Transaction> = fixture.transactions.iter().filter(|t| kept(t)).cloned().collect();
            let setup = Setup { relations: fixture.relations.clone(), ..self.setup.clone() };
            let label = format!("under REPLICA IDENTITY {name}");
            self.survives(&setup, &transactions, &label, result).await;
        }
    }

    /// Tries each column of each table that is read: NULL, or left alone by an update.
    async fn columns(&self, unchanged: bool, result: &mut CheckResult) {
        let (rest, changes) = (&self.fixture.relations, || self.transactions.iter().flat_map(|t| &t.changes));
        for (index, relation) in rest.iter().enumerate() {
            let Some(read) = self.read(relation) else { continue };
            let table = relation.display_name();
            let insert = changes().find(|change| change.op == Op::Insert && change.relation as usize == index);
            let Some(row) = insert.and_then(|insert| insert.new.as_ref()) else {
                result.notes.push(format!("{table} is not tried: the fixture inserts no row into it"));
                continue;
            };
            for (i, column) in relation.columns.iter().enumerate().filter(|(i, _)| read[*i]) {
                let full = relation.identity == ReplicaIdentity::Full;
                let fits = match unchanged {
                    true => is_large(&column.kind) && (full || !column.key),
                    false => column.nullable,
                };
                if !fits {
                    continue;
                }
                let what = if unchanged { "left alone by an update" } else { "NULL" };
                let label = format!("with column `{}` of {table} {what}", column.name);
                let transactions = self.tried(index, relation, row, i, unchanged);
                self.survives(&self.setup, &transactions, &label, result).await;
            }
        }
    }

    /// Returns which columns of a table the transform reads; `None` for a table that it does not.
    fn read(&self, relation: &Relation) -> Option<Vec<bool>> {
        let descriptor = self.component.descriptor();
        let its = |s: &&crate::wasm::Subscription| *s.schema == *relation.schema && *s.table == *relation.name;
        let mut subscriptions = descriptor.subscriptions.iter().filter(its).peekable();
        subscriptions.peek()?;
        let subscriptions: Vec<_> = subscriptions.collect();
        let is_read =
            |name: &str| subscriptions.iter().any(|s| s.columns.is_empty() || s.columns.iter().any(|c| c == name));
        (*relation.schema != *Relation::MESSAGE_SCHEMA)
            .then(|| relation.columns.iter().map(|column| is_read(&column.name)).collect())
    }

    /// Makes an insert, an update and a delete of a row with one column as it is to be tried.
    fn tried(
        &self,
        index: usize,
        relation: &Arc<Relation>,
        row: &Tuple,
        column: usize,
        unchanged: bool,
    ) -> Vec<Transaction> {
        let relation_index = index as u32;
        let with = |value: Value<'_>| {
            let mut writer = TupleWriter::default();
            writer.begin();
            row.columns().enumerate().for_each(|(i, own)| writer.value(if i == column { value } else { own }));
            writer.end();
            writer.finish().remove(0)
        };
        let other = if unchanged { with(Value::Unchanged) } else { with(Value::Null) };
        let full = relation.identity == ReplicaIdentity::Full;
        let old = |row: Tuple| if full { Old::Full(row) } else { Old::Key(row) };
        let change = |op, new, old| Change { op, relation: relation_index, new, old };
        let inserted = if unchanged { row.clone() } else { other.clone() };
        let mut changes = vec![change(Op::Insert, Some(inserted.clone()), None)];
        let identified = full || relation.columns.iter().any(|column| column.key);
        if identified {
            changes.push(change(Op::Update, Some(other), full.then(|| old(inserted.clone()))));
            changes.push(change(Op::Delete, None, Some(old(inserted))));
        }
        let like = &self.transactions[0];
        let one = |(i, change): (usize, Change)| Transaction {
            changes: vec![change],
            places: vec![like.at],
            expected: None,
            commit_lsn: crate::lsn::Lsn(like.commit_lsn.0 + 0x100 * i as u64),
            ..like.clone()
        };
        changes.into_iter().enumerate().map(one).collect()
    }

    /// Runs transactions, and wants that the transform goes on.
    async fn survives(&self, setup: &Setup, transactions: &[Transaction], label: &str, result: &mut CheckResult) {
        let mut rehearsal = match Rehearsal::start(self.component, setup).await {
            Ok(rehearsal) => rehearsal,
            Err(error) => return result.failures.push(format!("{label} the transform does not start: {error}")),
        };
        for (transaction, found) in
            transactions.iter().zip(run(&mut rehearsal, transactions, Cut::Transactions, 1).await)
        {
            let what = match &transaction.changes[..] {
                [change] => format!("{:?}", change.op).to_lowercase(),
                _ => format!("transaction on line {}", transaction.at.line),
            };
            for outcome in found {
                match &outcome {
                    Outcome::Failed(Failure::Retry { .. }) | Outcome::Row(_) => {}
                    Outcome::Failed(failure) => {
                        let failure = Outcome::Failed(failure.clone());
                        result.failures.push(format!("{label} the {what} ends in `{failure}`"));
                    }
                    Outcome::Rejected { code, message, .. } => {
                        result.notes.push(format!("{label} the {what} is rejected ({code}): {message}"));
                    }
                }
            }
        }
    }

    async fn start(&self, result: &mut CheckResult) -> Option<Rehearsal> {
        match Rehearsal::start(self.component, &self.setup).await {
            Ok(rehearsal) => Some(rehearsal),
            Err(error) => {
                result.failures.push(format!("the transform does not start again: {error}"));
                None
            }
        }
    }
}

fn is_failure(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_))
}

/// Returns whether Postgres may store values of the kind out of line.
fn is_large(kind: &crate::change::Kind) -> bool {
    use crate::change::Kind;
    matches!(
        kind,
        Kind::Numeric | Kind::Text | Kind::Bytea | Kind::Json | Kind::Jsonb | Kind::Array(_) | Kind::Other(_)
    )
}
