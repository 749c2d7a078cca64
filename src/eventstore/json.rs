//! JSON as it is written into events.

use bytes::{BufMut, BytesMut};

/// What a JSON string can't hold as it is.
const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Appends a string in quotes. `text` is UTF-8, as every text of Postgres is here.
pub(super) fn string(out: &mut BytesMut, mut text: &[u8]) {
    out.put_u8(b'"');
    while let Some(at) = text.iter().position(|&byte| ESCAPED[usize::from(byte)]) {
        out.put_slice(&text[..at]);
        match text[at] {
            byte @ (b'"' | b'\\') => out.put_slice(&[b'\\', byte]),
            b'\n' => out.put_slice(b"\\n"),
            b'\t' => out.put_slice(b"\\t"),
            b'\r' => out.put_slice(b"\\r"),
            byte => {
                out.put_slice(b"\\u00");
                out.put_slice(&[
                    b"0123456789abcdef"[usize::from(byte >> 4)],
                    b"0123456789abcdef"[usize::from(byte & 15)],
                ]);
            }
        }
        text = &text[at + 1..];
    }
    out.put_slice(text);
    out.put_u8(b'"');
}

/// Bytes that jsonb has no room for in an object: `JENTRY_OFFLENMASK` of Postgres's `jsonb.h`, less what the former row, which
/// stands in another object, needs around it.
pub(super) const OBJECT_MAX: usize = 0x0fff_0000;

/// A one-digit number of an array takes two bytes of text and some twelve of jsonb, and some more while it is read.
const FOREIGN_MAX: usize = 32 << 20;

/// Returns true for a JSON text that jsonb takes: it is well-formed already. jsonb has no NUL, no half of a surrogate pair, no
/// number that numeric can't hold, and the server's stack bounds how deep it nests. The bounds here are narrower than
/// Postgres's, and wider than what anybody writes.
pub(super) fn is_jsonb(text: &[u8]) -> bool {
    const NUMBER: usize = 8_000;
    const DEPTH: usize = 1_000;
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' if depth == DEPTH => return false,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => match string_length(&text[at..]) {
                Some(length) => at += length,
                None => return false,
            },
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
                let rest = &text[at..];
                let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                let number = &rest[..length];
                let exponent = number.iter().position(|byte| matches!(byte, b'e' | b'E')).map(|at| &number[at + 1..]);
                let is_small = |digits: &[u8]| {
                    let digits = digits.strip_prefix(b"-").or(digits.strip_prefix(b"+")).unwrap_or(digits);
                    std::str::from_utf8(digits)
                        .ok()
                        .and_then(|digits| digits.parse().ok())
                        .is_some_and(|e: usize| e <= NUMBER)
                };
                if length > NUMBER || exponent.is_some_and(|exponent| !is_small(exponent)) {
                    return false;
                }
                at += length;
            }
            _ => {}
        }
    }
    text.len() <= FOREIGN_MAX
}

/// Returns the length of a string behind its first quote, with its last one; `None` where jsonb does not take it.
fn string_length(text: &[u8]) -> Option<usize> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        match unit(at) {
            None => at += 2,
            Some(0 | 0xdc00..=0xdfff) => return None,
            Some(0xd800..=0xdbff) if !unit(at + 6).is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) => return None,
            Some(0xd800..=0xdbff) => at += 12,
            Some(_) => at += 6,
        }
    }
}

/// Longer than any integer or float that Postgres prints.
const PRINTED: usize = 40;

/// Returns true for an integer as JSON spells it: what Postgres prints of one always is.
pub(super) fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain && text.len() <= PRINTED && (digits.len() == 1 || digits[0] != b'0') && text != b"-0"
}

/// Returns true for a float that JSON can spell and jsonb keeps: finite, and not the negative zero, whose sign a jsonb
/// number has not.
pub(super) fn is_float(text: &[u8]) -> bool {
    let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let whole_digits = whole.strip_prefix(b"-").unwrap_or(whole);
    text.len() <= PRINTED
        && digits(whole_digits)
        && (whole_digits.len() == 1 || whole_digits[0] != b'0')
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
            digits(exponent) && exponent.len() <= 3
        })
        && !(text[0] == b'-' && mantissa.iter().all(|byte| matches!(byte, b'-' | b'.' | b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_back_by_any_reader() {
        for text in ["", "plain", "a\"b\\c\n\r\t\u{1}\u{1f}é\u{2028}🦀", "\u{7f}"] {
            let mut out = BytesMut::new();
            string(&mut out, text.as_bytes());
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn what_jsonb_does_not_take_is_told() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let digits = |count: usize| "1".repeat(count);
        let good = [
            r#"{"a": [1, -2.5e10, null, true], "\u0001": "\\u0000\"]}"}"#,
            r#""\ud83e\udd80 \u0001 \n""#,
            "1e8000",
            &deep(1_000),
            &digits(8_000),
            &format!("{},{}", deep(10), deep(10)),
        ];
        for text in good {
            assert!(is_jsonb(text.as_bytes()), "{text}");
        }
        let half = [r#""\ud83e""#, r#""\udd80""#, r#""\ud83e\u0041""#, r#""\ud83e x""#, r#"["a", "\\\u0000"]"#];
        let large = [&*deep(1_001), &digits(9_000), "1e9999", "-1E-99999", "[1e99999999999999999999]"];
        for text in half.iter().chain(&large) {
            assert!(!is_jsonb(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn only_what_json_spells_is_a_number() {
        for text in ["0", "-1", "9223372036854775807"] {
            assert!(is_integer(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "-0", "01", "+1", "1.0", "1e3", " 1", &"1".repeat(41)] {
            assert!(!is_integer(text.as_bytes()), "{text}");
        }
        for text in ["0", "1", "-1.5", "1e+20", "1.5e-07", "5e-324", "-0.1"] {
            assert!(is_float(text.as_bytes()), "{text}");
            assert!(serde_json::from_str::<f64>(text).is_ok(), "{text}");
        }
        for text in
            ["", "-0", "-0.0", "-0e0", "NaN", "Infinity", "-Infinity", ".5", "5.", "1e", "00", "0x1", "1_0", "1e1000"]
        {
            assert!(!is_float(text.as_bytes()), "{text}");
        }
    }
}
