//! The transform's own keys and values.
//!
//! A write goes into an overlay, never into the store: the overlay of a batch is handed to the sink with the batch's
//! rows and committed in the same transaction, or dropped with them. A read looks, newest first, at
//!
//! 1. what this call wrote, then what earlier calls for this batch wrote;
//! 2. the overlays of earlier batches that are not committed yet, for their rows are still being written;
//! 3. the cache of what is committed;
//! 4. the store.
//!
//! The cache is true because nobody else writes a transform's state, and because a key that an uncommitted overlay
//! holds is never looked for further down: what comes from the store is what was committed. Nor can a commit overtake a
//! read: a call looks at the overlays that were pending when it began, and a key in none of them has been committed
//! before, while nobody but the transform itself, whose next call comes later, can write it anew.
//!
//! A transaction that is larger than a batch is committed with its last piece, so the overlays of its pieces pile up.
//! All but the newest are laid into one, so that a read has few to look at, whatever the number of pieces; and together
//! they are bounded ([`Limits::state_bytes`](super::Limits)), as those of a single batch are.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::StateError;
use super::limits::{
    SCAN_ROWS_MAX, STATE_CACHE_BYTES_MAX, STATE_CALL_BYTES_MAX, STATE_ENTRY_BYTES, STATE_KEY_BYTES_MAX,
    STATE_VALUE_BYTES_MAX,
};

/// Where the committed state of a transform is kept. Called on the guest's thread, and may block.
pub trait StateStore: Send + Sync {
    /// Returns the value of each key, in the order of `keys`.
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StateError>;

    /// Returns up to `limit` keys that begin with `prefix` and are greater than `after`, with their values, in the
    /// order of the keys' bytes. Fewer than `limit` means that there are no more.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, Bytes)>, StateError>;
}

/// Writes by key; `None` deletes.
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Bytes>>;

/// An overlay and what it takes in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub overlay: Arc<Overlay>,
    pub bytes: usize,
}

impl Written {
    /// Lays newer writes over those that are there.
    pub(super) fn lay(&mut self, newer: Overlay) {
        if newer.is_empty() {
            return;
        }
        let overlay = Arc::make_mut(&mut self.overlay);
        for (key, value) in newer {
            let key_bytes = key.len() + STATE_ENTRY_BYTES;
            self.bytes += key_bytes + value.as_ref().map_or(0, Bytes::len);
            if let Some(replaced) = overlay.insert(key, value) {
                self.bytes -= key_bytes + replaced.map_or(0, |replaced| replaced.len());
            }
        }
    }
}

/// What a batch, or several pieces of one transaction, wrote and is not committed.
struct Pending {
    first: u64,
    last: u64,
    written: Written,
    /// The transaction goes on in the next batch.
    goes_on: bool,
}

/// The state of one transform, shared by its instances.
pub(super) struct State {
    store: Arc<dyn StateStore>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The overlays of batches that are not committed yet, oldest first.
    pending: VecDeque<Pending>,
    cache: Cache,
}

impl State {
    pub(super) fn new(store: Arc<dyn StateStore>) -> State {
        State { store, shared: Mutex::default() }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics while it holds the lock; were it so, the maps would still be whole.
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Forgets what batch `id` and later ones wrote, since `id` is run again. Returns false if that can't be told apart
    /// any more from what earlier pieces of its transaction wrote.
    pub(super) fn forget_from(&self, id: u64) -> bool {
        let mut shared = self.shared();
        let apart = shared.pending.iter().all(|pending| pending.last < id || pending.first >= id);
        if apart {
            shared.pending.retain(|pending| pending.last < id);
        }
        apart
    }

    /// Takes the writes of a batch that later ones must see; `goes_on` says that it ends inside a transaction.
    ///
    /// # Errors
    /// The bytes that the transaction's pieces have written together, if they are more than `bytes_max`.
    pub(super) fn push(&self, id: u64, written: Written, goes_on: bool, bytes_max: usize) -> Result<(), usize> {
        let mut shared = self.shared();
        let pieces = shared.pending.iter().rev().take_while(|pending| pending.goes_on).count();
        let bytes = written.bytes + shared.pending.iter().rev().take(pieces).map(|p| p.written.bytes).sum::<usize>();
        if bytes > bytes_max {
            return Err(bytes);
        }
        if written.overlay.is_empty() {
            if let Some(back) = shared.pending.back_mut() {
                back.goes_on &= goes_on;
            }
            return Ok(());
        }
        if pieces > 1
            && let (Some(newer), Some(older)) = (shared.pending.pop_back(), shared.pending.back_mut())
        {
            older.last = newer.last;
            older.written.lay(Arc::unwrap_or_clone(newer.written.overlay));
        }
        shared.pending.push_back(Pending { first: id, last: id, written, goes_on });
        Ok(())
    }

    /// Releases the overlays of all batches up to `id`: they are in the store now.
    pub(super) fn committed(&self, id: u64) {
        let mut shared = self.shared();
        while let Some(Pending { written, .. }) = shared.pending.pop_front_if(|pending| pending.last <= id) {
            for (key, value) in written.overlay.iter() {
                shared.cache.insert(key, value.clone());
            }
        }
    }

    fn pending(&self) -> Vec<Arc<Overlay>> {
        self.shared().pending.iter().map(|pending| pending.written.overlay.clone()).collect()
    }
}

/// Recently used entries of the store, absent keys included: two generations, of which the older one is dropped when
/// the younger one is full.
#[derive(Default)]
struct Cache {
    young: HashMap<Vec<u8>, Option<Bytes>, foldhash::fast::RandomState>,
    old: HashMap<Vec<u8>, Option<Bytes>, foldhash::fast::RandomState>,
    young_bytes: usize,
}

impl Cache {
    fn get(&mut self, key: &[u8]) -> Option<Option<Bytes>> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(&key, value.clone());
        Some(value)
    }

    fn insert(&mut self, key: &[u8], value: Option<Bytes>) {
        self.old.remove(key);
        self.young_bytes += size(key, value.as_ref()) + 100;
        self.young.insert(key.to_vec(), value);
        if self.young_bytes > STATE_CACHE_BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

fn size(key: &[u8], value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, |value| value.len())
}

/// What went wrong in a call of the guest for its state.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateFault {
    #[error("{0}")]
    Limit(String),
    #[error("the store failed")]
    Store(#[source] StateError),
}

/// One instance's view of the state during one batch.
pub(super) struct Session {
    state: Arc<State>,
    /// A call of `process` is running. Outside of one there is no batch that a write would belong to, and a read would
    /// miss what is not committed yet and leave in the cache what is about to be replaced.
    open: bool,
    /// Oldest first: earlier batches, then earlier runs for this batch.
    below: Vec<Arc<Overlay>>,
    /// What the running call wrote.
    call: Overlay,
    call_bytes: usize,
}

impl Session {
    pub(super) fn new(state: Arc<State>) -> Session {
        Session { state, open: false, below: Vec::new(), call: Overlay::new(), call_bytes: 0 }
    }

    /// Begins a call: it sees all pending batches, and `written`, which earlier calls for the same batch wrote.
    pub(super) fn begin(&mut self, written: &Arc<Overlay>) {
        self.below = self.state.pending();
        self.below.push(written.clone());
        self.call.clear();
        self.call_bytes = 0;
        self.open = true;
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Ends the call, whatever came of it.
    pub(super) fn close(&mut self) {
        self.open = false;
        self.below.clear();
    }

    /// Returns what the call wrote.
    pub(super) fn take(&mut self) -> Overlay {
        self.call_bytes = 0;
        std::mem::take(&mut self.call)
    }

    fn overlaid(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let below = self.below.iter().rev().map(|overlay| &**overlay);
        std::iter::once(&self.call).chain(below).find_map(|overlay| overlay.get(key).cloned())
    }

    /// Returns the value of each key; at most `bytes_max` in all.
    pub(super) fn get(&self, keys: &[Vec<u8>], bytes_max: usize) -> Result<Vec<Option<Bytes>>, StateFault> {
        let mut values: Vec<Option<Bytes>> = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        {
            let mut shared = self.state.shared();
            for (i, key) in keys.iter().enumerate() {
                let known = self.overlaid(key).or_else(|| shared.cache.get(key));
                if known.is_none() {
                    missing.push(i);
                }
                values.push(known.flatten());
            }
        }
        let mut bytes: usize = values.iter().flatten().map(Bytes::len).sum();
        for chunk in missing.chunks(PAGE_ROWS as usize * 4) {
            let wanted: Vec<&[u8]> = chunk.iter().map(|&i| &keys[i][..]).collect();
            let found = self.state.store.get(&wanted).map_err(StateFault::Store)?;
            if found.len() != wanted.len() {
                let (asked, came) = (wanted.len(), found.len());
                return Err(StateFault::Store(format!("{asked} keys were asked for, {came} came back").into()));
            }
            let mut shared = self.state.shared();
            for (&i, value) in chunk.iter().zip(found) {
                bytes += value.as_ref().map_or(0, Bytes::len);
                shared.cache.insert(&keys[i], value.clone());
                values[i] = value;
            }
            if bytes > bytes_max {
                return Err(StateFault::Limit(format!("`get` found more than {} MiB", bytes_max >> 20)));
            }
        }
        Ok(values)
    }

    pub(super) fn put(&mut self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), StateFault> {
        for (key, value) in entries {
            if key.len() > STATE_KEY_BYTES_MAX {
                return Err(StateFault::Limit(format!("a key of state has more than {STATE_KEY_BYTES_MAX} bytes")));
            }
            let value = value.map(Bytes::from);
            if value.as_ref().is_some_and(|value| value.len() > STATE_VALUE_BYTES_MAX) {
                return Err(StateFault::Limit(format!(
                    "a value of state has more than {} MiB",
                    STATE_VALUE_BYTES_MAX >> 20
                )));
            }
            self.call_bytes += size(&key, value.as_ref()) + 64;
            if let Some(replaced) = self.call.get(&key) {
                self.call_bytes -= size(&key, replaced.as_ref()) + 64;
            }
            if self.call_bytes > STATE_CALL_BYTES_MAX {
                return Err(StateFault::Limit(format!(
                    "one call wrote more than {} MiB of state",
                    STATE_CALL_BYTES_MAX >> 20
                )));
            }
            self.call.insert(key, value);
        }
        Ok(())
    }

    /// Returns the first `limit` entries behind `after` that begin with `prefix`; at most `bytes_max` in all.
    pub(super) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateFault> {
        if limit > SCAN_ROWS_MAX {
            return Err(StateFault::Limit(format!("a `scan` of {limit} rows; the most is {SCAN_ROWS_MAX}")));
        }
        let mut merged: BTreeMap<&[u8], &Option<Bytes>> = BTreeMap::new();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        for overlay in self.below.iter().map(|overlay| &**overlay).chain([&self.call]) {
            let entries = overlay.range::<[u8], _>((from, Bound::Unbounded));
            merged.extend(entries.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (&key[..], value)));
        }
        let mut overlaid = merged.into_iter().peekable();
        let mut found: Vec<(Bytes, Bytes)> = Vec::new();
        let mut bytes = 0;
        let mut cursor = after.map(<[u8]>::to_vec);
        loop {
            let page = self.state.store.scan(prefix, cursor.as_deref(), PAGE_ROWS).map_err(StateFault::Store)?;
            let last_page = page.len() < PAGE_ROWS as usize;
            cursor = page.last().map(|(key, _)| key.to_vec());
            let mut take = |key: Bytes, value: Bytes| {
                bytes += key.len() + value.len();
                found.push((key, value));
                if bytes > bytes_max {
                    return Err(StateFault::Limit(format!("`scan` found more than {} MiB", bytes_max >> 20)));
                }
                Ok(found.len() >= limit as usize)
            };
            if limit == 0 {
                return Ok(found);
            }
            for (key, value) in page {
                while let Some((newer, written)) = overlaid.next_if(|(newer, _)| **newer < key[..]) {
                    if let Some(written) = written
                        && take(Bytes::copy_from_slice(newer), written.clone())?
                    {
                        return Ok(found);
                    }
                }
                let entry = match overlaid.next_if(|(newer, _)| **newer == key[..]) {
                    Some((_, written)) => written.clone(),
                    None => Some(value),
                };
                if let Some(value) = entry
                    && take(key, value)?
                {
                    return Ok(found);
                }
            }
            if last_page {
                for (newer, written) in overlaid {
                    if let Some(written) = written
                        && take(Bytes::copy_from_slice(newer), written.clone())?
                    {
                        break;
                    }
                }
                return Ok(found);
            }
        }
    }
}

/// Entries of the store that are held at once while a scan is merged.
const PAGE_ROWS: u32 = 64;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A store in memory that counts how often it is asked.
    #[derive(Default)]
    pub(in crate::wasm) struct Memory {
        pub entries: Mutex<BTreeMap<Vec<u8>, Bytes>>,
        pub asked: std::sync::atomic::AtomicUsize,
    }

    impl Memory {
        pub(in crate::wasm) fn commit(&self, writes: &[(Vec<u8>, Option<Bytes>)]) {
            let mut entries = self.entries.lock().unwrap();
            for (key, value) in writes {
                match value {
                    Some(value) => entries.insert(key.clone(), value.clone()),
                    None => entries.remove(key),
                };
            }
        }
    }

    impl StateStore for Memory {
        fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StateError> {
            self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let entries = self.entries.lock().unwrap();
            Ok(keys.iter().map(|key| entries.get(*key).cloned()).collect())
        }

        fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, Bytes)>, StateError> {
            let entries = self.entries.lock().unwrap();
            let behind = |key: &&Vec<u8>| after.is_none_or(|after| &key[..] > after);
            let found = entries.iter().filter(|(key, _)| key.starts_with(prefix) && behind(key));
            Ok(found.take(limit as usize).map(|(k, v)| (k.clone().into(), v.clone())).collect())
        }
    }

    fn overlay(entries: &[(&str, Option<&str>)]) -> Arc<Overlay> {
        let entry =
            |(k, v): &(&str, Option<&str>)| (k.as_bytes().to_vec(), v.map(|v| Bytes::copy_from_slice(v.as_bytes())));
        Arc::new(entries.iter().map(entry).collect())
    }

    fn written(entries: &[(&str, Option<&str>)]) -> Written {
        let mut written = Written::default();
        written.lay(Arc::unwrap_or_clone(overlay(entries)));
        written
    }

    fn push(state: &State, id: u64, entries: &[(&str, Option<&str>)]) {
        state.push(id, written(entries), false, usize::MAX).unwrap();
    }

    fn get(session: &Session, key: &str) -> String {
        let value = session.get(&[key.as_bytes().to_vec()], 1 << 20).unwrap().remove(0);
        value.map_or("-".to_owned(), |value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn a_read_sees_the_newest_write_and_an_undone_batch_vanishes() {
        let store = Arc::new(Memory::default());
        store.commit(&[(b"a".to_vec(), Some("0".into())), (b"b".to_vec(), Some("0".into()))]);
        let state = Arc::new(State::new(store.clone()));
        let mut session = Session::new(state.clone());
        push(&state, 1, &[("a", Some("1"))]);
        push(&state, 2, &[("a", None), ("c", Some("2"))]);
        session.begin(&overlay(&[("d", Some("3"))]));
        session.put(vec![(b"e".to_vec(), Some(b"4".to_vec()))]).unwrap();
        assert_eq!(["a", "b", "c", "d", "e", "f"].map(|key| get(&session, key)), ["-", "0", "2", "3", "4", "-"]);
        assert!(state.forget_from(2));
        session.begin(&overlay(&[]));
        assert_eq!(["a", "b", "c", "d", "e"].map(|key| get(&session, key)), ["1", "0", "-", "-", "-"]);
    }

    #[test]
    fn what_is_committed_is_read_from_the_cache() {
        let store = Arc::new(Memory::default());
        let state = Arc::new(State::new(store.clone()));
        let mut session = Session::new(state.clone());
        push(&state, 1, &[("a", Some("1"))]);
        state.committed(1);
        session.begin(&overlay(&[]));
        assert_eq!((get(&session, "a"), get(&session, "b"), get(&session, "b")), ("1".into(), "-".into(), "-".into()));
        assert_eq!(store.asked.load(std::sync::atomic::Ordering::Relaxed), 1, "for the absent key, once");
    }

    #[test]
    fn the_pieces_of_a_transaction_are_few_overlays_and_bounded_together() {
        let store = Arc::new(Memory::default());
        let state = Arc::new(State::new(store.clone()));
        let mut session = Session::new(state.clone());
        push(&state, 1, &[("n", Some("1"))]);
        let entry = 1 + 1 + STATE_ENTRY_BYTES;
        for id in 2..=300 {
            // Every piece writes the same key, and every hundredth one of its own.
            let own = id.to_string();
            let own = (&own[..1], (id % 100 == 0).then_some("x"));
            let entries = if id % 100 == 0 { vec![("n", Some("2")), own] } else { vec![("n", Some("2"))] };
            state.push(id, written(&entries), true, 10 * entry).unwrap();
            session.begin(&overlay(&[]));
            assert!(session.below.len() <= 4, "{} overlays are looked at", session.below.len());
            session.close();
        }
        session.begin(&overlay(&[]));
        assert_eq!(["n", "1", "2", "3"].map(|key| get(&session, key)), ["2", "x", "x", "x"]);
        session.close();
        // The newest piece can be undone, those before it no more.
        assert!(!state.forget_from(299));
        assert!(state.forget_from(300));
        session.begin(&overlay(&[]));
        assert_eq!(["n", "3"].map(|key| get(&session, key)), ["2", "-"]);
        session.close();
        // A piece without writes, then one that is too much; what ends the transaction makes room for the next.
        state.push(300, Written::default(), true, 10 * entry).unwrap();
        let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|key| (key, Some("9")));
        assert_eq!(state.push(301, written(&nine), true, 10 * entry), Err(12 * entry), "three keys and nine");
        state.push(301, written(&nine[..3]), false, 10 * entry).unwrap();
        state.push(302, written(&nine), false, 10 * entry).unwrap();
        state.committed(301);
        assert_eq!(state.pending().len(), 1, "all of the transaction is released");
        session.begin(&overlay(&[]));
        assert_eq!(["n", "1", "a"].map(|key| get(&session, key)), ["2", "x", "9"], "from the cache");
        assert_eq!(store.asked.load(std::sync::atomic::Ordering::Relaxed), 1, "for the undone key, once");
    }

    #[test]
    fn the_cache_stays_within_its_bound() {
        let mut cache = Cache::default();
        for i in 0..100u8 {
            cache.insert(&[i], Some(vec![0; 1 << 20].into()));
        }
        let held: usize = cache.young.values().chain(cache.old.values()).flatten().map(Bytes::len).sum();
        assert!(held <= STATE_CACHE_BYTES_MAX, "{held} bytes are held");
        assert!(cache.get(&[99]).is_some() && cache.get(&[0]).is_none());
    }

    proptest! {
        /// Writes spread over store, pending batches, earlier calls and this one read as one map.
        #[test]
        fn layers_read_as_one_map(
            layers in prop::collection::vec(prop::collection::btree_map(0u16..300, prop::option::of(any::<u8>()), 0..150), 4),
            after in prop::option::of(0u16..300),
            limit in 0u32..200,
        ) {
            let key = |key: u16| [b'p', (key >> 8) as u8, key as u8].to_vec();
            let store = Arc::new(Memory::default());
            let mut model: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
            let mut written: Vec<Overlay> = layers.iter().map(|layer| {
                layer.iter().map(|(k, v)| (key(*k), v.map(|v| Bytes::from(vec![v])))).collect()
            }).collect();
            for layer in &written {
                for (k, v) in layer {
                    match v { Some(v) => { model.insert(k.clone(), v.clone()); } None => { model.remove(k); } }
                }
            }
            store.commit(&written[0].clone().into_iter().collect::<Vec<_>>());
            let state = Arc::new(State::new(store));
            let pending = Written { overlay: Arc::new(written[1].clone()), bytes: 0 };
            state.push(7, pending, false, usize::MAX).unwrap();
            let mut session = Session::new(state);
            session.begin(&Arc::new(written[2].clone()));
            session.put(std::mem::take(&mut written[3]).into_iter().map(|(k, v)| (k, v.map(|v| v.to_vec()))).collect()).unwrap();

            let keys: Vec<Vec<u8>> = (0..300).map(key).collect();
            let expected: Vec<Option<Bytes>> = keys.iter().map(|k| model.get(k).cloned()).collect();
            prop_assert_eq!(session.get(&keys, 1 << 20).unwrap(), expected);

            let after = after.map(key);
            let found = session.scan(b"p", after.as_deref(), limit, 1 << 20).unwrap();
            let expected: Vec<(Bytes, Bytes)> = model.iter()
                .filter(|(k, _)| after.as_ref().is_none_or(|after| *k > after))
                .take(limit as usize).map(|(k, v)| (k.clone().into(), v.clone())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
