//! What surrounds one instance: its limits, its log, its state and an empty world behind WASI.
//!
//! Time is measured on the wall, host calls taken out, and checked at every tick of the engine's epoch. A limit that is
//! reached is an error of the host ([`Hit`]), which unwinds the guest as a trap does and so can't be caught by it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::{host, state, types};
use super::limits::{CORE_INSTANCES_MAX, LIFTED_BYTES_MAX, TABLE_ELEMENTS_MAX};
use super::log::Log;
use super::state::{Session, StateFault};
use super::{Limits, StateError, wasi};

/// A limit that a guest has reached, or a host call that failed: why a call did not end by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hit {
    #[error("memory limit")]
    Memory { used_bytes: u64 },
    #[error("time limit")]
    Time { ran: Duration },
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Refused(String),
    #[error("the state can't be read")]
    /// Taken out once, for the error of ours.
    State(std::sync::Mutex<Option<StateError>>),
}

/// The position of a call, from which its clock and its randomness come.
#[derive(Clone, Copy, Default)]
pub(super) struct Moment {
    /// Microseconds since 1970-01-01 UTC.
    pub time: i64,
    pub seed: u64,
}

/// The data of an instance's store.
pub(super) struct Sandbox {
    limits: Limits,
    memory_bytes: u64,
    table_elements: usize,
    started: Instant,
    /// Spent in calls of the host during this call of the guest.
    in_host: Duration,
    pub log: Log,
    pub session: Option<Session>,
    pub clock: wasi::Clock,
    pub random: fastrand::Rng,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Sandbox {
    /// Returns a store for one instance. `session` is absent for transforms without state and while describing.
    pub(super) fn store(
        engine: &wasmtime::Engine,
        transform: &Arc<str>,
        limits: Limits,
        session: Option<Session>,
    ) -> Store<Sandbox> {
        let log = Log::new(transform.clone());
        let sandbox = Sandbox {
            limits,
            memory_bytes: 0,
            table_elements: 0,
            started: Instant::now(),
            in_host: Duration::ZERO,
            wasi: wasi::context(&log),
            log,
            session,
            clock: wasi::Clock::default(),
            random: fastrand::Rng::with_seed(0),
            table: wasi::table(),
        };
        let mut store = Store::new(engine, sandbox);
        store.limiter(|sandbox| sandbox);
        store.set_hostcall_fuel(LIFTED_BYTES_MAX);
        store.epoch_deadline_callback(|context| match context.data().overran() {
            Some(ran) => Err(Hit::Time { ran }.into()),
            None => Ok(UpdateDeadline::Continue(1)),
        });
        store
    }

    /// Begins a call of the guest, at that moment.
    pub(super) fn begin(store: &mut Store<Sandbox>, moment: Moment) {
        let sandbox = store.data_mut();
        sandbox.started = Instant::now();
        sandbox.in_host = Duration::ZERO;
        sandbox.clock.set(moment.time);
        sandbox.random = fastrand::Rng::with_seed(moment.seed);
        sandbox.log.begin();
        store.set_epoch_deadline(1);
    }

    /// Returns how long the guest has run in this call, if that is too long.
    fn overran(&self) -> Option<Duration> {
        let ran = self.started.elapsed().saturating_sub(self.in_host);
        (ran > self.limits.timeout()).then_some(ran)
    }

    /// Runs a host call whose time is not the guest's.
    fn in_host<R>(&mut self, call: impl FnOnce(&mut Sandbox) -> R) -> R {
        let started = Instant::now();
        let result = call(self);
        self.in_host += started.elapsed();
        result
    }

    fn with_state<R>(&mut self, call: impl FnOnce(&mut Session) -> Result<R, StateFault>) -> wasmtime::Result<R> {
        self.in_host(|sandbox| {
            let session = sandbox.session.as_mut().filter(|session| session.is_open()).ok_or_else(|| {
                Hit::Refused("it uses state outside of `process`, or describes itself as stateless".to_owned())
            })?;
            call(session).map_err(|fault| {
                wasmtime::Error::from(match fault {
                    StateFault::Limit(what) => Hit::Limit(what),
                    StateFault::Store(error) => Hit::State(Some(error).into()),
                })
            })
        })
    }
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used_bytes = self.memory_bytes + desired.saturating_sub(current) as u64;
        if used_bytes > self.limits.memory_bytes() as u64 {
            return Err(Hit::Memory { used_bytes }.into());
        }
        self.memory_bytes = used_bytes;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.table_elements + desired.saturating_sub(current);
        if elements > TABLE_ELEMENTS_MAX {
            return Err(Hit::Limit(format!("its tables have more than {TABLE_ELEMENTS_MAX} elements")).into());
        }
        self.table_elements = elements;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES_MAX
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for Sandbox {}

impl host::Host for Sandbox {
    fn enabled(&mut self, level: host::Level) -> wasmtime::Result<bool> {
        Ok(self.in_host(|sandbox| sandbox.log.enabled(level)))
    }

    fn log(&mut self, level: host::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.in_host(|sandbox| sandbox.log.write(level, &message, &fields));
        Ok(())
    }
}

impl state::Host for Sandbox {
    fn get(&mut self, keys: Vec<Vec<u8>>) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, types::Error>> {
        let bytes_max = self.limits.memory_bytes();
        let values = self.with_state(|session| session.get(&keys, bytes_max))?;
        Ok(Ok(values.into_iter().map(|value| value.map(|bytes| bytes.to_vec())).collect()))
    }

    fn put(&mut self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> wasmtime::Result<Result<(), types::Error>> {
        self.with_state(|session| session.put(entries)).map(Ok)
    }

    fn scan(
        &mut self,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<(Vec<u8>, Vec<u8>)>, types::Error>> {
        let bytes_max = self.limits.memory_bytes();
        let found = self.with_state(|session| session.scan(&prefix, after.as_deref(), limit, bytes_max))?;
        Ok(Ok(found.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()))
    }
}
