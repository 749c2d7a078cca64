//! What `pelton setup` is to make of one database: what a manifest says of it, and what is asked for beyond that.

use super::tables::Entry;
use super::target::{Side, SourceTarget, Target};
use crate::manifest::{PostgresConnection, Secret};
use crate::postgres::catalog::TableName;

/// One database, who prepares it, for whom, and what it is to be.
#[derive(Clone, Debug)]
pub struct Job {
    /// As people read it: `source shop`, `database shop`.
    pub place: String,
    /// Who prepares it.
    pub connection: PostgresConnection,
    /// Whom it is prepared for; `None`: whoever connects.
    pub role: Option<RoleWish>,
    /// All of one database; at least one.
    pub targets: Vec<Target>,
}

/// The role that Pelton runs as.
#[derive(Clone, Debug)]
pub struct RoleWish {
    pub name: String,
    pub password: Option<Secret>,
}

/// What is asked for of a source beyond what a manifest says. The doctor asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub way: Way,
    /// Of all tables only those of these schemas; all of them where it is empty.
    pub schemas: Vec<String>,
    /// Tables as they are to be published, columns and rows included.
    pub entries: Vec<Entry>,
    /// Tables that are published from now on, FULL.
    pub add: Vec<TableName>,
    /// Tables that are no longer published.
    pub drop: Vec<TableName>,
    pub identity: IdentityWish,
    /// The publication may be altered, whoever made it.
    pub publication_named: bool,
    /// New tables get a replica identity by an event trigger.
    pub keep_identity: bool,
    /// An event trigger tells the stream of ALTER TABLE.
    pub ddl_messages: bool,
    /// The group that is to own the tables.
    pub group: Option<String>,
    /// The schema `pelton` with its view and procedures.
    pub helpers: bool,
}

/// How what rules propose comes to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// As a script that a person has read: it may hold whatever mends anything.
    #[default]
    Plan,
    /// As a script of what setup would run: what stands below counts on what stands above.
    Script,
    /// Step by step, each after a look at what the one before has done.
    Steps,
}

/// What becomes of replica identities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityWish {
    #[default]
    Leave,
    /// One for tables without a usable key.
    Keyless,
    /// FULL for all that are published.
    Full,
}

impl Asked {
    /// Returns true when tables that lack a replica identity may be given one without asking a person.
    pub fn gives_identity(&self) -> bool {
        self.way == Way::Plan || self.identity != IdentityWish::Leave
    }

    /// Returns the table as it stands in `FOR TABLE`.
    pub fn entry(&self, table: &TableName) -> Entry {
        self.entries.iter().find(|entry| entry.table == *table).cloned().unwrap_or_else(|| Entry::of(table.clone()))
    }
}

impl Job {
    /// Returns what is wanted of it as a source.
    pub fn source(&self) -> Option<&SourceTarget> {
        self.targets.iter().find_map(|target| match &target.side {
            Side::Source(source) => Some(source),
            _ => None,
        })
    }

    /// As [`Job::source`], to be changed.
    pub fn source_mut(&mut self) -> Option<&mut SourceTarget> {
        self.targets.iter_mut().find_map(|target| match &mut target.side {
            Side::Source(source) => Some(source),
            _ => None,
        })
    }
}
