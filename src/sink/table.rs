//! One destination table.

use tokio_postgres::Client;

use super::SinkError;
use crate::change::PublicSchema;

/// A table as a flow wants it.
#[derive(Clone, Debug)]
pub struct TableTarget {
    pub schema: String,
    pub table: String,
    /// Make the table from the public schema if it does not exist.
    pub create_table: bool,
    pub public: PublicSchema,
}

/// One destination table, checked and ready to be written through one session.
pub struct TableWriter {
    target: TableTarget,
}

impl TableWriter {
    pub async fn prepare(_client: &Client, target: TableTarget) -> Result<TableWriter, SinkError> {
        Ok(TableWriter { target })
    }

    /// Returns what was asked for.
    pub fn target(&self) -> &TableTarget {
        &self.target
    }
}
