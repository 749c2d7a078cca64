//! Rows as Postgres prints them: `(1,"a ""quoted"" value",,"")`.
//!
//! A row as text is the one form in which each value is as its type's own output function prints it, and NULL is not the
//! empty text. What is quoted has its quotes and backslashes doubled.

/// Returns the fields of a row, `None` for NULL.
pub(super) fn fields(text: &str) -> Vec<Option<Vec<u8>>> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text).as_bytes();
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        if inner.get(at) == Some(&b'"') {
            let mut value = Vec::new();
            at += 1;
            while let Some(&byte) = inner.get(at) {
                match (byte, inner.get(at + 1)) {
                    (b'"', Some(b'"')) | (b'\\', Some(b'\\')) => at += 1,
                    (b'"', _) => break,
                    _ => {}
                }
                value.push(byte);
                at += 1;
            }
            at += 1;
            fields.push(Some(value));
        } else {
            let end = memchr::memchr(b',', &inner[at..]).map_or(inner.len(), |end| at + end);
            fields.push((end > at).then(|| inner[at..end].to_vec()));
            at = end;
        }
        // A comma, or the end.
        if at >= inner.len() {
            return fields;
        }
        at += 1;
        if at == inner.len() {
            fields.push(None);
            return fields;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_postgres_prints_them() {
        let check = |text: &str, expected: &[Option<&str>]| {
            let found = fields(text);
            let found: Vec<Option<&str>> =
                found.iter().map(|field| field.as_deref().map(|field| std::str::from_utf8(field).unwrap())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("(1,t)", &[Some("1"), Some("t")]);
        check("()", &[None]);
        check("(,)", &[None, None]);
        check("(1,)", &[Some("1"), None]);
        check("(\"\",x)", &[Some(""), Some("x")]);
        check("(\"a \"\"b\"\", c\",\"\\\\\\\\n\",(x)", &[Some("a \"b\", c"), Some("\\\\n"), Some("(x")]);
        check("(\"(1,\"\"a\"\")\",\"\"\"\")", &[Some("(1,\"a\")"), Some("\"")]);
    }
}
