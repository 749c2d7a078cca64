//! The rows of a build in tables of their own, to be queried.
//!
//! They are in a schema that `pelton dev` made, which its comment says; one that somebody else made is never touched. Each
//! build begins anew, in one transaction, so whoever queries sees the rows of one build. An advisory lock keeps two
//! programs out of one schema.

use tokio_postgres::Client;

use super::APPLICATION;
use crate::change::{PublicSchema, Row};
use crate::cli::databases::Database;
use crate::cli::report::Failure;
use crate::postgres::{QueryError, quote_ident};
use crate::rehearse::Labels;
use crate::sink::{Addressed, Destination, SinkError, TableTarget, TableWriter};

/// The comment by which the schema is known.
const MARK: &str = "Made by pelton dev: the rows of its last build.";
/// Names of Postgres are no longer.
const NAME_BYTES_MAX: usize = 63;

/// The schema, held by one session.
pub struct Scratch {
    database: Database,
    client: Client,
    pub schema: String,
    destination: Option<Destination>,
    /// The tables that were made, by the names of their public schemas.
    pub tables: Vec<String>,
}

/// Returns the schema that a transform's rows are written into where nothing is said.
pub fn schema_of(transform: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = transform.chars().map(plain).collect();
    format!("pelton_dev_{name}").chars().take(NAME_BYTES_MAX).collect()
}

impl Scratch {
    /// Takes hold of the schema, which need not exist yet.
    ///
    /// # Errors
    /// The database can't be reached, the schema is somebody else's, or another program uses it.
    pub async fn open(database: Database, schema: String) -> Result<Scratch, Failure> {
        let client = database.connect(APPLICATION).await?;
        let scratch = Scratch { database, client, schema, destination: None, tables: Vec::new() };
        let lock = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext('pelton dev'), pg_catalog.hashtext($1))";
        let locked = scratch.client.query_one(lock, &[&scratch.schema]).await;
        if !locked.map_err(|error| scratch.failed("take hold of the schema", error))?.get::<_, bool>(0) {
            let what = format!("another pelton dev writes into schema \"{}\"", scratch.schema);
            return Err(scratch.database.refused(what, "end that one, or choose another schema with --scratch NAME"));
        }
        scratch.is_there().await?;
        Ok(scratch)
    }

    /// Returns true once the connection is lost.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Returns whether the schema exists; one that is not ours is refused.
    async fn is_there(&self) -> Result<bool, Failure> {
        let find = "SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace \
                    WHERE nspname = $1";
        let found = self.client.query_opt(find, &[&self.schema]).await;
        match found.map_err(|error| self.failed("look for the schema", error))? {
            None => Ok(false),
            Some(row) if row.get::<_, Option<String>>(0).as_deref() == Some(MARK) => Ok(true),
            Some(_) => {
                let what = format!("schema \"{}\" is there, and pelton dev did not make it", self.schema);
                Err(self.database.refused(what, "choose another name with --scratch NAME"))
            }
        }
    }

    /// Opens a transaction and makes the tables anew, for what a transform publishes.
    ///
    /// # Errors
    /// What the server says, such as that something else depends on the tables; all is as it was then.
    pub async fn begin(&mut self, public_schemas: &[PublicSchema], labels: &Labels) -> Result<(), Failure> {
        self.execute("begin a transaction", "BEGIN; SET LOCAL lock_timeout = '5s'").await?;
        let begun = self.make(public_schemas, labels).await;
        if begun.is_err() {
            self.roll_back().await;
        }
        begun
    }

    async fn make(&mut self, public_schemas: &[PublicSchema], labels: &Labels) -> Result<(), Failure> {
        self.empty().await?;
        let schema = quote_ident(&self.schema);
        let make = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{MARK}'");
        self.execute("make the schema", &make).await?;
        self.tables.clear();
        let mut writers = Vec::new();
        for public in public_schemas {
            let table = labels.label(public).replace(' ', "_");
            let target = TableTarget {
                schema: self.schema.clone(),
                table: table.clone(),
                create_table: true,
                public: public.clone(),
                exact: false,
            };
            let writer = TableWriter::prepare(&self.client, target).await;
            writers.push(writer.map_err(|error| self.sink_failed(&error))?);
            let comment = format!("COMMENT ON TABLE {schema}.{} IS '{MARK}'", quote_ident(&table));
            self.execute("mark the table", &comment).await?;
            self.tables.push(table);
        }
        self.destination = Some(Destination::new(writers));
        Ok(())
    }

    /// Drops the tables that bear our mark and the schema, and nothing that somebody else made on top of them or beside them:
    /// then it is refused.
    async fn empty(&self) -> Result<(), Failure> {
        if !self.is_there().await? {
            return Ok(());
        }
        let tables = "SELECT c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n \
                      ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r' \
                      AND pg_catalog.obj_description(c.oid, 'pg_class') = $2";
        let tables = self.client.query(tables, &[&self.schema, &MARK]).await;
        let tables = tables.map_err(|error| self.failed("look for tables", error))?;
        let schema = quote_ident(&self.schema);
        let names: Vec<String> =
            tables.iter().map(|row| format!("{schema}.{}", quote_ident(row.get::<_, &str>(0)))).collect();
        let tables = if names.is_empty() { String::new() } else { format!("DROP TABLE {}; ", names.join(", ")) };
        self.execute("drop the tables of the last build", &format!("{tables}DROP SCHEMA {schema}")).await
    }

    /// Writes rows of the transform whose tables were made.
    ///
    /// # Errors
    /// What the server says; nothing of this build is written then.
    pub async fn write(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let Some(destination) = &mut self.destination else { return Ok(()) };
        let rows: Vec<Addressed<'_>> =
            rows.iter().map(|row| Addressed { table: row.public_schema as usize, row }).collect();
        if let Err(error) = destination.write(&self.client, &rows).await {
            self.roll_back().await;
            return Err(self.sink_failed(&error));
        }
        Ok(())
    }

    /// Lets everybody see the rows.
    ///
    /// # Errors
    /// What the server says.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        if self.destination.take().is_some() {
            self.execute("commit the rows", "COMMIT").await?;
        }
        Ok(())
    }

    async fn roll_back(&mut self) {
        self.destination = None;
        // A session that is gone has rolled back.
        let _ = self.client.batch_execute("ROLLBACK").await;
    }

    /// Lets go of the schema, and drops it unless it is to be kept.
    ///
    /// # Errors
    /// What the server says.
    pub async fn close(mut self, keep: bool) -> Result<(), Failure> {
        self.roll_back().await;
        if keep {
            return Ok(());
        }
        self.execute("begin a transaction", "BEGIN; SET LOCAL lock_timeout = '5s'").await?;
        self.empty().await?;
        self.execute("drop the schema", "COMMIT").await
    }

    async fn execute(&self, act: &'static str, sql: &str) -> Result<(), Failure> {
        self.client.batch_execute(sql).await.map_err(|error| self.failed(act, error))
    }

    fn failed(&self, act: &'static str, error: tokio_postgres::Error) -> Failure {
        let error = QueryError::new(act, error);
        self.database.failed(&error, error.hint())
    }

    fn sink_failed(&self, error: &SinkError) -> Failure {
        self.database.failed(error, error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_named_after_its_transform() {
        assert_eq!(schema_of("orders"), "pelton_dev_orders");
        assert_eq!(schema_of("My-shop.Orders é"), "pelton_dev_my_shop_orders__");
        assert_eq!(schema_of(&"x".repeat(80)).len(), NAME_BYTES_MAX);
    }
}
