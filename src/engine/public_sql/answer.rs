//! Runs a statement for many changes at a time, and takes what it gives.
//!
//! What comes is read as it comes, and there is a bound on it: a statement that joins may give any number of rows for one
//! change. A statement that is refused is run for half of the changes, and so on, until the one is found that is refused. One
//! that takes too long is run for fewer at a time from then on; where one change alone takes too long, somebody has to look.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::change::Batch;
use crate::fault;
use crate::sink::Refusal;

use super::super::failure::EngineError;
use super::ask::Asked;
use super::{SqlError, SqlTransform, record};

/// Changes that one statement takes at most, and the bytes of their values.
pub(super) const ROWS_MAX: usize = 2_000;
const BYTES_MAX: usize = 4 << 20;
/// What the statements may give for one batch, in bytes of memory. A batch has 8 MiB at most.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// What a row and a value of it take beside their text.
const ROW_BYTES: usize = 48;
const VALUE_BYTES: usize = 32;
/// How long a statement may take, and may wait for a lock. It holds the flow up, and the source's log with it.
const TIME_LIMIT: Duration = Duration::from_secs(60);
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// Returns how long a statement may take.
fn time_limit() -> Duration {
    if fault::sabotaged("haste") { Duration::from_secs(1) } else { TIME_LIMIT }
}

/// Returns the settings of the session.
pub(super) fn settings() -> String {
    let (all, lock) = (time_limit().as_millis(), LOCK_LIMIT.as_millis());
    format!("SET statement_timeout = '{all}ms'; SET lock_timeout = '{lock}ms'")
}

/// A row that a statement gave.
pub(super) struct Answered {
    pub source: u32,
    pub statement: usize,
    pub values: Vec<Option<Vec<u8>>>,
}

/// What the statements gave for a batch.
#[derive(Default)]
pub(super) struct Answers {
    pub rows: Vec<Answered>,
    bytes: usize,
}

/// Why what a statement gives is of no use.
enum Failed {
    Server(tokio_postgres::Error),
    /// More than there is room for.
    TooMuch {
        rows: usize,
        changes: usize,
    },
    /// A row has other columns than the statement.
    Shape,
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Failed {
        Failed::Server(error)
    }
}

impl SqlTransform {
    /// Runs a statement for changes, as many at a time as it takes.
    pub(super) async fn answer(
        &self,
        batch: &Batch,
        index: usize,
        statement: &Statement,
        asked: &[Asked<'_>],
        answers: &mut Answers,
    ) -> Result<(), EngineError> {
        let at_once = &self.statements[index].at_once;
        let mut rest = asked;
        while !rest.is_empty() {
            let most = at_once.load(Ordering::Relaxed);
            let (mut count, mut bytes) = (0, 0);
            while count < rest.len().min(most) && bytes < BYTES_MAX {
                bytes += rest[count].cells.iter().flatten().map(|cell| cell.len()).sum::<usize>();
                count += 1;
            }
            let (now, later) = rest.split_at(count);
            let mut parts = vec![now];
            while let Some(part) = parts.pop() {
                let began = Instant::now();
                let failed = match self.run(index, statement, part, answers).await {
                    Ok(()) if part.len() == most && began.elapsed() < time_limit() / 8 => {
                        at_once.store((most * 2).min(ROWS_MAX), Ordering::Relaxed);
                        continue;
                    }
                    Ok(()) => continue,
                    Err(failed) => failed,
                };
                let elapsed = began.elapsed();
                let halves = match &failed {
                    Failed::Server(error) if part.len() > 1 && is_too_slow(error, elapsed) => {
                        self.tell_slow(index, part.len());
                        at_once.store(part.len() / 2, Ordering::Relaxed);
                        true
                    }
                    Failed::Server(error) => part.len() > 1 && !is_transient(error),
                    Failed::TooMuch { .. } | Failed::Shape => false,
                };
                if !halves {
                    return Err(self.refused(batch, index, part, failed, elapsed));
                }
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            rest = later;
        }
        Ok(())
    }

    async fn run(
        &self,
        index: usize,
        statement: &Statement,
        asked: &[Asked<'_>],
        answers: &mut Answers,
    ) -> Result<(), Failed> {
        let (rows, bytes) = (answers.rows.len(), answers.bytes);
        let ran = self.try_run(index, statement, asked, answers).await;
        if ran.is_err() {
            // It is run again for fewer changes.
            answers.rows.truncate(rows);
            answers.bytes = bytes;
        }
        // The server may answer in any order; of one change, in the author's.
        answers.rows[rows..].sort_by_key(|answer| answer.source);
        ran
    }

    async fn try_run(
        &self,
        index: usize,
        statement: &Statement,
        asked: &[Asked<'_>],
        answers: &mut Answers,
    ) -> Result<(), Failed> {
        let Self { client, statements, .. } = self;
        let (inputs, width) = (statements[index].inputs.len(), statements[index].columns.len());
        let columns: Vec<Vec<Option<&str>>> =
            (0..inputs).map(|at| asked.iter().map(|one| one.cells[at].as_deref()).collect()).collect();
        let sources: Vec<i32> = (0..asked.len() as i32).collect();
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&sources];
        params.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        let mut found = pin!(client.query_raw(statement, params).await?);
        while let Some(row) = found.try_next().await? {
            let at: i32 = row.try_get(0)?;
            let Some(asked) = asked.get(at as usize) else { continue };
            let text: &str = row.try_get(1)?;
            answers.bytes += text.len() + ROW_BYTES + width * VALUE_BYTES;
            if answers.bytes > ANSWER_BYTES_MAX {
                let (rows, changes) = (answers.rows.len(), answers.rows.chunk_by(same_change).count());
                return Err(Failed::TooMuch { rows, changes });
            }
            let values = record::fields(text);
            if values.len() != width {
                return Err(Failed::Shape);
            }
            answers.rows.push(Answered { source: asked.source, statement: index, values });
        }
        Ok(())
    }

    fn tell_slow(&self, index: usize, changes: usize) {
        let statement = &self.statements[index];
        tracing::warn!(
            source = self.slug,
            transform = self.name,
            table = format!("{}.{}", statement.schema, statement.table),
            changes,
            hint = "an index may be missing",
            "a statement took more than {} s for so many changes: it is run for fewer at a time",
            time_limit().as_secs()
        );
    }

    fn refused(
        &self,
        batch: &Batch,
        index: usize,
        part: &[Asked<'_>],
        failed: Failed,
        elapsed: Duration,
    ) -> EngineError {
        let statement = &self.statements[index];
        let at = match part {
            [one] => batch.spans.iter().rfind(|span| span.first <= one.source).map(|span| {
                let change = span.first_in_transaction + u64::from(one.source - span.first);
                format!(" at {}, change {change}", span.commit_lsn)
            }),
            _ => None,
        };
        let op = format!("{:?}", statement.op).to_lowercase();
        let doing = format!("run its {op} of {}.{}{}", statement.schema, statement.table, at.unwrap_or_default());
        self.failed(match failed {
            Failed::Server(error) if is_too_slow(&error, elapsed) => {
                SqlError::TooSlow { doing, seconds: time_limit().as_secs() }
            }
            Failed::Server(error) => SqlError::of_values(error, |refusal| SqlError::Refused { doing, refusal }),
            Failed::TooMuch { rows, changes } => {
                SqlError::TooMuch { doing, mib: ANSWER_BYTES_MAX >> 20, rows, changes }
            }
            Failed::Shape => SqlError::Answer("a row of the statement's columns"),
        })
    }
}

fn same_change(one: &Answered, other: &Answered) -> bool {
    one.source == other.source
}

/// True for a statement that has reached the limit. Somebody who cancels one does not want it to be given up.
fn is_too_slow(error: &tokio_postgres::Error, elapsed: Duration) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED) && elapsed >= time_limit()
}

/// True where the connection broke, too.
fn is_transient(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(|error| Refusal::of(error).is_transient())
}
