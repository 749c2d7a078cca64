//! Reads MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>).

use std::borrow::Cow;

use super::{Array, Item, Read};

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let taken = self.bytes[self.at..].get(..length).ok_or("the payload ends too early")?;
        self.at += length;
        Ok(taken)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.fixed::<1>()?[0])
    }

    /// Reads a length of one, two or four bytes.
    fn length(&mut self, log2: u8) -> Result<usize, String> {
        Ok(match log2 {
            0 => self.byte()?.into(),
            1 => u16::from_be_bytes(self.fixed()?).into(),
            _ => u32::from_be_bytes(self.fixed()?) as usize,
        })
    }

    fn text(&mut self, length: usize) -> Result<Item<'a>, String> {
        let at = self.at;
        let bytes = self.take(length)?;
        let text = str::from_utf8(bytes)
            .map_err(|error| format!("text that is not UTF-8 at byte {} of the payload", at + error.valid_up_to()))?;
        Ok(Item::Text(Cow::Borrowed(text)))
    }

    fn extension(&mut self, length: usize) -> Result<Item<'a>, String> {
        let kind = self.byte()?;
        let data = self.take(length)?;
        Ok(if kind == 1 && data == [0] { Item::Unchanged } else { Item::Other("an unknown extension type") })
    }
}

impl<'a> Read<'a> for Reader<'a> {
    #[inline]
    fn array(&mut self) -> Result<Option<Array>, String> {
        let at = self.at;
        let left = match self.byte()? {
            0xc0 => return Ok(None),
            marker @ 0x90..=0x9f => usize::from(marker & 0x0f),
            0xdc => self.length(1)?,
            0xdd => self.length(2)?,
            _ => return Err(format!("no array at byte {at} of the payload, where one should be")),
        };
        Ok(Some(Array { left, fresh: true }))
    }

    #[inline]
    fn more(&mut self, array: &mut Array) -> Result<bool, String> {
        array.fresh = false;
        match array.left.checked_sub(1) {
            Some(left) => {
                array.left = left;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    #[inline]
    fn item(&mut self) -> Result<Item<'a>, String> {
        let at = self.at;
        Ok(match self.byte()? {
            marker @ 0x00..=0x7f => Item::Int(marker.into()),
            marker @ 0xe0..=0xff => Item::Int((marker as i8).into()),
            marker @ 0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Item::Null,
            0xc2 => Item::Bool(false),
            0xc3 => Item::Bool(true),
            marker @ 0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Item::Bytes(self.take(length)?)
            }
            marker @ 0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.extension(length)?
            }
            0xca => Item::Float(f32::from_be_bytes(self.fixed()?).into()),
            0xcb => Item::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc => Item::Int(self.byte()?.into()),
            0xcd => Item::Int(u16::from_be_bytes(self.fixed()?).into()),
            0xce => Item::Int(u32::from_be_bytes(self.fixed()?).into()),
            0xcf => match i64::try_from(u64::from_be_bytes(self.fixed()?)) {
                Ok(value) => Item::Int(value),
                Err(_) => Item::Other("an integer beyond 64 bits with a sign"),
            },
            0xd0 => Item::Int(i8::from_be_bytes(self.fixed()?).into()),
            0xd1 => Item::Int(i16::from_be_bytes(self.fixed()?).into()),
            0xd2 => Item::Int(i32::from_be_bytes(self.fixed()?).into()),
            0xd3 => Item::Int(i64::from_be_bytes(self.fixed()?)),
            marker @ 0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            marker @ 0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                self.text(length)?
            }
            0x80..=0x8f | 0xde | 0xdf => Item::Other("a map"),
            0x90..=0x9f | 0xdc | 0xdd => Item::Other("an array"),
            0xc1 => return Err(format!("byte {at} of the payload begins no MessagePack value")),
        })
    }

    fn end(&mut self) -> Result<(), String> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left behind the rows")),
        }
    }
}
