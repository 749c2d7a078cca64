//! One thing that is removed.

use std::fmt;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::cli::databases::Database;
use crate::cli::report::Failure;
use crate::datastore::{self, Set};
use crate::postgres::{QueryError, publication, quote_ident, slot};

/// Something that is removed.
#[derive(Clone, Debug)]
pub enum Step {
    Slot {
        name: String,
        retained: String,
    },
    Publication {
        name: String,
        tables: usize,
    },
    EventTrigger {
        name: String,
    },
    /// What the manifest's flows left at a destination.
    Rows {
        manifest: String,
        rows: i64,
    },
    Schema {
        set: &'static Set,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Slot { name, retained } => write!(f, "replication slot \"{name}\", which keeps {retained} of WAL"),
            Step::Publication { name, tables } => write!(f, "publication \"{name}\" of {tables} tables"),
            Step::EventTrigger { name } => write!(f, "event trigger \"{name}\""),
            Step::Rows { manifest, rows } => write!(f, "{rows} rows of manifest `{manifest}` in rejot_data_store"),
            Step::Schema { set } => write!(f, "schema {} with what Pelton made in it", set.schema),
        }
    }
}

impl Step {
    /// Does it, and says what was done.
    pub async fn run(&self, database: &Database, client: &mut Client) -> Result<String, Failure> {
        match self {
            Step::Slot { name, .. } => {
                slot::drop_slot(client, name).await.map_err(|error| database.failed(&error, error.hint()))?;
            }
            Step::Publication { name, .. } => {
                let dropped = publication::drop_publication(client, name).await;
                dropped.map_err(|error| database.failed(&error, error.hint()))?;
            }
            Step::EventTrigger { name } => {
                let sql = format!("DROP EVENT TRIGGER IF EXISTS {}", quote_ident(name));
                drop_by(database, client, &sql, &self.to_string()).await?;
            }
            Step::Rows { manifest, .. } => {
                let deleted = datastore::forget_manifest(client, manifest).await;
                let rows = deleted.map_err(|error| database.failed(&error, error.hint()))?;
                return Ok(format!("removed {rows} rows of manifest `{manifest}`"));
            }
            Step::Schema { set } => {
                // Another manifest may have begun to write there since it was looked at.
                let others = datastore::remembered(client, "").await;
                let others = others.map_err(|error| database.failed(&error, error.hint()))?.others;
                if set.schema == datastore::SCHEMA && others > 0 {
                    let what = format!("schema {} has rows of other manifests by now, so it stays", set.schema);
                    return Err(database.refused(what, "run `pelton teardown` of those manifests too"));
                }
                drop_by(database, client, &datastore::removal(set), &self.to_string()).await?;
            }
        }
        Ok(format!("removed {self}"))
    }
}

/// Runs statements that drop something, in one transaction.
async fn drop_by(database: &Database, client: &Client, sql: &str, what: &str) -> Result<(), Failure> {
    let Err(error) = client.batch_execute(sql).await else { return Ok(()) };
    let hint = match error.code() {
        Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {
            "somebody else's objects stand in it or depend on it: move or drop those first, then run this again"
                .to_owned()
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => format!("let its owner, or an administrator, run: {sql}"),
        _ => "run this again: it goes on with what is left".to_owned(),
    };
    Err(database.failed(&QueryError::new(format!("drop {what}"), error), Some(hint)))
}
