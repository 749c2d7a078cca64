//! Values of the state: MessagePack.

use crate::msgpack::{Malformed, Raw, Reader, Writer};

/// A type that can be a value of a [`Map`](super::Map). `#[derive(StateValue)]` makes it of a struct.
pub trait StateValue: Sized {
    fn write(&self, to: &mut Writer);

    /// Takes the value back.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that are no such value.
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed>;
}

macro_rules! plain {
    ($($type:ty, $raw:ident($value:ident) => $read:expr, |$this:ident, $to:ident| $write:expr;)+) => {$(
        impl StateValue for $type {
            fn write(&self, $to: &mut Writer) {
                let $this = self;
                $write
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                match from.value()? {
                    Raw::$raw($value) => $read,
                    _ => Err(Malformed),
                }
            }
        }
    )+};
}

plain! {
    bool, Bool(v) => Ok(v), |v, to| to.bool(*v);
    i16, Int(v) => v.try_into().map_err(|_| Malformed), |v, to| to.int(i64::from(*v));
    i32, Int(v) => v.try_into().map_err(|_| Malformed), |v, to| to.int(i64::from(*v));
    i64, Int(v) => Ok(v), |v, to| to.int(*v);
    u16, Int(v) => v.try_into().map_err(|_| Malformed), |v, to| to.int(i64::from(*v));
    u32, Int(v) => v.try_into().map_err(|_| Malformed), |v, to| to.int(i64::from(*v));
    // What an i64 can't hold travels as bytes.
    u64, Bytes(v) => v.try_into().map(u64::from_be_bytes).map_err(|_| Malformed), |v, to| to.bytes(&v.to_be_bytes());
    i128, Bytes(v) => v.try_into().map(i128::from_be_bytes).map_err(|_| Malformed), |v, to| to.bytes(&v.to_be_bytes());
    f64, Float(v) => Ok(v), |v, to| to.float64(*v);
    String, Text(v) => Ok(v.to_owned()), |v, to| to.text(v);
    Vec<u8>, Bytes(v) => Ok(v.to_vec()), |v, to| to.bytes(v);
}

/// For maps that are sets.
impl StateValue for () {
    fn write(&self, to: &mut Writer) {
        to.null();
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if from.value()? == Raw::Null { Ok(()) } else { Err(Malformed) }
    }
}

impl<T: StateValue> StateValue for Option<T> {
    /// An array of none or one, so that `Option<Option<T>>` comes back as it was.
    fn write(&self, to: &mut Writer) {
        to.array(usize::from(self.is_some()));
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.array()? {
            0 => Ok(None),
            1 => T::read(from).map(Some),
            _ => Err(Malformed),
        }
    }
}

impl<T: StateValue> StateValue for Vec<T> {
    fn write(&self, to: &mut Writer) {
        to.array(self.len());
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        (0..from.array()?).map(|_| T::read(from)).collect()
    }
}

macro_rules! tuples {
    ($(($count:literal $($name:ident $index:tt),+)),+) => {$(
        impl<$($name: StateValue),+> StateValue for ($($name,)+) {
            fn write(&self, to: &mut Writer) {
                to.array($count);
                $(self.$index.write(to);)+
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                if from.array()? != $count {
                    return Err(Malformed);
                }
                Ok(($($name::read(from)?,)+))
            }
        }
    )+};
}

tuples!((2 A 0, B 1), (3 A 0, B 1, C 2), (4 A 0, B 1, C 2, D 3));
