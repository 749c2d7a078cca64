//! What can go wrong with Pelton's own tables in a destination.

use tokio_postgres::error::SqlState;

/// A failed use of `rejot_data_store`.
#[derive(Debug, thiserror::Error)]
pub enum DataStoreError {
    #[error("could not {act} in `{schema}`")]
    Query {
        schema: &'static str,
        act: &'static str,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("the role may not create the schema `{schema}`")]
    MayNotCreate {
        schema: &'static str,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("migration {version} of `{schema}` was applied with other contents than this version of Pelton has")]
    Drift { schema: &'static str, version: i32 },
    #[error("`{schema}` is at version {found}; this version of Pelton knows up to {known}")]
    TooNew { schema: &'static str, found: i32, known: i32 },
    #[error("`{schema}` was made by ReJot at version {found}, which is taken over from version {needed} on")]
    OldRejot { schema: &'static str, found: i32, needed: i32 },
    #[error("migration {version} of `{schema}` can't be recorded as applied: there is no {missing}")]
    NotThere { schema: &'static str, version: i32, missing: String },
    #[error("`{schema}` has no migration {version}; the newest is {known}")]
    NoSuchMigration { schema: &'static str, version: i32, known: i32 },
    #[error("another process has taken over the flows of `{manifest}` from `{source_slug}`")]
    StaleOwner { manifest: String, source_slug: String },
    #[error("a consumer of `{manifest}` was changed, or another process has taken it over")]
    StaleConsumer { manifest: String },
    #[error("another process has taken the mirror of `{upstream}` over")]
    StaleMirror { upstream: String },
}

impl DataStoreError {
    pub(crate) fn query(act: &'static str) -> impl FnOnce(tokio_postgres::Error) -> DataStoreError {
        DataStoreError::query_in(super::SCHEMA, act)
    }

    pub(crate) fn query_in(
        schema: &'static str,
        act: &'static str,
    ) -> impl FnOnce(tokio_postgres::Error) -> DataStoreError {
        move |source| DataStoreError::Query { schema, act, source }
    }

    /// Returns true when the server refused a value that it was given: a text that is no time, for instance.
    pub(crate) fn refused_value(&self) -> bool {
        let DataStoreError::Query { source, .. } = self else { return false };
        source.code().is_some_and(|code| code.code().starts_with("22"))
    }

    /// Returns true when the role may not do it.
    pub fn is_refused(&self) -> bool {
        matches!(self, DataStoreError::Query { source, .. } if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE))
    }

    /// Returns true when somebody held a lock for longer than it was waited for.
    pub fn is_lock_timeout(&self) -> bool {
        matches!(self, DataStoreError::Query { source, .. } if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }

    /// Returns what the operator should do, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            DataStoreError::MayNotCreate { schema, .. } => Some(format!(
                "let an administrator run: CREATE SCHEMA {schema} AUTHORIZATION the_role; or GRANT CREATE ON DATABASE … TO \
                 the_role; or the script of {}",
                emit(schema)
            )),
            DataStoreError::Drift { schema, .. } => {
                Some(format!("compare {schema}.schema_migrations with the release that applied it"))
            }
            DataStoreError::OldRejot { needed, .. } => {
                Some(format!("let ReJot's last release start once, which brings it to version {needed}"))
            }
            DataStoreError::TooNew { .. } => Some("run the newer version of Pelton".to_owned()),
            DataStoreError::NotThere { schema, version, .. } => {
                let earlier = match version {
                    1 => String::new(),
                    _ => format!(", or record what was applied before it: --through {}", version - 1),
                };
                Some(format!("apply it: `pelton migrations apply`, or the script of {}{earlier}", emit(schema)))
            }
            DataStoreError::NoSuchMigration { .. } => {
                Some("`pelton migrations status` lists them; a newer version of Pelton may have more".to_owned())
            }
            DataStoreError::Query { schema, source, .. }
                if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
            {
                Some(format!(
                    "grant the role USAGE and CREATE on the schema {schema}, or let it own the schema; or let an \
                     administrator run the script of {}",
                    emit(schema)
                ))
            }
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
            DataStoreError::Query { .. }
            | DataStoreError::StaleOwner { .. }
            | DataStoreError::StaleConsumer { .. }
            | DataStoreError::StaleMirror { .. } => None,
        }
    }
}

/// The command whose script an administrator can run instead.
fn emit(schema: &str) -> &'static str {
    match schema {
        super::SCHEMA => "`pelton migrations emit-sql --role the_role`",
        _ => "`pelton migrations emit-sql --privileged`",
    }
}
