//! MessagePack, as far as batches need it: read in place and written straight into the output.
//!
//! There is no tree and no allocation in between: a text column of a borrowed row is a slice of the batch. Bytes come
//! from the host, which is trusted no further than this: whatever they are, reading them ends in a value or in
//! [`Malformed`], never in a panic.

/// The host's bytes end too early, or are not what the contract says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One column as it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    Null,
    /// A TOASTed value that an update left alone, or a column of the old row that was not sent.
    Unchanged,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl Raw<'_> {
    /// Names what came, for messages to people; never the value itself.
    pub fn describe(&self) -> &'static str {
        match self {
            Raw::Null => "NULL",
            Raw::Unchanged => "an unchanged value",
            Raw::Bool(_) => "a boolean",
            Raw::Int(_) => "an integer",
            Raw::Float(_) => "a float",
            Raw::Text(_) => "text",
            Raw::Bytes(_) => "bytes",
        }
    }
}

/// Reads MessagePack from the front of a slice.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        if length > self.rest.len() {
            return Err(Malformed);
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline(always)]
    fn text(&mut self, length: usize) -> Result<Raw<'a>, Malformed> {
        std::str::from_utf8(self.take(length)?).map(Raw::Text).map_err(|_| Malformed)
    }

    /// Reads the head of an array and returns its length.
    #[inline]
    pub fn array(&mut self) -> Result<u32, Malformed> {
        match self.byte()? {
            byte @ 0x90..=0x9f => Ok(u32::from(byte & 0x0f)),
            0xdc => Ok(u32::from(u16::from_be_bytes(self.fixed()?))),
            0xdd => Ok(u32::from_be_bytes(self.fixed()?)),
            _ => Err(Malformed),
        }
    }

    /// Reads the head of an array, or nil as `None`.
    #[inline]
    pub fn array_or_nil(&mut self) -> Result<Option<u32>, Malformed> {
        if self.rest.first() == Some(&0xc0) {
            self.rest = &self.rest[1..];
            return Ok(None);
        }
        self.array().map(Some)
    }

    /// Reads an integer that is not negative.
    #[inline]
    pub fn index(&mut self) -> Result<u32, Malformed> {
        match self.byte()? {
            byte @ 0..=0x7f => Ok(u32::from(byte)),
            0xcc => Ok(u32::from(self.byte()?)),
            0xcd => Ok(u32::from(u16::from_be_bytes(self.fixed()?))),
            0xce => Ok(u32::from_be_bytes(self.fixed()?)),
            0xcf => u32::try_from(u64::from_be_bytes(self.fixed()?)).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }

    /// Reads one column.
    #[inline(always)]
    pub fn value(&mut self) -> Result<Raw<'a>, Malformed> {
        match self.byte()? {
            byte @ 0..=0x7f => Ok(Raw::Int(i64::from(byte))),
            byte @ 0xe0..=0xff => Ok(Raw::Int(i64::from(byte as i8))),
            byte @ 0xa0..=0xbf => self.text(usize::from(byte & 0x1f)),
            0xc0 => Ok(Raw::Null),
            0xc2 => Ok(Raw::Bool(false)),
            0xc3 => Ok(Raw::Bool(true)),
            0xd9 => {
                let length = self.byte()?;
                self.text(usize::from(length))
            }
            other => self.rarer_value(other),
        }
    }

    fn rarer_value(&mut self, marker: u8) -> Result<Raw<'a>, Malformed> {
        Ok(match marker {
            0xca => Raw::Float(f64::from(f32::from_be_bytes(self.fixed()?))),
            0xcb => Raw::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc => Raw::Int(i64::from(self.byte()?)),
            0xcd => Raw::Int(i64::from(u16::from_be_bytes(self.fixed()?))),
            0xce => Raw::Int(i64::from(u32::from_be_bytes(self.fixed()?))),
            0xcf => Raw::Int(i64::try_from(u64::from_be_bytes(self.fixed()?)).map_err(|_| Malformed)?),
            0xd0 => Raw::Int(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => Raw::Int(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => Raw::Int(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => Raw::Int(i64::from_be_bytes(self.fixed()?)),
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Raw::Bytes(self.take(length)?)
            }
            0xda | 0xdb => {
                let length = self.length(marker - 0xd9)?;
                self.text(length)?
            }
            // The extension type 1 with one byte, which is zero.
            0xd4 if self.fixed()? == [1, 0] => Raw::Unchanged,
            _ => return Err(Malformed),
        })
    }

    /// Reads a length of 1, 2 or 4 bytes.
    fn length(&mut self, size: u8) -> Result<usize, Malformed> {
        Ok(match size {
            0 => usize::from(self.byte()?),
            1 => usize::from(u16::from_be_bytes(self.fixed()?)),
            _ => u32::from_be_bytes(self.fixed()?) as usize,
        })
    }

    /// Steps over one column without looking at it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let length = match self.byte()? {
            0..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            byte @ 0xa0..=0xbf => usize::from(byte & 0x1f),
            byte @ 0xc4..=0xc6 => self.length(byte - 0xc4)?,
            byte @ 0xd9..=0xdb => self.length(byte - 0xd9)?,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 | 0xd4 => 2,
            0xca | 0xce | 0xd2 => 4,
            0xcb | 0xcf | 0xd3 => 8,
            _ => return Err(Malformed),
        };
        self.take(length).map(|_| ())
    }

    /// Steps over a row or nil.
    pub fn skip_row(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.array_or_nil()?.unwrap_or(0) {
            self.skip()?;
        }
        Ok(())
    }
}

/// Writes MessagePack to the end of a buffer.
#[derive(Default)]
pub struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    /// Writes the head of an array.
    #[inline]
    pub fn array(&mut self, length: usize) {
        match length {
            0..=15 => self.bytes.push(0x90 | length as u8),
            16..=0xffff => self.sized(0xdc, &(length as u16).to_be_bytes()),
            _ => self.sized(0xdd, &(length as u32).to_be_bytes()),
        }
    }

    #[inline(always)]
    fn sized(&mut self, marker: u8, bytes: &[u8]) {
        self.bytes.push(marker);
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    pub fn null(&mut self) {
        self.bytes.push(0xc0);
    }

    #[inline]
    pub fn unchanged(&mut self) {
        self.bytes.extend_from_slice(&[0xd4, 1, 0]);
    }

    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(0xc2 | u8::from(value));
    }

    /// Writes an integer in its shortest form.
    #[inline]
    pub fn int(&mut self, value: i64) {
        match value {
            -32..=127 => self.bytes.push(value as u8),
            128..=0xff => self.bytes.extend_from_slice(&[0xcc, value as u8]),
            0x100..=0xffff => self.sized(0xcd, &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.sized(0xce, &(value as u32).to_be_bytes()),
            0x1_0000_0000.. => self.sized(0xcf, &value.to_be_bytes()),
            -0x80..=-33 => self.bytes.extend_from_slice(&[0xd0, value as u8]),
            -0x8000..=-0x81 => self.sized(0xd1, &(value as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.sized(0xd2, &(value as i32).to_be_bytes()),
            _ => self.sized(0xd3, &value.to_be_bytes()),
        }
    }

    #[inline]
    pub fn float32(&mut self, value: f32) {
        self.sized(0xca, &value.to_be_bytes());
    }

    #[inline]
    pub fn float64(&mut self, value: f64) {
        self.sized(0xcb, &value.to_be_bytes());
    }

    #[inline]
    pub fn text(&mut self, value: &str) {
        match value.len() {
            length @ 0..=31 => self.bytes.push(0xa0 | length as u8),
            length @ 32..=0xff => self.bytes.extend_from_slice(&[0xd9, length as u8]),
            length @ 0x100..=0xffff => self.sized(0xda, &(length as u16).to_be_bytes()),
            length => self.sized(0xdb, &(length as u32).to_be_bytes()),
        }
        self.bytes.extend_from_slice(value.as_bytes());
    }

    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        match value.len() {
            length @ 0..=0xff => self.bytes.extend_from_slice(&[0xc4, length as u8]),
            length @ 0x100..=0xffff => self.sized(0xc5, &(length as u16).to_be_bytes()),
            length => self.sized(0xc6, &(length as u32).to_be_bytes()),
        }
        self.bytes.extend_from_slice(value);
    }

    /// Writes a column as it came.
    pub fn raw(&mut self, value: Raw<'_>) {
        match value {
            Raw::Null => self.null(),
            Raw::Unchanged => self.unchanged(),
            Raw::Bool(value) => self.bool(value),
            Raw::Int(value) => self.int(value),
            Raw::Float(value) => self.float64(value),
            Raw::Text(value) => self.text(value),
            Raw::Bytes(value) => self.bytes(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.bytes
    }

    #[test]
    fn reads_integers_as_rmp_writes_them_and_the_other_way() {
        let edges = [0, 1, -1, -32, -33, 127, 128, 255, 256, 65_535, 65_536, 1 << 31, 1 << 32, i64::MIN, i64::MAX];
        for value in edges {
            let mut theirs = Vec::new();
            rmp::encode::write_sint(&mut theirs, value).unwrap();
            assert_eq!(Reader::new(&theirs).value(), Ok(Raw::Int(value)));
            let ours = written(|w| w.int(value));
            assert_eq!(rmp::decode::read_int::<i64, _>(&mut &ours[..]).unwrap(), value);
            let mut reader = Reader::new(&ours);
            reader.skip().unwrap();
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn reads_texts_and_bytes_of_every_length_as_rmp_writes_them() {
        for length in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(length);
            let mut theirs = Vec::new();
            rmp::encode::write_str(&mut theirs, &text).unwrap();
            assert_eq!(Reader::new(&theirs).value(), Ok(Raw::Text(&text)));
            assert_eq!(written(|w| w.text(&text)), theirs);
            let mut theirs = Vec::new();
            rmp::encode::write_bin(&mut theirs, text.as_bytes()).unwrap();
            assert_eq!(Reader::new(&theirs).value(), Ok(Raw::Bytes(text.as_bytes())));
            assert_eq!(written(|w| w.bytes(text.as_bytes())), theirs);
        }
        for length in [0, 15, 16, 65_535, 65_536] {
            let mut theirs = Vec::new();
            rmp::encode::write_array_len(&mut theirs, length).unwrap();
            assert_eq!(Reader::new(&theirs).array(), Ok(length));
            assert_eq!(written(|w| w.array(length as usize)), theirs);
        }
    }

    #[test]
    fn whatever_the_bytes_are_reading_ends_in_a_value_or_an_error() {
        // Every marker with too little behind it, and a longer one cut at every place.
        for marker in 0..=u8::MAX {
            for behind in 0..12 {
                let bytes = [&[marker][..], &vec![0xff; behind]].concat();
                let (mut value, mut skip) = (Reader::new(&bytes), Reader::new(&bytes));
                if value.value().is_ok() {
                    assert_eq!(skip.skip(), Ok(()), "{bytes:x?}");
                    assert_eq!(value.rest.len(), skip.rest.len(), "{bytes:x?}");
                }
                let _ = Reader::new(&bytes).array();
                let _ = Reader::new(&bytes).index();
                let _ = Reader::new(&bytes).skip_row();
            }
        }
    }

    #[test]
    fn unchanged_is_the_extension_type_1_with_one_zero_byte() {
        assert_eq!(written(Writer::unchanged), [0xd4, 1, 0]);
        assert_eq!(Reader::new(&[0xd4, 1, 0]).value(), Ok(Raw::Unchanged));
        assert_eq!(Reader::new(&[0xd4, 2, 0]).value(), Err(Malformed));
        assert_eq!(Reader::new(&[0xa1, 0xff]).value(), Err(Malformed), "not UTF-8");
    }
}
