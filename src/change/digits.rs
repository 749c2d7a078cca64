//! How exact the values of a column are: what a column with fewer digits would round in silence.
//!
//! Postgres refuses a text that is too long for its column and a number that is too large for it. What it does not
//! refuse is a number or a time with more digits behind the point than the column keeps: it rounds, without a word.

use super::Kind;

/// A type modifier's length word, which numeric, varchar and their like count in.
const HEADER: i32 = 4;
/// Digits of a second that times, timestamps and intervals have where nothing is said.
const OF_A_SECOND: i32 = 6;

/// Returns how many digits behind the point a column of that kind keeps of a number or a second, `None` for kinds whose
/// values are never rounded. A numeric without a modifier keeps any number of them: `i32::MAX`.
///
/// An interval of which only some fields are kept (`interval day to hour`) has less than none, the fewer the coarser its
/// last field is. Of an array its elements count.
pub fn fraction_digits(kind: &Kind, modifier: i32) -> Option<i32> {
    match kind {
        Kind::Int16 | Kind::Int32 | Kind::Int64 => Some(0),
        Kind::Numeric if modifier < HEADER => Some(i32::MAX),
        // Eleven bits with a sign: since PostgreSQL 15 a scale may be negative.
        Kind::Numeric => Some((((modifier - HEADER) & 0x7ff) ^ 0x400) - 0x400),
        Kind::Time | Kind::Timetz | Kind::Timestamp | Kind::Timestamptz => {
            Some(if modifier < 0 { OF_A_SECOND } else { modifier.min(OF_A_SECOND) })
        }
        Kind::Interval if modifier < 0 => Some(OF_A_SECOND),
        Kind::Interval => Some(of_interval(modifier)),
        Kind::Array(element) => fraction_digits(&Kind::of_name(element)?, modifier),
        _ => None,
    }
}

/// An interval's modifier: the set of its fields above, digits of a second below (`src/include/utils/timestamp.h`).
fn of_interval(modifier: i32) -> i32 {
    const ALL_FIELDS: i32 = 0x7fff;
    /// The bits of second, minute, hour, day, month and year, from the finest.
    const FIELDS: [u32; 6] = [12, 11, 10, 3, 1, 2];
    let (fields, digits) = (modifier >> 16 & ALL_FIELDS, modifier & 0xffff);
    let finest = FIELDS.iter().position(|bit| fields & (1 << bit) != 0).unwrap_or(0);
    if fields == ALL_FIELDS || finest == 0 { digits.min(OF_A_SECOND) } else { -(finest as i32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, modifier: i32, digits: impl Into<Option<i32>>) {
        assert_eq!(fraction_digits(&kind, modifier), digits.into(), "{kind} {modifier}");
    }

    /// The modifiers are those that PostgreSQL 15 keeps in `pg_attribute.atttypmod`.
    #[test]
    fn modifiers_are_read_as_postgres_writes_them() {
        check(Kind::Numeric, -1, i32::MAX);
        check(Kind::Numeric, 655_366, 2); // numeric(10,2)
        check(Kind::Numeric, 786_440, 4); // numeric(12,4)
        check(Kind::Numeric, 198_658, -2); // numeric(3,-2)
        check(Kind::Numeric, 65_537_004, 1_000); // numeric(1000,1000)
        check(Kind::Array("numeric".into()), 655_366, 2);
        check(Kind::Timestamp, -1, 6);
        check(Kind::Timestamptz, 0, 0);
        check(Kind::Array("time without time zone".into()), 3, 3);
        check(Kind::Interval, -1, 6);
        check(Kind::Interval, 2_147_418_115, 3); // interval(3)
        check(Kind::Interval, 268_435_458, 2); // interval second(2)
        check(Kind::Interval, 470_351_871, 6); // interval day to second
        check(Kind::Interval, 67_698_687, -2); // interval day to hour
        check(Kind::Interval, 327_679, -5); // interval year
        check(Kind::Text, 7, None);
        check(Kind::Float64, -1, None);
        check(Kind::Array("text".into()), 7, None);
        check(Kind::Other("box".into()), -1, None);
    }
}
