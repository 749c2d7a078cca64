//! A transform at work in one destination: what it runs as, its flows, and where it begins.

use std::sync::Arc;
use std::time::Duration;

use crate::change::{Batch, Op, Phase, PublicSchema, Row};
use crate::datastore::{StateTable, Violations};
use crate::lsn::Lsn;
use crate::wasm::{self, GuestError};

use super::copying::Copying;
use super::failure::EngineError;
use super::output::OutputCheck;
use super::projection::Projection;
use super::public_sql::SqlTransform;
use super::publish::Publishing;
use super::shadow::Shadow;
use super::whole::{TooLarge, Whole};

/// What a transform runs as.
pub enum Runner {
    Table(Projection),
    Sql(Box<SqlTransform>),
    Wasm {
        transform: Arc<wasm::Transform>,
        public_schemas: Vec<PublicSchema>,
        subscriptions: Vec<wasm::Subscription>,
        stateful: bool,
        /// Where the pieces of large transactions wait, if it takes transactions whole.
        whole: Option<Whole>,
        /// The component's SHA-256, in hexadecimal.
        digest: String,
    },
}

impl Runner {
    /// Returns true when the transform wants to see changes of that table.
    pub fn reads(&self, schema: &str, table: &str) -> bool {
        match self {
            Runner::Table(projection) => projection.reads(schema, table),
            Runner::Sql(sql) => sql.reads(schema, table),
            Runner::Wasm { subscriptions, .. } => {
                subscriptions.iter().any(|wanted| wanted.schema == schema && wanted.table == table)
            }
        }
    }

    /// Returns true when rows of that table which existed before the flow are copied.
    pub fn copies(&self, schema: &str, table: &str) -> bool {
        match self {
            Runner::Sql(sql) => sql.copies(schema, table),
            Runner::Table(_) | Runner::Wasm { .. } => self.reads(schema, table),
        }
    }

    /// Returns true when it remembers something between batches.
    pub fn is_stateful(&self) -> bool {
        matches!(self, Runner::Wasm { stateful: true, .. })
    }

    /// Returns the digest of the component, or of the statements, where the transform is made of such.
    pub fn component_digest(&self) -> Option<&str> {
        match self {
            Runner::Table(_) => None,
            Runner::Sql(sql) => Some(sql.digest()),
            Runner::Wasm { digest, .. } => Some(digest),
        }
    }

    /// Returns what the transform publishes.
    pub fn public_schemas(&self) -> Vec<PublicSchema> {
        match self {
            Runner::Table(projection) => vec![projection.public_schema().clone()],
            Runner::Sql(sql) => vec![sql.public_schema().clone()],
            Runner::Wasm { public_schemas, .. } => public_schemas.clone(),
        }
    }
}

/// One of a transform's flows.
#[derive(Clone, Debug)]
pub struct FlowTarget {
    pub name: String,
    /// Index in the transform's public schemas.
    pub public_schema: u32,
    /// Index of the destination's table.
    pub table: usize,
    /// The rows from before the flow were copied, so no row is missing there.
    pub whole: bool,
}

/// A transform at work in one destination.
pub struct Running {
    /// Names it in messages and in `rejot_data_store`: `orders@1`, its first public schema and major version.
    pub name: String,
    pub runner: Runner,
    pub flows: Vec<FlowTarget>,
    /// Its checkpoint: what was committed before it is skipped.
    pub from: Lsn,
    /// While rows that existed before its flows are being copied.
    pub copying: Option<Copying>,
    pub state: Option<StateTable>,
    /// What its rows are held against, by the index of its public schemas.
    pub outputs: Vec<(usize, OutputCheck)>,
    /// Where its rows become events.
    pub publishing: Option<Publishing>,
    /// A candidate that is given the same changes.
    pub shadow: Option<Shadow>,
}

/// What a transform made of a batch.
#[derive(Debug, Default)]
pub struct Made {
    /// What it was made of; `None` when there was nothing to do.
    pub batch: Option<Arc<Batch>>,
    /// In the order of their sources.
    pub rows: Vec<Row>,
    /// In key order; `None` removes.
    pub state: Vec<(bytes::Bytes, Option<bytes::Bytes>)>,
    /// What of its rows `outputSchema` does not allow.
    pub violations: Vec<Violations>,
}

impl Made {
    /// Returns where in the source's log a row comes from: positions of different transforms compare.
    pub fn position(&self, row: usize) -> (Lsn, u64) {
        let Some(batch) = &self.batch else { return (Lsn::ZERO, 0) };
        let source = self.rows[row].source;
        let span = &batch.spans[batch.spans.partition_point(|span| span.first <= source).saturating_sub(1)];
        (span.commit_lsn, span.first_in_transaction + u64::from(source - span.first))
    }
}

/// How long a batch waits at most for a transform that asks to be called again, and how often it is tried: what takes
/// longer must not keep the others of its group waiting, so the transform is taken out of it for a while.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);
const TRIES_MAX: u32 = 3;

impl Running {
    /// Returns the guest, where the transform is one.
    pub fn guest(&self) -> Option<Arc<wasm::Transform>> {
        match &self.runner {
            Runner::Table(_) | Runner::Sql(_) => None,
            Runner::Wasm { transform, .. } => Some(transform.clone()),
        }
    }

    /// Takes a batch of the stream, and returns what the transform can be given now: for one that takes transactions
    /// whole, nothing of a transaction that goes on in the next batch.
    ///
    /// # Errors
    /// A transaction is larger than what such a transform can be given.
    pub fn gather(&mut self, batch: Arc<Batch>) -> Result<Arc<Batch>, EngineError> {
        let Runner::Wasm { whole: Some(whole), subscriptions, .. } = &mut self.runner else { return Ok(batch) };
        let taken = whole.take(batch, |relation, op| {
            let takes = |wanted: &wasm::Subscription| {
                wanted.schema == *relation.schema
                    && wanted.table == *relation.name
                    && (wanted.ops.is_empty() || wanted.ops.contains(&op))
            };
            subscriptions.iter().any(takes)
        });
        let limit_mib = (whole.bytes_max() >> 20) as u64;
        taken
            .map_err(|TooLarge { commit_lsn, changes, bytes }| GuestError::Transaction {
                transform: self.name.clone(),
                commit_lsn,
                changes,
                mib: (bytes as u64).div_ceil(1 << 20),
                limit_mib,
            })
            .map_err(EngineError::from)
    }

    /// Runs the transform over a batch under a number that grows with each.
    ///
    /// A guest that asks to be called again later is, with the same batch, a few times.
    ///
    /// # Errors
    /// What stops the transform; see [`EngineError::verdict`].
    pub async fn make(&mut self, batch: Arc<Batch>, id: u64) -> Result<Made, EngineError> {
        let mut made = self.made(batch, id).await?;
        for (public_schema, output) in &mut self.outputs {
            let found = output.judge(&made, *public_schema)?;
            made.violations.extend(found);
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.offer(&made);
        }
        Ok(made)
    }

    async fn made(&mut self, batch: Arc<Batch>, id: u64) -> Result<Made, EngineError> {
        if batch.changes.is_empty() && !(self.guest().is_some() && ends_large_transaction(&batch)) {
            return Ok(Made::default());
        }
        let batch = if batch.id == id { batch } else { Arc::new(Batch { id, ..Batch::clone(&batch) }) };
        let batch = &batch;
        match &mut self.runner {
            Runner::Table(projection) => {
                Ok(Made { rows: projection.process(batch)?, batch: Some(batch.clone()), ..Made::default() })
            }
            Runner::Sql(sql) => {
                Ok(Made { rows: sql.process(batch).await?, batch: Some(batch.clone()), ..Made::default() })
            }
            Runner::Wasm { transform, .. } => {
                let mut tries = 1;
                let output = loop {
                    match transform.submit(batch.clone(), Vec::new()).await.output().await {
                        Err(GuestError::Retryable { transform, message, after_ms }) if tries < TRIES_MAX => {
                            tries += 1;
                            tracing::warn!(transform, after_ms, "the transform asks to be called again: {message}");
                            let after = Duration::from_millis(after_ms.into());
                            tokio::time::sleep(after.min(RETRY_AFTER_MAX)).await;
                        }
                        output => break output?,
                    }
                };
                if let Some(rejection) = output.rejected.first() {
                    return Err(self.rejected(batch, rejection));
                }
                let state = output.state.into_iter().map(|(key, value)| (key.into(), value)).collect();
                Ok(Made { rows: output.rows, state, batch: Some(batch.clone()), ..Made::default() })
            }
        }
    }

    fn rejected(&self, batch: &Batch, rejection: &crate::change::Rejection) -> EngineError {
        let change = &batch.changes[rejection.index as usize];
        let span = batch.spans.iter().rfind(|span| span.first <= rejection.index).expect("every change has a span");
        EngineError::Rejected {
            transform: self.name.clone(),
            op: match change.op {
                Op::Insert => "INSERT",
                Op::Update => "UPDATE",
                Op::Delete => "DELETE",
                Op::Truncate => "TRUNCATE",
            },
            table: batch.relations[change.relation as usize].display_name(),
            commit_lsn: span.commit_lsn,
            index: span.first_in_transaction + u64::from(rejection.index - span.first),
            code: rejection.code.clone(),
            message: rejection.message.clone(),
        }
    }
}

/// Returns true for the end of a transaction whose last piece was handed over before the commit came: the guest saw that
/// the transaction goes on, and is told that it does not.
fn ends_large_transaction(batch: &Batch) -> bool {
    batch.spans.iter().any(|span| span.phase == Phase::Live && span.complete && span.first_in_transaction > 0)
}
