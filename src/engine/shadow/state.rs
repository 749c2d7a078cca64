//! What a candidate remembers: in memory, and gone with it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use tokio_postgres::Client;

use crate::datastore::{DataStoreError, StateTable};
use crate::wasm::{StateError, StateStore};

/// Entries that are read at once.
const PAGE: u32 = 1000;
/// What an entry takes beside its key and value.
pub const ENTRY_BYTES: usize = 100;

/// The state of a candidate; keys in the order of their bytes.
#[derive(Default)]
pub struct Memory(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    map: BTreeMap<Bytes, Bytes>,
    bytes: usize,
}

/// Writes into state, as a batch makes them; `None` removes.
pub type Writes = Vec<(Bytes, Option<Bytes>)>;

impl Memory {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reads what a transform remembers, `bytes_max` at most; `None`: it is more.
    ///
    /// # Errors
    /// What the server says.
    pub async fn of(client: &Client, table: &StateTable, bytes_max: usize) -> Result<Option<Memory>, DataStoreError> {
        let memory = Memory::default();
        let mut after: Option<Bytes> = None;
        loop {
            let page = table.scan(client, b"", after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|(key, _)| key.clone());
            if memory.apply(page.into_iter().map(|(key, value)| (key, Some(value))).collect()) > bytes_max {
                return Ok(None);
            }
            if is_last {
                return Ok(Some(memory));
            }
        }
    }

    /// Writes, and returns what all of it takes.
    pub fn apply(&self, writes: Writes) -> usize {
        let mut entries = self.entries();
        for (key, value) in writes {
            let size = |key: &Bytes, value: &Bytes| key.len() + value.len() + ENTRY_BYTES;
            let removed = match value {
                Some(value) => {
                    entries.bytes += size(&key, &value);
                    entries.map.insert(key.clone(), value)
                }
                None => entries.map.remove(&key),
            };
            entries.bytes -= removed.map_or(0, |value| size(&key, &value));
        }
        entries.bytes
    }
}

impl StateStore for Memory {
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StateError> {
        let entries = self.entries();
        Ok(keys.iter().map(|key| entries.map.get(*key).cloned()).collect())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let entries = self.entries();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = entries.map.range::<[u8], _>((from, Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.starts_with(prefix)).take(limit as usize);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_in_order_and_weighed() {
        let memory = Memory::default();
        let entry = |key: &'static str, value: &'static str| (Bytes::from(key), Some(Bytes::from(value)));
        assert_eq!(memory.apply(vec![entry("b", "1"), entry("a/2", "22"), entry("a/1", "333")]), 313);
        assert_eq!(memory.apply(vec![entry("b", ""), (Bytes::from("a/2"), None), (Bytes::from("c"), None)]), 207);
        assert_eq!(memory.get(&[b"a/2", b"a/1"]).unwrap(), [None, Some(Bytes::from("333"))]);
        assert_eq!(memory.scan(b"a", None, 9).unwrap().len(), 1);
        assert_eq!(memory.scan(b"", Some(b"a/1"), 9).unwrap(), [(Bytes::from("b"), Bytes::new())]);
        assert_eq!(memory.scan(b"", None, 1).unwrap().len(), 1);
    }
}
