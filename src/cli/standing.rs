//! How what goes on by itself stands: what is wrong with it, and how much it has left. Consumers and mirrors alike.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::datastore::DataStoreError;
use crate::engine::{Chain, EngineError};
use crate::postgres::ConnectError;

/// More events are not counted.
pub const BEHIND_MAX: i64 = 100_000;

/// What is wrong, and what to do about it.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub what: String,
    pub hint: Option<String>,
}

impl Trouble {
    /// Returns an error with all its causes, and what to do about it.
    pub fn of(error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Trouble {
        Trouble { what: Chain(error).to_string(), hint }
    }

    /// Returns what a row says of whatever has stopped.
    pub fn recorded(problem: Option<&String>, hint: Option<&String>) -> Option<Trouble> {
        problem.map(|what| Trouble { what: what.clone(), hint: hint.cloned() })
    }

    /// Prints it below what it is about.
    pub fn print(&self, name: &str) {
        println!("\n{name}: {}", self.what);
        if let Some(hint) = &self.hint {
            println!("  Hint: {hint}");
        }
    }
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Trouble {
        Trouble::of(&error, error.hint())
    }
}

impl From<DataStoreError> for Trouble {
    fn from(error: DataStoreError) -> Trouble {
        Trouble::of(&error, error.hint())
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Trouble {
        Trouble::of(&error, error.hint())
    }
}

/// Returns how many events are left, of at most [`BEHIND_MAX`] and one.
pub fn behind(events: i64) -> String {
    if events > BEHIND_MAX { format!("> {BEHIND_MAX}") } else { events.to_string() }
}

/// Returns how old the last applied change is, in milliseconds, while there are more.
pub fn lag_ms(behind: Option<i64>, commit_time: Option<i64>) -> Option<u64> {
    if behind == Some(0) { Some(0) } else { commit_time.map(ms_since) }
}

/// Returns the milliseconds since a time in microseconds since 1970-01-01 UTC.
pub fn ms_since(micros: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    u64::try_from((now - micros) / 1000).unwrap_or(0)
}
