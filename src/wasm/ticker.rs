//! The clock that guests are interrupted by: an OS thread of its own, so that nothing a guest or tokio does can stall it.
//!
//! It sleeps while no guest runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use super::WasmError;

/// How finely time limits are kept.
const TICK: Duration = Duration::from_millis(5);

pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    /// Guests that are running right now.
    running: AtomicUsize,
    stopped: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: &wasmtime::Engine) -> Result<Ticker, WasmError> {
        let shared = Arc::new(Shared::default());
        let (engine, seen) = (engine.clone(), shared.clone());
        let tick = move || {
            while !seen.stopped.load(Ordering::Acquire) {
                if seen.running.load(Ordering::Acquire) == 0 {
                    // Whoever runs the first guest unparks; a token left by an earlier one costs one round.
                    std::thread::park();
                } else {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("wasm-ticker".to_owned())
            .spawn(tick)
            .map_err(|source| WasmError::Thread { purpose: "the clock of the guests", source })?;
        Ok(Ticker { shared, thread: thread.thread().clone() })
    }

    /// Keeps the clock ticking until the guard is dropped.
    pub(super) fn running(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Running(self)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// A guest is running.
pub(super) struct Running<'a>(&'a Ticker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::AcqRel);
    }
}
