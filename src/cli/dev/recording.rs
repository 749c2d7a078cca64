//! The last transactions of a source, kept in memory while `pelton dev` runs.
//!
//! They come from a temporary slot ([`crate::record`]), in a task of its own, so that the source never waits for a build.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::APPLICATION;
use crate::change::{Change, Relation};
use crate::cli::capture::Source;
use crate::cli::replay::{Origin, Piece};
use crate::cli::report::Failure;
use crate::engine::Chain;
use crate::fixture::{Fixture, Transaction};
use crate::postgres::catalog::TableName;
use crate::record::{Messages, Options, Recorded, Recorder, Wanted};
use crate::rehearse::{Cut, cut};
use crate::wasm::Descriptor;

/// What is kept of a source, transactions larger than a part of it left out.
const BYTES_MAX: usize = 64 << 20;
const TRANSACTION_BYTES_MAX: usize = 16 << 20;

/// How long the source may take to let go of a recording.
const PATIENCE: Duration = Duration::from_secs(10);

/// A recording that goes on.
pub struct Recording {
    wanted: Read,
    kept: Arc<Mutex<Kept>>,
    /// Tells once whether it has begun.
    begun: Option<oneshot::Receiver<Result<(), Failure>>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What a transform reads: tables, and the prefixes of logical messages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    tables: Vec<TableName>,
    prefixes: Vec<String>,
}

#[derive(Default)]
struct Kept {
    relations: Vec<Arc<Relation>>,
    /// Each with its size.
    transactions: VecDeque<(usize, Transaction)>,
    bytes: usize,
    /// Why no more come.
    ended: Option<String>,
}

/// What was recorded up to now.
pub struct Snapshot {
    relations: Vec<Arc<Relation>>,
    transactions: Vec<Transaction>,
}

impl Read {
    fn of(descriptor: &Descriptor) -> Read {
        let (messages, tables): (Vec<_>, Vec<_>) =
            descriptor.subscriptions.iter().partition(|one| one.schema == Relation::MESSAGE_SCHEMA);
        let mut tables: Vec<_> = tables.iter().map(|one| TableName::new(&one.schema, &one.table)).collect();
        tables.dedup();
        Read { tables, prefixes: messages.iter().map(|one| one.table.clone()).collect() }
    }

    /// Returns what has to be recorded for it. A publication without any table has no messages either.
    fn wanted(&self) -> Wanted {
        if self.tables.is_empty() { Wanted::All } else { Wanted::Listed(self.tables.clone()) }
    }

    fn has(&self, relation: &Relation) -> bool {
        match &*relation.schema {
            Relation::MESSAGE_SCHEMA => self.prefixes.iter().any(|prefix| **prefix == *relation.name),
            schema => self.tables.iter().any(|table| table.schema == *schema && *table.name == *relation.name),
        }
    }
}

impl Recording {
    /// Begins to record what a transform reads, at most `last` transactions of it.
    pub fn start(from: &Arc<Source>, descriptor: &Descriptor, last: usize) -> Recording {
        let wanted = Read::of(descriptor);
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (stop, stopped) = oneshot::channel();
        let (begin, begun) = oneshot::channel();
        let (from, keep, read) = (from.clone(), kept.clone(), wanted.clone());
        // In a task, for it must not be dropped while it begins.
        let task = tokio::spawn(async move {
            let mut stopped = stopped;
            match begin_recording(&from, &read, &mut stopped).await {
                Ok(recorder) => {
                    let _ = begin.send(Ok(()));
                    record(recorder, &read, &keep, last, stopped).await;
                }
                Err(failure) => {
                    let _ = begin.send(Err(failure));
                }
            }
        });
        Recording { wanted, kept, begun: Some(begun), stop: Some(stop), task }
    }

    /// Waits until it has begun.
    ///
    /// # Errors
    /// The database can't be reached, or can't be recorded from.
    pub async fn begun(&mut self) -> Result<(), Failure> {
        match &mut self.begun {
            Some(begun) => {
                let answer = begun.await.unwrap_or(Ok(()));
                self.begun = None;
                answer
            }
            None => Ok(()),
        }
    }

    /// Returns false where a transform reads something else.
    pub fn is_of(&self, descriptor: &Descriptor) -> bool {
        self.wanted == Read::of(descriptor)
    }

    /// Returns what was recorded up to now.
    pub fn snapshot(&self) -> Snapshot {
        let kept = locked(&self.kept);
        // Of a table that was altered the newest version counts: what was recorded of those before is gone.
        let mut tables: Vec<Arc<Relation>> = Vec::new();
        let mut numbers = Vec::new();
        for relation in &kept.relations {
            let is_its = |table: &Arc<Relation>| table.schema == relation.schema && table.name == relation.name;
            let number = tables.iter().position(is_its).unwrap_or(tables.len());
            match tables.get_mut(number) {
                Some(table) => *table = relation.clone(),
                None => tables.push(relation.clone()),
            }
            numbers.push(number as u32);
        }
        let renumbered = |change: &Change| Change { relation: numbers[change.relation as usize], ..change.clone() };
        let transaction = |(_, transaction): &(usize, Transaction)| Transaction {
            changes: transaction.changes.iter().map(renumbered).collect(),
            ..transaction.clone()
        };
        Snapshot { transactions: kept.transactions.iter().map(transaction).collect(), relations: tables }
    }

    /// Returns why no more comes, if that is so.
    pub fn ended(&self) -> Option<String> {
        locked(&self.kept).ended.clone()
    }

    /// Ends it: slot and publication go. May be dropped and called again until it has returned.
    pub async fn close(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            tracing::warn!(
                "the source does not answer; the publication of this recording goes with the next recording there"
            );
        }
    }
}

async fn begin_recording(from: &Source, read: &Read, stopped: &mut oneshot::Receiver<()>) -> Result<Recorder, Failure> {
    let client = from.database.connect(APPLICATION).await?;
    let options = Options {
        tables: read.wanted(),
        messages: Messages::Of(read.prefixes.clone()),
        publication: from.publication(&client, &read.tables).await?,
        transaction_bytes_max: TRANSACTION_BYTES_MAX,
        application_name: APPLICATION.to_owned(),
    };
    drop(client);
    let cancelled = async {
        let _ = stopped.await;
    };
    let recorder = Recorder::start(&from.database.connection, &options, cancelled).await;
    recorder.map_err(|error| from.database.failed(&error, error.hint()))
}

/// Keeps the last transactions until it is stopped.
async fn record(
    mut recorder: Recorder,
    read: &Read,
    kept: &Mutex<Kept>,
    last: usize,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        let recorded = tokio::select! {
            _ = &mut stopped => break,
            recorded = recorder.next() => recorded,
        };
        match recorded {
            Ok(Recorded::Transaction(transaction)) => {
                let relations = recorder.tables().iter().map(|table| table.relation.clone()).collect();
                locked(kept).take(transaction, relations, read, last);
            }
            Ok(Recorded::TooLarge { xid, changes }) => {
                tracing::warn!(xid, changes, "a transaction is not recorded, for it is too large");
            }
            Ok(Recorded::Altered { table }) => {
                tracing::info!(table, "was altered: what was recorded before is dropped");
                locked(kept).clear();
            }
            Err(error) => {
                let hint = error.hint().map(|hint| format!("\nHint: {hint}")).unwrap_or_default();
                locked(kept).ended = Some(format!("the recording has ended: {}{hint}", Chain(&error)));
                break;
            }
        }
    }
    recorder.close().await;
}

impl Kept {
    fn take(&mut self, mut transaction: Transaction, relations: Vec<Arc<Relation>>, read: &Read, last: usize) {
        transaction.changes.retain(|change| relations.get(change.relation as usize).is_some_and(|one| read.has(one)));
        self.relations = relations;
        // A table that was altered in the middle of a transaction: what it holds is of two forms, and only the newest is known.
        let is_newest = |change: &Change| {
            let own = &self.relations[change.relation as usize];
            let is_its = |one: &Arc<Relation>| one.schema == own.schema && one.name == own.name;
            self.relations.iter().rposition(is_its) == Some(change.relation as usize)
        };
        if transaction.changes.is_empty() || !transaction.changes.iter().all(is_newest) {
            return;
        }
        let bytes: usize = transaction.changes.iter().map(Change::bytes).sum();
        self.bytes += bytes;
        self.transactions.push_back((bytes, transaction));
        while self.transactions.len() > last || self.bytes > BYTES_MAX {
            let Some((bytes, _)) = self.transactions.pop_front() else { break };
            self.bytes -= bytes;
        }
    }

    fn clear(&mut self) {
        self.transactions.clear();
        self.bytes = 0;
    }
}

fn locked(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // Nothing panics while it holds the lock.
    kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Snapshot {
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Returns its tables, as a fixture would describe them.
    pub fn tables(&self) -> Fixture {
        Fixture { relations: self.relations.clone(), ..Fixture::default() }
    }

    pub fn pieces(&self) -> Vec<Piece> {
        let piece = |transaction: &Transaction| {
            let mut pieces = cut(&self.relations, std::slice::from_ref(transaction), Cut::Nowhere);
            let batch = pieces.pop()?.batch;
            Some(Piece { batch, origin: Origin::Recorded(transaction.commit_lsn), setups: None })
        };
        self.transactions.iter().filter_map(piece).collect()
    }
}
