//! Values that travel as Postgres's own text, read on demand.
//!
//! A numeric, a date or a uuid arrives as Postgres prints it, and usually it leaves as it came: so these types hold
//! the text, lose nothing, and are read only where an author asks. Each holds a `String`, or, in a row that borrows, a
//! `&str`: `Decimal` owns, `Decimal<&'a str>` borrows.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, Result};
use crate::model::Kind;
use crate::msgpack::{Malformed, Raw, Reader, Writer};
use crate::state::{StateKey, StateValue};
use crate::value::{FromColumn, ToColumn, Unfit, text};

mod array;
mod decimal;
mod interval;
mod time;

pub use interval::Parts;
pub use time::Moment;

macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident, $kind:expr, $expected:literal, accepts [$($accepted:pat_param)|+];)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name<S = String>(S);

        impl<S: AsRef<str>> $name<S> {
            /// Takes a text that Postgres will read.
            pub fn new(text: S) -> Self {
                $name(text)
            }

            /// Returns Postgres's text.
            pub fn as_str(&self) -> &str {
                self.0.as_ref()
            }

            /// Returns the same value with a text of its own.
            pub fn to_owned(&self) -> $name {
                $name(self.as_str().to_owned())
            }
        }

        impl<S: AsRef<str>> fmt::Display for $name<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<S: AsRef<str>> AsRef<str> for $name<S> {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }

        impl<'a, S: From<&'a str>> FromColumn<'a> for $name<S> {
            const EXPECTED: &'static str = $expected;

            fn accepts(kind: &Kind) -> bool {
                // A domain has a name of its own, whatever it is over.
                matches!(kind, $($accepted)|+ | Kind::Other(_))
            }

            #[inline(always)]
            fn from_column(value: Raw<'a>) -> std::result::Result<Self, Unfit> {
                text(value).map(|text| $name(text.into()))
            }
        }

        impl<S: AsRef<str>> ToColumn for $name<S> {
            const KIND: Kind = $kind;

            #[inline(always)]
            fn to_column(&self, to: &mut Writer) {
                to.text(self.as_str());
            }
        }

        impl StateValue for $name {
            fn write(&self, to: &mut Writer) {
                to.text(self.as_str());
            }

            fn read(from: &mut Reader<'_>) -> std::result::Result<Self, Malformed> {
                <String as StateValue>::read(from).map($name)
            }
        }

        impl StateKey for $name {
            fn write(&self, to: &mut Vec<u8>) {
                StateKey::write(&self.0, to);
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                <String as StateKey>::read(from).map($name)
            }
        }
    )+};
}

text_types! {
    /// `numeric`: exact, of any size, or `NaN`, `Infinity`, `-Infinity`.
    Decimal, Kind::Numeric, "numeric", accepts [Kind::Numeric];
    /// `date`, such as `2024-02-29`, `0044-03-15 BC` or `infinity`.
    Date, Kind::Date, "date", accepts [Kind::Date];
    /// `time`, such as `13:45:00.5`; `24:00:00` is one.
    Time, Kind::Time, "time", accepts [Kind::Time];
    /// `time with time zone`.
    Timetz, Kind::Timetz, "timetz", accepts [Kind::Timetz];
    /// `timestamp`: of no known place.
    Timestamp, Kind::Timestamp, "timestamp", accepts [Kind::Timestamp];
    /// `timestamp with time zone`: a moment, printed in UTC.
    Timestamptz, Kind::Timestamptz, "timestamptz", accepts [Kind::Timestamptz];
    /// `interval`, in Postgres's own style: `1 year 2 mons 3 days 04:05:06`.
    Interval, Kind::Interval, "interval", accepts [Kind::Interval];
    /// `uuid`.
    Uuid, Kind::Uuid, "uuid", accepts [Kind::Uuid];
    /// `json`: text as it was written, with its spaces and the order of its keys. Parse it with the crate of your choice.
    Json, Kind::Json, "json or jsonb", accepts [Kind::Json | Kind::Jsonb];
    /// `jsonb`. Parse it with the crate of your choice.
    Jsonb, Kind::Jsonb, "jsonb or json", accepts [Kind::Json | Kind::Jsonb];
    /// An array of any type. In a public row name its type: `#[column(kind = "integer[]")]`; otherwise it is `text[]`.
    Array, Kind::Array(Cow::Borrowed("text")), "an array", accepts [Kind::Array(_)];
}

impl<S: AsRef<str>> Uuid<S> {
    /// Returns the 128 bits.
    ///
    /// # Errors
    /// [`Error::Rejected`] for a text that is no uuid.
    pub fn to_u128(&self) -> Result<u128> {
        let digits: String = self.as_str().chars().filter(|c| *c != '-').collect();
        match u128::from_str_radix(&digits, 16) {
            Ok(bits) if digits.len() == 32 && !digits.starts_with('+') => Ok(bits),
            _ => Err(unreadable("uuid")),
        }
    }
}

/// The error for a text that is not what its type says. It does not show the text: values stay out of logs.
fn unreadable(what: &'static str) -> Error {
    Error::reject("unreadable", format_args!("a text that should be a {what} is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_its_bits() {
        let uuid = Uuid::new("00000000-0000-0001-0000-0000000000ff");
        assert_eq!(uuid.to_u128(), Ok((1 << 64) | 255));
        for text in ["", "xyz", "+0000000000000010000000000000000", "00000000-0000-0001-0000-0000000000ff0"] {
            assert!(Uuid::new(text).to_u128().is_err(), "{text}");
        }
    }
}
