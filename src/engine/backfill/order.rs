//! The order of keys: on the host where it is plain, by Postgres where it is Postgres's own.
//!
//! Keys are compared as Postgres prints them under the pinned session settings. For the types below the order of the
//! values follows from the text; where it does not – collations, enums, numeric, or a text that is not as expected – the
//! answer is `None`, and Postgres is asked. Equal texts are equal values in every type, which decides most composite
//! keys without a question.

use std::cmp::Ordering;

/// How the texts of one key column are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// int2, int4, int8, oid.
    Integer,
    /// The bytes of the text: uuid, bytea in hex, bool, and text under the C collation in UTF-8.
    Bytes,
    Date,
    Time,
    /// With and without time zone: both print UTC under the pinned settings.
    Timestamp,
    /// Only Postgres knows.
    Postgres,
}

impl Order {
    /// Returns the order of a column of the type with this OID (a domain's base type).
    ///
    /// `bytewise` says that the column's collation compares bytes and that the database is in UTF-8.
    pub fn of_type(type_oid: u32, bytewise: bool) -> Order {
        match type_oid {
            20 | 21 | 23 | 26 => Order::Integer,
            16 | 17 | 2950 => Order::Bytes,
            19 | 25 | 1043 if bytewise => Order::Bytes,
            1082 => Order::Date,
            1083 => Order::Time,
            1114 | 1184 => Order::Timestamp,
            _ => Order::Postgres,
        }
    }

    /// Compares two values by their texts; `None`: ask Postgres.
    pub fn compare(self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        if a == b {
            return Some(Ordering::Equal);
        }
        match self {
            Order::Integer => Some(integer(a)?.cmp(&integer(b)?)),
            Order::Bytes => Some(a.cmp(b)),
            Order::Date => Some(Moment::date(a)?.cmp(&Moment::date(b)?)),
            Order::Time => Some(time(a)?.cmp(&time(b)?)),
            Order::Timestamp => Some(Moment::timestamp(a)?.cmp(&Moment::timestamp(b)?)),
            Order::Postgres => None,
        }
    }
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A date or a timestamp, in Postgres's order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    MinusInfinity,
    /// (astronomical year, month and day, microseconds of the day)
    At(i32, u32, u64),
    Infinity,
}

impl Moment {
    fn infinite(text: &[u8]) -> Option<Moment> {
        match text {
            b"-infinity" => Some(Moment::MinusInfinity),
            b"infinity" => Some(Moment::Infinity),
            _ => None,
        }
    }

    fn date(text: &[u8]) -> Option<Moment> {
        if let Some(infinite) = Moment::infinite(text) {
            return Some(infinite);
        }
        let (date, bc) = strip_bc(text);
        let (year, day) = year_and_day(date, bc)?;
        Some(Moment::At(year, day, 0))
    }

    fn timestamp(text: &[u8]) -> Option<Moment> {
        if let Some(infinite) = Moment::infinite(text) {
            return Some(infinite);
        }
        let (text, bc) = strip_bc(text);
        let text = text.strip_suffix(b"+00").unwrap_or(text);
        let space = text.iter().position(|&b| b == b' ')?;
        let (year, day) = year_and_day(&text[..space], bc)?;
        Some(Moment::At(year, day, time(&text[space + 1..])?))
    }
}

fn strip_bc(text: &[u8]) -> (&[u8], bool) {
    match text.strip_suffix(b" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

/// Reads `YYYY-MM-DD`; the year has four digits or more. 1 BC is the year 0.
fn year_and_day(text: &[u8], bc: bool) -> Option<(i32, u32)> {
    let (year, rest) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let &[b'-', m1, m2, b'-', d1, d2] = rest else { return None };
    let month_and_day = digits(&[m1, m2])? * 100 + digits(&[d1, d2])?;
    if year.len() < 4 || year.len() > 7 {
        return None;
    }
    let year = digits(year)? as i32;
    Some((if bc { 1 - year } else { year }, month_and_day as u32))
}

/// Reads `HH:MM:SS[.ffffff]` as microseconds. `24:00:00` is the last time of a day.
fn time(text: &[u8]) -> Option<u64> {
    let (clock, fraction) = text.split_at_checked(8)?;
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let seconds = digits(&[h1, h2])? * 3600 + digits(&[m1, m2])? * 60 + digits(&[s1, s2])?;
    let micros = match fraction {
        [] => 0,
        [b'.', fraction @ ..] if (1..=6).contains(&fraction.len()) => {
            digits(fraction)? * 10u64.pow(6 - fraction.len() as u32)
        }
        _ => return None,
    };
    Some(seconds * 1_000_000 + micros)
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(order: Order, ascending: &[&str]) {
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(order.compare(a.as_bytes(), b.as_bytes()), Some(i.cmp(&j)), "{a} and {b}");
            }
        }
    }

    #[test]
    fn orders_texts_as_their_values() {
        check(Order::Integer, &["-9223372036854775808", "-10", "-9", "0", "9", "10", "9223372036854775807"]);
        check(Order::Bytes, &["\\x", "\\x00", "\\x0000", "\\x01", "\\x7f", "\\xff"]);
        check(
            Order::Date,
            &["-infinity", "4713-01-01 BC", "0001-12-31 BC", "0001-01-01", "9999-12-31", "10000-01-01", "infinity"],
        );
        check(Order::Time, &["00:00:00", "00:00:00.000001", "00:00:00.1", "09:59:59", "24:00:00"]);
        check(
            Order::Timestamp,
            &[
                "-infinity",
                "0044-03-15 12:00:00 BC",
                "0044-03-15 12:00:00.5 BC",
                "1999-12-31 23:59:59.999999",
                "2000-01-01 00:00:00",
                "294276-12-31 23:59:59.999999",
                "infinity",
            ],
        );
        check(Order::Timestamp, &["0001-01-01 00:00:00+00 BC", "2000-01-01 00:00:00+00", "2000-01-01 00:00:00.1+00"]);
    }

    #[test]
    fn leaves_to_postgres_what_it_does_not_read() {
        assert_eq!(Order::Postgres.compare(b"a", b"b"), None);
        assert_eq!(Order::Postgres.compare(b"a", b"a"), Some(Ordering::Equal));
        assert_eq!(Order::Integer.compare(b"1", b"1.5"), None);
        assert_eq!(Order::Timestamp.compare(b"2000-01-01 00:00:00+02", b"2000-01-01 00:00:00+00"), None);
        assert_eq!(Order::Date.compare(b"01/02/2000", b"2000-01-01"), None);
        assert_eq!(Order::Time.compare(b"1:00", b"2:00"), None);
    }
}
