//! Columns as Rust values: what a field of a source or a public row can be.
//!
//! | Postgres | Rust |
//! |---|---|
//! | `boolean` | `bool` |
//! | `smallint`, `integer`, `bigint` | `i16`, `i32`, `i64` (a wider one takes a narrower column) |
//! | `real`, `double precision` | `f32`, `f64` (likewise) |
//! | `bytea` | `Vec<u8>`, `&[u8]` |
//! | everything else | `String`, `&str`, `Cow<str>`: Postgres's own text; or a newtype over it from [`crate::text`] |
//! | may be NULL | `Option<T>` |
//! | may be TOASTed | [`Toasted<T>`] |

use std::borrow::Cow;

use crate::model::Kind;
use crate::msgpack::{Raw, Writer};

/// Why a value does not fit its field. The column is named by whoever knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    Null,
    Unchanged,
    /// The value is of another kind than the host announced for its column.
    Kind {
        found: &'static str,
    },
    /// An integer that its field can't hold.
    Range,
    /// A label that the Rust enum does not have.
    Label,
}

impl Unfit {
    fn of(value: Raw<'_>) -> Unfit {
        match value {
            Raw::Null => Unfit::Null,
            Raw::Unchanged => Unfit::Unchanged,
            other => Unfit::Kind { found: other.describe() },
        }
    }
}

/// A type that a field of a [`Source`](crate::Source) row can have.
pub trait FromColumn<'a>: Sized {
    /// What the column may be, in words, for error messages.
    const EXPECTED: &'static str;

    /// Returns true when columns of `kind` can be read into this type.
    fn accepts(kind: &Kind) -> bool;

    /// Takes the value of a column.
    ///
    /// # Errors
    /// [`Unfit`] when the value is NULL, unchanged or of another kind.
    fn from_column(value: Raw<'a>) -> Result<Self, Unfit>;
}

/// A type that a field of a [`Public`](crate::Public) row can have.
pub trait ToColumn {
    const KIND: Kind;
    const NULLABLE: bool = false;

    fn to_column(&self, to: &mut Writer);
}

macro_rules! plain {
    ($type:ty, $kind:ident, $expected:literal, accepts $($accepted:ident)|+, $raw:ident($value:ident) => $read:expr,
     |$this:ident, $to:ident| $write:expr) => {
        impl<'a> FromColumn<'a> for $type {
            const EXPECTED: &'static str = $expected;

            fn accepts(kind: &Kind) -> bool {
                matches!(kind, $(Kind::$accepted)|+)
            }

            #[inline(always)]
            fn from_column(value: Raw<'a>) -> Result<Self, Unfit> {
                match value {
                    Raw::$raw($value) => $read,
                    other => Err(Unfit::of(other)),
                }
            }
        }

        impl ToColumn for $type {
            const KIND: Kind = Kind::$kind;

            #[inline(always)]
            fn to_column(&self, $to: &mut Writer) {
                let $this = self;
                $write
            }
        }
    };
}

plain!(bool, Bool, "boolean", accepts Bool, Bool(v) => Ok(v), |v, to| to.bool(*v));
plain!(i16, Int16, "smallint", accepts Int16, Int(v) => v.try_into().map_err(|_| Unfit::Range), |v, to| to.int(i64::from(*v)));
plain!(i32, Int32, "integer or smallint", accepts Int16 | Int32,
       Int(v) => v.try_into().map_err(|_| Unfit::Range), |v, to| to.int(i64::from(*v)));
plain!(i64, Int64, "bigint, integer or smallint", accepts Int16 | Int32 | Int64, Int(v) => Ok(v), |v, to| to.int(*v));
// The narrowing is exact: a real column holds nothing that is not an f32.
plain!(f32, Float32, "real", accepts Float32, Float(v) => Ok(v as f32), |v, to| to.float32(*v));
plain!(f64, Float64, "double precision or real", accepts Float32 | Float64, Float(v) => Ok(v), |v, to| to.float64(*v));
plain!(Vec<u8>, Bytea, "bytea", accepts Bytea, Bytes(v) => Ok(v.to_vec()), |v, to| to.bytes(v));

impl<'a> FromColumn<'a> for &'a [u8] {
    const EXPECTED: &'static str = "bytea";

    fn accepts(kind: &Kind) -> bool {
        matches!(kind, Kind::Bytea)
    }

    #[inline(always)]
    fn from_column(value: Raw<'a>) -> Result<Self, Unfit> {
        match value {
            Raw::Bytes(v) => Ok(v),
            other => Err(Unfit::of(other)),
        }
    }
}

impl ToColumn for &[u8] {
    const KIND: Kind = Kind::Bytea;

    #[inline(always)]
    fn to_column(&self, to: &mut Writer) {
        to.bytes(self);
    }
}

/// Reads a column that travels as text.
#[inline(always)]
pub(crate) fn text(value: Raw<'_>) -> Result<&str, Unfit> {
    match value {
        Raw::Text(text) => Ok(text),
        other => Err(Unfit::of(other)),
    }
}

macro_rules! textual {
    ($($type:ty),+) => {$(
        impl<'a> FromColumn<'a> for $type {
            const EXPECTED: &'static str = "a column that travels as text (not a boolean, integer, float or bytea)";

            fn accepts(kind: &Kind) -> bool {
                kind.is_text()
            }

            #[inline(always)]
            fn from_column(value: Raw<'a>) -> Result<Self, Unfit> {
                text(value).map(Into::into)
            }
        }
    )+};
}

textual!(&'a str, String, Box<str>, Cow<'a, str>);

macro_rules! text_out {
    ($($type:ty),+) => {$(
        impl ToColumn for $type {
            const KIND: Kind = Kind::Text;

            #[inline(always)]
            fn to_column(&self, to: &mut Writer) {
                to.text(self);
            }
        }
    )+};
}

text_out!(&str, String, Box<str>, Cow<'_, str>);

impl<'a, T: FromColumn<'a>> FromColumn<'a> for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn accepts(kind: &Kind) -> bool {
        T::accepts(kind)
    }

    #[inline(always)]
    fn from_column(value: Raw<'a>) -> Result<Self, Unfit> {
        match value {
            Raw::Null => Ok(None),
            value => T::from_column(value).map(Some),
        }
    }
}

impl<T: ToColumn> ToColumn for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;

    #[inline(always)]
    fn to_column(&self, to: &mut Writer) {
        match self {
            Some(value) => value.to_column(to),
            None => to.null(),
        }
    }
}

/// A column that Postgres may have moved out of line: an update that leaves such a value alone does not send it.
///
/// In a source row it is the value, or [`Toasted::Unchanged`], which is neither NULL nor known. (A table with
/// `REPLICA IDENTITY FULL` sends the old value along, and it is filled in from there.) In a public row
/// `Unchanged` leaves the destination's column as it is. Nullable columns are `Toasted<Option<T>>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Toasted<T> {
    Value(T),
    #[default]
    Unchanged,
}

impl<T> Toasted<T> {
    /// Returns the value, if it was sent.
    pub fn value(self) -> Option<T> {
        match self {
            Toasted::Value(value) => Some(value),
            Toasted::Unchanged => None,
        }
    }

    pub fn as_ref(&self) -> Toasted<&T> {
        match self {
            Toasted::Value(value) => Toasted::Value(value),
            Toasted::Unchanged => Toasted::Unchanged,
        }
    }

    pub fn is_unchanged(&self) -> bool {
        matches!(self, Toasted::Unchanged)
    }

    /// Changes the value; what is unchanged stays so.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Toasted<U> {
        match self {
            Toasted::Value(value) => Toasted::Value(change(value)),
            Toasted::Unchanged => Toasted::Unchanged,
        }
    }
}

impl<T> From<T> for Toasted<T> {
    fn from(value: T) -> Self {
        Toasted::Value(value)
    }
}

impl<'a, T: FromColumn<'a>> FromColumn<'a> for Toasted<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn accepts(kind: &Kind) -> bool {
        T::accepts(kind)
    }

    #[inline(always)]
    fn from_column(value: Raw<'a>) -> Result<Self, Unfit> {
        match value {
            Raw::Unchanged => Ok(Toasted::Unchanged),
            value => T::from_column(value).map(Toasted::Value),
        }
    }
}

impl<T: ToColumn> ToColumn for Toasted<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = T::NULLABLE;

    #[inline(always)]
    fn to_column(&self, to: &mut Writer) {
        match self {
            Toasted::Value(value) => value.to_column(to),
            Toasted::Unchanged => to.unchanged(),
        }
    }
}

impl<T: ToColumn> ToColumn for &T {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = T::NULLABLE;

    #[inline(always)]
    fn to_column(&self, to: &mut Writer) {
        (**self).to_column(to);
    }
}
