//! The database that is recorded: a manifest's, or what a URL names.

use tokio_postgres::Client;

use crate::cli::databases::{Database, Databases, sources};
use crate::cli::report::Failure;
use crate::postgres::catalog::{self, TableName, Which as Tables};
use crate::postgres::publication::{self, Publication};

/// Which database to record, and by which publication.
#[derive(Debug, clap::Args)]
pub struct Which {
    #[command(flatten)]
    databases: Databases,

    /// Which of the manifest's data stores to record, where it reads several
    #[arg(long, value_name = "SLUG", conflicts_with = "url")]
    data_store: Option<String>,

    /// Record what this publication has [default: the manifest's, if it has the tables; otherwise one is made, and dropped
    /// at the end]
    #[arg(long, value_name = "NAME")]
    publication: Option<String>,
}

/// The database, and the publication to use where there is one.
pub struct Source {
    pub database: Database,
    named: Option<String>,
    of_manifest: Option<String>,
}

impl Which {
    pub fn new(databases: Databases, data_store: Option<String>, publication: Option<String>) -> Which {
        Which { databases, data_store, publication }
    }

    /// Finds the database.
    ///
    /// # Errors
    /// The manifest's problems; no data store, or several, to choose from.
    pub fn find(&self) -> Result<Source, Failure> {
        let named = self.publication.clone();
        if let Some(database) = self.databases.of_url()? {
            return Ok(Source { database, named, of_manifest: None });
        }
        let manifest = self.databases.manifest()?.expect("there is no URL");
        let mut all = sources(&manifest);
        let slugs = || all.iter().map(|database| database.name.as_str()).collect::<Vec<_>>().join(", ");
        let at = match (&self.data_store, all.len()) {
            (_, 0) => {
                let hint = "name a database with --url".to_owned();
                return Err(Failure::new("the manifest reads no database", Some(hint)));
            }
            (None, 1) => 0,
            (None, _) => {
                let hint = format!("choose one with --data-store: {}", slugs());
                return Err(Failure::new("the manifest reads several databases", Some(hint)));
            }
            (Some(slug), _) => match all.iter().position(|database| database.name == *slug) {
                Some(at) => at,
                None => {
                    let hint = format!("it reads {}", slugs());
                    return Err(Failure::new(format!("the manifest reads no data store `{slug}`"), Some(hint)));
                }
            },
        };
        let database = all.swap_remove(at);
        let source = manifest.sources().find(|(store, _)| store.slug == database.name);
        let of_manifest = source.map(|(_, source)| source.publication_name.clone());
        Ok(Source { database, named, of_manifest })
    }
}

impl Source {
    /// Returns the publication to record by: the one that was named, or the manifest's, if it is there and has the tables.
    pub async fn publication(&self, client: &Client, tables: &[TableName]) -> Result<Option<String>, Failure> {
        let Some(name) = self.of_manifest.as_ref().filter(|_| self.named.is_none()) else {
            return Ok(self.named.clone());
        };
        let found = publication::look_up(client, name).await;
        let found = found.map_err(|error| self.database.failed(&error, error.hint()))?;
        let has = |publication: &Publication| {
            !publication.tables.is_empty()
                && tables.iter().all(|table| publication.table(table).is_some())
                && publication.operations().iter().all(|(_, published)| *published)
                && publication.tables.iter().all(|table| table.row_filter.is_none())
        };
        Ok(found.filter(has).map(|publication| publication.name))
    }

    /// Returns notes on what the chosen publication keeps from the recording.
    ///
    /// # Errors
    /// A table that is named is recorded under other names, those of its partitions or of what it is a partition of.
    pub async fn lacking(
        &self,
        client: &Client,
        chosen: Option<&str>,
        named: &[TableName],
    ) -> Result<Vec<String>, Failure> {
        let Some(name) = chosen else {
            // One that is made for the recording has partitions under the name of their table.
            let found = catalog::load(client, Tables::Named(named)).await;
            let found = found.map_err(|error| self.database.failed(&error, error.hint()))?;
            return match found.iter().find_map(|table| Some((&table.name, &table.partition_root.as_ref()?.1))) {
                Some((partition, root)) => Err(self.database.refused(
                    format_args!("{partition} is a partition, and is recorded as {root}"),
                    format!("name {root}"),
                )),
                None => Ok(Vec::new()),
            };
        };
        let found = publication::look_up(client, name).await;
        // That it is not there is told when the recording begins.
        let Some(found) = found.map_err(|error| self.database.failed(&error, error.hint()))? else {
            return Ok(Vec::new());
        };
        if let Some(table) = named.iter().find(|table| found.table(table).is_none() && found.covers(table)) {
            let what = format!("publication \"{name}\" has {table} under the names of its partitions");
            return Err(self.database.refused(what, "leave --publication out, or name the partitions"));
        }
        let operations = found.operations();
        let lacking: Vec<&str> =
            operations.iter().filter(|(_, published)| !published).map(|(operation, _)| *operation).collect();
        let mut notes = Vec::new();
        if !lacking.is_empty() {
            notes.push(format!("Not recorded: {}, which publication \"{name}\" leaves out.", lacking.join(", ")));
        }
        for table in found.tables.iter().filter(|table| table.row_filter.is_some()) {
            notes.push(format!("Not recorded: rows of {} that publication \"{name}\" filters out.", table.name));
        }
        Ok(notes)
    }
}
