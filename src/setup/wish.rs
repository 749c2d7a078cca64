//! What `pelton setup` is to make of one database.

use crate::manifest::{PostgresConnection, Secret};
use crate::postgres::catalog::TableName;

use super::tables::Entry;

/// One database, who prepares it, and for whom.
#[derive(Clone, Debug)]
pub struct Job {
    /// As people read it: `source shop`, `database shop`.
    pub place: String,
    /// Who prepares it.
    pub connection: PostgresConnection,
    /// Whom it is prepared for; `None`: whoever connects.
    pub role: Option<RoleWish>,
    pub source: Option<SourceWish>,
    pub destination: Option<DestinationWish>,
    /// An event store too.
    pub event_store: bool,
}

/// The role that Pelton runs as.
#[derive(Clone, Debug)]
pub struct RoleWish {
    pub name: String,
    pub password: Option<Secret>,
}

/// What a source needs.
#[derive(Clone, Debug)]
pub struct SourceWish {
    pub publication: String,
    /// It was named on the command line, so that it may be altered, whoever made it.
    pub publication_named: bool,
    pub slot: String,
    pub scope: Scope,
    pub identity: IdentityWish,
    /// New tables get a replica identity by an event trigger.
    pub keep_identity: bool,
    /// An event trigger tells the stream of ALTER TABLE.
    pub ddl_messages: bool,
    /// Tables that are published from now on, FULL.
    pub add: Vec<TableName>,
    /// Tables that are no longer published.
    pub drop: Vec<TableName>,
    /// The group that is to own the tables.
    pub group: Option<String>,
    /// The schema `pelton` with its view and procedures.
    pub helpers: bool,
}

/// Which tables are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that may be.
    All,
    /// All that may be, of these schemas.
    Schemas(Vec<String>),
    Listed(Vec<Entry>),
}

/// What becomes of replica identities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityWish {
    #[default]
    Leave,
    /// FULL for tables without a usable key.
    Keyless,
    /// FULL for all that are published.
    Full,
}

/// What a destination needs.
#[derive(Clone, Debug, Default)]
pub struct DestinationWish {
    /// The tables that are written, and whether Pelton makes them.
    pub tables: Vec<(TableName, bool)>,
}

impl SourceWish {
    /// Returns true for a table that the scope names, or takes in.
    pub fn takes(&self, table: &TableName) -> bool {
        if self.drop.contains(table) {
            return false;
        }
        self.add.contains(table)
            || match &self.scope {
                Scope::All => true,
                Scope::Schemas(schemas) => schemas.contains(&table.schema),
                Scope::Listed(entries) => entries.iter().any(|entry| entry.table == *table),
            }
    }

    /// Returns the tables by name, where they are named.
    pub fn listed(&self) -> Option<Vec<TableName>> {
        let Scope::Listed(entries) = &self.scope else { return None };
        let mut names: Vec<TableName> = entries.iter().map(|entry| entry.table.clone()).collect();
        names.extend(self.add.iter().filter(|table| !names.contains(table)).cloned().collect::<Vec<_>>());
        names.retain(|table| !self.drop.contains(table));
        Some(names)
    }
}
