//! JSON: what its numbers can't hold travels as Postgres's text.

use super::Write;
use super::scalar::Scalar;
use crate::wasm::float;

#[derive(Default)]
pub(in crate::wasm) struct Json {
    pub text: Vec<u8>,
    /// An item stands before the next one in the same array.
    behind_item: bool,
}

impl Write for Json {
    fn open(&mut self, _items: usize) {
        self.separate();
        self.text.push(b'[');
        self.behind_item = false;
    }

    fn close(&mut self) {
        self.text.push(b']');
        self.behind_item = true;
    }

    fn nil(&mut self) {
        self.item(b"null");
    }

    fn number(&mut self, value: u32) {
        self.item(itoa::Buffer::new().format(value).as_bytes());
    }

    fn scalar(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Null => self.item(b"null"),
            Scalar::Unchanged => self.item(b"[0]"),
            Scalar::Bool(true) => self.item(b"true"),
            Scalar::Bool(false) => self.item(b"false"),
            Scalar::Int(value) => self.item(itoa::Buffer::new().format(value).as_bytes()),
            Scalar::Int64(value) => self.plain_string(itoa::Buffer::new().format(value).as_bytes()),
            Scalar::Float32(value) => {
                let mut text = float::Text::default();
                let text = text.of_f32(value);
                if value.is_finite() { self.item(text) } else { self.plain_string(text) }
            }
            Scalar::Float64(value) => {
                let mut text = float::Text::default();
                let text = text.of_f64(value);
                if value.is_finite() { self.item(text) } else { self.plain_string(text) }
            }
            Scalar::Text(text) => self.string(text),
            Scalar::Hex(digits) => {
                self.item(b"\"\\\\x");
                self.text.extend(digits.iter().map(u8::to_ascii_lowercase));
                self.text.push(b'"');
            }
            Scalar::Bytes(bytes) => {
                self.item(b"\"\\\\x");
                let at = self.text.len();
                self.text.resize(at + bytes.len() * 2, 0);
                hex::encode_to_slice(bytes, &mut self.text[at..]).expect("two digits a byte");
                self.text.push(b'"');
            }
        }
    }
}

impl Json {
    /// Writes into a buffer that was used before.
    pub(in crate::wasm) fn into_buffer(text: Vec<u8>) -> Json {
        Json { text, behind_item: false }
    }

    fn separate(&mut self) {
        if self.behind_item {
            self.text.push(b',');
        }
        self.behind_item = true;
    }

    fn item(&mut self, text: &[u8]) {
        self.separate();
        self.text.extend_from_slice(text);
    }

    /// Writes what holds nothing that must be escaped.
    fn plain_string(&mut self, text: &[u8]) {
        self.item(b"\"");
        self.text.extend_from_slice(text);
        self.text.push(b'"');
    }

    fn string(&mut self, text: &str) {
        self.item(b"\"");
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\') {
            self.text.extend_from_slice(&rest[..at]);
            match rest[at] {
                b'"' => self.text.extend_from_slice(b"\\\""),
                b'\\' => self.text.extend_from_slice(b"\\\\"),
                b'\n' => self.text.extend_from_slice(b"\\n"),
                b'\r' => self.text.extend_from_slice(b"\\r"),
                b'\t' => self.text.extend_from_slice(b"\\t"),
                0x08 => self.text.extend_from_slice(b"\\b"),
                0x0c => self.text.extend_from_slice(b"\\f"),
                control => {
                    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                    self.text.extend_from_slice(b"\\u00");
                    self.text.extend_from_slice(&[digit(control >> 4), digit(control & 15)]);
                }
            }
            rest = &rest[at + 1..];
        }
        self.text.extend_from_slice(rest);
        self.text.push(b'"');
    }
}
