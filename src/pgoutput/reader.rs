//! Reads the fields of one message, each by name, so that an error can say which one is wrong.
//!
//! Integers are big-endian, strings end with a zero byte.

use bytes::{Buf, Bytes};

use super::DecodeError;
use crate::lsn::Lsn;

/// Microseconds from 1970-01-01 to 2000-01-01, where Postgres's clock starts.
pub(super) const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The rest of one message.
pub(super) struct Reader {
    pub(super) rest: Bytes,
    pub(super) message: &'static str,
}

impl Reader {
    #[inline]
    fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some(bytes) = self.rest.first_chunk::<N>().copied() else {
            return Err(DecodeError::Truncated { message: self.message, field });
        };
        self.rest.advance(N);
        Ok(bytes)
    }

    #[inline]
    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.fixed::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn oid(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.fixed(field).map(u32::from_be_bytes)
    }

    pub(super) fn int32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.fixed(field).map(i32::from_be_bytes)
    }

    pub(super) fn lsn(&mut self, field: &'static str) -> Result<Lsn, DecodeError> {
        self.fixed(field).map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    /// Reads a time and moves it to the epoch of 1970. A time that does not fit there becomes the last one that does.
    pub(super) fn time(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.fixed(field).map(|bytes| i64::from_be_bytes(bytes).saturating_add(POSTGRES_EPOCH_US))
    }

    /// Reads an int16 that counts something.
    pub(super) fn count16(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let value = i16::from_be_bytes(self.fixed(field)?);
        usize::try_from(value).map_err(|_| self.negative(field, value.into()))
    }

    /// Reads an int32 that counts something.
    pub(super) fn count32(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let value = self.int32(field)?;
        usize::try_from(value).map_err(|_| self.negative(field, value.into()))
    }

    fn negative(&self, field: &'static str, value: i64) -> DecodeError {
        DecodeError::Negative { message: self.message, field, value }
    }

    /// Reads a byte of flags of which only `known` may be set.
    pub(super) fn flags(&mut self, field: &'static str, known: u8) -> Result<u8, DecodeError> {
        let flags = self.byte(field)?;
        match flags & !known {
            0 => Ok(flags),
            bits => Err(DecodeError::UnknownFlags { message: self.message, field, bits }),
        }
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<Box<str>, DecodeError> {
        let Some(length) = memchr::memchr(0, &self.rest) else {
            return Err(DecodeError::Truncated { message: self.message, field });
        };
        let text = std::str::from_utf8(&self.rest[..length])
            .map_err(|source| DecodeError::NotUtf8 { message: self.message, field, source })?
            .into();
        self.rest.advance(length + 1);
        Ok(text)
    }

    /// Reads the name of a schema, for which Postgres leaves `pg_catalog` out.
    pub(super) fn schema(&mut self) -> Result<Box<str>, DecodeError> {
        let name = self.string("schema")?;
        Ok(if name.is_empty() { "pg_catalog".into() } else { name })
    }

    /// Takes `length` bytes without a copy.
    pub(super) fn bytes(&mut self, length: usize, field: &'static str) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated { message: self.message, field });
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn unexpected(&self, field: &'static str, expected: &'static str, got: u8) -> DecodeError {
        DecodeError::Unexpected { message: self.message, field, expected, got }
    }

    /// Ends the message: nothing may be left of it.
    #[inline]
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::TrailingBytes { message: self.message, bytes }),
        }
    }
}
