//! What can go wrong with Pelton's own tables in a destination.

use tokio_postgres::error::SqlState;

/// A failed use of `rejot_data_store`.
#[derive(Debug, thiserror::Error)]
pub enum DataStoreError {
    #[error("could not {act} in `rejot_data_store`")]
    Query {
        act: &'static str,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("the role may not create the schema `rejot_data_store`")]
    MayNotCreate {
        #[source]
        source: tokio_postgres::Error,
    },
    #[error(
        "migration {version} of `rejot_data_store` was applied with other contents than this version of Pelton has"
    )]
    Drift { version: i32 },
    #[error("`rejot_data_store` is at version {found}; this version of Pelton knows up to {known}")]
    TooNew { found: i32, known: i32 },
    #[error("another process has taken over the flows of `{manifest}` from `{source_slug}`")]
    StaleOwner { manifest: String, source_slug: String },
}

impl DataStoreError {
    pub(super) fn query(act: &'static str) -> impl FnOnce(tokio_postgres::Error) -> DataStoreError {
        move |source| DataStoreError::Query { act, source }
    }

    /// Returns what the operator should do, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            DataStoreError::MayNotCreate { .. } => Some(
                "let an administrator run: CREATE SCHEMA rejot_data_store AUTHORIZATION the_role; \
                 or GRANT CREATE ON DATABASE … TO the_role"
                    .to_owned(),
            ),
            DataStoreError::Drift { .. } => {
                Some("compare rejot_data_store.schema_migrations with the release that applied it".to_owned())
            }
            DataStoreError::TooNew { .. } => Some("run the newer version of Pelton".to_owned()),
            DataStoreError::Query { source, .. } if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Some(
                "grant the role USAGE and CREATE on the schema rejot_data_store, or let it own the schema".to_owned(),
            ),
            DataStoreError::Query { source, .. } if source.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
                Some(
                    "the destination is read-only: point the connection at the primary, or end its read-only mode \
                 (default_transaction_read_only); Pelton goes on by itself"
                        .to_owned(),
                )
            }
            DataStoreError::Query { source, .. } if source.code() == Some(&SqlState::DISK_FULL) => {
                Some("free disk space at the destination; Pelton goes on by itself".to_owned())
            }
            DataStoreError::Query { .. } | DataStoreError::StaleOwner { .. } => None,
        }
    }
}
