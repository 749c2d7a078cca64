//! Text of guests made fit for logs and errors, and numbers for people.

/// Prints `1003` as `1,003`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Cuts `text` to `bytes_max` and escapes what a terminal or a log file would obey: one line in, one line out.
pub(super) fn printable(text: &str, bytes_max: usize) -> String {
    let mut cut = text.len().min(bytes_max);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut out = String::with_capacity(cut);
    for c in text[..cut].chars() {
        // Bidirectional overrides can make a line read as what it is not.
        let obeyed = c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
        if obeyed { out.extend(c.escape_default()) } else { out.push(c) }
    }
    if cut < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let printed = [0, 999, 1003, 1_000_000].map(grouped);
        assert_eq!(printed, ["0", "999", "1,003", "1,000,000"]);
    }

    #[test]
    fn what_a_guest_says_stays_on_one_line() {
        assert_eq!(printable("a\nb\x1b[31m\u{202e}ü", 100), "a\\nb\\u{1b}[31m\\u{202e}ü");
        assert_eq!(printable("üü", 3), "ü…");
    }
}
