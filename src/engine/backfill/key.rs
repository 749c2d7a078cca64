//! The keys by which a table is copied, and how they are told apart and ordered.
//!
//! A key is kept as the texts that Postgres prints for its columns. Two rows that exist at different times may have keys
//! that are equal to Postgres and differ in text (`1.0` and `1.00`); Postgres logs a change from one to the other as a
//! change of the key, so treating them as two keys is right as long as their order is Postgres's.

use std::borrow::Borrow;
use std::cmp::Ordering;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::order::Order;
use crate::change::{Relation, Tuple, Value};

/// One column of a [`KeySpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    pub name: Box<str>,
    /// As `format_type` prints it, for casts.
    pub type_name: Box<str>,
    /// Quoted and qualified, where the type has one.
    pub collation: Option<Box<str>>,
    pub order: Order,
}

/// The columns by which a table is copied, in the order of its index.
///
/// They belong to the replica identity (the primary key under FULL), so that the stream names them for every old row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    pub columns: Vec<KeyColumn>,
}

/// Why a row's key can't be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The column with this index in the key has no value: it is NULL, or the stream did not send it.
    Absent(usize),
    /// It came in binary.
    Binary(usize),
    /// It is no UTF-8.
    NoText(usize),
}

impl KeySpec {
    /// Returns where the key's columns are in `relation`, or the name of one that it lacks.
    pub(super) fn positions(&self, relation: &Relation) -> Result<Vec<usize>, Box<str>> {
        self.columns.iter().map(|c| relation.column(&c.name).ok_or_else(|| c.name.clone())).collect()
    }

    /// Returns true when the host can order all keys by itself.
    pub fn host_ordered(&self) -> bool {
        self.columns.iter().all(|column| column.order != Order::Postgres)
    }

    /// Writes the key of a row into `key`. A column that `row` leaves unchanged is taken from `old`.
    pub(super) fn encode(
        &self,
        positions: &[usize],
        row: &Tuple,
        old: Option<&Tuple>,
        key: &mut Vec<u8>,
    ) -> Result<(), NoKey> {
        key.clear();
        for (part, &at) in positions.iter().enumerate() {
            let mut value = row.get(at);
            if value == Some(Value::Unchanged) {
                value = old.and_then(|old| old.get(at));
            }
            match value {
                Some(Value::Text(text)) => push_part(key, text),
                Some(Value::Binary(_)) => return Err(NoKey::Binary(part)),
                Some(Value::Null | Value::Unchanged) | None => return Err(NoKey::Absent(part)),
            }
        }
        Ok(())
    }

    /// Compares two keys; `None`: ask Postgres.
    pub(super) fn compare(&self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        for ((column, a), b) in self.columns.iter().zip(parts(a)).zip(parts(b)) {
            match column.order.compare(a, b)? {
                Ordering::Equal => {}
                unequal => return Some(unequal),
            }
        }
        Some(Ordering::Equal)
    }
}

/// The texts of a row's key columns, each behind its length.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// Takes what [`KeySpec::encode`] wrote.
    pub(super) fn new(encoded: &[u8]) -> Result<Key, NoKey> {
        match parts(encoded).position(|part| std::str::from_utf8(part).is_err()) {
            Some(part) => Err(NoKey::NoText(part)),
            None => Ok(Key(encoded.into())),
        }
    }

    /// Makes a key of its columns' texts.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Key {
        let mut encoded = Vec::new();
        texts.into_iter().for_each(|text| push_part(&mut encoded, text.as_bytes()));
        Key(encoded.into())
    }

    /// Iterates over the texts of the columns.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        parts(&self.0).map(|part| std::str::from_utf8(part).expect("`new` has looked at every part"))
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    /// Prints the shape alone: values stay out of logs and errors.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({} columns)", parts(&self.0).count())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.texts())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        if texts.is_empty() {
            return Err(D::Error::custom("a key has at least one column"));
        }
        Ok(Key::of_texts(texts.iter().map(String::as_str)))
    }
}

fn push_part(key: &mut Vec<u8>, text: &[u8]) {
    key.extend_from_slice(&(text.len() as u32).to_be_bytes());
    key.extend_from_slice(text);
}

fn parts(mut encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = encoded.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        encoded = rest;
        Some(part)
    })
}
