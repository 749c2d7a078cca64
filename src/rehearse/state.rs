//! The state of a transform, in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use bytes::Bytes;

use crate::wasm::{StateError, StateStore};

/// Keys and values as a destination keeps them.
pub(super) type Entries = BTreeMap<Vec<u8>, Bytes>;

#[derive(Default)]
pub(super) struct Memory(Mutex<Entries>);

impl Memory {
    pub fn entries(&self) -> Entries {
        self.locked().clone()
    }

    /// Takes what a batch wrote; `None` deletes.
    pub fn commit(&self, written: &[(Vec<u8>, Option<Bytes>)]) {
        let mut entries = self.locked();
        for (key, value) in written {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Entries> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl StateStore for Memory {
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StateError> {
        let entries = self.locked();
        Ok(keys.iter().map(|key| entries.get(*key).cloned()).collect())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.to_vec()),
        };
        let entries = self.locked();
        let found = entries.range((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(limit as usize).map(|(key, value)| (Bytes::from(key.clone()), value.clone())).collect())
    }
}
