//! `pelton manifest datastore` and `pelton manifest eventstore`: the parts that databases have in a manifest.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::columns;
use super::super::report::Failure;
use super::file::File;
use crate::manifest::edit::Edit;

#[derive(Debug, clap::Subcommand)]
pub enum DataStoreCommand {
    /// Adds a data store: a destination, or, with any flag beside --connection, a source too
    Add {
        /// The connection; it is the data store's name too
        #[arg(long, value_name = "SLUG")]
        connection: String,
        /// It is read: slot and publication are named for the manifest
        #[arg(long)]
        source: bool,
        /// It is read, with this publication
        #[arg(long, value_name = "NAME")]
        publication: Option<String>,
        /// It is read, through this replication slot
        #[arg(long, value_name = "NAME")]
        slot: Option<String>,
        /// It is read, and a new publication holds these tables [default: those that public schemas read]
        #[arg(long, value_name = "TABLE", value_delimiter = ',')]
        tables: Vec<String>,
    },
    /// Lists the data stores
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes a data store that nothing reads or writes
    Remove {
        /// Its connection
        #[arg(value_name = "CONNECTION")]
        connection: String,
    },
}

#[derive(Debug, clap::Subcommand)]
pub enum EventStoreCommand {
    /// Adds an event store: what is published stays there, and consumers read from it
    Add {
        /// The connection
        #[arg(long, value_name = "SLUG")]
        connection: String,
    },
    /// Lists the event stores
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes an event store from the manifest; what is in its database stays
    Remove {
        /// Its connection
        #[arg(value_name = "CONNECTION")]
        connection: String,
    },
}

/// A list of stores in a manifest.
struct Stores {
    list: &'static str,
    /// What one of them is called, and the command for them.
    name: &'static str,
    command: &'static str,
}

const DATA: Stores = Stores { list: "dataStores", name: "data store", command: "datastore" };
const EVENTS: Stores = Stores { list: "eventStores", name: "event store", command: "eventstore" };

/// Does it.
pub fn run_data(path: &Path, what: DataStoreCommand) -> Result<(), Failure> {
    match what {
        DataStoreCommand::Add { connection, source, publication, slot, tables } => {
            let mut config = Map::new();
            if source || publication.is_some() || slot.is_some() || !tables.is_empty() {
                config.insert("connectionType".to_owned(), json!("postgres"));
            }
            config.extend(slot.map(|name| ("slotName".to_owned(), json!(name))));
            config.extend(publication.map(|name| ("publicationName".to_owned(), json!(name))));
            if !tables.is_empty() {
                config.insert("tables".to_owned(), json!(tables));
            }
            let item = match config.is_empty() {
                true => json!({ "connectionSlug": connection }),
                false => json!({ "connectionSlug": connection, "config": config }),
            };
            DATA.add(path, &connection, item)
        }
        DataStoreCommand::Remove { connection } => DATA.remove(path, &connection),
        DataStoreCommand::List { json } => DATA.list(path, json),
    }
}

/// Does it.
pub fn run_event(path: &Path, what: EventStoreCommand) -> Result<(), Failure> {
    match what {
        EventStoreCommand::Add { connection } => {
            let item = json!({ "connectionSlug": connection });
            EVENTS.add(path, &connection, item)
        }
        EventStoreCommand::Remove { connection } => EVENTS.remove(path, &connection),
        EventStoreCommand::List { json } => EVENTS.list(path, json),
    }
}

impl Stores {
    fn add(&self, path: &Path, connection: &str, item: Value) -> Result<(), Failure> {
        let mut file = File::read(path)?;
        if file.position("connections", "slug", connection).is_none() {
            let hint = format!("pelton manifest connection add --slug {connection} --connection-string '${{DB_URL}}'");
            return Err(Failure::new(
                format!("there is no connection `{connection}` in {}", path.display()),
                Some(hint),
            ));
        }
        if file.position(self.list, "connectionSlug", connection).is_some() {
            let hint = format!("edit it, or `pelton manifest {} remove {connection}` first", self.command);
            return Err(Failure::new(format!("`{connection}` is {} already", self.a_name()), Some(hint)));
        }
        file.edit(&Edit::Push { list: self.list, item })?;
        file.write()?;
        eprintln!("Added {} `{connection}` to {}.", self.name, path.display());
        Ok(())
    }

    fn remove(&self, path: &Path, connection: &str) -> Result<(), Failure> {
        let mut file = File::read(path)?;
        let index = file.position(self.list, "connectionSlug", connection).ok_or_else(|| {
            let known: Vec<&str> =
                file.items(self.list).iter().filter_map(|item| item["connectionSlug"].as_str()).collect();
            let hint = match known.is_empty() {
                true => "it has none".to_owned(),
                false => format!("it has {}", known.join(", ")),
            };
            Failure::new(format!("there is no {} `{connection}` in {}", self.name, path.display()), Some(hint))
        })?;
        file.edit(&Edit::Remove { list: self.list, index })?;
        file.write()?;
        eprintln!("Removed {} `{connection}` from {}.", self.name, path.display());
        Ok(())
    }

    fn list(&self, path: &Path, json: bool) -> Result<(), Failure> {
        let file = File::read(path)?;
        let items = file.items(self.list);
        if json {
            println!("{:#}", Value::Array(items.to_vec()));
            return Ok(());
        }
        let text = |item: &Value, name: &str| item["config"][name].as_str().unwrap_or("-").to_owned();
        let row = |item: &Value| {
            let slug = item["connectionSlug"].as_str().unwrap_or_default().to_owned();
            let role = match (self.list, item.get("config")) {
                ("eventStores", _) => "events",
                (_, Some(_)) => "source",
                (_, None) => "destination",
            };
            [slug, role.to_owned(), text(item, "slotName"), text(item, "publicationName")]
        };
        let head = ["CONNECTION", "USED AS", "SLOT", "PUBLICATION"].map(str::to_owned);
        columns::print([head].into_iter().chain(items.iter().map(row)));
        Ok(())
    }

    fn a_name(&self) -> &'static str {
        if self.list == "eventStores" { "an event store" } else { "a data store" }
    }
}
