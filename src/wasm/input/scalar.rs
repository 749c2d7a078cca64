//! A column's bytes as the value that a guest is given.
//!
//! Nothing here allocates: a scalar is a machine word or a slice of the row. Text is Postgres's output under the pinned
//! settings; binary is the type's send format, which occurs for the kinds that have a native value.

use crate::change::{Kind, Value};

/// How the values of a kind travel to a guest and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wasm) enum Travel {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Bytea,
    /// Postgres's own text.
    Text,
}

impl Travel {
    pub(in crate::wasm) fn of(kind: &Kind) -> Travel {
        match kind {
            Kind::Bool => Travel::Bool,
            Kind::Int16 => Travel::Int16,
            Kind::Int32 => Travel::Int32,
            Kind::Int64 => Travel::Int64,
            Kind::Float32 => Travel::Float32,
            Kind::Float64 => Travel::Float64,
            Kind::Bytea => Travel::Bytea,
            Kind::Numeric
            | Kind::Text
            | Kind::Uuid
            | Kind::Json
            | Kind::Jsonb
            | Kind::Date
            | Kind::Time
            | Kind::Timetz
            | Kind::Timestamp
            | Kind::Timestamptz
            | Kind::Interval
            | Kind::Enumeration
            | Kind::Array(_)
            | Kind::Other(_) => Travel::Text,
        }
    }
}

/// One value on its way to a guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::wasm) enum Scalar<'a> {
    Null,
    Unchanged,
    Bool(bool),
    /// int2 and int4.
    Int(i64),
    /// int8, which JSON's numbers can't hold.
    Int64(i64),
    Float32(f32),
    Float64(f64),
    /// An even number of hexadecimal digits.
    Hex(&'a [u8]),
    Bytes(&'a [u8]),
    Text(&'a str),
}

/// Bytes that are no value of their column's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wasm) struct BadScalar;

impl<'a> Scalar<'a> {
    #[inline]
    pub(in crate::wasm) fn read(travel: Travel, value: Value<'a>) -> Result<Scalar<'a>, BadScalar> {
        match value {
            Value::Null => Ok(Scalar::Null),
            Value::Unchanged => Ok(Scalar::Unchanged),
            Value::Text(text) => Scalar::of_text(travel, text),
            Value::Binary(bytes) => Scalar::of_binary(travel, bytes),
        }
    }

    #[inline]
    fn of_text(travel: Travel, text: &'a [u8]) -> Result<Scalar<'a>, BadScalar> {
        match travel {
            Travel::Text => str::from_utf8(text).map(Scalar::Text).map_err(|_| BadScalar),
            Travel::Int64 => Ok(Scalar::Int64(int(text)?)),
            Travel::Int32 => Ok(Scalar::Int(i32::try_from(int(text)?).map_err(|_| BadScalar)?.into())),
            Travel::Int16 => Ok(Scalar::Int(i16::try_from(int(text)?).map_err(|_| BadScalar)?.into())),
            Travel::Bool => match text {
                b"t" => Ok(Scalar::Bool(true)),
                b"f" => Ok(Scalar::Bool(false)),
                _ => Err(BadScalar),
            },
            Travel::Float32 => Ok(Scalar::Float32(float(text)?)),
            Travel::Float64 => Ok(Scalar::Float64(float(text)?)),
            Travel::Bytea => match text.strip_prefix(b"\\x") {
                Some(hex) if hex.len().is_multiple_of(2) && hex.iter().all(u8::is_ascii_hexdigit) => {
                    Ok(Scalar::Hex(hex))
                }
                _ => Err(BadScalar),
            },
        }
    }

    fn of_binary(travel: Travel, bytes: &'a [u8]) -> Result<Scalar<'a>, BadScalar> {
        fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BadScalar> {
            bytes.try_into().map_err(|_| BadScalar)
        }
        match travel {
            Travel::Bool => match bytes {
                [0] => Ok(Scalar::Bool(false)),
                [1] => Ok(Scalar::Bool(true)),
                _ => Err(BadScalar),
            },
            Travel::Int16 => Ok(Scalar::Int(i16::from_be_bytes(fixed(bytes)?).into())),
            Travel::Int32 => Ok(Scalar::Int(i32::from_be_bytes(fixed(bytes)?).into())),
            Travel::Int64 => Ok(Scalar::Int64(i64::from_be_bytes(fixed(bytes)?))),
            // Every NaN is the same NaN, as it is in Postgres's text.
            Travel::Float32 => {
                let value = f32::from_be_bytes(fixed(bytes)?);
                Ok(Scalar::Float32(if value.is_nan() { f32::NAN } else { value }))
            }
            Travel::Float64 => {
                let value = f64::from_be_bytes(fixed(bytes)?);
                Ok(Scalar::Float64(if value.is_nan() { f64::NAN } else { value }))
            }
            Travel::Bytea => Ok(Scalar::Bytes(bytes)),
            // Each type has a send format of its own; none of them is its text.
            Travel::Text => Err(BadScalar),
        }
    }
}

/// Parses what int8out prints: an optional minus and up to 19 digits.
#[inline]
pub(in crate::wasm) fn int(text: &[u8]) -> Result<i64, BadScalar> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 {
        return Err(BadScalar);
    }
    // 19 digits fit into 64 unsigned bits.
    let mut value = 0u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(BadScalar);
        }
        value = value * 10 + u64::from(digit);
    }
    match (negative, i64::try_from(value)) {
        (false, Ok(value)) => Ok(value),
        (true, Ok(value)) => Ok(-value),
        (true, Err(_)) if value == i64::MIN.unsigned_abs() => Ok(i64::MIN),
        _ => Err(BadScalar),
    }
}

fn float<F: std::str::FromStr>(text: &[u8]) -> Result<F, BadScalar> {
    // Rust reads what Postgres prints, NaN, Infinity and -Infinity included.
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(BadScalar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_that_is_no_value_of_its_kind_is_refused() {
        let bad: &[(Travel, &[u8])] = &[
            (Travel::Bool, b"true"),
            (Travel::Int16, b"32768"),
            (Travel::Int32, b"2147483648"),
            (Travel::Int64, b"9223372036854775808"),
            (Travel::Int64, b"-"),
            (Travel::Int64, b""),
            (Travel::Int64, b"1x"),
            (Travel::Int64, b"+1"),
            (Travel::Int64, b"99999999999999999999"),
            (Travel::Float64, b"1,5"),
            (Travel::Float32, b""),
            (Travel::Bytea, b"abc"),
            (Travel::Bytea, b"\\x0"),
            (Travel::Bytea, b"\\x0g"),
            (Travel::Text, b"\xff"),
        ];
        for (travel, text) in bad {
            assert_eq!(Scalar::read(*travel, Value::Text(text)), Err(BadScalar), "{travel:?} {text:?}");
        }
        for travel in [Travel::Bool, Travel::Int16, Travel::Int64, Travel::Float32, Travel::Text] {
            assert_eq!(Scalar::read(travel, Value::Binary(b"\x02\x01\x01")), Err(BadScalar), "{travel:?}");
        }
    }

    #[test]
    fn binary_and_text_are_the_same_value() {
        let same: &[(Travel, &[u8], &[u8])] = &[
            (Travel::Bool, b"t", &[1]),
            (Travel::Int16, b"-2", &[0xff, 0xfe]),
            (Travel::Int32, b"1", &[0, 0, 0, 1]),
            (Travel::Int64, b"-9223372036854775808", &[0x80, 0, 0, 0, 0, 0, 0, 0]),
            (Travel::Float32, b"1.5", &[0x3f, 0xc0, 0, 0]),
            (Travel::Float64, b"-Infinity", &[0xff, 0xf0, 0, 0, 0, 0, 0, 0]),
        ];
        for (travel, text, binary) in same {
            let binary = Scalar::read(*travel, Value::Binary(binary));
            assert_eq!(Scalar::read(*travel, Value::Text(text)), binary, "{travel:?}");
        }
    }

    proptest! {
        #[test]
        fn every_int_is_read_back(value: i64) {
            prop_assert_eq!(int(value.to_string().as_bytes()), Ok(value));
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes: Vec<u8>) {
            for travel in [Travel::Bool, Travel::Int16, Travel::Int32, Travel::Int64, Travel::Float32, Travel::Float64, Travel::Bytea, Travel::Text] {
                let _ = Scalar::read(travel, Value::Text(&bytes));
                let _ = Scalar::read(travel, Value::Binary(&bytes));
            }
        }
    }
}
