//! Which of several instances sees a change.
//!
//! Changes of one key always go to the same instance, in order; changes of different keys may run at the same time. A
//! change that concerns more than one key, or none that is known, is a barrier: everything before it runs first, then
//! it alone, on instance 0, then what follows. Barriers are truncates, logical messages, updates that change the key,
//! and all changes of tables without a key; FULL tables count as such, since their identity is the whole row.
//!
//! The key's hash leaves out the table: rows of two tables with equal keys meet in one instance.

use std::hash::{BuildHasher, Hash, Hasher};

use super::input::{Scalar, Travel};
use super::relation::Plan;
use crate::change::{Change, Old, Op, ReplicaIdentity, Tuple};

/// A fixed seed: the same key goes to the same instance in every process.
fn hasher() -> impl Hasher {
    foldhash::quality::FixedState::with_seed(0x7065_6c74_6f6e).build_hasher()
}

/// Returns the instance of a change, `None` for a barrier.
pub(super) fn of(plan: &Plan, change: &Change, instances: u32) -> Option<u32> {
    match plan.source.identity {
        ReplicaIdentity::Default | ReplicaIdentity::Index => {}
        ReplicaIdentity::Full | ReplicaIdentity::Nothing => return None,
    }
    let row = match (change.op, &change.new, &change.old) {
        (Op::Insert | Op::Update, Some(new), None) => new,
        (Op::Delete, None, Some(Old::Key(old))) => old,
        // An old key on an update says that it changed.
        _ => return None,
    };
    let hash = hash_key(plan, row)?;
    Some((hash % u64::from(instances)) as u32)
}

/// Returns `None` without a key, or if it can't be read; the encoder will say so.
fn hash_key(plan: &Plan, row: &Tuple) -> Option<u64> {
    let mut hasher = hasher();
    let mut found = false;
    for (column, value) in plan.source.columns.iter().zip(row.columns()) {
        if !column.key {
            continue;
        }
        found = true;
        // Text and binary of one value are the same key.
        match Scalar::read(Travel::of(&column.kind), value).ok()? {
            Scalar::Null | Scalar::Unchanged => return None,
            Scalar::Bool(value) => value.hash(&mut hasher),
            Scalar::Int(value) | Scalar::Int64(value) => value.hash(&mut hasher),
            // 0 and -0 are one key in Postgres.
            Scalar::Float32(value) => (f64::from(value) + 0.0).to_bits().hash(&mut hasher),
            Scalar::Float64(value) => (value + 0.0).to_bits().hash(&mut hasher),
            Scalar::Hex(digits) => hex::decode(digits).ok()?.hash(&mut hasher),
            Scalar::Bytes(bytes) => bytes.hash(&mut hasher),
            Scalar::Text(text) => text.hash(&mut hasher),
        }
    }
    found.then(|| hasher.finish())
}
