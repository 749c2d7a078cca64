//! Keys of the state, encoded so that their bytes sort as they do: a scan is in key order.

/// A type that can be a key of a [`Map`](super::Map).
pub trait StateKey: Sized {
    /// Appends bytes that sort as the values do, and of which no other value's are a beginning.
    fn write(&self, to: &mut Vec<u8>);

    /// Takes the key back from the front of `from`; `None` for bytes that are no such key.
    fn read(from: &mut &[u8]) -> Option<Self>;
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

macro_rules! integers {
    ($($signed:ty),+; $($unsigned:ty),+) => {
        $(impl StateKey for $signed {
            fn write(&self, to: &mut Vec<u8>) {
                // With the sign bit flipped, negative numbers sort first.
                to.extend_from_slice(&(self ^ <$signed>::MIN).to_be_bytes());
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                take(from).map(|bytes| <$signed>::from_be_bytes(bytes) ^ <$signed>::MIN)
            }
        })+
        $(impl StateKey for $unsigned {
            fn write(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_be_bytes());
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                take(from).map(<$unsigned>::from_be_bytes)
            }
        })+
    };
}

integers!(i16, i32, i64, i128; u16, u32, u64, u128);

impl StateKey for bool {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        take(from).and_then(|[byte]| (byte <= 1).then_some(byte == 1))
    }
}

impl StateKey for Vec<u8> {
    /// A zero byte becomes 0 255, the end is 0 0: so the end sorts before whatever else may follow.
    fn write(&self, to: &mut Vec<u8>) {
        for &byte in self {
            to.push(byte);
            if byte == 0 {
                to.push(0xff);
            }
        }
        to.extend_from_slice(&[0, 0]);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            match take(from)? {
                [0] => match take(from)? {
                    [0] => return Some(bytes),
                    [0xff] => bytes.push(0),
                    _ => return None,
                },
                [byte] => bytes.push(byte),
            }
        }
    }
}

impl StateKey for String {
    fn write(&self, to: &mut Vec<u8>) {
        self.as_bytes().to_vec().write(to);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Vec::<u8>::read(from).and_then(|bytes| String::from_utf8(bytes).ok())
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+)),+) => {$(
        impl<$($name: StateKey),+> StateKey for ($($name,)+) {
            fn write(&self, to: &mut Vec<u8>) {
                $(self.$index.write(to);)+
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                Some(($($name::read(from)?,)+))
            }
        }
    )+};
}

tuples!((A 0), (A 0, B 1), (A 0, B 1, C 2), (A 0, B 1, C 2, D 3));

/// The state of the whole transform has this one key.
impl StateKey for () {
    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<K: StateKey>(key: &K) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.write(&mut bytes);
        bytes
    }

    fn sorts_and_comes_back<K: StateKey + Ord + Clone + std::fmt::Debug>(mut keys: Vec<K>) {
        keys.sort();
        let encoded: Vec<_> = keys.iter().map(bytes).collect();
        let mut sorted = encoded.clone();
        sorted.sort();
        assert_eq!(encoded, sorted, "{keys:?}");
        for (key, bytes) in keys.iter().zip(&encoded) {
            let mut rest = &bytes[..];
            assert_eq!(K::read(&mut rest).as_ref(), Some(key));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn keys_sort_as_their_bytes_do_and_come_back() {
        sorts_and_comes_back(vec![0, 1, -1, i64::MIN, i64::MAX, 256, -256]);
        sorts_and_comes_back(vec![0u64, 1, 255, 256, u64::MAX]);
        sorts_and_comes_back(["", "a", "a\0", "a\0b", "aa", "ä", "b"].map(String::from).to_vec());
        sorts_and_comes_back(vec![vec![], vec![0], vec![0, 0], vec![0, 0xff], vec![0xff]]);
        let pairs = [("a", 2), ("a", -1), ("a\0", 0), ("", 5), ("b", 1)];
        sorts_and_comes_back(pairs.map(|(a, b)| (a.to_owned(), b)).to_vec());
        sorts_and_comes_back(vec![(true, 1i16), (false, 2), (true, -3)]);
    }
}
