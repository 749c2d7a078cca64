//! Reads JSON (RFC 8259).

use std::borrow::Cow;

use super::{Array, Item, Read};

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads `byte` if it comes next, behind white space.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.bytes()[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{what} at byte {} of the payload", self.at))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                None => return self.wrong("the payload ends inside a string"),
                Some(b'"') => {
                    let rest = &self.text[copied..self.at];
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(rest),
                        Some(text) => Cow::Owned(text + rest),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[copied..self.at]);
                    self.at += 1;
                    let c = self.escape()?;
                    unescaped.get_or_insert_default().push(c);
                    copied = self.at;
                }
                Some(0..0x20) => return self.wrong("a control character inside a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let escape = self.peek();
        self.at += usize::from(escape.is_some());
        Ok(match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hex4()?;
                let code = if (0xd800..0xdc00).contains(&unit) && self.word("\\u") {
                    let low = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.wrong("half a surrogate pair");
                    }
                    0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    unit
                };
                match char::from_u32(code) {
                    Some(c) => c,
                    None => return self.wrong("half a surrogate pair"),
                }
            }
            _ => return self.wrong("an unknown escape"),
        })
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let digits = self.bytes().get(self.at..self.at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return self.wrong("an escape without four hexadecimal digits");
        };
        self.at += 4;
        let digit = |d: u8| char::from(d).to_digit(16).unwrap_or(0);
        Ok(digits.iter().fold(0, |code, &d| code << 4 | digit(d)))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Item<'a>, String> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || zero && whole > 1 {
            return self.wrong("no JSON number");
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            integer = false;
            if self.digits() == 0 {
                return self.wrong("no JSON number");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            integer = false;
            if self.digits() == 0 {
                return self.wrong("no JSON number");
            }
        }
        let text = &self.text[start..self.at];
        if integer {
            // `-0` is a float: as an integer it would lose its sign.
            if text != "-0"
                && let Ok(value) = text.parse()
            {
                return Ok(Item::Int(value));
            }
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Item::Float(value)),
            _ => Ok(Item::Other("a number beyond 64-bit floats")),
        }
    }
}

impl<'a> Read<'a> for Reader<'a> {
    fn array(&mut self) -> Result<Option<Array>, String> {
        self.skip_space();
        if self.word("null") {
            return Ok(None);
        }
        if !self.eat(b'[') {
            return self.wrong("no array");
        }
        Ok(Some(Array { left: 0, fresh: true }))
    }

    fn more(&mut self, array: &mut Array) -> Result<bool, String> {
        if self.eat(b']') {
            return Ok(false);
        }
        if !array.fresh && !self.eat(b',') {
            return self.wrong("neither a comma nor the end of an array");
        }
        array.fresh = false;
        Ok(true)
    }

    fn item(&mut self) -> Result<Item<'a>, String> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(Item::Text(self.string()?))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') if self.word("null") => Ok(Item::Null),
            Some(b't') if self.word("true") => Ok(Item::Bool(true)),
            Some(b'f') if self.word("false") => Ok(Item::Bool(false)),
            Some(b'[') => {
                self.at += 1;
                let unchanged = self.eat(b'0') && self.eat(b']');
                Ok(if unchanged { Item::Unchanged } else { Item::Other("an array") })
            }
            Some(b'{') => Ok(Item::Other("an object")),
            Some(_) => self.wrong("no JSON value"),
            None => self.wrong("the payload ends too early"),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip_space();
        match self.text.len() - self.at {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left behind the rows")),
        }
    }
}
