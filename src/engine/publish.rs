//! From a transform's rows to events: what a group does whose destination is an event store.
//!
//! Everything else is as with any destination: the events are rows of one table, appended in the transaction that moves
//! the flows' checkpoints.

use crate::change::{Op, Row, Tuple, TupleWriter};
use crate::eventstore::{Appender, Origin};
use crate::lsn::Lsn;

use super::failure::EngineError;
use super::transform::Made;

/// The streams that one running transform appends to.
#[derive(Debug)]
pub struct Publishing {
    /// By the index of the transform's public schemas; what the manifest does not name is not published.
    appenders: Vec<Option<Appender>>,
    epoch: i32,
}

impl Publishing {
    pub fn new(appenders: Vec<Option<Appender>>, epoch: i32) -> Publishing {
        Publishing { appenders, epoch }
    }

    /// Returns true for streams that have begun anew: what was in them before is of another log.
    pub fn began_anew(&self) -> bool {
        self.epoch > 1
    }

    /// Returns the ids of the streams.
    pub fn streams(&self) -> Vec<i32> {
        self.appenders.iter().flatten().map(Appender::stream).collect()
    }

    /// Makes events of what the transform made. Copied rows enter at `boundary`.
    ///
    /// # Errors
    /// A row can't be an event.
    pub fn publish(&mut self, made: &mut Made, boundary: Lsn) -> Result<(), EngineError> {
        let Some(batch) = &made.batch else { return Ok(()) };
        let origin = Origin { spans: &batch.spans, boundary, epoch: self.epoch };
        let mut writer = TupleWriter::default();
        let mut of = Vec::with_capacity(made.rows.len());
        for row in &made.rows {
            let Some(appender) = self.appenders.get_mut(row.public_schema as usize).and_then(Option::as_mut) else {
                continue;
            };
            appender.event(&mut writer, row, &origin)?;
            of.push((row.public_schema, row.source));
        }
        let event = |((public_schema, source), values)| event_row(public_schema, source, values);
        made.rows = of.into_iter().zip(writer.finish()).map(event).collect();
        Ok(())
    }

    /// Returns the events that say of each stream that its rows come anew from `boundary` on.
    ///
    /// # Errors
    /// There are events behind that already.
    pub fn begin_anew(&mut self, boundary: Lsn) -> Result<Vec<Row>, EngineError> {
        let mut nothing = TupleWriter::default();
        nothing.begin();
        nothing.end();
        let values = nothing.finish().pop().expect("a row was written");
        let truncate = Row { public_schema: 0, op: Op::Truncate, source: 0, values, old_key: None };
        let mut writer = TupleWriter::default();
        for appender in self.appenders.iter_mut().flatten() {
            appender.begin_anew(&mut writer, &truncate, self.epoch, boundary)?;
        }
        Ok(writer.finish().into_iter().map(|values| event_row(0, 0, values)).collect())
    }
}

/// Returns a row of the table of events.
fn event_row(public_schema: u32, source: u32, values: Tuple) -> Row {
    Row { public_schema, op: Op::Insert, source, values, old_key: None }
}
