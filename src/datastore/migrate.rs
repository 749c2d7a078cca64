//! Makes and upgrades the tables of `rejot_data_store`.
//!
//! Migrations are numbered, embedded files. ReJot's own come first, so a database that ReJot prepared (at version 1,
//! without checksums) is taken over by applying the rest.

use sha2::{Digest, Sha384};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::DataStoreError;

struct Migration {
    version: i32,
    description: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        description: "public_schema_state",
        sql: include_str!("../../migrations/rejot_data_store/0001_public_schema_state.sql"),
    },
    Migration {
        version: 2,
        description: "flows",
        sql: include_str!("../../migrations/rejot_data_store/0002_flows.sql"),
    },
    Migration {
        version: 3,
        description: "released",
        sql: include_str!("../../migrations/rejot_data_store/0003_released.sql"),
    },
    Migration {
        version: 4,
        description: "paused",
        sql: include_str!("../../migrations/rejot_data_store/0004_paused.sql"),
    },
];

/// Serialises migrations of one database among processes: "pelton" in ASCII.
const MIGRATION_LOCK: i64 = 0x70_65_6C_74_6F_6E;

fn checksum(sql: &str) -> String {
    hex::encode(Sha384::digest(sql.as_bytes()))
}

/// Brings `rejot_data_store` to this version's tables and returns the versions that were applied now.
///
/// All in one transaction. A role without CREATE on the database succeeds once the schema exists and is its own.
///
/// # Errors
/// [`DataStoreError::MayNotCreate`], [`DataStoreError::Drift`] or [`DataStoreError::TooNew`], or what the server says.
pub async fn migrate(client: &mut Client) -> Result<Vec<i32>, DataStoreError> {
    let query = DataStoreError::query;
    let transaction = client.transaction().await.map_err(query("begin a migration"))?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(query("wait for another migration"))?;
    // CREATE SCHEMA IF NOT EXISTS demands CREATE on the database even where the schema exists.
    let exists = transaction
        .query_one("SELECT to_regnamespace('rejot_data_store') IS NOT NULL", &[])
        .await
        .map_err(query("look for the schema"))?
        .get::<_, bool>(0);
    if !exists {
        transaction.batch_execute("CREATE SCHEMA rejot_data_store").await.map_err(|source| {
            if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                DataStoreError::MayNotCreate { source }
            } else {
                DataStoreError::Query { act: "create the schema", source }
            }
        })?;
    }
    let prepared = "SELECT to_regclass('rejot_data_store.schema_migrations') IS NOT NULL, \
                    EXISTS (SELECT FROM pg_attribute WHERE attname = 'checksum' AND NOT attisdropped \
                            AND attrelid = to_regclass('rejot_data_store.schema_migrations'))";
    let row = transaction.query_one(prepared, &[]).await.map_err(query("look for migrations"))?;
    let ddl = match (row.get(0), row.get(1)) {
        (false, _) => {
            "CREATE TABLE rejot_data_store.schema_migrations (version integer PRIMARY KEY, description text, \
             applied_at timestamptz DEFAULT now(), checksum text)"
        }
        (true, false) => "ALTER TABLE rejot_data_store.schema_migrations ADD COLUMN checksum text",
        (true, true) => "",
    };
    transaction.batch_execute(ddl).await.map_err(query("make the table of migrations"))?;
    let applied = transaction
        .query("SELECT version, checksum FROM rejot_data_store.schema_migrations ORDER BY version", &[])
        .await
        .map_err(query("read the applied migrations"))?;
    let known = MIGRATIONS.last().expect("there are migrations").version;
    if let Some(found) = applied.last().map(|row| row.get(0)).filter(|&found| found > known) {
        return Err(DataStoreError::TooNew { found, known });
    }
    let mut done = Vec::new();
    for Migration { version, description, sql } in MIGRATIONS {
        let checksum = checksum(sql);
        match applied.iter().find(|row| row.get::<_, i32>(0) == *version) {
            // ReJot recorded no checksums.
            Some(row) if row.get::<_, Option<String>>(1).is_some_and(|found| found != checksum) => {
                return Err(DataStoreError::Drift { version: *version });
            }
            Some(_) => {}
            None => {
                transaction.batch_execute(sql).await.map_err(query("apply a migration"))?;
                let record = "INSERT INTO rejot_data_store.schema_migrations (version, description, applied_at, checksum) \
                              VALUES ($1, $2, now(), $3)";
                transaction
                    .execute(record, &[version, description, &checksum])
                    .await
                    .map_err(query("record a migration"))?;
                done.push(*version);
            }
        }
    }
    transaction.commit().await.map_err(query("commit a migration"))?;
    Ok(done)
}
