//! What a publication publishes, as far as its server's version tells.

use tokio_postgres::{Client, Row};

use super::{MARK, PublicationError, SETUP_MARK};
use crate::postgres::QueryError;
use crate::postgres::catalog::TableName;

/// A publication as it is today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub name: String,
    /// Made `FOR ALL TABLES`.
    pub all_tables: bool,
    pub insert: bool,
    pub update: bool,
    pub delete: bool,
    pub truncate: bool,
    /// Changes of partitions come as changes of the table at the top (`publish_via_partition_root`).
    pub via_partition_root: bool,
    /// We made it, and nobody took the mark off since.
    pub ours: bool,
    /// An administrator made it for us, by `pelton setup`, and nobody took the mark off since.
    pub by_setup: bool,
    /// Ordered by schema and name; with `via_partition_root` tables at the top, otherwise partitions.
    pub tables: Vec<PublishedTable>,
}

/// A table of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTable {
    pub name: TableName,
    /// The columns that the stream will have, in catalog order.
    pub columns: Vec<String>,
    /// The condition of a row filter, which backfill must honour too; PostgreSQL 15 and newer.
    pub row_filter: Option<String>,
    /// The tables above it, if it is a partition: published through it.
    pub ancestors: Vec<TableName>,
}

impl Publication {
    /// A publication that does not exist publishes nothing.
    pub(super) fn none(name: &str) -> Publication {
        Publication {
            name: name.to_owned(),
            all_tables: false,
            insert: false,
            update: false,
            delete: false,
            truncate: false,
            via_partition_root: false,
            ours: false,
            by_setup: false,
            tables: Vec::new(),
        }
    }

    /// Returns the published table of that name.
    pub fn table(&self, name: &TableName) -> Option<&PublishedTable> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// Returns the operations that are published, in the words of `WITH (publish = …)`.
    pub fn operations(&self) -> Vec<(&'static str, bool)> {
        vec![("insert", self.insert), ("update", self.update), ("delete", self.delete), ("truncate", self.truncate)]
    }

    /// Returns true when the changes of a table come with the publication, under its own name or those of its
    /// partitions.
    pub fn covers(&self, name: &TableName) -> bool {
        self.tables.iter().any(|table| table.name == *name || table.ancestors.contains(name))
    }
}

const PUBLICATION: &str = "\
    SELECT p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot, \
           coalesce(pg_catalog.obj_description(p.oid, 'pg_publication') = $2::text, false), \
           coalesce(pg_catalog.obj_description(p.oid, 'pg_publication') = $3::text, false) \
    FROM pg_catalog.pg_publication p WHERE p.pubname = $1::text";

// PostgreSQL 14 has neither column lists nor row filters; through jsonb their absence is no error.
const TABLES: &str = "\
    SELECT t.schemaname::text, t.tablename::text, \
           CASE WHEN j ? 'attnames' \
                THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(j->'attnames')) \
                ELSE ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid \
                     AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) END, \
           j->>'rowfilter', \
           ARRAY(SELECT an.nspname::text FROM above JOIN pg_catalog.pg_class ac ON ac.oid = above.relid \
                 JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace ORDER BY above.relid), \
           ARRAY(SELECT ac.relname::text FROM above JOIN pg_catalog.pg_class ac ON ac.oid = above.relid \
                 JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace ORDER BY above.relid) \
    FROM pg_catalog.pg_publication_tables t \
    CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(t)) AS v(j) \
    JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname \
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
    WHERE t.pubname = $1::text ORDER BY 1, 2";

/// Looks a publication up; `None` when there is none of that name.
///
/// # Errors
/// [`PublicationError::Query`].
pub async fn look_up(client: &Client, name: &str) -> Result<Option<Publication>, PublicationError> {
    let failed = |error| QueryError::new(format!("look up the publication \"{name}\""), error);
    let Some(row) = client.query_opt(PUBLICATION, &[&name, &MARK, &SETUP_MARK]).await.map_err(failed)? else {
        return Ok(None);
    };
    let tables = client.query(&tables_sql(), &[&name]).await.map_err(failed)?;
    let read = || -> Result<Publication, tokio_postgres::Error> {
        Ok(Publication {
            name: name.to_owned(),
            all_tables: row.try_get(0)?,
            insert: row.try_get(1)?,
            update: row.try_get(2)?,
            delete: row.try_get(3)?,
            truncate: row.try_get(4)?,
            via_partition_root: row.try_get(5)?,
            ours: row.try_get(6)?,
            by_setup: row.try_get(7)?,
            tables: tables.iter().map(published).collect::<Result<_, _>>()?,
        })
    };
    Ok(Some(read().map_err(failed)?))
}

/// `above` stands for the ancestors of the row's table.
fn tables_sql() -> String {
    let above = "(SELECT relid FROM pg_catalog.pg_partition_ancestors(c.oid) WHERE relid <> c.oid) AS above";
    TABLES.replace("FROM above ", &format!("FROM {above} "))
}

fn published(row: &Row) -> Result<PublishedTable, tokio_postgres::Error> {
    let (schemas, names): (Vec<String>, Vec<String>) = (row.try_get(4)?, row.try_get(5)?);
    Ok(PublishedTable {
        name: TableName { schema: row.try_get(0)?, name: row.try_get(1)? },
        columns: row.try_get(2)?,
        row_filter: row.try_get(3)?,
        ancestors: schemas.into_iter().zip(names).map(|(schema, name)| TableName { schema, name }).collect(),
    })
}
