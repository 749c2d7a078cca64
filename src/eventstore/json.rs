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

/// Returns true for an integer as JSON spells it: what Postgres prints of one always is.
pub(super) fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain && (digits.len() == 1 || digits[0] != b'0') && text != b"-0"
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
    digits(whole_digits)
        && (whole_digits.len() == 1 || whole_digits[0] != b'0')
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| {
            digits(exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent))
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
    fn only_what_json_spells_is_a_number() {
        for text in ["0", "-1", "9223372036854775807"] {
            assert!(is_integer(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "-0", "01", "+1", "1.0", "1e3", " 1"] {
            assert!(!is_integer(text.as_bytes()), "{text}");
        }
        for text in ["0", "1", "-1.5", "1e+20", "1.5e-07", "5e-324", "-0.1"] {
            assert!(is_float(text.as_bytes()), "{text}");
            assert!(serde_json::from_str::<f64>(text).is_ok(), "{text}");
        }
        for text in ["", "-0", "-0.0", "-0e0", "NaN", "Infinity", "-Infinity", ".5", "5.", "1e", "00", "0x1", "1_0"] {
            assert!(!is_float(text.as_bytes()), "{text}");
        }
    }
}
