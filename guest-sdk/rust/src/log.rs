//! Logs: `info!("one line")`, `warn!(customer = id, "{n} rows without a name")`.
//!
//! Nothing is formatted unless the host wants the level. Keep the values of rows out: logs are read by people who
//! may not read the data.

use std::fmt;

use crate::host;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["trace", "debug", "info", "warn", "error"][*self as usize])
    }
}

/// One line of the log, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub level: Level,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.level, self.message)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// Returns true when the host wants lines of this level.
pub fn enabled(level: Level) -> bool {
    host::enabled(level)
}

/// Writes one line; the macros call it.
pub fn write(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &dyn fmt::Display)]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    host::log(level, &message.to_string(), &fields);
}

/// Logs at a level: `log!(Level::Info, field = value, "message {}", x)`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($rest:tt)+) => {{
        let level = $level;
        if $crate::log::enabled(level) {
            $crate::__log!(level, [] $($rest)+);
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, [$($fields:tt)*] $name:ident = $value:expr, $($rest:tt)+) => {
        $crate::__log!($level, [$($fields)* (::core::stringify!($name), &$value),] $($rest)+)
    };
    ($level:ident, [$($fields:tt)*] $($message:tt)+) => {
        $crate::log::write($level, ::std::format_args!($($message)+), &[$($fields)*])
    };
}

/// Logs at level trace: `trace!(field = value, "message {}", x)`.
#[macro_export]
macro_rules! trace {
    ($($rest:tt)+) => { $crate::log!($crate::log::Level::Trace, $($rest)+) };
}

/// Logs at level debug: `debug!(field = value, "message {}", x)`.
#[macro_export]
macro_rules! debug {
    ($($rest:tt)+) => { $crate::log!($crate::log::Level::Debug, $($rest)+) };
}

/// Logs at level info: `info!(field = value, "message {}", x)`.
#[macro_export]
macro_rules! info {
    ($($rest:tt)+) => { $crate::log!($crate::log::Level::Info, $($rest)+) };
}

/// Logs at level warn: `warn!(field = value, "message {}", x)`.
#[macro_export]
macro_rules! warn {
    ($($rest:tt)+) => { $crate::log!($crate::log::Level::Warn, $($rest)+) };
}

/// Logs at level error: `error!(field = value, "message {}", x)`.
#[macro_export]
macro_rules! error {
    ($($rest:tt)+) => { $crate::log!($crate::log::Level::Error, $($rest)+) };
}
