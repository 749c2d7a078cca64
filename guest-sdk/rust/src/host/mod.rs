//! What a transform can ask of the host: to log, and its own state. There is nothing else.
//!
//! Compiled to WebAssembly these are the imports of `wit/transform.wit`; anywhere else they are thread-local fakes,
//! so that a transform runs in an ordinary unit test ([`crate::testing`]).

use crate::error::Result;
use crate::log::Level;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod fake;
#[cfg(target_arch = "wasm32")]
mod imports;

#[cfg(not(target_arch = "wasm32"))]
use fake as current;
#[cfg(target_arch = "wasm32")]
use imports as current;

/// A key of the state and its value; `None` removes it.
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

pub(crate) fn enabled(level: Level) -> bool {
    current::enabled(level)
}

pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
    current::log(level, message, fields);
}

pub(crate) fn get(keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
    current::get(keys)
}

pub(crate) fn put(entries: &[Entry]) -> Result<()> {
    current::put(entries)
}

pub(crate) fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    current::scan(prefix, after, limit)
}
