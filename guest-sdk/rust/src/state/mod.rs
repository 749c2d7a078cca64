//! State: a transform's own keys and values, committed together with the rows that it made.
//!
//! ```
//! use pelton_sdk::prelude::*;
//!
//! const SEEN: Map<(String, i64), i64> = Map::new("seen");
//!
//! fn count(shop: &str, order: i64) -> Result<i64> {
//!     let key = (shop.to_owned(), order);
//!     let times = SEEN.get(&key)?.unwrap_or(0) + 1;
//!     SEEN.put(&key, &times)?;
//!     Ok(times)
//! }
//! ```
//!
//! A transform that uses it says `stateful` in `#[transform(…)]`. An instance may be replaced between any two batches,
//! so whatever must survive goes here, never into fields. When what is stored changes its shape, raise `state_version`:
//! the host then asks for a rebuild instead of handing over what can't be read.
//!
//! It is used in the functions that take changes, never in `init`: what is read or written belongs to a batch.
//!
//! Reads are remembered and writes collected until the batch ends, so the host is called once a batch to write, and
//! once a key to read it first; [`Map::get_many`] reads many at once. When a batch fails, all of it is forgotten, here
//! and at the host.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

use crate::error::{Error, Result};
use crate::host;
use crate::msgpack::{Reader, Writer};

mod ahead;
mod key;
mod table;
mod value;

pub use ahead::Ahead;
pub use key::StateKey;
use table::Table;
pub use value::StateValue;

/// What is kept of this batch before it goes to the host, and is read again after that.
const KEPT_BYTES_MAX: usize = 4 << 20;

#[derive(Default)]
struct Overlay {
    entries: Table<Kept>,
    bytes: usize,
}

struct Kept {
    value: Option<Vec<u8>>,
    written: bool,
}

thread_local! {
    static OVERLAY: RefCell<Overlay> = RefCell::default();
    static OPEN: Cell<bool> = const { Cell::new(false) };
}

/// The time in which the state may be used: while a batch is transformed.
pub(crate) struct Open(());

impl Open {
    /// Begins with nothing: the last batch may have failed.
    pub(crate) fn new() -> Open {
        forget();
        OPEN.set(true);
        Open(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.set(false);
        forget();
    }
}

/// Refuses what belongs to no batch: it would be committed with none, and seen in some runs only.
fn check_open() -> Result<()> {
    match OPEN.get() {
        true => Ok(()),
        false => Err(Error::fatal(
            "the transform uses its state outside of a batch, as in `init`: read and write it in the functions that take \
             changes",
        )),
    }
}

fn forget() {
    OVERLAY.with_borrow_mut(|overlay| *overlay = Overlay::default());
}

/// Hands what was written to the host, at the end of a batch.
pub(crate) fn finish() -> Result<()> {
    let overlay = OVERLAY.take();
    let written = overlay.entries.into_iter().filter(|(_, kept)| kept.written);
    let entries: Vec<_> = written.map(|(key, kept)| (key, kept.value)).collect();
    if entries.is_empty() { Ok(()) } else { host::put(&entries) }
}

/// Hands what was written so far to the host, and goes on remembering it.
fn flush() -> Result<()> {
    OVERLAY.with_borrow_mut(|overlay| {
        let mut entries = Vec::new();
        for (key, kept) in &mut overlay.entries {
            if std::mem::take(&mut kept.written) {
                entries.push((key.clone(), kept.value.clone()));
            }
        }
        if entries.is_empty() { Ok(()) } else { host::put(&entries) }
    })
}

fn keep(key: Vec<u8>, value: Option<Vec<u8>>, written: bool) -> Result<()> {
    let full = OVERLAY.with_borrow_mut(|overlay| {
        overlay.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        overlay.entries.insert(key, Kept { value, written });
        overlay.bytes > KEPT_BYTES_MAX
    });
    if full {
        flush()?;
        forget();
    }
    Ok(())
}

fn is_kept(key: &[u8]) -> bool {
    OVERLAY.with_borrow(|overlay| overlay.entries.contains_key(key))
}

/// Gives what is remembered of a key to `read`; `None` when nothing is.
fn kept<T>(key: &[u8], read: impl FnOnce(Option<&[u8]>) -> T) -> Option<T> {
    OVERLAY.with_borrow(|overlay| overlay.entries.get(key).map(|kept| read(kept.value.as_deref())))
}

/// A part of the state, with keys and values of one type each.
pub struct Map<K, V> {
    name: &'static str,
    types: PhantomData<fn(K) -> V>,
}

impl<K: StateKey, V: StateValue> Map<K, V> {
    /// Names a part of the state; two maps of one transform have different names.
    pub const fn new(name: &'static str) -> Map<K, V> {
        let bytes = name.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            assert!(bytes[i] != 0, "the name of a map of the state can't hold a zero byte");
            i += 1;
        }
        Map { name, types: PhantomData }
    }

    /// Returns the value of a key.
    ///
    /// # Errors
    /// What the host says, and [`Error::Fatal`] for bytes that are no `V`, or outside of a batch, as in `init`.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        check_open()?;
        let key = self.key(key);
        if let Some(read) = kept(&key, |value| self.read(value)) {
            return read;
        }
        let value = host::get(std::slice::from_ref(&key))?.pop().flatten();
        let read = self.read(value.as_deref());
        keep(key, value, false)?;
        read
    }

    /// Returns the values of many keys, in their order, with one call to the host.
    ///
    /// # Errors
    /// As [`get`](Map::get).
    pub fn get_many(&self, keys: &[K]) -> Result<Vec<Option<V>>> {
        check_open()?;
        let keys: Vec<_> = keys.iter().map(|key| self.key(key)).collect();
        let mut unknown: Vec<_> = keys.iter().filter(|key| !is_kept(key)).cloned().collect();
        unknown.sort();
        unknown.dedup();
        let mut fetched = Table::default();
        if !unknown.is_empty() {
            let values = host::get(&unknown)?;
            if values.len() != unknown.len() {
                return Err(Error::fatal("the host returned another number of state values than was asked for"));
            }
            fetched.extend(unknown.into_iter().zip(values));
        }
        let read = |key: &Vec<u8>| match fetched.get(key) {
            Some(value) => self.read(Option::as_deref(value)),
            None => kept(key, |value| self.read(value)).unwrap_or(Ok(None)),
        };
        let values = keys.iter().map(read).collect::<Result<Vec<_>>>()?;
        for (key, value) in fetched {
            keep(key, value, false)?;
        }
        Ok(values)
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// What the host says, when so much was written that it is handed over at once, and [`Error::Fatal`] outside of a
    /// batch, as in `init`.
    pub fn put(&self, key: &K, value: &V) -> Result<()> {
        check_open()?;
        let mut writer = Writer::default();
        value.write(&mut writer);
        keep(self.key(key), Some(writer.bytes), true)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`put`](Map::put).
    pub fn remove(&self, key: &K) -> Result<()> {
        check_open()?;
        keep(self.key(key), None, true)
    }

    /// Returns up to `limit` entries in key order, beginning behind `after`.
    ///
    /// # Errors
    /// As [`get`](Map::get).
    pub fn scan(&self, after: Option<&K>, limit: u32) -> Result<Vec<(K, V)>> {
        check_open()?;
        flush()?;
        let prefix = self.prefix();
        let after = after.map(|key| self.key(key));
        let entries = host::scan(&prefix, after.as_deref(), limit)?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let mut rest = key.get(prefix.len()..).ok_or_else(|| self.unreadable())?;
            let key = K::read(&mut rest).filter(|_| rest.is_empty()).ok_or_else(|| self.unreadable())?;
            let value = self.read(Some(&value))?.ok_or_else(|| self.unreadable())?;
            Ok((key, value))
        };
        entries.into_iter().map(read).collect()
    }

    /// Calls `each` for every entry in key order, reading them in batches.
    ///
    /// # Errors
    /// As [`get`](Map::get), and what `each` returns.
    pub fn for_each(&self, mut each: impl FnMut(&K, V) -> Result<()>) -> Result<()> {
        const BATCH: u32 = 256;
        let mut after: Option<K> = None;
        loop {
            let entries = self.scan(after.as_ref(), BATCH)?;
            let last = (entries.len() as u32) < BATCH;
            for (key, value) in entries {
                each(&key, value)?;
                after = Some(key);
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Removes every key, in batches.
    ///
    /// # Errors
    /// As [`get`](Map::get).
    pub fn clear(&self) -> Result<()> {
        self.for_each(|key, _| self.remove(key))
    }

    fn prefix(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.name.len() + 1);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.push(0);
        bytes
    }

    fn key(&self, key: &K) -> Vec<u8> {
        let mut bytes = self.prefix();
        key.write(&mut bytes);
        bytes
    }

    fn read(&self, value: Option<&[u8]>) -> Result<Option<V>> {
        let Some(bytes) = value else { return Ok(None) };
        let mut reader = Reader::new(bytes);
        let value = V::read(&mut reader).map_err(|_| self.unreadable())?;
        if reader.is_empty() { Ok(Some(value)) } else { Err(self.unreadable()) }
    }

    fn unreadable(&self) -> Error {
        Error::fatal(format_args!(
            "the state `{}` holds what this version of the transform can't read: its types were changed, so raise \
             state_version and rebuild",
            self.name
        ))
    }
}
