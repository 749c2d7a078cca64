//! Keys of the state in a hash table.
//!
//! A batch looks each of its keys up several times, and comparing bytes is slow in WebAssembly: a tree, or sorting, took a
//! third of a counting transform's time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by key. Its order is arbitrary, and the same in every run.
pub(super) type Table<V> = HashMap<Vec<u8>, V, BuildHasherDefault<Fold>>;

/// Multiplies and folds eight bytes at a time. Whoever chooses keys can make them collide, which costs a batch time and
/// nothing else; the sandbox has no random numbers that would prevent it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fold(u64);

/// 2^64 divided by the golden ratio, and odd: multiplying by it spreads low bits over high ones.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Fold {
    fn add(&mut self, word: u64) {
        let product = (self.0 ^ word).wrapping_mul(SPREAD);
        self.0 = product ^ (product >> 32);
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        words.by_ref().for_each(|word| self.add(u64::from_le_bytes(word.try_into().expect("eight bytes"))));
        let rest = words.remainder();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
    }

    fn write_usize(&mut self, n: usize) {
        self.add(n as u64);
    }

    fn finish(&self) -> u64 {
        // A table takes its place from the low bits, where a product knows little of what was high.
        let product = self.0.wrapping_mul(SPREAD);
        product ^ (product >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, Hash};

    use super::*;

    #[test]
    fn neighbouring_keys_are_spread() {
        let build = BuildHasherDefault::<Fold>::default();
        let hash = |n: u64| build.hash_one([b"shares\0".as_slice(), &n.to_be_bytes()].concat());
        let low: HashSet<u64> = (0..1024).map(|n| hash(n) % 4096).collect();
        // Thrown at random 1,024 keys take 906 of 4,096 places.
        assert!(low.len() > 800, "{}", low.len());
        let high: HashSet<u64> = (0..1024).map(|n| hash(n) >> 57).collect();
        assert_eq!(high.len(), 128);
    }

    #[test]
    fn lengths_tell_keys_apart() {
        let hash = |bytes: &[u8]| {
            let mut hasher = Fold::default();
            bytes.hash(&mut hasher);
            hasher.finish()
        };
        assert_ne!(hash(b"a"), hash(b"a\0"));
        assert_ne!(hash(b""), hash(b"\0"));
    }
}
