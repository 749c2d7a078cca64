//! Events become rows of the destination's tables, in batches that end between transactions of the source.
//!
//! A page of events that is full may end inside a transaction. What is behind the last boundary is then left to the next
//! page, which begins there again; only a transaction that is larger than a page is handed on in pieces, all of them of one
//! snapshot, and its cursors move with its last piece.

use hashbrown::HashMap;

use crate::change::{Op, Position, Row, TupleWriter};
use crate::eventstore::{Event, Reading, Wanted};

use super::super::failure::EngineError;

/// A consumer as a lane runs it.
pub struct Consumer {
    pub name: String,
    pub stream: i32,
    pub public_schema: String,
    /// The position of the last event that was read for it.
    pub cursor: Position,
    /// Index of its table in the destination.
    pub table: usize,
    /// Make its rows, of each shape that its stream has had. Its table was prepared for the newest.
    pub readings: HashMap<i32, Reading>,
    /// It takes rows that existed before they were published, too.
    pub takes_copied: bool,
}

/// Rows to be written, and what moves with them.
pub struct Gathered {
    /// In the order of the source: (table, row).
    pub rows: Vec<(usize, Row)>,
    /// False while a transaction goes on in the next ones.
    pub complete: bool,
    /// Of each consumer: where it is once they are written, and how many of them are its own.
    pub cursors: Vec<(Position, i64)>,
    /// Of the newest transaction.
    pub commit_time: Option<i64>,
}

/// A batch is handed on at the next boundary once it holds so much.
const ROWS: usize = 16_384;
const BYTES: usize = 8 << 20;

/// A row whose values are still in the writer.
struct Pending {
    table: usize,
    consumer: usize,
    op: Op,
    has_old: bool,
}

/// Collects events.
pub struct Gather {
    consumers: Vec<Consumer>,
    writer: TupleWriter,
    pending: Vec<Pending>,
    bytes: usize,
    /// The transaction that the last event belongs to.
    current: Option<Position>,
    commit_time: Option<i64>,
    /// What holds at the last boundary between transactions.
    boundary: Boundary,
    /// Rows of the current transaction have been handed on.
    inside: bool,
}

/// The state between two transactions.
#[derive(Clone, Default)]
struct Boundary {
    pending: usize,
    tuples: usize,
    commit_time: Option<i64>,
    cursors: Vec<Position>,
}

impl Gather {
    /// Begins at the consumers' cursors.
    pub fn new(consumers: Vec<Consumer>) -> Gather {
        let mut gather = Gather {
            consumers,
            writer: TupleWriter::default(),
            pending: Vec::new(),
            bytes: 0,
            current: None,
            commit_time: None,
            boundary: Boundary::default(),
            inside: false,
        };
        gather.mark();
        gather
    }

    /// Returns what is to be read next: each stream behind the least cursor of its consumers.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut least: HashMap<i32, Position> = HashMap::new();
        for consumer in &self.consumers {
            let after = least.entry(consumer.stream).or_insert(consumer.cursor);
            *after = (*after).min(consumer.cursor);
        }
        let mut wanted: Vec<Wanted> = least.into_iter().map(|(stream, after)| Wanted { stream, after }).collect();
        wanted.sort_by_key(|wanted| wanted.stream);
        wanted
    }

    /// Returns true while a transaction is handed on in pieces.
    pub fn is_inside(&self) -> bool {
        self.inside
    }

    fn mark(&mut self) {
        self.boundary.pending = self.pending.len();
        self.boundary.tuples = self.writer.rows();
        self.boundary.commit_time = self.commit_time;
        self.boundary.cursors.clear();
        self.boundary.cursors.extend(self.consumers.iter().map(|consumer| consumer.cursor));
    }

    /// Returns the name of a consumer.
    pub fn name(&self, index: usize) -> String {
        self.consumers[index].name.clone()
    }

    /// Takes the next event of a page, and returns what is full.
    ///
    /// # Errors
    /// The index of the consumer for which the event is none of ours, or of another shape than its table was prepared for.
    pub fn take(&mut self, event: &Event) -> Result<Option<Gathered>, (usize, EngineError)> {
        let position = event.position();
        let mut full = None;
        // Copied rows belong to no transaction: between any two of them is a boundary.
        let copied = event.is_copied();
        if copied || self.current.is_some_and(|current| !current.is_same_transaction(&position)) {
            self.mark();
            if self.inside || self.pending.len() >= ROWS || self.bytes >= BYTES {
                full = Some(self.hand_on(true));
            }
        } else if self.pending.len() >= 2 * ROWS || self.bytes >= 2 * BYTES {
            // What is in front of this transaction need not wait for its end.
            full = Some(match self.boundary.pending {
                0 => self.hand_on(false),
                _ => self.hand_on_to_boundary(),
            });
        }
        self.current = Some(position);
        self.commit_time = event.commit_time().or(self.commit_time);
        let stream = event.stream();
        for index in 0..self.consumers.len() {
            let consumer = &mut self.consumers[index];
            if consumer.stream != stream || position <= consumer.cursor {
                continue;
            }
            if copied && !consumer.takes_copied {
                consumer.cursor = position;
                continue;
            }
            let Some(reading) = consumer.readings.get(&event.shape()) else {
                let public_schema = consumer.public_schema.clone();
                return Err((index, EngineError::Reshaped { public_schema }));
            };
            let op = event.op().map_err(|error| (index, error.into()))?;
            let has_old = reading.read(&mut self.writer, event).map_err(|error| (index, error.into()))?;
            consumer.cursor = position;
            self.bytes += event.bytes();
            self.pending.push(Pending { table: consumer.table, consumer: index, op, has_old });
        }
        Ok(full)
    }

    /// Ends a page that has shown all that there is: what was taken ends between transactions.
    pub fn end_of_all(&mut self) -> Option<Gathered> {
        self.mark();
        self.current = None;
        (self.inside || !self.pending.is_empty()).then(|| self.hand_on(true))
    }

    /// Ends a page behind which there is more. Unless a transaction is handed on in pieces, what is behind the last boundary
    /// is given back, to be read again.
    pub fn end_of_page(&mut self) -> Option<Gathered> {
        if self.inside {
            return None;
        }
        if self.boundary.pending == 0 {
            // One transaction fills the page.
            return Some(self.hand_on(false));
        }
        let cursors = self.boundary.cursors.clone();
        let full = self.hand_on_to_boundary();
        self.pending.clear();
        self.writer = TupleWriter::default();
        self.bytes = 0;
        self.current = None;
        self.consumers.iter_mut().zip(cursors).for_each(|(consumer, cursor)| consumer.cursor = cursor);
        self.commit_time = self.boundary.commit_time;
        self.mark();
        Some(full)
    }

    fn hand_on(&mut self, complete: bool) -> Gathered {
        let pending = std::mem::take(&mut self.pending);
        let tuples = std::mem::take(&mut self.writer).finish();
        self.bytes = 0;
        self.inside = !complete;
        let cursors: Vec<Position> = self.consumers.iter().map(|consumer| consumer.cursor).collect();
        let gathered = gathered(pending, tuples, cursors, complete, self.commit_time);
        self.mark();
        gathered
    }

    /// Hands on what is in front of the last boundary, and keeps the rest.
    fn hand_on_to_boundary(&mut self) -> Gathered {
        let Boundary { pending, tuples, commit_time, cursors } = self.boundary.clone();
        let rest = self.pending.split_off(pending);
        let mut all = std::mem::take(&mut self.writer).finish();
        let behind = all.split_off(tuples);
        let front = std::mem::replace(&mut self.pending, rest);
        for tuple in &behind {
            self.writer.begin();
            tuple.columns().for_each(|value| self.writer.value(value));
            self.writer.end();
        }
        self.bytes = self.writer.bytes();
        self.boundary.pending = 0;
        self.boundary.tuples = 0;
        gathered(front, all, cursors, true, commit_time)
    }
}

fn gathered(
    pending: Vec<Pending>,
    tuples: Vec<crate::change::Tuple>,
    cursors: Vec<Position>,
    complete: bool,
    commit_time: Option<i64>,
) -> Gathered {
    let mut counts = vec![0i64; cursors.len()];
    let mut tuples = tuples.into_iter();
    let mut rows = Vec::with_capacity(pending.len());
    for Pending { table, consumer, op, has_old } in pending {
        let values = tuples.next().expect("a row was written for each event");
        let old_key = if has_old { tuples.next() } else { None };
        counts[consumer] += i64::from(op != Op::Truncate);
        rows.push((table, Row { public_schema: 0, op, source: 0, values, old_key }));
    }
    let cursors = cursors.into_iter().zip(counts).collect();
    Gathered { rows, complete, cursors, commit_time }
}
