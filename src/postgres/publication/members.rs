//! Whether the tables that a publication had when reading began are still in it.
//!
//! A stream says nothing when somebody takes a table out of its publication: the table's changes just don't come any
//! more. So whoever reads asks, now and then.

use tokio_postgres::Client;

use super::PublicationError;
use crate::postgres::QueryError;

/// What a publication names itself: `FOR ALL TABLES` and whole schemas name no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    publication: u32,
    tables: Vec<u32>,
}

/// Returns the tables that a publication names, `None` when there is no such publication.
///
/// # Errors
/// [`PublicationError::Query`].
pub async fn members(client: &Client, name: &str) -> Result<Option<Members>, PublicationError> {
    let sql = "SELECT p.oid, ARRAY(SELECT r.prrelid FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid) \
               FROM pg_catalog.pg_publication p WHERE p.pubname = $1::text";
    let failed = |error| QueryError::new(format!("look up the tables of the publication \"{name}\""), error);
    let row = client.query_opt(sql, &[&name]).await.map_err(failed)?;
    Ok(row.map(|row| Members { publication: row.get(0), tables: row.get(1) }))
}

impl Members {
    /// Returns true when the publication is still the same, and names all of those tables that exist.
    ///
    /// A table that was dropped is gone from every publication. What the log still has of it goes on to come.
    ///
    /// # Errors
    /// The server refused.
    pub async fn are_there(&self, client: &Client) -> Result<bool, QueryError> {
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE oid = $1) \
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = ANY ($2::oid[]) \
                       AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r \
                                       WHERE r.prpubid = $1 AND r.prrelid = c.oid))";
        let failed = |error| QueryError::new("ask whether the published tables still are", error);
        let row = client.query_one(sql, &[&self.publication, &self.tables]).await.map_err(failed)?;
        Ok(row.get(0))
    }
}
