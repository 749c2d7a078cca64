//! What the sink needs to write the rows of a flow or a consumer: into a table, or by its author's statements.

use tokio_postgres::Client;

use crate::change::PublicSchema;
use crate::datastore::DataStoreError;
use crate::manifest::{PostgresConnection, TableDestination};
use crate::postgres;
use crate::sink::{self, SqlTarget, SqlWriter, TableTarget, TableWriter, Writer};

use super::Context;
use super::failure::EngineError;
use super::plan::TargetPlan;

/// A destination as writers are made for it.
pub struct Place<'a> {
    pub context: &'a Context,
    pub slug: &'a str,
    pub connection: &'a PostgresConnection,
    /// The session that will write.
    pub client: &'a Client,
}

impl Place<'_> {
    /// Makes what takes the rows of `public` ready to write. `exact`: see [`TableTarget`].
    ///
    /// # Errors
    /// The table does not take the rows, Postgres refuses the statements, or the destination can't be reached.
    pub async fn writer(
        &self,
        consumer: &str,
        target: &TargetPlan,
        public: &PublicSchema,
        exact: bool,
    ) -> Result<Writer, EngineError> {
        let failed = |source| EngineError::Sink { slug: self.slug.to_owned(), source };
        match target {
            TargetPlan::Table(table) => {
                let target = table_target(table, public, exact);
                TableWriter::prepare(self.client, target).await.map(Writer::Table).map_err(failed)
            }
            TargetPlan::Sql(statements) => {
                let target = SqlTarget {
                    consumer: consumer.to_owned(),
                    sql: statements.sql.clone(),
                    delete_sql: statements.delete_sql.clone(),
                    public: public.clone(),
                    search_path: self.search_path().await?,
                };
                SqlWriter::prepare(self.client, target).await.map(Writer::Sql).map_err(failed)
            }
        }
    }

    /// As [`Place::writer`], and waits for no lock for long: whoever waits to add columns to a table holds up all who come
    /// after, readers too.
    ///
    /// # Errors
    /// As [`Place::writer`], or somebody else has a table locked.
    pub async fn writer_soon(
        &self,
        consumer: &str,
        target: &TargetPlan,
        public: &PublicSchema,
    ) -> Result<Writer, EngineError> {
        let set = async |sql| {
            let set = self.client.batch_execute(sql).await.map_err(DataStoreError::query("set lock_timeout"));
            set.map_err(|source| EngineError::DataStore { slug: self.slug.to_owned(), source })
        };
        set("SET lock_timeout = '2s'").await?;
        let writer = self.writer(consumer, target, public, false).await;
        set("RESET lock_timeout").await?;
        writer
    }

    /// Says what would keep a writer of a component's rows from being made, and makes and changes nothing.
    ///
    /// # Errors
    /// As [`Place::writer`].
    pub async fn check(&self, consumer: &str, target: &TargetPlan, public: &PublicSchema) -> Result<(), EngineError> {
        match target {
            TargetPlan::Table(table) => {
                let fits = sink::fits(self.client, &table_target(table, public, false)).await;
                fits.map_err(|source| EngineError::Sink { slug: self.slug.to_owned(), source })
            }
            // To prepare statements changes nothing.
            TargetPlan::Sql(_) => self.writer(consumer, target, public, false).await.map(drop),
        }
    }

    /// Returns the `search_path` that the role has of its own, which our sessions do not.
    async fn search_path(&self) -> Result<String, EngineError> {
        let session = postgres::Session::user_sql(self.context.application_name());
        let client = postgres::connect(self.connection, &session).await.map_err(|source| EngineError::Connect {
            role: "destination",
            slug: self.slug.to_owned(),
            source,
        })?;
        let shown = client.query_one("SELECT pg_catalog.current_setting('search_path')", &[]).await;
        let shown = shown.map_err(DataStoreError::query("look up the search_path"));
        let row = shown.map_err(|source| EngineError::DataStore { slug: self.slug.to_owned(), source })?;
        Ok(row.get(0))
    }
}

fn table_target(table: &TableDestination, public: &PublicSchema, exact: bool) -> TableTarget {
    TableTarget {
        schema: table.table.schema.clone(),
        table: table.table.name.clone(),
        create_table: table.create_table,
        public: public.clone(),
        exact,
    }
}
