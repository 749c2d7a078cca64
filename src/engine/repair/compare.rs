//! One end of a comparison: what is asked of a server to find the rows of a table that differ, without carrying them over.
//!
//! Each end sorts its rows into buckets by a digest of their key, and sums up a digest of each bucket's rows: that is one
//! pass over the table and a line a bucket on the wire. Buckets whose sums differ are looked into ([`super::narrow`]).
//! Buckets of digests rather than ranges of keys, since the ends may order keys differently (collations) and a table may
//! have any type of key; and a digest spreads them evenly however they are distributed.
//!
//! The digest is md5 of the row's text, which every version computes alike, of its UTF-8 bytes, whatever the database's
//! encoding. A bucket counts as equal if its number of rows and both halves of the sum are: rows that were changed by
//! chance, not on purpose, pass for equal about once in 2^120.
//!
//! What prints differently at the two ends although it is the same value (`1.5` in `numeric` and in `numeric(5,2)`)
//! counts as different. In a key that would be wrong, so such tables are not compared (`TableWriter::incomparable`);
//! elsewhere it costs speed alone: the row is written again as it is.

use std::fmt::Write;

use futures_util::{Stream, StreamExt, TryStreamExt, pin_mut};
use hashbrown::HashMap;
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use crate::postgres::quote_ident;

/// How many bits of a key's digest there are to tell buckets apart: what fits a bigint, in hexadecimal digits.
pub const DIGEST_BITS: u32 = 60;

/// One end of the comparison, in a transaction that its client has open.
pub struct Side<'a> {
    pub client: &'a Client,
    /// What stands behind FROM: the table, and its row filter.
    pub from: String,
    /// The columns, in the order of the public schema.
    pub columns: Vec<String>,
    /// Indexes of the key's columns.
    pub key: &'a [usize],
}

/// Some of the buckets that so many leading bits of the key's digest make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    pub bits: u32,
    /// In order.
    pub of: Vec<u64>,
}

/// One bucket: how many rows it has, and the sums of both halves of their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub bucket: u64,
    pub rows: u64,
    pub halves: [i128; 2],
}

/// The text of a key's columns.
pub type Key = Vec<Option<String>>;

impl Side<'_> {
    /// Counts the rows.
    ///
    /// # Errors
    /// What the server says.
    pub async fn count(&self) -> Result<u64, Error> {
        let row = self.client.query_one(&format!("SELECT pg_catalog.count(*) FROM {}", self.from), &[]).await?;
        Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
    }

    /// Sums the rows up by the leading `bits` of their key's digest, those of some coarser buckets or all. The sums come
    /// in the order of their buckets, while they are read.
    ///
    /// # Errors
    /// What the server says.
    pub async fn sums(
        &self,
        bits: u32,
        within: Option<&Buckets>,
    ) -> Result<impl Stream<Item = Result<Sum, Error>>, Error> {
        // OFFSET 0 keeps the digests from being computed once for each place that names them.
        let half = |from: u32| format!("pg_catalog.sum(('x' || pg_catalog.substr(r.h, {from}, 15))::bit(60)::bigint)");
        let sql = format!(
            "SELECT r.b, pg_catalog.count(*), {}, {} FROM (SELECT x.k >> {} AS b, {} AS h FROM {} OFFSET 0) AS r \
             GROUP BY r.b ORDER BY r.b",
            half(1),
            half(16),
            DIGEST_BITS - bits,
            self.row_digest(),
            self.rows_of(within),
        );
        let answers = self.client.simple_query_raw(&sql).await?;
        Ok(answers.try_filter_map(async |answer| {
            let SimpleQueryMessage::Row(row) = answer else { return Ok(None) };
            let halves = [number(&row, 2), number(&row, 3)];
            Ok(Some(Sum { bucket: number(&row, 0), rows: number(&row, 1), halves }))
        }))
    }

    /// Fetches the keys of some buckets' rows, and the digest of each.
    ///
    /// # Errors
    /// What the server says.
    pub async fn keys(&self, within: &Buckets) -> Result<HashMap<Key, String>, Error> {
        let mut rows = HashMap::new();
        let mut columns = String::new();
        self.key.iter().for_each(|i| write!(columns, "x.c{i}, ").expect("writing to a String"));
        let sql = format!("SELECT {columns}{} FROM {}", self.row_digest(), self.rows_of(Some(within)));
        let answers = self.client.simple_query_raw(&sql).await?;
        pin_mut!(answers);
        while let Some(answer) = answers.next().await {
            if let SimpleQueryMessage::Row(row) = answer? {
                let key = (0..self.key.len()).map(|i| row.get(i).map(str::to_owned)).collect();
                rows.insert(key, row.get(self.key.len()).unwrap_or_default().to_owned());
            }
        }
        Ok(rows)
    }

    /// Fetches the rows of some buckets whose key is wanted, and hands each over, until one is not taken. Returns whether
    /// all were.
    ///
    /// # Errors
    /// What the server says.
    pub async fn rows(
        &self,
        within: &Buckets,
        wanted: impl Fn(&Key) -> bool,
        mut take: impl FnMut(&[Option<&str>]) -> bool,
    ) -> Result<bool, Error> {
        let sql = format!("SELECT {} FROM {}", self.columns_of_x(), self.rows_of(Some(within)));
        let answers = self.client.simple_query_raw(&sql).await?;
        pin_mut!(answers);
        let mut go_on = true;
        while let Some(answer) = answers.next().await {
            // What is on its way is read to its end all the same, or the connection would be of no use.
            if let SimpleQueryMessage::Row(row) = answer?
                && go_on
                && wanted(&self.key.iter().map(|&i| row.get(i).map(str::to_owned)).collect())
            {
                let columns: Vec<Option<&str>> = (0..self.columns.len()).map(|i| row.get(i)).collect();
                go_on = take(&columns);
            }
        }
        Ok(go_on)
    }

    /// Returns the rows, as `x`, of some buckets or all: columns as `c0` and so on, and the digest of the key as `k`.
    fn rows_of(&self, within: Option<&Buckets>) -> String {
        let mut named = String::new();
        for (i, column) in self.columns.iter().enumerate() {
            write!(named, "{column} AS c{i}, ").expect("writing to a String");
        }
        let key: Vec<&str> = self.key.iter().map(|&i| &*self.columns[i]).collect();
        let mut rows = format!(
            "(SELECT {named}('x' || pg_catalog.left({}, 15))::bit({DIGEST_BITS})::bigint AS k FROM {} OFFSET 0) AS x",
            digest(&key.join(", ")),
            self.from
        );
        if let Some(Buckets { bits, of }) = within {
            let of = of.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
            write!(rows, " WHERE x.k >> {} = ANY ('{{{of}}}'::bigint[])", DIGEST_BITS - bits)
                .expect("writing to a String");
        }
        rows
    }

    fn columns_of_x(&self) -> String {
        (0..self.columns.len()).map(|i| format!("x.c{i}")).collect::<Vec<_>>().join(", ")
    }

    fn row_digest(&self) -> String {
        digest(&self.columns_of_x())
    }
}

/// Quotes columns' names.
pub fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().map(quote_ident).collect()
}

/// A row's text has its columns as their output functions print them, NULL apart from the empty text.
fn digest(columns: &str) -> String {
    format!("pg_catalog.md5(pg_catalog.convert_to(ROW({columns})::text, 'UTF8'))")
}

/// The server's own numbers, which are there.
fn number<T: std::str::FromStr + Default>(row: &SimpleQueryRow, column: usize) -> T {
    row.get(column).and_then(|text| text.parse().ok()).unwrap_or_default()
}
