//! Progress for people.

use std::time::Duration;

use super::table::TablePlan;

/// How far a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableStage {
    /// For its turn.
    Waiting,
    Copying,
    Done,
}

/// The backfill of one table, in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct TableStatus {
    pub table: String,
    pub stage: TableStage,
    pub rows_copied: u64,
    /// The planner's guess when the backfill began, corrected to what was copied.
    pub rows_estimate: u64,
    pub rows_per_second: f64,
    /// `None` while nothing can be said.
    pub seconds_left: Option<f64>,
}

impl TableStatus {
    /// Computes rate and time left from `rows` copied in `elapsed`.
    pub(super) fn new(
        plan: &TablePlan,
        stage: TableStage,
        rows_copied: u64,
        rows: u64,
        elapsed: Duration,
    ) -> TableStatus {
        let rows_estimate = match stage {
            TableStage::Done => rows_copied,
            _ => plan.rows_estimate.max(rows_copied),
        };
        let seconds = elapsed.as_secs_f64();
        let rows_per_second = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
        let seconds_left = match stage {
            TableStage::Done => Some(0.0),
            _ if rows_per_second > 0.0 => Some((rows_estimate - rows_copied) as f64 / rows_per_second),
            _ => None,
        };
        TableStatus { table: plan.name(), stage, rows_copied, rows_estimate, rows_per_second, seconds_left }
    }
}
