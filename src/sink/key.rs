//! When two keys are the same key.
//!
//! Folding and batching find repeated keys by comparing bytes, but Postgres compares by the type's own equality:
//! `1.0 = 1.00` in numeric, `-0 = 0` in floats, `'A' = 'a'` in citext or under a nondeterministic collation,
//! `1 mon = 30 days` in intervals. And texts come from transforms, which may write a timestamp or an uuid in another
//! spelling than Postgres. A repeated key that goes unnoticed would break a statement (`ON CONFLICT DO UPDATE command
//! cannot affect row a second time`) or, worse, reorder two changes of one row.
//!
//! So a key takes part only if its bytes decide: for each type whose equality is that of its canonical text, [`Form`]
//! recognises canonical text and hands back the bytes that stand for the value. Everything else, other types and
//! unusual spellings alike, is not canonical, and the planner treats its table with statements that stay right
//! whichever keys turn out to be equal ([`super::runs`]).

/// How the text of a key column's type stands for its value: decided by the destination's column, where keys are
/// compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Equal if and only if the bytes are: text under a deterministic collation, enum labels.
    Bytes,
    /// The same for `varchar(n)`, as long as nothing is cut off.
    Varchar(i32),
    /// Trailing blanks do not count.
    Blanks,
    Bool,
    Integer,
    /// `numeric` without a modifier, trailing zeros aside.
    Numeric,
    Uuid,
    Bytea,
    Date,
    /// With the number of fractional digits that the column keeps.
    Time(usize),
    Timestamp(usize),
    Timestamptz(usize),
    /// Only Postgres knows.
    Unknown,
}

impl Form {
    /// Returns the form of a column's type by the OID that `pg_type.dat` fixes. Domains are [`Form::Unknown`].
    pub(super) fn of(oid: u32, modifier: i32, deterministic: bool, is_enum: bool) -> Form {
        let digits = if (0..6).contains(&modifier) { modifier as usize } else { 6 };
        match oid {
            _ if is_enum => Form::Bytes,
            25 if deterministic => Form::Bytes,
            1043 if deterministic && modifier < 0 => Form::Bytes,
            1043 if deterministic => Form::Varchar(modifier - 4),
            1042 if deterministic => Form::Blanks,
            16 => Form::Bool,
            20 | 21 | 23 | 26 => Form::Integer,
            1700 if modifier < 0 => Form::Numeric,
            2950 => Form::Uuid,
            17 => Form::Bytea,
            1082 => Form::Date,
            1083 => Form::Time(digits),
            1114 => Form::Timestamp(digits),
            1184 => Form::Timestamptz(digits),
            _ => Form::Unknown,
        }
    }

    /// True where equal values always have equal text, so that `=` finds exactly the value that was written.
    pub(super) fn equality_is_identity(self) -> bool {
        !matches!(self, Form::Unknown | Form::Numeric)
    }

    /// True where every value has one text, which both ends of a flow print, and other values have others.
    pub(super) fn is_spelt_once(self) -> bool {
        !matches!(self, Form::Unknown | Form::Numeric | Form::Blanks)
    }

    /// Returns the bytes that stand for the value, `None` if `text` may be equal to other bytes.
    pub(super) fn canonical(self, text: &[u8]) -> Option<&[u8]> {
        let holds = match self {
            Form::Bytes => true,
            // More bytes than n may be more characters than n: blanks behind them are cut off in silence.
            Form::Varchar(length) => text.len() <= length.max(0) as usize,
            Form::Blanks => {
                let kept = text.iter().rposition(|&b| b != b' ').map_or(0, |last| last + 1);
                return Some(&text[..kept]);
            }
            Form::Bool => matches!(text, b"t" | b"f"),
            Form::Integer => is_integer(text),
            Form::Numeric => return numeric(text),
            Form::Uuid => is_uuid(text),
            Form::Bytea => {
                text.len().is_multiple_of(2)
                    && text.strip_prefix(b"\\x").is_some_and(|hex| hex.iter().all(|b| is_lower_hex(*b)))
            }
            Form::Date => is_infinity(text) || date(text).is_some_and(|rest| matches!(rest, b"" | b" BC")),
            Form::Time(digits) => text == b"24:00:00" || time(text, digits).is_some_and(|rest| rest.is_empty()),
            Form::Timestamp(digits) => {
                is_infinity(text) || timestamp(text, digits).is_some_and(|rest| matches!(rest, b"" | b" BC"))
            }
            Form::Timestamptz(digits) => {
                is_infinity(text) || timestamp(text, digits).is_some_and(|rest| matches!(rest, b"+00" | b"+00 BC"))
            }
            Form::Unknown => false,
        };
        holds.then_some(text)
    }
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Cuts off the zeros behind the point: `1.50` and `1.5` are one value.
fn numeric(text: &[u8]) -> Option<&[u8]> {
    if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
        return Some(text);
    }
    let Some(point) = memchr::memchr(b'.', text) else {
        return is_integer(text).then_some(text);
    };
    let (whole, fraction) = (&text[..point], &text[point + 1..]);
    if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let significant = fraction.iter().rposition(|&b| b != b'0').map_or(0, |last| last + 1);
    if significant == 0 {
        return is_integer(whole).then_some(whole);
    }
    // -0.5 is canonical though -0 is not.
    (whole == b"-0" || is_integer(whole)).then_some(&text[..point + 1 + significant])
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_uuid(text: &[u8]) -> bool {
    let at = |(i, &byte): (usize, &u8)| if matches!(i, 8 | 13 | 18 | 23) { byte == b'-' } else { is_lower_hex(byte) };
    text.len() == 36 && text.iter().enumerate().all(at)
}

fn is_infinity(text: &[u8]) -> bool {
    matches!(text, b"infinity" | b"-infinity")
}

/// Reads `YYYY-MM-DD`, years of more digits included, and returns what is behind.
fn date(text: &[u8]) -> Option<&[u8]> {
    let year = text.iter().position(|b| !b.is_ascii_digit())?;
    if year < 4 || (year > 4 && text[0] == b'0') {
        return None;
    }
    match &text[year..] {
        [b'-', a, b, b'-', c, d, rest @ ..] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()) => Some(rest),
        _ => None,
    }
}

/// Reads `HH:MM:SS[.ffffff]` without superfluous zeros and returns what is behind.
fn time(text: &[u8], digits: usize) -> Option<&[u8]> {
    let [h0, h1, b':', m0 @ b'0'..=b'5', m1, b':', s0 @ b'0'..=b'5', s1, rest @ ..] = text else {
        return None;
    };
    let is_hour = matches!((h0, h1), (b'0' | b'1', b'0'..=b'9') | (b'2', b'0'..=b'3'));
    if !is_hour || ![m0, m1, s0, s1].iter().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let [b'.', fraction @ ..] = rest else {
        return Some(rest);
    };
    let length = fraction.iter().position(|b| !b.is_ascii_digit()).unwrap_or(fraction.len());
    // The column would round more digits than it keeps.
    (length > 0 && length <= digits && fraction[length - 1] != b'0').then_some(&fraction[length..])
}

fn timestamp(text: &[u8], digits: usize) -> Option<&[u8]> {
    time(date(text)?.strip_prefix(b" ")?, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: Form, text: &str, expected: Option<&str>) {
        let found = form.canonical(text.as_bytes()).map(|b| std::str::from_utf8(b).unwrap());
        assert_eq!(found, expected, "{form:?} of {text}");
    }

    #[test]
    fn only_postgres_own_spelling_is_canonical() {
        for text in ["0", "-1", "9223372036854775807"] {
            check(Form::Integer, text, Some(text));
        }
        for text in ["", "-", "-0", "+1", "01", "1 ", "1.0", "1e3"] {
            check(Form::Integer, text, None);
        }
        check(Form::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
        check(Form::Uuid, "A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None);
        check(Form::Bytea, "\\x00ff", Some("\\x00ff"));
        check(Form::Bytea, "\\x00FF", None);
        check(Form::Date, "0044-03-15 BC", Some("0044-03-15 BC"));
        check(Form::Date, "10000-01-01", Some("10000-01-01"));
        check(Form::Date, "010000-01-01", None);
        check(Form::Date, "2024-1-01", None);
        check(Form::Time(6), "24:00:00", Some("24:00:00"));
        check(Form::Time(6), "24:00:01", None);
        check(Form::Time(6), "23:59:60", None);
        check(Form::Timestamp(6), "2024-01-01 10:00:00.5", Some("2024-01-01 10:00:00.5"));
        check(Form::Timestamp(0), "2024-01-01 10:00:00.5", None);
        check(Form::Timestamp(6), "2024-01-01 10:00:00.50", None);
        check(Form::Timestamp(6), "2024-01-01T10:00:00", None);
        check(Form::Timestamptz(6), "2024-01-01 10:00:00+00", Some("2024-01-01 10:00:00+00"));
        check(Form::Timestamptz(6), "2024-01-01 10:00:00+01", None);
        check(Form::Timestamptz(6), "-infinity", Some("-infinity"));
        check(Form::Varchar(3), "abcd", None);
        check(Form::Unknown, "1", None);
    }

    #[test]
    fn spellings_of_one_value_become_the_same_bytes() {
        for (text, canonical) in [("1.00", "1"), ("1.50", "1.5"), ("0.0", "0"), ("-0.50", "-0.5"), ("NaN", "NaN")] {
            check(Form::Numeric, text, Some(canonical));
        }
        for text in ["-0", "-0.0", "1.", ".5", "1e3", "01.5"] {
            check(Form::Numeric, text, None);
        }
        check(Form::Blanks, "ab  ", Some("ab"));
        check(Form::Blanks, "  ", Some(""));
    }
}
