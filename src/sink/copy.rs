//! New rows by COPY: in binary form as long as all values can be written so ([`super::binary`]), which the server reads
//! in two thirds of the time, otherwise as text, which every type has.
//!
//! A value that is not plain ends the binary COPY in front of its row; that row and those behind it follow in another
//! COPY, as text. Both are in one transaction, and under one savepoint where there is one, so they are as one.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;

use super::SinkError;
use super::apply::{Applier, not_text};
use super::binary::{self, Unfit};
use super::encode::{self, NotText};
use super::pipeline::About;
use super::rows::Item;
use super::shape::Shape;
use super::sql::{Arity, Verb};

/// Data goes out in pieces of this size.
const CHUNK_BYTES: usize = 128 << 10;

const SAVEPOINT: &str = "pelton_copy";

/// How a COPY is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Format {
    Text,
    Binary,
}

enum Failed {
    Server(tokio_postgres::Error),
    Value(SinkError),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Failed {
        Failed::Server(error)
    }
}

impl Applier<'_, '_> {
    /// Copies new rows in. Returns false if some of them were there already: then nothing of them was written.
    pub(super) async fn copy(
        &mut self,
        about: &About,
        table: usize,
        shape: &Arc<Shape>,
        items: &[Item],
    ) -> Result<bool, SinkError> {
        let repairable = !shape.key.is_empty();
        let format = if self.tables[table].copies.binary(shape) { Format::Binary } else { Format::Text };
        let statement = self.statement(about, table, &Verb::Copy(format), Arity::One).await?;
        if repairable {
            self.session("set a savepoint", &format!("SAVEPOINT {SAVEPOINT}")).await?;
        }
        // From here on nothing else is on its way, so what fails is the COPY's own, and the savepoint is there. It costs
        // a round trip, where there was something. Nor may a COPY be sent into a failed transaction: the client answers
        // one that is refused before its first row with a Sync too many, and takes later answers for those of others.
        self.pipeline.settle().await?;
        let mut result = self.send_rows(&statement, format, shape, items).await;
        if let Ok(sent) = result
            && sent < items.len()
        {
            self.tables[table].copies.only_text();
            let statement = self.statement(about, table, &Verb::Copy(Format::Text), Arity::One).await?;
            result = self.send_rows(&statement, Format::Text, shape, &items[sent..]).await;
        }
        match result {
            Ok(_) => {
                self.tables[table].copies.passed();
                if repairable {
                    self.session("release a savepoint", &format!("RELEASE SAVEPOINT {SAVEPOINT}")).await?;
                }
                self.pipeline.stats.copied += items.len() as u64;
                Ok(true)
            }
            Err(Failed::Value(error)) => Err(error),
            Err(Failed::Server(error)) => {
                let error = about.fails(error);
                if !repairable || !error.is_unique_violation() {
                    return Err(error);
                }
                self.tables[table].copies.failed();
                let back = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}");
                self.session("roll back to a savepoint", &back).await?;
                Ok(false)
            }
        }
    }

    /// Sends rows until one can't be written in this format, and returns how many were sent.
    async fn send_rows(
        &mut self,
        statement: &tokio_postgres::Statement,
        format: Format,
        shape: &Shape,
        items: &[Item],
    ) -> Result<usize, Failed> {
        let sink = self.client.copy_in::<_, Bytes>(statement).await?;
        let mut sink = std::pin::pin!(sink);
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        if format == Format::Binary {
            buffer.extend_from_slice(binary::HEADER);
        }
        let mut sent = 0;
        for &item in items {
            match self.put(&mut buffer, format, shape, item) {
                Ok(true) => sent += 1,
                Ok(false) => break,
                Err(error) => return Err(Failed::Value(error)),
            }
            if buffer.len() >= CHUNK_BYTES {
                self.pipeline.stats.bytes += buffer.len() as u64;
                sink.send(buffer.split().freeze()).await?;
                buffer.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
            }
        }
        if format == Format::Binary {
            buffer.extend_from_slice(binary::TRAILER);
            self.pipeline.stats.copied_binary += sent as u64;
        }
        self.pipeline.stats.bytes += buffer.len() as u64;
        if !buffer.is_empty() {
            sink.send(buffer.freeze()).await?;
        }
        sink.finish().await?;
        Ok(sent)
    }

    /// Appends a row. Returns false, and appends nothing, where it can't be written in this format.
    fn put(&self, buffer: &mut BytesMut, format: Format, shape: &Shape, item: Item) -> Result<bool, SinkError> {
        if format == Format::Text {
            self.rows.cells(shape, item.row, |column, value| {
                let kind = &shape.columns[column].kind;
                encode::copy(buffer, kind, value).map_err(|NotText| not_text(shape, column))?;
                buffer.extend_from_slice(if column + 1 == shape.columns.len() { b"\n" } else { b"\t" });
                Ok(())
            })?;
            return Ok(true);
        }
        let start = buffer.len();
        buffer.extend_from_slice(&(shape.columns.len() as u16).to_be_bytes());
        let put = self.rows.cells(shape, item.row, |column, value| {
            let at = &shape.columns[column];
            let send = at.send.ok_or((column, Unfit::NotPlain))?;
            send.put(buffer, &at.kind, value).map_err(|unfit| (column, unfit))
        });
        match put {
            Ok(()) => Ok(true),
            Err((column, Unfit::NotText)) => Err(not_text(shape, column)),
            Err((_, Unfit::NotPlain)) => {
                buffer.truncate(start);
                Ok(false)
            }
        }
    }
}
