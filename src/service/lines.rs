//! The lines of a long answer, as they come.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::ServiceError;
use crate::eventstore::{Asked, Line, read_line};

/// A service says something every second; one that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(15);
/// No event has a longer line: a server sends no row of more than 1 GiB, and a line has that row's documents, to the byte, and
/// a few words more.
const LINE_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// Events of some streams of a service, and whatever else it says of them.
pub struct Lines {
    url: String,
    body: Incoming,
    asked: Vec<Asked>,
    buffer: Vec<u8>,
    /// What lies before it has been read.
    read: usize,
    /// No line ends before it.
    looked: usize,
}

impl Lines {
    pub(super) fn new(url: String, body: Incoming, asked: Vec<Asked>) -> Lines {
        Lines { url, body, asked, buffer: Vec::new(), read: 0, looked: 0 }
    }

    /// Waits for more. While it is not called, the service waits.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The connection broke, the service has ended, or it is silent.
    pub async fn more(&mut self) -> Result<(), ServiceError> {
        let url = || self.url.clone();
        let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
        let frame = frame.map_err(|_| ServiceError::Silent { url: url(), after: SILENCE })?;
        let frame = frame.ok_or_else(|| ServiceError::Ended { url: url() })?;
        let frame = frame.map_err(|source| ServiceError::Lost { url: url(), source })?;
        if let Some(data) = frame.data_ref() {
            self.buffer.drain(..self.read);
            self.looked -= self.read;
            self.read = 0;
            if self.buffer.len() + data.len() > LINE_BYTES_MAX {
                return Err(ServiceError::LineTooLong { url: url() });
            }
            self.buffer.extend_from_slice(data);
        }
        Ok(())
    }

    /// Returns the next line that has come whole.
    ///
    /// # Errors
    /// It is none that we know, or says that the service can't go on.
    pub fn line(&mut self) -> Result<Option<Line>, ServiceError> {
        // An empty line says nothing but that the service is there.
        while self.looked == self.read && self.buffer.get(self.read) == Some(&b'\n') {
            self.read += 1;
            self.looked += 1;
        }
        let Some(end) = memchr::memchr(b'\n', &self.buffer[self.looked..]) else {
            self.looked = self.buffer.len();
            return Ok(None);
        };
        let end = self.looked + end;
        let text = String::from_utf8(self.buffer[self.read..end].to_vec());
        (self.read, self.looked) = (end + 1, end + 1);
        let text = text.map_err(|_| ServiceError::NotPelton { url: self.url.clone() })?;
        match read_line(text, &self.asked) {
            Ok(Line::Gone(said, hint)) => Err(ServiceError::Gone { url: self.url.clone(), said, hint }),
            Ok(Line::Error(said)) => Err(ServiceError::Failed { url: self.url.clone(), said }),
            Ok(line) => Ok(Some(line)),
            Err(source) => Err(ServiceError::Line { url: self.url.clone(), source }),
        }
    }
}
