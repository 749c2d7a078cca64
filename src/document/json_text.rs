//! JSON where it is not YAML: a tab behind a colon, and a character beyond the basic plane written as two escapes.

use std::fmt::Write;

use super::problem::Place;

/// Returns true for a text that is JSON as a whole.
pub(crate) fn is_json(text: &str) -> bool {
    // Most texts are YAML: look at the first character before all of them.
    text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Returns where a text stops being JSON, and why.
pub(crate) fn json_error(text: &str) -> Option<(Place, String)> {
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    let line = text.split('\n').nth(error.line().checked_sub(1)?)?;
    // It counts bytes, and up to the one that it has read last.
    let column = line.bytes().take(error.column()).filter(|byte| byte & 0xc0 != 0x80).count();
    let at = Place { line: u32::try_from(error.line()).ok()?, column: u32::try_from(column.max(1)).ok()? };
    let told = error.to_string();
    let told = told.rsplit_once(" at line ").map_or(told.as_str(), |(told, _)| told);
    Some((at, format!("this is not valid JSON: {told}")))
}

/// Turns JSON into YAML of the same meaning, every character at its place or two columns off it.
pub(crate) fn as_yaml(json: &str) -> String {
    let mut yaml = String::with_capacity(json.len());
    let mut rest = json;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => {
                in_string = !in_string;
                yaml.push(c);
            }
            '\\' => match surrogates(rest) {
                Some(character) => {
                    // Cannot fail: it writes to a string.
                    let _ = write!(yaml, "\\U{:08X}", u32::from(character));
                    rest = &rest["uD83D\\uDE00".len()..];
                }
                None => {
                    yaml.push(c);
                    if let Some(escaped) = rest.chars().next() {
                        yaml.push(escaped);
                        rest = &rest[escaped.len_utf8()..];
                    }
                }
            },
            '\t' if !in_string => yaml.push(' '),
            _ => yaml.push(c),
        }
    }
    yaml
}

/// Reads the two escapes of one character, `uD83D\uDE00` (the first backslash is read already).
fn surrogates(text: &str) -> Option<char> {
    let unit = |text: &str| u16::from_str_radix(text, 16).ok();
    let high = unit(text.strip_prefix('u')?.get(..4)?)?;
    let low = unit(text.get(5..)?.strip_prefix("\\u")?.get(..4)?)?;
    let mut characters = char::decode_utf16([high, low]);
    // Two escapes of one character each are none of our business.
    match (characters.next(), characters.next()) {
        (Some(Ok(character)), None) => Some(character),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_is_no_yaml_becomes_yaml() {
        assert_eq!(as_yaml("{\"a\":\t1,\n\t\"b\\\"\t\": 2}"), "{\"a\": 1,\n \"b\\\"\t\": 2}");
        assert_eq!(
            as_yaml(r#"["\ud83d\ude00","\u0041\u0042","\\ud83d\\ude00"]"#),
            r#"["\U0001F600","\u0041\u0042","\\ud83d\\ude00"]"#
        );
        assert_eq!(json_error("{}"), None);
        let (at, message) = json_error("{\n  \"é\": 1\n  \"b\": 2\n}").unwrap();
        assert_eq!((at.line, at.column, message.as_str()), (3, 3, "this is not valid JSON: expected `,` or `}`"));
        assert!(is_json(" {\"a\": [1, null]}\n"));
        assert!(!is_json("{a: 1}") && !is_json("a: 1") && !is_json(""));
    }
}
