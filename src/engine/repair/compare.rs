//! Which rows of a table differ at the two ends, without carrying the rows over.
//!
//! Each end sorts its rows into buckets by a digest of their key, and sums up a digest of each bucket's rows: that is one
//! pass over the table and a line a bucket on the wire. Only of buckets whose sums differ are the keys and digests of rows
//! fetched, and only of those that differ the rows themselves. Buckets of
//! digests rather than ranges of keys, since the ends may order keys differently (collations) and a table may have any
//! type of key; and a digest spreads them evenly however they are distributed.
//!
//! The digest is md5 of the row's text, which every version computes alike, of its UTF-8 bytes, whatever the database's
//! encoding. A bucket counts as equal if its number of rows and both halves of the sum are: rows that were changed by
//! chance, not on purpose, pass for equal about once in 2^120.
//!
//! What prints differently at the two ends although it is the same value (`1.5` in `numeric` and in `numeric(5,2)`)
//! counts as different. In a key that would be wrong, so such tables are not compared (`TableWriter::incomparable`);
//! elsewhere it costs speed alone: the row is written again as it is.

use std::fmt::Write;

use futures_util::{StreamExt, pin_mut};
use hashbrown::HashMap;
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use crate::postgres::quote_ident;

/// Rows of a bucket that are aimed at: each difference fetches about so many.
const ROWS_PER_BUCKET: u64 = 16;
const BUCKETS_MAX: u64 = 1 << 20;
const BUCKETS_MIN: u64 = 64;

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

/// Rows by bucket: how many, and the sums of both halves of their digests.
pub type Sums = HashMap<u32, (u64, i128, i128)>;

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

    /// Sums the rows up in so many buckets, a power of two.
    ///
    /// # Errors
    /// What the server says.
    pub async fn sums(&self, buckets: u32) -> Result<Sums, Error> {
        // OFFSET 0 keeps the digests from being computed once for each place that names them.
        let half = |from: u32| format!("pg_catalog.sum(('x' || pg_catalog.substr(r.h, {from}, 15))::bit(60)::bigint)");
        let sql = format!(
            "SELECT r.b, pg_catalog.count(*), {}, {} FROM (SELECT {} AS b, {} AS h FROM {} OFFSET 0) AS r GROUP BY r.b",
            half(1),
            half(16),
            self.bucket(buckets),
            digest(&self.columns),
            self.from
        );
        let mut sums = Sums::new();
        let answers = self.client.simple_query_raw(&sql).await?;
        pin_mut!(answers);
        while let Some(answer) = answers.next().await {
            if let SimpleQueryMessage::Row(row) = answer? {
                sums.insert(number(&row, 0), (number(&row, 1), number(&row, 2), number(&row, 3)));
            }
        }
        Ok(sums)
    }

    /// Fetches the keys of some buckets' rows, and the digest of each.
    ///
    /// # Errors
    /// What the server says.
    pub async fn keys(&self, buckets: u32, of: &[u32]) -> Result<HashMap<Key, String>, Error> {
        let mut rows = HashMap::new();
        let answers = self.client.simple_query_raw(&self.select(self.key, buckets, of)).await?;
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
        buckets: u32,
        of: &[u32],
        wanted: impl Fn(&Key) -> bool,
        mut take: impl FnMut(&[Option<&str>]) -> bool,
    ) -> Result<bool, Error> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let answers = self.client.simple_query_raw(&self.select(&all, buckets, of)).await?;
        pin_mut!(answers);
        let mut go_on = true;
        while let Some(answer) = answers.next().await {
            // What is on its way is read to its end all the same, or the connection would be of no use.
            if let SimpleQueryMessage::Row(row) = answer?
                && go_on
                && wanted(&self.key.iter().map(|&i| row.get(i).map(str::to_owned)).collect())
            {
                let columns: Vec<Option<&str>> = all.iter().map(|&i| row.get(i)).collect();
                go_on = take(&columns);
            }
        }
        Ok(go_on)
    }

    /// Selects columns of some buckets' rows, and the digest of each.
    fn select(&self, columns: &[usize], buckets: u32, of: &[u32]) -> String {
        let (mut named, mut wanted) = (String::new(), String::new());
        for (n, &i) in columns.iter().enumerate() {
            write!(named, "{} AS c{n}, ", self.columns[i]).expect("writing to a String");
            write!(wanted, "r.c{n}, ").expect("writing to a String");
        }
        let of = of.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        format!(
            "SELECT {wanted}r.h FROM (SELECT {named}{} AS h, {} AS b FROM {} OFFSET 0) AS r \
             WHERE r.b = ANY ('{{{of}}}'::bigint[])",
            digest(&self.columns),
            self.bucket(buckets),
            self.from
        )
    }

    fn bucket(&self, buckets: u32) -> String {
        let key: Vec<String> = self.key.iter().map(|&i| self.columns[i].clone()).collect();
        format!("(('x' || pg_catalog.left({}, 8))::bit(32)::bigint & {})", digest(&key), buckets - 1)
    }
}

/// Quotes columns' names.
pub fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().map(quote_ident).collect()
}

/// A row's text has its columns as their output functions print them, NULL apart from the empty text.
fn digest(columns: &[String]) -> String {
    format!("pg_catalog.md5(pg_catalog.convert_to(ROW({})::text, 'UTF8'))", columns.join(", "))
}

/// The server's own numbers, which are there.
fn number<T: std::str::FromStr + Default>(row: &SimpleQueryRow, column: usize) -> T {
    row.get(column).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Returns into how many buckets so many rows are sorted.
pub fn buckets(rows: u64) -> u32 {
    (rows / ROWS_PER_BUCKET).next_power_of_two().clamp(BUCKETS_MIN, BUCKETS_MAX) as u32
}

/// Returns the buckets that differ, in order, and how many rows they have at both ends.
pub fn differing(source: &Sums, destination: &Sums) -> (Vec<u32>, u64) {
    let differs = |bucket: &&u32| source.get(*bucket) != destination.get(*bucket);
    let mut buckets: Vec<u32> = source.keys().chain(destination.keys()).filter(differs).copied().collect();
    buckets.sort_unstable();
    buckets.dedup();
    let rows = |sums: &Sums, bucket: &u32| sums.get(bucket).map_or(0, |sum| sum.0);
    let rows = buckets.iter().map(|bucket| rows(source, bucket) + rows(destination, bucket)).sum();
    (buckets, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_differ_by_what_they_hold_or_lack() {
        let source = Sums::from([(1, (3, 7, 7)), (2, (2, 5, 5)), (4, (1, 1, 1))]);
        let destination = Sums::from([(1, (3, 7, 7)), (2, (2, 5, 6)), (3, (9, 0, 0))]);
        assert_eq!(differing(&source, &destination), (vec![2, 3, 4], 2 + 2 + 9 + 1));
        assert_eq!(differing(&source, &source), (Vec::new(), 0));
    }

    #[test]
    fn a_bucket_has_some_rows() {
        assert_eq!([buckets(0), buckets(1_000_000), buckets(u64::MAX / 2)], [64, 65_536, 1 << 20]);
    }
}
