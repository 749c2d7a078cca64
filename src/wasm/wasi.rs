//! WASI 0.2 with nothing behind it.
//!
//! What stock toolchains import is there, so that their guests load: no files, arguments or environment, standard input
//! at its end, standard output and error into the log. The clocks stand at the commit time of what is being
//! transformed, and to wait moves the monotonic one at once; randomness is seeded by the position. So a guest that is
//! given the same changes sees the same world, and no call of it ever blocks its thread.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::bindings::{clocks, random};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{DynPollable, InputStream, OutputStream, Pollable, StreamResult, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use super::bindings::host::Level;
use super::limits::{LOG_LINE_BYTES_MAX, RANDOM_BYTES_MAX};
use super::log::Log;
use super::sandbox::{Hit, Sandbox};

/// The interfaces of WASI that are served; all others are refused when a component is loaded.
pub(super) const SERVED: &[&str] = &["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];

/// Resources that a guest may hold at once: streams, pollables, errors.
const RESOURCES_MAX: usize = 10_000;

pub(super) fn context(log: &Log) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdin(NoInput)
        .stdout(Lines::new(log, |log, line| log.write(Level::Info, line, &[])))
        .stderr(Lines::new(log, Log::write_stderr))
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

pub(super) fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES_MAX);
    table
}

/// Adds WASI to the linker, and our own clocks and randomness in place of the machine's.
pub(super) fn add_to_linker(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    clocks::wall_clock::add_to_linker::<_, Own>(linker, |sandbox| sandbox)?;
    clocks::monotonic_clock::add_to_linker::<_, Own>(linker, |sandbox| sandbox)?;
    random::random::add_to_linker::<_, Own>(linker, |sandbox| sandbox)?;
    random::insecure::add_to_linker::<_, Own>(linker, |sandbox| sandbox)?;
    random::insecure_seed::add_to_linker::<_, Own>(linker, |sandbox| sandbox)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Own;

impl HasData for Own {
    type Data<'a> = &'a mut Sandbox;
}

/// The clocks of one instance.
#[derive(Default)]
pub(super) struct Clock {
    /// Microseconds since 1970-01-01 UTC.
    time: i64,
    /// Never falls, whatever the commit times do.
    monotonic_ns: u64,
}

impl Clock {
    pub(super) fn set(&mut self, time: i64) {
        self.time = time;
        self.monotonic_ns = self.monotonic_ns.max(u64::try_from(time).unwrap_or(0).saturating_mul(1000));
    }
}

impl clocks::wall_clock::Host for Sandbox {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        // Before 1970 there is no WASI time.
        let time = u64::try_from(self.clock.time).unwrap_or(0);
        let nanoseconds = (time % 1_000_000 * 1000) as u32;
        Ok(clocks::wall_clock::Datetime { seconds: time / 1_000_000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: 1000 })
    }
}

impl clocks::monotonic_clock::Host for Sandbox {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.monotonic_ns)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.clock.monotonic_ns = self.clock.monotonic_ns.max(when);
        ready(wasmtime_wasi::WasiView::ctx(self).table)
    }

    fn subscribe_duration(&mut self, ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.clock.monotonic_ns = self.clock.monotonic_ns.saturating_add(ns);
        ready(wasmtime_wasi::WasiView::ctx(self).table)
    }
}

struct Ready;

#[wasmtime_wasi::async_trait]
impl Pollable for Ready {
    async fn ready(&mut self) {}
}

fn ready(table: &mut ResourceTable) -> wasmtime::Result<Resource<DynPollable>> {
    let ready = table.push(Ready)?;
    subscribe(table, ready)
}

impl Sandbox {
    fn random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > RANDOM_BYTES_MAX {
            return Err(Hit::Limit(format!("more than {} KiB of random bytes at once", RANDOM_BYTES_MAX >> 10)).into());
        }
        let mut bytes = vec![0; length as usize];
        self.random.fill(&mut bytes);
        Ok(bytes)
    }
}

impl random::random::Host for Sandbox {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.u64(..))
    }
}

impl random::insecure::Host for Sandbox {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.u64(..))
    }
}

impl random::insecure_seed::Host for Sandbox {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random.u64(..), self.random.u64(..)))
    }
}

struct NoInput;

impl IsTerminal for NoInput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for NoInput {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(ClosedInputStream)
    }
}

/// Standard output or error, cut into lines for the log.
#[derive(Clone)]
struct Lines {
    log: Log,
    say: fn(&Log, &str),
    /// The line that has no end yet.
    line: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    fn new(log: &Log, say: fn(&Log, &str)) -> Lines {
        Lines { log: log.clone(), say, line: Arc::default() }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Preview 2 writes to `p2_stream`.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut line = self.line.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for &byte in &bytes {
            if byte != b'\n' {
                line.push(byte);
            }
            // A line without an end is cut.
            if byte == b'\n' || line.len() >= LOG_LINE_BYTES_MAX {
                (self.say)(&self.log, &String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}
