//! What a piece of SQL text is: a string, a name, a comment, a placeholder.
//!
//! The rules are those of the manual's "Lexical Structure", under `standard_conforming_strings = on`. A colon is part of a
//! placeholder only where SQL has no use for one: not in `::type`, `:=`, nor in the slice of an array, `a[1:n]`, but in an
//! `ARRAY[:a, :b]`.

use std::ops::Range;

use super::{BadTemplate, Placeholder};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space or a comment.
    Space,
    /// A keyword or a name as it stands.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string constant, a number.
    Constant,
    Placeholder(Placeholder),
    /// One character of an operator or a bracket; `::` and `:=` as one.
    Symbol,
    Semicolon,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Cuts a text into tokens that together are all of it.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, BadTemplate> {
    let mut lexer = Lexer { bytes: text.as_bytes(), at: 0, brackets: Vec::new(), last: Last::Other };
    let mut tokens = Vec::new();
    while lexer.at < lexer.bytes.len() {
        let start = lexer.at;
        let kind = lexer.next(text)?;
        debug_assert!(lexer.at > start);
        tokens.push(Token { kind, start, end: lexer.at });
    }
    Ok(tokens)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Round,
    /// `ARRAY[…]`, and the lists inside of one.
    Constructor,
    /// `a[…]`
    Subscript,
}

/// What came last, as far as a bracket behind it depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A name or a closing bracket: what can have a subscript.
    Value,
    /// The word ARRAY.
    Array,
    Other,
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    brackets: Vec<Bracket>,
    last: Last,
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn in_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Moves over what `is` says, and at least to `least` bytes from here.
    fn skip(&mut self, least: usize, is: impl Fn(u8) -> bool) {
        self.at += least;
        while self.at < self.bytes.len() && is(self.bytes[self.at]) {
            self.at += 1;
        }
    }

    fn next(&mut self, text: &str) -> Result<Kind, BadTemplate> {
        let start = self.at;
        let kind = match (self.peek(0), self.peek(1)) {
            (byte, _) if byte.is_ascii_whitespace() || byte == 0x0b => {
                self.skip(1, |byte| byte.is_ascii_whitespace() || byte == 0x0b);
                return Ok(Kind::Space);
            }
            (b'-', b'-') => {
                self.skip(2, |byte| byte != b'\n' && byte != b'\r');
                return Ok(Kind::Space);
            }
            (b'/', b'*') => {
                self.comment()?;
                return Ok(Kind::Space);
            }
            (b'\'', _) => self.string(0, false)?,
            (b'e' | b'E', b'\'') => self.string(1, true)?,
            // Those of other prefixes (`b'…'`, `U&'…'`) end where an ordinary one does.
            (b'u' | b'U', b'&') if self.peek(2) == b'"' => self.quoted(2)?,
            (b'"', _) => self.quoted(0)?,
            (b'$', next) if next.is_ascii_digit() => {
                self.skip(1, |byte| byte.is_ascii_digit());
                let digits = &text[start + 1..self.at];
                let number = digits.parse().ok().filter(|number| *number > 0);
                Kind::Placeholder(Placeholder::Numbered(number.ok_or_else(|| BadTemplate::Number(digits.to_owned()))?))
            }
            (b'$', next) if next == b'$' || starts_name(next) => self.dollar_quoted()?,
            (byte, _) if starts_name(byte) => {
                self.skip(1, in_name);
                Kind::Word
            }
            (byte, next) if byte.is_ascii_digit() || (byte == b'.' && next.is_ascii_digit()) => {
                self.number();
                Kind::Constant
            }
            (b':', b':' | b'=') => {
                self.at += 2;
                Kind::Symbol
            }
            (b':', next) if starts_name(next) && self.brackets.last() != Some(&Bracket::Subscript) => {
                // As ReJot's: a dollar ends the name.
                self.skip(1, |byte| in_name(byte) && byte != b'$');
                Kind::Placeholder(Placeholder::Named(text[start + 1..self.at].to_owned()))
            }
            (b';', _) => {
                self.at += 1;
                Kind::Semicolon
            }
            (byte, _) => {
                self.at += 1;
                self.bracket(byte);
                Kind::Symbol
            }
        };
        self.last = match (&kind, self.bytes[self.at - 1]) {
            (Kind::Word, _) if text[start..self.at].eq_ignore_ascii_case("array") => Last::Array,
            (Kind::Word | Kind::Quoted | Kind::Placeholder(_), _) | (Kind::Symbol, b')' | b']') => Last::Value,
            _ => Last::Other,
        };
        Ok(kind)
    }

    fn bracket(&mut self, byte: u8) {
        let opened = match byte {
            b'(' => Bracket::Round,
            b'[' if self.last == Last::Value => Bracket::Subscript,
            b'[' => Bracket::Constructor,
            b')' | b']' => {
                self.brackets.pop();
                return;
            }
            _ => return,
        };
        self.brackets.push(opened);
    }

    fn comment(&mut self) -> Result<(), BadTemplate> {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => depth += 1,
                (b'*', b'/') => depth -= 1,
                _ if self.at >= self.bytes.len() => return Err(BadTemplate::Unclosed("a comment")),
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn string(&mut self, prefix: usize, escapes: bool) -> Result<Kind, BadTemplate> {
        self.enclosed(prefix, b'\'', escapes).then_some(Kind::Constant).ok_or(BadTemplate::Unclosed("a string"))
    }

    fn quoted(&mut self, prefix: usize) -> Result<Kind, BadTemplate> {
        self.enclosed(prefix, b'"', false).then_some(Kind::Quoted).ok_or(BadTemplate::Unclosed("a quoted name"))
    }

    /// Moves behind the quote that closes; one that is doubled does not. Returns false when there is none.
    fn enclosed(&mut self, prefix: usize, quote: u8, escapes: bool) -> bool {
        self.at += prefix + 1;
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\\' if escapes => self.at += 2,
                byte if byte == quote && self.peek(1) == quote => self.at += 2,
                byte if byte == quote => {
                    self.at += 1;
                    return true;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
        false
    }

    /// `$tag$ … $tag$`, or a lone dollar.
    fn dollar_quoted(&mut self) -> Result<Kind, BadTemplate> {
        let tag = self.rest()[1..].iter().position(|&byte| !in_name(byte) || byte == b'$').map_or(0, |end| end + 1);
        if tag == 0 || self.peek(tag) != b'$' {
            self.at += 1;
            return Ok(Kind::Symbol);
        }
        let delimiter = self.rest()[..=tag].to_vec();
        self.at += delimiter.len();
        match self.rest().windows(delimiter.len()).position(|window| window == delimiter) {
            Some(end) => {
                self.at += end + delimiter.len();
                Ok(Kind::Constant)
            }
            None => Err(BadTemplate::Unclosed("a dollar-quoted string")),
        }
    }

    fn number(&mut self) {
        let start = self.at;
        while self.at < self.bytes.len() {
            let sign_of_exponent = matches!(self.peek(0), b'+' | b'-')
                && self.at > start
                && matches!(self.bytes[self.at - 1], b'e' | b'E')
                && !self.bytes[start..].starts_with(b"0x");
            if !(self.peek(0).is_ascii_alphanumeric() || matches!(self.peek(0), b'_' | b'.') || sign_of_exponent) {
                break;
            }
            self.at += 1;
        }
        self.at = self.at.max(start + 1);
    }
}
