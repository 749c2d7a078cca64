//! What a guest logs, in our log: bounded by the call, one line each.
//!
//! A trap says nothing by itself. What a guest said before it, a panic's message with its file and line or a traceback,
//! is kept until the call has ended, whether or not it is logged: it becomes part of the error ([`Log::last_words`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::bindings::host::Level;
use super::limits::{LAST_WORDS_LINES_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX, MESSAGE_BYTES_MAX};
use super::text::printable;

/// The log of one instance; clones share the same budget, which is that of the running call.
#[derive(Clone)]
pub(super) struct Log {
    transform: Arc<str>,
    lines: Arc<AtomicU32>,
    words: Arc<Mutex<Words>>,
}

/// What the running call said that may explain its end.
#[derive(Default)]
struct Words {
    /// Its last line of level `error`.
    error: Option<String>,
    /// The end of what it wrote to standard error, as guests without an SDK do.
    stderr: VecDeque<String>,
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
        Log { transform, lines: Arc::default(), words: Arc::default() }
    }

    /// Begins a call, with a fresh budget.
    pub(super) fn begin(&self) {
        let lines = self.lines.swap(0, Ordering::Relaxed);
        *self.words() = Words::default();
        if let Some(dropped @ 1..) = lines.checked_sub(LOG_LINES_MAX) {
            tracing::warn!(target: "pelton::guest", transform = &*self.transform, dropped, "log lines over the limit of {LOG_LINES_MAX} a call were dropped");
        }
    }

    /// Tells whether a guest should say it.
    pub(super) fn enabled(&self, level: Level) -> bool {
        // An error is told with the crash that may follow, whether or not it is logged.
        matches!(level, Level::Error) || self.is_logged(level)
    }

    fn is_logged(&self, level: Level) -> bool {
        match level {
            Level::Trace => tracing::enabled!(target: "pelton::guest", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "pelton::guest", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "pelton::guest", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "pelton::guest", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "pelton::guest", tracing::Level::ERROR),
        }
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Returns what the call said last, if it said anything: its last line of level `error`, or else the end of what it
    /// wrote to standard error. Cut into lines, printable and bounded.
    pub(super) fn last_words(&self) -> Vec<String> {
        let words = self.words();
        let said = words.error.clone().unwrap_or_else(|| words.stderr.iter().cloned().collect::<Vec<_>>().join("\n"));
        let mut left = MESSAGE_BYTES_MAX;
        let mut lines = Vec::new();
        for line in said.lines().map(str::trim_end).filter(|line| !line.is_empty()).take(LAST_WORDS_LINES_MAX) {
            if left == 0 {
                break;
            }
            lines.push(printable(line, left));
            left = left.saturating_sub(line.len());
        }
        lines
    }

    /// Logs a line that was written to standard error.
    pub(super) fn write_stderr(&self, line: &str) {
        {
            let stderr = &mut self.words().stderr;
            if stderr.len() == LAST_WORDS_LINES_MAX {
                stderr.pop_front();
            }
            stderr.push_back(line.to_owned());
        }
        self.write(Level::Warn, line, &[]);
    }

    pub(super) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        if matches!(level, Level::Error) {
            let bytes = message.floor_char_boundary(message.len().min(MESSAGE_BYTES_MAX));
            let mut said = message[..bytes].to_owned();
            for (name, value) in fields.iter().take(LAST_WORDS_LINES_MAX) {
                let value = &value[..value.floor_char_boundary(value.len().min(MESSAGE_BYTES_MAX))];
                let name = &name[..name.floor_char_boundary(name.len().min(64))];
                // What stands on several lines, as a stack does, comes behind the message.
                let between = if value.contains('\n') { '\n' } else { ' ' };
                said.extend([between.to_string().as_str(), name, "=", value]);
            }
            self.words().error = Some(said);
        }
        if !self.is_logged(level) || self.lines.fetch_add(1, Ordering::Relaxed) >= LOG_LINES_MAX {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_last_error_of_a_call_is_kept_and_no_other() {
        let log = Log::new("t".into());
        log.write(Level::Error, "first", &[]);
        log.write(Level::Error, "it \x1b[31mpanicked", &[field("at", "a.rs:1"), field("stack", "f a.rs:2\ng a.rs:3")]);
        log.write(Level::Warn, "a warning", &[]);
        log.write_stderr("aborted");
        let said = ["it \\u{1b}[31mpanicked at=a.rs:1", "stack=f a.rs:2", "g a.rs:3"];
        assert_eq!(log.last_words(), said, "an error says more than what came on standard error");
        log.begin();
        assert_eq!(log.last_words(), [""; 0]);
    }

    #[test]
    fn the_end_of_standard_error_stands_in_for_an_error() {
        let log = Log::new("t".into());
        (0..100).for_each(|line| log.write_stderr(&format!("line {line}")));
        let said = log.last_words();
        assert_eq!((said.len(), &said[0][..], &said[15][..]), (16, "line 84", "line 99"));
    }

    #[test]
    fn last_words_are_bounded() {
        let log = Log::new("t".into());
        log.write(Level::Error, &"ü".repeat(1 << 20), &[field("long", &"x\n".repeat(1 << 20))]);
        let bytes: usize = log.last_words().iter().map(String::len).sum();
        assert!(bytes <= MESSAGE_BYTES_MAX + 8, "{bytes}");
    }
}
