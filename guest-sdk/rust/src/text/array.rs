//! Postgres's text of arrays.

use super::{Array, unreadable};
use crate::error::Result;

impl<S: AsRef<str>> Array<S> {
    /// Returns the elements of an array of one dimension as texts, NULL as `None`.
    ///
    /// # Errors
    /// [`Error::Rejected`](crate::Error::Rejected) for a text that is no array, and for one of more dimensions.
    pub fn elements(&self) -> Result<Vec<Option<String>>> {
        parse(self.as_str()).ok_or_else(|| unreadable("array of one dimension"))
    }
}

impl Array {
    /// Makes the text of an array of one dimension.
    pub fn of<T: AsRef<str>>(elements: impl IntoIterator<Item = Option<T>>) -> Array {
        let mut text = String::from("{");
        for element in elements {
            if text.len() > 1 {
                text.push(',');
            }
            match element {
                None => text.push_str("NULL"),
                Some(element) => {
                    text.push('"');
                    for letter in element.as_ref().chars() {
                        if matches!(letter, '"' | '\\') {
                            text.push('\\');
                        }
                        text.push(letter);
                    }
                    text.push('"');
                }
            }
        }
        text.push('}');
        Array(text)
    }
}

fn parse(text: &str) -> Option<Vec<Option<String>>> {
    // Bounds that do not begin at 1 stand before the elements: [0:1]={a,b}
    let text = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    if rest.is_empty() {
        return Some(elements);
    }
    loop {
        let (element, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_element(quoted).map(|(element, behind)| (Some(element), behind))?,
            None => plain_element(rest)?,
        };
        elements.push(element);
        if behind.is_empty() {
            return Some(elements);
        }
        rest = behind.strip_prefix(',')?;
    }
}

/// Takes an element up to its closing quote.
fn quoted_element(text: &str) -> Option<(String, &str)> {
    let mut element = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some((element, letters.as_str())),
            '\\' => element.push(letters.next()?),
            letter => element.push(letter),
        }
    }
}

/// Takes an element up to the next comma; without quotes Postgres prints neither braces nor quotes, nor nothing.
fn plain_element(text: &str) -> Option<(Option<String>, &str)> {
    let end = text.find(',').unwrap_or(text.len());
    let (element, behind) = text.split_at(end);
    if element.is_empty() || element.contains(['{', '}', '"', '\\']) {
        return None;
    }
    Some(((element != "NULL").then(|| element.to_owned()), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[Option<&str>]>) {
        let elements = Array::new(text).elements().ok();
        let expected = expected.map(|e| e.iter().map(|e| e.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(elements, expected, "{text}");
    }

    #[test]
    fn arrays_are_read_as_postgres_prints_them() {
        check("{}", Some(&[]));
        check("{1,2}", Some(&[Some("1"), Some("2")]));
        check(
            r#"{a,NULL,"NULL","","a,b","c\"d","e\\f"}"#,
            Some(&[Some("a"), None, Some("NULL"), Some(""), Some("a,b"), Some("c\"d"), Some("e\\f")]),
        );
        check("[0:1]={x,y}", Some(&[Some("x"), Some("y")]));
        for text in ["", "{", "}", "{a", "{{1,2},{3,4}}", "{a,}", r#"{"a"b}"#, r#"{"a}"#, "[0:1]{a}"] {
            check(text, None);
        }
    }

    #[test]
    fn arrays_come_back_as_they_were_made() {
        let elements = [Some("a"), None, Some("NULL"), Some(""), Some("q\"\\,{}")];
        let expected: Vec<_> = elements.iter().map(|e| e.map(str::to_owned)).collect();
        assert_eq!(Array::of(elements).elements(), Ok(expected));
    }
}
