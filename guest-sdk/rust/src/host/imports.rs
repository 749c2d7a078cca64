//! The host's functions, as the component imports them.

use super::Entry;
use crate::error::Result;
use crate::guest::bindings::pelton::transform::{host, state};
use crate::guest::convert;
use crate::log::Level;

fn level(level: Level) -> host::Level {
    match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    }
}

pub fn enabled(at: Level) -> bool {
    host::enabled(level(at))
}

pub fn log(at: Level, message: &str, fields: &[(String, String)]) {
    host::log(level(at), message, fields);
}

pub fn get(keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
    state::get(keys).map_err(convert::error_in)
}

pub fn put(entries: &[Entry]) -> Result<()> {
    state::put(entries).map_err(convert::error_in)
}

pub fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    state::scan(prefix, after, limit).map_err(convert::error_in)
}
