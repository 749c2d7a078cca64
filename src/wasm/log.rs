//! What a guest logs, in our log: bounded by the call, one line each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bindings::host::Level;
use super::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use super::text::printable;

/// The log of one instance; clones share the same budget, which is that of the running call.
#[derive(Clone)]
pub(super) struct Log {
    transform: Arc<str>,
    lines: Arc<AtomicU32>,
}

macro_rules! by_level {
    ($level:expr, $do:ident!($($rest:tt)*)) => {
        match $level {
            Level::Trace => tracing::$do!(target: "pelton::guest", tracing::Level::TRACE, $($rest)*),
            Level::Debug => tracing::$do!(target: "pelton::guest", tracing::Level::DEBUG, $($rest)*),
            Level::Info => tracing::$do!(target: "pelton::guest", tracing::Level::INFO, $($rest)*),
            Level::Warn => tracing::$do!(target: "pelton::guest", tracing::Level::WARN, $($rest)*),
            Level::Error => tracing::$do!(target: "pelton::guest", tracing::Level::ERROR, $($rest)*),
        }
    };
}

impl Log {
    pub(super) fn new(transform: Arc<str>) -> Log {
        Log { transform, lines: Arc::default() }
    }

    /// Begins a call, with a fresh budget.
    pub(super) fn begin(&self) {
        let lines = self.lines.swap(0, Ordering::Relaxed);
        if let Some(dropped @ 1..) = lines.checked_sub(LOG_LINES_MAX) {
            tracing::warn!(target: "pelton::guest", transform = &*self.transform, dropped, "log lines over the limit of {LOG_LINES_MAX} a call were dropped");
        }
    }

    pub(super) fn enabled(&self, level: Level) -> bool {
        match level {
            Level::Trace => tracing::enabled!(target: "pelton::guest", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "pelton::guest", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "pelton::guest", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "pelton::guest", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "pelton::guest", tracing::Level::ERROR),
        }
    }

    pub(super) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        if !self.enabled(level) || self.lines.fetch_add(1, Ordering::Relaxed) >= LOG_LINES_MAX {
            return;
        }
        let mut line = printable(message, LOG_LINE_BYTES_MAX);
        for (name, value) in fields {
            let left = LOG_LINE_BYTES_MAX.saturating_sub(line.len());
            if left == 0 {
                break;
            }
            line.push(' ');
            line.push_str(&printable(name, left));
            line.push('=');
            line.push_str(&printable(value, left));
        }
        by_level!(level, event!(transform = &*self.transform, "{line}"));
    }
}
