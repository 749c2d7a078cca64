//! MessagePack, each value in its shortest form (<https://github.com/msgpack/msgpack/blob/master/spec.md>).

use super::Write;
use super::scalar::Scalar;

/// Ext type 1 with one zero byte.
pub(in crate::wasm) const UNCHANGED: [u8; 3] = [0xd4, 0x01, 0x00];

#[derive(Default)]
pub(in crate::wasm) struct MessagePack(pub Vec<u8>);

impl Write for MessagePack {
    #[inline]
    fn open(&mut self, items: usize) {
        match items {
            0..=15 => self.0.push(0x90 | items as u8),
            16..=0xffff => self.sized(0xdc, &(items as u16).to_be_bytes()),
            _ => self.sized(0xdd, &(items as u32).to_be_bytes()),
        }
    }

    #[inline]
    fn close(&mut self) {}

    #[inline]
    fn nil(&mut self) {
        self.0.push(0xc0);
    }

    #[inline]
    fn number(&mut self, value: u32) {
        self.int(value.into());
    }

    #[inline]
    fn scalar(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Null => self.0.push(0xc0),
            Scalar::Unchanged => self.0.extend_from_slice(&UNCHANGED),
            Scalar::Bool(value) => self.0.push(0xc2 | u8::from(value)),
            Scalar::Int(value) | Scalar::Int64(value) => self.int(value),
            Scalar::Float32(value) => self.sized(0xca, &value.to_be_bytes()),
            Scalar::Float64(value) => self.sized(0xcb, &value.to_be_bytes()),
            Scalar::Text(text) => {
                match text.len() {
                    0..=31 => self.0.push(0xa0 | text.len() as u8),
                    32..=0xff => self.sized(0xd9, &[text.len() as u8]),
                    0x100..=0xffff => self.sized(0xda, &(text.len() as u16).to_be_bytes()),
                    // A value of Postgres has less than 1 GiB.
                    _ => self.sized(0xdb, &(text.len() as u32).to_be_bytes()),
                }
                self.0.extend_from_slice(text.as_bytes());
            }
            Scalar::Bytes(bytes) => {
                self.bin(bytes.len());
                self.0.extend_from_slice(bytes);
            }
            Scalar::Hex(digits) => {
                let length = digits.len() / 2;
                self.bin(length);
                let at = self.0.len();
                self.0.resize(at + length, 0);
                hex::decode_to_slice(digits, &mut self.0[at..]).expect("a scalar holds pairs of hexadecimal digits");
            }
        }
    }
}

impl MessagePack {
    #[inline]
    fn sized(&mut self, marker: u8, bytes: &[u8]) {
        self.0.push(marker);
        self.0.extend_from_slice(bytes);
    }

    #[inline]
    fn int(&mut self, value: i64) {
        match value {
            0..=0x7f => self.0.push(value as u8),
            0x80..=0xff => self.sized(0xcc, &[value as u8]),
            0x100..=0xffff => self.sized(0xcd, &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.sized(0xce, &(value as u32).to_be_bytes()),
            0x1_0000_0000.. => self.sized(0xcf, &value.to_be_bytes()),
            -0x20..=-1 => self.0.push(value as u8),
            -0x80..=-0x21 => self.sized(0xd0, &[value as u8]),
            -0x8000..=-0x81 => self.sized(0xd1, &(value as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.sized(0xd2, &(value as i32).to_be_bytes()),
            _ => self.sized(0xd3, &value.to_be_bytes()),
        }
    }

    fn bin(&mut self, length: usize) {
        match length {
            0..=0xff => self.sized(0xc4, &[length as u8]),
            0x100..=0xffff => self.sized(0xc5, &(length as u16).to_be_bytes()),
            _ => self.sized(0xc6, &(length as u32).to_be_bytes()),
        }
    }
}
