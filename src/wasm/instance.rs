//! One instance of a component: calls it, and says in our words why a call failed.
//!
//! After a trap, a limit or a broken result an instance is dead: its memory may be half-way through anything. The
//! [`Runner`](super::run::Runner) makes a new one for the next call.

use std::sync::Arc;

use wasmtime::{Store, Trap, WasmBacktrace};

use super::bindings::{Transformer, TypedTransformer, packed_export, typed_export, types as wit};
use super::error::Call;
use super::host::{Component, Pre};
use super::input::{self, BadColumn, MessagePack, Write};
use super::limits::MESSAGE_BYTES_MAX;
use super::log::Log;
use super::output::{self, OutputFault};
use super::part::Part;
use super::relation::Plan;
use super::sandbox::{Hit, Moment, Sandbox};
use super::state::{Overlay, Session, State};
use super::text::printable;
use super::{Encoding, GuestError, Limits};
use crate::change::{Batch, Rejection, Row};

enum Exports {
    Packed(Transformer),
    Typed(TypedTransformer),
}

/// What one call of `process` came to.
pub(super) struct Done {
    pub rows: Vec<Row>,
    pub rejected: Vec<Rejection>,
    pub written: Overlay,
}

/// Why one call of `process` came to nothing.
pub(super) enum Failure {
    /// The instance lives; run again without that change.
    Rejected(Rejection),
    Error(GuestError),
}

/// A relation as this instance knows it; its id is its place in the list.
struct Known {
    plan: Arc<Plan>,
    version: u32,
}

/// What an instance is started with.
pub(super) struct Start<'a> {
    pub component: &'a Component,
    /// Stands in messages and logs.
    pub transform: &'a Arc<str>,
    pub limits: Limits,
    pub settings: &'a [(String, String)],
    pub state: Option<&'a Arc<State>>,
    pub instance: u32,
    pub instances: u32,
    /// Newest version of each table that is known.
    pub relations: &'a [Arc<Plan>],
}

pub(super) struct Instance {
    component: Component,
    transform: Arc<str>,
    limits: Limits,
    store: Store<Sandbox>,
    exports: Exports,
    known: Vec<Known>,
    /// The payload's buffer, kept from call to call.
    buffer: Vec<u8>,
    dead: bool,
}

impl Instance {
    /// Makes an instance and calls its `init`.
    pub(super) fn start(start: &Start<'_>) -> Result<Instance, GuestError> {
        let session = start.state.map(|state| Session::new(state.clone()));
        let mut instance = Instance::bare(start.component, start.transform, start.limits, session)?;
        instance.known = start.relations.iter().map(|plan| Known { plan: plan.clone(), version: 0 }).collect();
        let context = wit::Context {
            settings: start.settings.to_vec(),
            relations: instance.known.iter().zip(0..).map(|(known, id)| known.plan.to_wit(id, 0)).collect(),
            instance: start.instance,
            instances: start.instances,
            attrs: Vec::new(),
        };
        let answer = instance.call(Call::Init, Moment::default(), |exports, store| match exports {
            Exports::Packed(exports) => exports.pelton_transform_lifecycle().call_init(store, &context),
            Exports::Typed(exports) => exports.pelton_transform_lifecycle().call_init(store, &context),
        })?;
        match answer {
            Ok(()) => Ok(instance),
            Err(error) => Err(instance.lifecycle_error(error)),
        }
    }

    /// Describes the component on an instance that is thrown away.
    pub(super) fn describe(
        component: &Component,
        transform: &Arc<str>,
        limits: Limits,
    ) -> Result<wit::Descriptor, GuestError> {
        let mut instance = Instance::bare(component, transform, limits, None)?;
        let answer = instance.call(Call::Describe, Moment::default(), |exports, store| match exports {
            Exports::Packed(exports) => exports.pelton_transform_lifecycle().call_describe(store),
            Exports::Typed(exports) => exports.pelton_transform_lifecycle().call_describe(store),
        })?;
        answer.map_err(|error| instance.lifecycle_error(error))
    }

    fn bare(
        component: &Component,
        transform: &Arc<str>,
        limits: Limits,
        session: Option<Session>,
    ) -> Result<Instance, GuestError> {
        let mut store = Sandbox::store(component.engine(), transform, limits, session);
        Sandbox::begin(&mut store, Moment::default());
        let running = component.ticker().running();
        let exports = match component.pre() {
            Pre::Packed(pre) => pre.instantiate(&mut store).map(Exports::Packed),
            Pre::Typed(pre) => pre.instantiate(&mut store).map(Exports::Typed),
        };
        drop(running);
        let exports = exports.map_err(|error| explain(transform, limits, Call::Start, error, &store.data().log))?;
        Ok(Instance {
            component: component.clone(),
            transform: transform.clone(),
            limits,
            store,
            exports,
            known: Vec::new(),
            buffer: Vec::new(),
            dead: false,
        })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    fn call<R>(
        &mut self,
        call: Call,
        moment: Moment,
        run: impl FnOnce(&Exports, &mut Store<Sandbox>) -> wasmtime::Result<R>,
    ) -> Result<R, GuestError> {
        Sandbox::begin(&mut self.store, moment);
        let running = self.component.ticker().running();
        let result = run(&self.exports, &mut self.store);
        drop(running);
        if let Some(session) = &mut self.store.data_mut().session {
            session.close();
        }
        result.map_err(|error| {
            self.dead = true;
            explain(&self.transform, self.limits, call, error, &self.store.data().log)
        })
    }

    fn lifecycle_error(&self, error: wit::Error) -> GuestError {
        let transform = self.transform.to_string();
        match error {
            wit::Error::Retryable(retry) => GuestError::Retryable {
                transform,
                message: printable(&retry.message, MESSAGE_BYTES_MAX),
                after_ms: retry.after_ms,
            },
            // There is no change to reject outside of `process`.
            wit::Error::Rejected(wit::Rejection { message, .. }) | wit::Error::Fatal(message) => {
                GuestError::Fatal { transform, message: printable(&message, MESSAGE_BYTES_MAX) }
            }
        }
    }

    /// Returns the id of a relation, telling the guest of it if it is new to this instance.
    fn relation(&mut self, plan: &Arc<Plan>) -> Result<u32, GuestError> {
        let mut version = 0;
        // The newest version of a table is the one that changes come with.
        for (id, known) in self.known.iter().enumerate().rev() {
            if Arc::ptr_eq(&known.plan, plan) || known.plan.looks_like(plan) {
                return Ok(id as u32);
            }
            if known.plan.same_table(plan) {
                version = version.max(known.version + 1);
            }
        }
        let id = self.known.len() as u32;
        let relation = plan.to_wit(id, version);
        let call = Call::RelationChanged { table: plan.source.display_name() };
        let answer = self.call(call, Moment::default(), |exports, store| match exports {
            Exports::Packed(exports) => exports.pelton_transform_lifecycle().call_relation_changed(store, &relation),
            Exports::Typed(exports) => exports.pelton_transform_lifecycle().call_relation_changed(store, &relation),
        })?;
        answer.map_err(|error| self.lifecycle_error(error))?;
        self.known.push(Known { plan: plan.clone(), version });
        Ok(id)
    }

    /// Lets the guest use its state, in the next call alone.
    fn open_state(&mut self, written: &Arc<Overlay>) {
        if let Some(session) = &mut self.store.data_mut().session {
            session.begin(written);
        }
    }

    /// Hands over a part of a batch. `plans` belong to the batch's relations; `written` is what earlier calls for the
    /// same batch wrote into state.
    pub(super) fn process(
        &mut self,
        batch: &Batch,
        plans: &[Option<Arc<Plan>>],
        part: &Part<'_>,
        written: &Arc<Overlay>,
    ) -> Result<Done, Failure> {
        let mut ids = vec![None; plans.len()];
        for (id, plan) in ids.iter_mut().zip(plans) {
            if let Some(plan) = plan {
                *id = Some(self.relation(plan).map_err(Failure::Error)?);
            }
        }
        // A part has only changes of relations that are subscribed.
        let of = |index: u32| {
            let change = &batch.changes[index as usize];
            let relation = change.relation as usize;
            Some((ids.get(relation).copied().flatten()?, plans.get(relation)?.as_ref()?, change))
        };
        let changes = part.indexes.len();
        let call = Call::Process { changes };
        let (id, spans, moment) = (part.id(batch), part.spans(batch), part.moment(batch));
        let encoding = self.component.descriptor().encoding;
        let (answer, rows) = match encoding {
            Encoding::MessagePack | Encoding::Json => {
                let mut buffer = std::mem::take(&mut self.buffer);
                buffer.clear();
                let encoded = if encoding == Encoding::MessagePack {
                    let mut w = MessagePack(buffer);
                    encode(&mut w, part, of).map(|()| w.0)
                } else {
                    let mut w = input::Json::into_buffer(buffer);
                    encode(&mut w, part, of).map(|()| w.text)
                };
                let payload = encoded.map_err(Failure::Error)?;
                self.open_state(written);
                let given = packed_export::Batch { id, spans, count: changes as u32, payload };
                let answer = self.call(call.clone(), moment, |exports, store| match exports {
                    Exports::Packed(exports) => exports.pelton_transform_packed().call_process(store, &given),
                    Exports::Typed(_) => unreachable!("a packed encoding is checked to be of the packed world"),
                });
                self.buffer = given.payload;
                match answer.map_err(Failure::Error)? {
                    Ok(output) => {
                        let schemas = self.component.schemas();
                        let rows = output::read_packed(encoding, &output.payload, output.count, schemas, part.indexes);
                        (Ok(output.rejected), Some(rows))
                    }
                    Err(error) => (Err(error), None),
                }
            }
            Encoding::Typed => {
                let mut typed = Vec::with_capacity(changes);
                for &index in part.indexes {
                    if let Some((id, plan, change)) = of(index) {
                        let change = input::typed_change(id, plan, change);
                        typed.push(change.map_err(|bad| Failure::Error(bad_value(plan, bad)))?);
                    }
                }
                self.open_state(written);
                let given = typed_export::Batch { id, spans, changes: typed };
                let answer = self.call(call.clone(), moment, |exports, store| match exports {
                    Exports::Typed(exports) => exports.pelton_transform_typed().call_process(store, &given),
                    Exports::Packed(_) => unreachable!("the typed encoding is checked to be of the typed world"),
                });
                match answer.map_err(Failure::Error)? {
                    Ok(output) => {
                        let rows = output::read_typed(&output.rows, self.component.schemas(), part.indexes);
                        (Ok(output.rejected), Some(rows))
                    }
                    Err(error) => (Err(error), None),
                }
            }
        };
        match (answer, rows) {
            (Ok(rejected), Some(rows)) => {
                let rows = rows.map_err(|fault| self.broken(fault))?;
                let rejected = self.rejections(rejected, part, &rows)?;
                let written = self.store.data_mut().session.as_mut().map(Session::take).unwrap_or_default();
                Ok(Done { rows, rejected, written })
            }
            (Err(wit::Error::Rejected(rejection)), _) => {
                let rejection = self.rejections(vec![rejection], part, &[])?;
                Err(Failure::Rejected(rejection.into_iter().next().expect("one in, one out")))
            }
            (Err(error), _) => Err(Failure::Error(self.lifecycle_error(error))),
            (Ok(_), None) => unreachable!("a result has rows"),
        }
    }

    /// Maps the indexes of rejections back to the batch, and puts them in order.
    fn rejections(
        &mut self,
        given: Vec<wit::Rejection>,
        part: &Part<'_>,
        rows: &[Row],
    ) -> Result<Vec<Rejection>, Failure> {
        let mut rejected = Vec::with_capacity(given.len().min(part.indexes.len()));
        for rejection in given {
            let Some(&index) = part.indexes.get(rejection.index as usize) else {
                let (index, changes) = (rejection.index, part.indexes.len());
                let what = format!("it rejects change {index} of a batch that has {changes}");
                return Err(self.broken(OutputFault::new(what)));
            };
            if rows.binary_search_by_key(&index, |row| row.source).is_ok() {
                let what = format!("it rejects change {} and has rows of it too", rejection.index);
                return Err(self.broken(OutputFault::new(what)));
            }
            let message = printable(&rejection.message, MESSAGE_BYTES_MAX);
            rejected.push(Rejection { index, code: printable(&rejection.code, 64), message });
        }
        rejected.sort_by_key(|rejection: &Rejection| rejection.index);
        rejected.dedup_by_key(|rejection| rejection.index);
        Ok(rejected)
    }

    fn broken(&mut self, fault: OutputFault) -> Failure {
        self.dead = true;
        Failure::Error(GuestError::Output {
            transform: self.transform.to_string(),
            fault: Box::new(fault),
            place: None,
        })
    }
}

fn encode<'a, W: Write>(
    w: &mut W,
    part: &Part<'_>,
    of: impl Fn(u32) -> Option<(u32, &'a Arc<Plan>, &'a crate::change::Change)>,
) -> Result<(), GuestError> {
    w.open(part.indexes.len());
    for &index in part.indexes {
        if let Some((id, plan, change)) = of(index) {
            input::write_change(w, id, plan, change).map_err(|bad| bad_value(plan, bad))?;
        }
    }
    w.close();
    Ok(())
}

fn bad_value(plan: &Plan, bad: BadColumn) -> GuestError {
    let column = &plan.source.columns[bad.column];
    GuestError::BadValue {
        table: plan.source.display_name(),
        column: column.name.to_string(),
        kind: column.kind.to_string(),
    }
}

/// Says in our words why a call ended, and what the guest said before, according to its `log`.
fn explain(transform: &str, limits: Limits, call: Call, error: wasmtime::Error, log: &Log) -> GuestError {
    let transform = transform.to_owned();
    let place = None;
    if let Some(hit) = error.downcast_ref::<Hit>() {
        return match hit {
            Hit::Memory { used_bytes } => {
                let (used_mib, limit_mib) = (used_bytes.div_ceil(1 << 20), limits.memory_mib.into());
                GuestError::Memory { transform, used_mib, limit_mib, call, place }
            }
            Hit::Time { ran } => {
                let (ran_ms, limit_ms) = (ran.as_millis() as u64, limits.timeout_ms.into());
                GuestError::Time { transform, ran_ms, limit_ms, call, place }
            }
            Hit::Limit(what) => GuestError::Limit { transform, what: what.clone(), call, place },
            Hit::Refused(message) => GuestError::Fatal { transform, message: message.clone() },
            Hit::State(cause) => {
                let cause = cause.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
                GuestError::State { transform, source: cause.unwrap_or_else(|| "the store failed".into()) }
            }
        };
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return GuestError::Crowded {
            transform,
            message: printable(&error.root_cause().to_string(), MESSAGE_BYTES_MAX),
        };
    }
    let message = match (error.downcast_ref::<Trap>(), error.downcast_ref::<wasmtime_wasi::I32Exit>()) {
        (Some(Trap::StackOverflow), _) => "its stack is full: it recurses too deep".to_owned(),
        (Some(Trap::UnreachableCodeReached), _) => "it panicked or aborted (`unreachable` was executed)".to_owned(),
        (Some(trap), _) => trap.to_string(),
        (_, Some(exit)) => format!("it called exit({})", exit.0),
        _ => error.root_cause().to_string(),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    let (message, said) = (printable(&message, MESSAGE_BYTES_MAX), log.last_words());
    GuestError::Trap { transform, message, said, backtrace, call, place }
}

const FRAMES_MAX: usize = 16;

/// Returns `module!function at file:line` for each frame, as far as the component's names and debug information go.
///
/// The engine's own rendering is the one place where names are demangled and inlined frames are spelt out.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in backtrace.to_string().lines().skip(1) {
        let line = line.trim();
        match (line.strip_prefix("at "), frames.last_mut()) {
            (Some(place), Some(frame)) => {
                frame.push_str(" at ");
                frame.push_str(place);
            }
            // `0: 0x1a2b - module!function`
            _ => {
                let name = line.split_once(" - ").map_or(line, |(_, name)| name);
                frames.push(name.strip_prefix("<unknown>!").unwrap_or(name).to_owned());
            }
        }
    }
    frames.truncate(FRAMES_MAX);
    frames.iter().map(|frame| printable(frame, 256)).collect()
}
