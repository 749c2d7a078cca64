//! Whether the destination holds what it must, decided by Postgres on either side.
//!
//! Each side digests its rows as Postgres prints them, in the order of their texts, so that neither the types' own order
//! nor a collation matters. Only when the digests differ are keys fetched, to say where.

use tokio_postgres::Client;

use super::flows::Flow;
use super::{DemoError, Result};

/// How many keys are named for a flow that differs.
const KEYS_SHOWN_MAX: usize = 10;

/// What the comparison of a flow found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub flow: String,
    pub rows_expected: u64,
    pub rows_found: u64,
    pub digest_expected: String,
    pub digest_found: String,
    /// The first keys that differ.
    pub differences: Vec<Difference>,
}

/// A key where the destination is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Missing(String),
    Surplus(String),
    Unequal(String),
}

impl Outcome {
    pub fn is_equal(&self) -> bool {
        self.rows_expected == self.rows_found && self.digest_expected == self.digest_found
    }
}

/// Compares every flow.
pub(super) async fn all(source: &Client, destination: &Client, flows: &[Flow]) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for flow in flows {
        let found = format!("SELECT {} FROM {}", flow.columns, flow.table);
        outcomes.push(one(flow.name, flow.key, (source, flow.expected), (destination, &found)).await?);
    }
    Ok(outcomes)
}

/// Compares what two queries return, each at its own server.
async fn one(flow: &str, key: &str, expected: (&Client, &str), found: (&Client, &str)) -> Result<Outcome> {
    let ((rows_expected, digest_expected), (rows_found, digest_found)) =
        tokio::try_join!(digest(expected), digest(found))?;
    let mut outcome = Outcome {
        flow: flow.to_owned(),
        rows_expected,
        rows_found,
        digest_expected,
        digest_found,
        differences: Vec::new(),
    };
    if !outcome.is_equal() {
        let (expected, found) = tokio::try_join!(digests_by_key(expected, key), digests_by_key(found, key))?;
        outcome.differences = differences(&expected, &found);
    }
    Ok(outcome)
}

/// Digests digests, so that many rows don't meet the limit of a text's size.
async fn digest((client, query): (&Client, &str)) -> Result<(u64, String)> {
    let sql = format!(
        "SELECT count(*), coalesce(md5(string_agg(md5(r), '' ORDER BY r COLLATE \"C\")), '') \
         FROM (SELECT t::text AS r FROM ({query}) AS t) AS rows"
    );
    let row = client.query_one(&sql, &[]).await.map_err(failed)?;
    Ok((row.get::<_, i64>(0).unsigned_abs(), row.get(1)))
}

/// Returns a key and a digest for every row, in the order of the keys' texts.
async fn digests_by_key((client, query): (&Client, &str), key: &str) -> Result<Vec<(String, String)>> {
    let sql =
        format!("SELECT ROW({key})::text, md5(t::text) FROM ({query}) AS t ORDER BY ROW({key})::text COLLATE \"C\", 2");
    let rows = client.query(&sql, &[]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Merges two lists in the order of their keys.
fn differences(expected: &[(String, String)], found: &[(String, String)]) -> Vec<Difference> {
    let (mut e, mut f, mut differences) = (0, 0, Vec::new());
    while differences.len() < KEYS_SHOWN_MAX {
        match (expected.get(e), found.get(f)) {
            (None, None) => break,
            (Some(a), Some(b)) if a.0 == b.0 => {
                if a.1 != b.1 {
                    differences.push(Difference::Unequal(a.0.clone()));
                }
                (e, f) = (e + 1, f + 1);
            }
            (Some(a), b) if b.is_none_or(|b| a.0 < b.0) => {
                differences.push(Difference::Missing(a.0.clone()));
                e += 1;
            }
            (_, Some(b)) => {
                differences.push(Difference::Surplus(b.0.clone()));
                f += 1;
            }
            (Some(_), None) => unreachable!("the arm above takes what only the first list has left"),
        }
    }
    differences
}

fn failed(source: tokio_postgres::Error) -> DemoError {
    DemoError::Sql { act: "compare source and destination", source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::throwaway::Server;

    #[test]
    fn names_keys_that_differ() {
        let rows = |text: &str| {
            let row = |row: &str| row.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            text.split(' ').filter_map(row).collect::<Vec<_>>()
        };
        let check = |expected: &str, found: &str| differences(&rows(expected), &rows(found));
        assert_eq!(check("a=1 b=2", "a=1 b=2"), []);
        assert_eq!(check("a=1", ""), [Difference::Missing("a".into())]);
        assert_eq!(check("", "a=1"), [Difference::Surplus("a".into())]);
        assert_eq!(
            check("a=1 b=2 d=4", "b=3 c=1 d=4 e=5"),
            [
                Difference::Missing("a".into()),
                Difference::Unequal("b".into()),
                Difference::Surplus("c".into()),
                Difference::Surplus("e".into())
            ]
        );
    }

    #[tokio::test]
    async fn sees_a_hand_made_destination_through() {
        let server = Server::builder().start().await.unwrap();
        for name in ["a", "b"] {
            server.create_database(name).await.unwrap();
        }
        let (a, b) = (server.connect("a").await.unwrap(), server.connect("b").await.unwrap());
        let make = "SELECT i AS id, md5(i::text) AS v, CASE WHEN i % 3 > 0 THEN now()::date END AS d \
                    FROM generate_series(1, 1000) AS i";
        a.batch_execute(&format!("CREATE TABLE t AS {make}")).await.unwrap();
        // The same rows in another order, under another name.
        b.batch_execute(&format!("CREATE TABLE u AS {make} ORDER BY i DESC")).await.unwrap();
        let compare =
            async || one("t", "id", (&a, "SELECT id, v, d FROM t"), (&b, "SELECT id, v, d FROM u")).await.unwrap();
        assert!(compare().await.is_equal());

        b.batch_execute(
            "UPDATE u SET d = NULL WHERE id = 10; DELETE FROM u WHERE id = 20; INSERT INTO u VALUES (1001)",
        )
        .await
        .unwrap();
        let outcome = compare().await;
        assert!(!outcome.is_equal());
        assert_eq!((outcome.rows_expected, outcome.rows_found), (1000, 1000));
        let named = [
            Difference::Unequal("(10)".into()),
            Difference::Surplus("(1001)".into()),
            Difference::Missing("(20)".into()),
        ];
        assert_eq!(outcome.differences, named);

        // A row that is there twice is not the same as once.
        b.batch_execute("TRUNCATE u; TRUNCATE u").await.unwrap();
        b.batch_execute(&format!("INSERT INTO u {make}; INSERT INTO u SELECT * FROM u WHERE id = 7")).await.unwrap();
        assert_eq!(compare().await.differences, [Difference::Surplus("(7)".into())]);
    }
}
