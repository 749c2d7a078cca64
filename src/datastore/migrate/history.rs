//! What was applied of a set, held against what this version of Pelton has and against what is there.

use std::collections::BTreeMap;

use tokio_postgres::GenericClient;

use super::{Object, Set};
use crate::datastore::DataStoreError;

/// A set in one database. Every version that is known, or was recorded, has an entry, in order.
#[derive(Clone, Debug)]
pub struct History {
    pub set: &'static Set,
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub version: i32,
    pub description: String,
    pub state: State,
    /// In UTC, to the second, where it was recorded.
    pub applied_at: Option<String>,
    /// A checksum was recorded; ReJot recorded none.
    pub has_checksum: bool,
    /// What the migration makes and is not there.
    pub missing: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Applied,
    Pending,
    /// Applied with other contents than this version of Pelton has.
    Drifted,
    /// A newer Pelton applied it.
    Unknown,
}

/// Looks at the history of a set. It needs the right to read `schema_migrations`, and nothing else.
///
/// # Errors
/// What the server says; a database without the schema has all of it pending.
pub async fn history<C: GenericClient>(client: &C, set: &'static Set) -> Result<History, DataStoreError> {
    let recorded = recorded(client, set).await?;
    let objects: Vec<Object> = set.migrations.iter().flat_map(|migration| migration.makes).copied().collect();
    let present = present(client, set, &objects).await?;
    let mut present = objects.iter().zip(present);
    let mut entries = Vec::new();
    for migration in set.migrations {
        let missing: Vec<String> = (present.by_ref().take(migration.makes.len()))
            .filter(|(_, present)| !present)
            .map(|(object, _)| object.to_string())
            .collect();
        let found = recorded.get(&migration.version);
        let state = match found {
            None => State::Pending,
            Some(Recorded { checksum: Some(found), .. }) if *found != migration.checksum() => State::Drifted,
            Some(_) => State::Applied,
        };
        entries.push(Entry {
            version: migration.version,
            description: migration.description.to_owned(),
            state,
            applied_at: found.and_then(|found| found.applied_at.clone()),
            has_checksum: found.is_some_and(|found| found.checksum.is_some()),
            missing,
        });
    }
    let others = recorded.into_iter().filter(|(version, _)| set.migration(*version).is_none());
    entries.extend(others.map(|(version, found)| Entry {
        version,
        description: found.description.unwrap_or_default(),
        // What ReJot applied is taken over as it is.
        state: if version < set.first() { State::Applied } else { State::Unknown },
        applied_at: found.applied_at,
        has_checksum: found.checksum.is_some(),
        missing: Vec::new(),
    }));
    entries.sort_by_key(|entry| entry.version);
    Ok(History { set, entries })
}

struct Recorded {
    description: Option<String>,
    checksum: Option<String>,
    applied_at: Option<String>,
}

async fn recorded<C: GenericClient>(client: &C, set: &Set) -> Result<BTreeMap<i32, Recorded>, DataStoreError> {
    let schema = set.schema;
    let there = present(client, set, &[Object::Table("schema_migrations")]).await?;
    if !there[0] {
        return Ok(BTreeMap::new());
    }
    // Through jsonb a column that ReJot's table lacks is no error.
    let sql = format!(
        "SELECT version::integer, j ->> 'description', j ->> 'checksum', \
                pg_catalog.to_char((j ->> 'applied_at')::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') \
         FROM {schema}.schema_migrations AS m, LATERAL (SELECT pg_catalog.to_jsonb(m)) AS v (j)"
    );
    let rows = client.query(&sql, &[]).await;
    let rows = rows.map_err(DataStoreError::query_in(schema, "read the applied migrations"))?;
    let read = |row: &tokio_postgres::Row| {
        (row.get(0), Recorded { description: row.get(1), checksum: row.get(2), applied_at: row.get(3) })
    };
    Ok(rows.iter().map(read).collect())
}

async fn present<C: GenericClient>(client: &C, set: &Set, objects: &[Object]) -> Result<Vec<bool>, DataStoreError> {
    let conditions: Vec<String> = objects.iter().map(|object| object.exists(set.schema)).collect();
    let sql = format!("SELECT ARRAY[{}]", conditions.join(", "));
    let row = client.query_one(&sql, &[]).await;
    Ok(row.map_err(DataStoreError::query_in(set.schema, "look for what migrations make"))?.get(0))
}

impl History {
    /// Returns true when nothing of the set was ever applied or recorded.
    pub fn is_absent(&self) -> bool {
        self.entries.iter().all(|entry| entry.state == State::Pending)
    }

    /// Returns the version that ReJot brought it to, where ReJot made it and nobody has taken it over: it recorded no
    /// checksums, and nothing behind its last version is there.
    pub fn version_of_rejot(&self) -> Option<i32> {
        let last = self.set.oldest_of_rejot();
        let (theirs, ours): (Vec<&Entry>, Vec<&Entry>) = self.entries.iter().partition(|entry| entry.version <= last);
        if ours.iter().any(|entry| entry.state != State::Pending) {
            return None;
        }
        let recorded = |entry: &&&Entry| entry.state == State::Applied && !entry.has_checksum;
        theirs.iter().filter(recorded).map(|entry| entry.version).max()
    }

    /// Returns the versions that are not applied.
    pub fn pending(&self) -> Vec<i32> {
        let pending = self.entries.iter().filter(|entry| entry.state == State::Pending);
        pending.map(|entry| entry.version).collect()
    }

    /// Returns the tables that applying the rest will alter, which takes their owner.
    pub fn alters(&self) -> Vec<&'static str> {
        let pending = self.pending();
        let migrations = self.set.migrations.iter().filter(|migration| pending.contains(&migration.version));
        let columns = migrations.flat_map(|migration| migration.makes).filter_map(|object| match object {
            Object::Column(table, _) | Object::Typed(table, ..) => Some(*table),
            _ => None,
        });
        let mut tables: Vec<&str> = columns.collect();
        // ReJot recorded no checksums, and a table without that column gets it first.
        if !self.is_absent() && self.entries.iter().all(|entry| !entry.has_checksum) {
            tables.push("schema_migrations");
        }
        tables.dedup();
        tables
    }

    /// Says what is not as this version of Pelton expects it, one sentence each.
    pub fn differences(&self) -> Vec<String> {
        self.entries.iter().filter_map(|entry| entry.difference(self.set)).collect()
    }
}

impl Entry {
    /// Says in one sentence what is not as this version of Pelton expects it.
    pub fn difference(&self, set: &Set) -> Option<String> {
        let Entry { version, description, missing, .. } = self;
        let named = format!("migration {version} of `{}` ({description})", set.schema);
        match self.state {
            State::Applied if missing.is_empty() => None,
            State::Applied => Some(format!("{named} is recorded as applied, but lacks {}", missing.join(", "))),
            State::Pending => Some(format!("{named} is not applied")),
            State::Drifted => Some(format!("{named} was applied with other contents than this version of Pelton has")),
            State::Unknown => Some(format!("{named} is unknown; this version of Pelton knows up to {}", set.newest())),
        }
    }
}
