//! Changes that wait for a chunk, and how they are worked into it.
//!
//! While a chunk is being read, the stream goes on. A change of a key that the chunk will bring, made by a transaction
//! that its snapshot does not see, is neither in the chunk nor may it pass before it: it is held, and worked into the
//! chunk's rows when they enter. What enters is then the state at exactly the position that the stream has reached.
//!
//! For one key, the transactions that a snapshot misses are the last ones: whoever changes a row waits for the row's
//! lock, which its former writer gives up only after it has become visible. So the chunk's row is what the first held
//! change found, and a column that this change left `unchanged` can be filled from it.

use std::collections::{HashMap, HashSet};

use super::key::{Key, KeySpec};
use super::snapshot::{Commit, Sight, Snapshot};
use crate::change::{Tuple, TupleWriter, Value};

/// A change of keys that were not copied yet when it came.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// The row is now `row`, of which columns may be `unchanged`.
    Put {
        key: Key,
        row: Tuple,
    },
    Delete {
        key: Key,
    },
    /// The row got another key.
    Move {
        from: Key,
        to: Key,
        row: Tuple,
    },
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        const ENTRY: usize = 128;
        ENTRY
            + match self {
                Held::Put { key, row } => key.bytes() + row.as_bytes().len(),
                Held::Delete { key } => key.bytes(),
                Held::Move { from, to, row } => from.bytes() + to.bytes() + row.as_bytes().len(),
            }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let (first, second) = match self {
            Held::Put { key, .. } | Held::Delete { key } => (key, None),
            Held::Move { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub clock: u64,
    pub commit: Commit,
    pub held: Held,
}

/// Returns `row` with its unchanged columns taken from `from`, or `None` if some are still unknown.
pub(super) fn fill(row: &Tuple, from: Option<&Tuple>) -> Option<Tuple> {
    if !row.columns().any(|value| value == Value::Unchanged) {
        return Some(row.clone());
    }
    let mut writer = TupleWriter::with_capacity(from?.as_bytes().len() + row.as_bytes().len(), 1);
    writer.begin();
    for (value, former) in row.columns().zip(from?.columns()) {
        match (value, former) {
            (Value::Unchanged, Value::Unchanged) => return None,
            (Value::Unchanged, former) => writer.value(former),
            (value, _) => writer.value(value),
        }
    }
    writer.end();
    writer.finish().pop()
}

/// The outcome of working held changes into a chunk.
pub(super) struct Patched {
    pub rows: Vec<Tuple>,
    /// Keys of the chunk whose row is not known whole; they are read once more, by key.
    pub unknown: HashSet<Key>,
    /// What concerns keys outside of the chunk.
    pub rest: Vec<Entry>,
}

/// The snapshot can't say whether it sees a transaction that matters: the chunk is of no use.
pub(super) struct UnclearSight;

/// Works `entries` into `rows`, which were read under `snapshot` and have their keys at `positions`.
///
/// `inside` are the keys of `entries` that belong to the chunk.
pub(super) fn patch(
    rows: Vec<Tuple>,
    key: &KeySpec,
    positions: &[usize],
    snapshot: &Snapshot,
    entries: Vec<Entry>,
    inside: &HashSet<Key>,
) -> Result<Patched, UnclearSight> {
    if inside.is_empty() {
        return Ok(Patched { rows, unknown: HashSet::new(), rest: entries });
    }
    let mut touched: HashMap<Key, Option<usize>> = inside.iter().map(|key| (key.clone(), None)).collect();
    let mut rows: Vec<Option<Tuple>> = rows.into_iter().map(Some).collect();
    let mut scratch = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let row = row.as_ref().expect("no row is gone yet");
        // A row without a readable key can't be one of those that were held, all of which have one.
        if key.encode(positions, row, None, &mut scratch).is_ok()
            && let Some(at) = touched.get_mut(&scratch[..])
        {
            *at = Some(i);
        }
    }
    let mut patching = Patching { rows: &mut rows, at: touched, unknown: HashSet::new() };
    let mut rest = Vec::new();
    for entry in entries {
        if !entry.held.keys().any(|key| inside.contains(key)) {
            rest.push(entry);
            continue;
        }
        let seen = match snapshot.sees(&entry.commit) {
            Sight::Seen => true,
            Sight::Unseen => false,
            Sight::Unclear => return Err(UnclearSight),
        };
        let Entry { clock, commit, held } = entry;
        if let Some(held) = patching.apply(held, seen) {
            rest.push(Entry { clock, commit, held });
        }
    }
    let unknown = patching.unknown;
    Ok(Patched { rows: rows.into_iter().flatten().collect(), unknown, rest })
}

struct Patching<'a> {
    rows: &'a mut Vec<Option<Tuple>>,
    /// Where the row of a key of this chunk is, if there is one.
    at: HashMap<Key, Option<usize>>,
    unknown: HashSet<Key>,
}

impl Patching<'_> {
    /// Applies what concerns this chunk, unless the snapshot has seen it, and returns what concerns others.
    fn apply(&mut self, held: Held, seen: bool) -> Option<Held> {
        match held {
            Held::Put { key, row } => {
                if !seen {
                    let former = self.row(&key).cloned();
                    self.put(key, &row, former.as_ref());
                }
                None
            }
            Held::Delete { key } => {
                if !seen {
                    self.remove(&key);
                }
                None
            }
            Held::Move { from, to, row } => match (self.at.contains_key(&from), self.at.contains_key(&to)) {
                (true, true) => {
                    if !seen {
                        let former = self.remove(&from);
                        self.put(to, &row, former.as_ref());
                    }
                    None
                }
                (true, false) => {
                    let former = if seen { None } else { self.remove(&from) };
                    let row = fill(&row, former.as_ref()).unwrap_or(row);
                    Some(Held::Put { key: to, row })
                }
                (false, true) => {
                    if !seen {
                        self.put(to, &row, None);
                    }
                    Some(Held::Delete { key: from })
                }
                (false, false) => Some(Held::Move { from, to, row }),
            },
        }
    }

    fn row(&self, key: &Key) -> Option<&Tuple> {
        self.at.get(key).copied().flatten().and_then(|i| self.rows[i].as_ref())
    }

    fn remove(&mut self, key: &Key) -> Option<Tuple> {
        self.unknown.remove(key);
        self.at.get_mut(key).and_then(Option::take).and_then(|i| self.rows[i].take())
    }

    fn put(&mut self, key: Key, row: &Tuple, former: Option<&Tuple>) {
        let filled = fill(row, former);
        self.remove(&key);
        match filled {
            Some(row) => {
                self.rows.push(Some(row));
                self.at.insert(key, Some(self.rows.len() - 1));
            }
            None => {
                self.unknown.insert(key);
            }
        }
    }
}
