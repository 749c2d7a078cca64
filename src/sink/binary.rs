//! Values in the binary format of COPY: what Postgres reads in two thirds of the time that it needs for text.
//!
//! A value comes as Postgres's own text, or as a transform wrote it. Each [`Send`] knows how the receive function of one
//! type wants the plain spellings of that text, and only those: of what it writes Postgres makes the same value, bit for
//! bit, as its input function makes of the text. Anything else (an exponent in a numeric, years beyond 9999 or BC, an
//! offset from UTC, what is no value of the type at all) is [`NotPlain`] and is left to the input function, which takes
//! it or refuses it in its own words.
//!
//! The formats are those of the types' send and receive functions in Postgres's `src/backend/utils/adt`; they have not
//! changed since they came, and `pg_dump` and the drivers rely on them. A modifier (`numeric(10,2)`, `varchar(3)`,
//! `timestamp(0)`) is applied by the receive function as by the input function.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::encode::{self, NotText};
use crate::change::{Kind, Value};
use crate::lsn::Lsn;

/// What a COPY in binary form begins with: the signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with, in place of a row's number of columns.
pub(super) const TRAILER: &[u8] = &(-1i16).to_be_bytes();

/// A value that is left to the type's input function.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    NotPlain,
    NotText,
}

impl From<NotText> for Unfit {
    fn from(NotText: NotText) -> Unfit {
        Unfit::NotText
    }
}

/// How the values of a destination column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    /// Texts of all kinds, json and labels of enums: the bytes themselves.
    Bytes,
    Jsonb,
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Numeric,
    Bytea,
    Uuid,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Lsn,
}

impl Send {
    /// Returns how values of a type are written, by the OID that `pg_type.dat` fixes; `None` for all other types.
    pub(super) fn of(oid: u32, is_enum: bool) -> Option<Send> {
        Some(match oid {
            _ if is_enum => Send::Bytes,
            25 | 1043 | 1042 | 114 => Send::Bytes,
            3802 => Send::Jsonb,
            16 => Send::Bool,
            21 => Send::Int16,
            23 => Send::Int32,
            20 => Send::Int64,
            700 => Send::Float32,
            701 => Send::Float64,
            1700 => Send::Numeric,
            17 => Send::Bytea,
            2950 => Send::Uuid,
            1082 => Send::Date,
            1083 => Send::Time,
            1114 => Send::Timestamp,
            1184 => Send::Timestamptz,
            3220 => Send::Lsn,
            _ => return None,
        })
    }

    /// Appends a column: its length and its bytes. `kind` says what a binary value is.
    ///
    /// What was appended of a value that is unfit must be cut off again.
    pub(super) fn put(self, out: &mut BytesMut, kind: &Kind, value: Value<'_>) -> Result<(), Unfit> {
        let text = match value {
            Value::Binary(bytes) if self == Send::Bytea && *kind == Kind::Bytea => Some(Cow::Borrowed(bytes)),
            value => encode::text(kind, value)?,
        };
        let Some(text) = text else {
            out.put_i32(-1);
            return Ok(());
        };
        if let (Send::Bytea, Value::Binary(_)) = (self, value) {
            sized(out, &text);
            return Ok(());
        }
        self.plain(out, &text).ok_or(Unfit::NotPlain)
    }

    fn plain(self, out: &mut BytesMut, text: &[u8]) -> Option<()> {
        match self {
            Send::Bytes => sized(out, text),
            Send::Jsonb => {
                // The version of the format.
                out.put_i32(i32::try_from(text.len() + 1).ok()?);
                out.put_u8(1);
                out.put_slice(text);
            }
            Send::Bool => match text {
                b"t" | b"f" => sized(out, &[u8::from(text == b"t")]),
                _ => return None,
            },
            Send::Int16 => sized(out, &i16::try_from(integer(text)?).ok()?.to_be_bytes()),
            Send::Int32 => sized(out, &i32::try_from(integer(text)?).ok()?.to_be_bytes()),
            Send::Int64 => sized(out, &integer(text)?.to_be_bytes()),
            Send::Float32 => sized(out, &float::<f32>(text)?.to_be_bytes()),
            Send::Float64 => sized(out, &float::<f64>(text)?.to_be_bytes()),
            Send::Numeric => numeric(out, text)?,
            Send::Bytea => {
                let digits = text.strip_prefix(b"\\x")?;
                let length = digits.len() / 2;
                out.put_i32(i32::try_from(length).ok()?);
                let at = out.len();
                out.resize(at + length, 0);
                hex::decode_to_slice(digits, &mut out[at..]).ok()?;
            }
            Send::Uuid => sized(out, &uuid(text)?),
            Send::Date => match date(text)? {
                (days, b"") => sized(out, &days.to_be_bytes()),
                _ => return None,
            },
            Send::Time => match time(text)? {
                (micros, b"") => sized(out, &micros.to_be_bytes()),
                _ => return None,
            },
            Send::Timestamp => match timestamp(text)? {
                (micros, b"") => sized(out, &micros.to_be_bytes()),
                _ => return None,
            },
            Send::Timestamptz => match timestamp(text)? {
                (micros, b"+00" | b"Z" | b"+00:00") => sized(out, &micros.to_be_bytes()),
                _ => return None,
            },
            Send::Lsn => sized(out, &std::str::from_utf8(text).ok()?.parse::<Lsn>().ok()?.0.to_be_bytes()),
        }
        Some(())
    }
}

fn sized(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

fn integer(text: &[u8]) -> Option<i64> {
    // Rust takes a plus sign too, as Postgres does.
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a float as the C library does for Postgres: the nearest one. What is out of range becomes infinite or zero
/// here and is refused there.
fn float<F: std::str::FromStr + Into<f64> + Copy>(text: &[u8]) -> Option<F> {
    let float: F = std::str::from_utf8(text).ok()?.parse().ok()?;
    let wide: f64 = float.into();
    let plain = match text {
        b"NaN" | b"Infinity" | b"-Infinity" => true,
        _ if !wide.is_finite() => false,
        _ => wide != 0.0 || matches!(text, b"0" | b"-0"),
    };
    plain.then_some(float)
}

/// Digits of a numeric that are worth a loop here.
const NUMERIC_MAX: usize = 500;

/// Writes a numeric: the number of digits to the base 10,000, the weight of the first, the sign, the digits behind the
/// point to the base ten, and the digits. Zeros at either end are struck out by the receive function.
fn numeric(out: &mut BytesMut, text: &[u8]) -> Option<()> {
    const NEGATIVE: u16 = 0x4000;
    const NAN: u16 = 0xc000;
    let (sign, digits) = match text {
        b"NaN" => (NAN, &b"0"[..]),
        [b'-', digits @ ..] => (NEGATIVE, digits),
        digits => (0, digits),
    };
    let (whole, fraction) = match memchr::memchr(b'.', digits) {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &b""[..]),
    };
    let plain = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    let is_plain = !whole.is_empty() && plain(whole) && plain(fraction) && !digits.ends_with(b".");
    if !is_plain || digits.len() > NUMERIC_MAX {
        return None;
    }
    let before = whole.len().div_ceil(4);
    let count = before + fraction.len().div_ceil(4);
    let count = if sign == NAN { 0 } else { count };
    out.put_i32(8 + 2 * count as i32);
    out.put_i16(count as i16);
    out.put_i16(if sign == NAN { 0 } else { before as i16 - 1 });
    out.put_u16(sign);
    out.put_u16(fraction.len() as u16);
    if sign == NAN {
        return Some(());
    }
    let group = |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    let (first, rest) = whole.split_at(whole.len() - (before - 1) * 4);
    out.put_u16(group(first));
    rest.chunks_exact(4).for_each(|digits| out.put_u16(group(digits)));
    for digits in fraction.chunks(4) {
        out.put_u16(group(digits) * [1_000, 100, 10, 1][digits.len() - 1]);
    }
    Some(())
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let parts: &[u8; 36] = text.try_into().ok()?;
    if [8, 13, 18, 23].iter().any(|&at| parts[at] != b'-') {
        return None;
    }
    let mut digits = [0; 32];
    let (mut to, mut from) = (0, 0);
    for length in [8, 4, 4, 4, 12] {
        digits[to..to + length].copy_from_slice(&parts[from..from + length]);
        (to, from) = (to + length, from + length + 1);
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// Reads so many digits and returns them as a number.
fn digits<const N: usize>(text: &[u8]) -> Option<(i32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<N>()?;
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i32::from(digit - b'0');
    }
    Some((number, rest))
}

/// Reads `YYYY-MM-DD` and returns the days since 2000-01-01.
fn date(text: &[u8]) -> Option<(i32, &[u8])> {
    let (year, text) = digits::<4>(text)?;
    let (month, text) = digits::<2>(text.strip_prefix(b"-")?)?;
    let (day, text) = digits::<2>(text.strip_prefix(b"-")?)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    // There is no year 0: Postgres calls it 1 BC.
    if year == 0 || day == 0 || day > last {
        return None;
    }
    // The year begins in March here, so that the leap day is its last: 306 days are left of it on the first of January.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const EPOCH: i32 = 365 * 1999 + 1999 / 4 - 1999 / 100 + 1999 / 400 + 306;
    Some((days - EPOCH, text))
}

/// Reads `HH:MM:SS[.ffffff]` and returns the microseconds since midnight.
fn time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, text) = digits::<2>(text)?;
    let (minute, text) = digits::<2>(text.strip_prefix(b":")?)?;
    let (second, text) = digits::<2>(text.strip_prefix(b":")?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from((hour * 60 + minute) * 60 + second);
    let Some(fraction) = text.strip_prefix(b".") else {
        return Some((seconds * 1_000_000, text));
    };
    let length = fraction.iter().position(|b| !b.is_ascii_digit()).unwrap_or(fraction.len());
    // More digits are rounded by the input function.
    if !(1..=6).contains(&length) {
        return None;
    }
    let micros = (0..6).fold(0, |n, i| n * 10 + if i < length { i64::from(fraction[i] - b'0') } else { 0 });
    Some((seconds * 1_000_000 + micros, &fraction[length..]))
}

/// Reads a date and a time and returns the microseconds since 2000-01-01.
fn timestamp(text: &[u8]) -> Option<(i64, &[u8])> {
    let (days, text) = date(text)?;
    let [b' ' | b'T', text @ ..] = text else {
        return None;
    };
    let (micros, text) = time(text)?;
    Some((i64::from(days) * 86_400_000_000 + micros, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(send: Send, text: &str, expected: &[u8]) {
        let mut out = BytesMut::new();
        send.put(&mut out, &Kind::Text, Value::Text(text.as_bytes())).unwrap();
        let (length, bytes) = out.split_first_chunk::<4>().unwrap();
        assert_eq!((i32::from_be_bytes(*length) as usize, bytes), (expected.len(), expected), "{send:?} of {text}");
    }

    #[track_caller]
    fn left(send: Send, texts: &[&str]) {
        for text in texts {
            let put = send.put(&mut BytesMut::new(), &Kind::Text, Value::Text(text.as_bytes()));
            assert_eq!(put, Err(Unfit::NotPlain), "{send:?} of {text}");
        }
    }

    /// The bytes are what PostgreSQL 15's send functions return, but for a numeric's leading zeros.
    #[test]
    fn plain_values_are_written_as_postgres_sends_them() {
        check(Send::Int16, "-2", &[0xff, 0xfe]);
        check(Send::Int64, "9223372036854775807", &i64::MAX.to_be_bytes());
        check(Send::Bool, "t", &[1]);
        check(Send::Jsonb, "{}", b"\x01{}");
        check(Send::Bytea, "\\x00ff", &[0, 0xff]);
        check(
            Send::Uuid,
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            &hex::decode("a0eebc999c0b4ef8bb6d6bb9bd380a11").unwrap(),
        );
        check(Send::Float64, "-Infinity", &f64::NEG_INFINITY.to_be_bytes());
        check(Send::Float32, "0.1", &0.1f32.to_be_bytes());
        check(Send::Date, "2000-01-01", &[0; 4]);
        check(Send::Date, "1999-12-31", &(-1i32).to_be_bytes());
        check(Send::Date, "2024-02-29", &8825i32.to_be_bytes());
        check(Send::Date, "0001-01-01", &(-730_119i32).to_be_bytes());
        check(Send::Date, "9999-12-31", &2_921_939i32.to_be_bytes());
        check(Send::Time, "23:59:59.999999", &86_399_999_999i64.to_be_bytes());
        check(Send::Timestamp, "2000-01-01 00:00:01.5", &1_500_000i64.to_be_bytes());
        check(Send::Timestamptz, "1999-12-31 23:59:59.999+00", &(-1_000i64).to_be_bytes());
        check(Send::Timestamptz, "1999-12-31T23:59:59.999Z", &(-1_000i64).to_be_bytes());
        check(Send::Lsn, "16/B374D848", &0x16_b374_d848_u64.to_be_bytes());
        check(Send::Numeric, "12345.678", &hex::decode("0003000100000003000109291a7c").unwrap());
        check(Send::Numeric, "-0.5", &hex::decode("000200004000000100001388").unwrap());
        check(Send::Numeric, "NaN", &hex::decode("00000000c0000000").unwrap());
    }

    #[test]
    fn what_is_not_plain_is_left_to_postgres() {
        left(Send::Int16, &["32768", "", " 1", "1.0", "0x1"]);
        left(Send::Bool, &["true", "yes", "T"]);
        left(Send::Float64, &["1e400", "1e-400", "inf", "nan", "infinity", "0x1p3", "", "0.0"]);
        left(Send::Float32, &["1e39", "1e-50"]);
        left(Send::Numeric, &["", "-", ".5", "1.", "1e5", "+1", "--1", "Infinity", "1_000", &"1".repeat(600)]);
        left(Send::Bytea, &["", "abc", "\\x0", "\\xzz", "\\000"]);
        left(Send::Uuid, &["a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", ""]);
        left(Send::Date, &["0000-01-01", "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-01", "2024-04-31"]);
        left(Send::Date, &["0044-03-15 BC", "10000-01-01", "infinity", "2024-1-1", "20240101"]);
        left(Send::Time, &["24:00:00", "23:59:60", "12:00", "12:00:00.", "12:00:00.1234567", "12:00:00+00"]);
        left(Send::Timestamp, &["2024-01-01", "2024-01-01 00:00:00+00", "2024-01-01 00:00:00 BC", "-infinity"]);
        left(Send::Timestamptz, &["2024-01-01 00:00:00", "2024-01-01 00:00:00+01", "2024-01-01 00:00:00+00 BC"]);
        left(Send::Lsn, &["", "16", "16/", "123456789/0", "+1/0", " 1/0"]);
    }

    #[test]
    fn nulls_and_bytes_have_no_text() {
        let mut out = BytesMut::new();
        Send::Int64.put(&mut out, &Kind::Int64, Value::Null).unwrap();
        Send::Bytea.put(&mut out, &Kind::Bytea, Value::Binary(&[7])).unwrap();
        Send::Int64.put(&mut out, &Kind::Int16, Value::Binary(&[0, 5])).unwrap();
        assert_eq!(&out[..], [&[0xff; 4][..], &[0, 0, 0, 1, 7], &[0, 0, 0, 8], &5i64.to_be_bytes()].concat());
        assert_eq!(Send::Int64.put(&mut out, &Kind::Int64, Value::Binary(&[0])), Err(Unfit::NotText));
    }
}
