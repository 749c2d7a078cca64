//! What a source shows: its tables and the role's rights to them, the publication, the slot, the write-ahead log.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::{RoleFacts, ServerFacts};
use crate::lsn::Lsn;
use crate::postgres::QueryError;
use crate::postgres::catalog::{self, Table, TableName, Which};
use crate::postgres::publication::{self, Publication, PublicationError, Wanted};
use crate::postgres::slot::{self, Slot, SlotError};
use crate::setup::foretell::Wal;
use crate::setup::target::SourceTarget;

/// How long the write-ahead log is watched.
const WATCHED: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
pub struct SourceFacts {
    /// Those that are wanted or read, with their partitions, and those that are published.
    pub tables: Vec<Table>,
    /// Of each of `tables`, in any order.
    pub rights: Vec<TableRights>,
    /// The schemas of `tables`.
    pub schemas: Vec<OwnedSchema>,
    pub publication: Option<Publication>,
    /// The role has the rights of its owner.
    pub owns_publication: bool,
    /// Tables that it publishes with other columns or rows than was asked for by hand; see [`super::differing`].
    pub differing: Vec<TableName>,
    /// Schemas that the publication has as a whole; PostgreSQL 15 and newer.
    pub published_schemas: Vec<String>,
    pub slot: Option<Slot>,
    /// The slot is kept on standbys; `None` before PostgreSQL 17.
    pub failover: Option<bool>,
    pub reader: Option<Reader>,
    /// The publication may have been made after the slot; false where it is certain that it was not.
    pub publication_may_be_younger: bool,
    /// There are standbys, or slots for them.
    pub has_standbys: bool,
    /// Where the log is now.
    pub position: Option<Lsn>,
    pub wal: Wal,
}

/// What the role may do with a table.
#[derive(Clone, Debug)]
pub struct TableRights {
    pub name: TableName,
    pub owner: String,
    /// Has the rights of the owner: is it, or a member.
    pub owns: bool,
    /// SELECT, on the table or on each of its columns.
    pub select: bool,
    /// Policies would cut short what the role reads.
    pub row_security: bool,
    /// Tables that inherit from it, without its partitions.
    pub children: Vec<TableName>,
}

/// A schema with tables that are wanted.
#[derive(Clone, Debug)]
pub struct OwnedSchema {
    pub name: String,
    pub usage: bool,
    /// Those who own its tables, or may make some in it, whose later tables the role could not read.
    pub without_defaults: Vec<String>,
}

/// Who reads from the slot right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub pid: u32,
    /// `None` where the role may not see it.
    pub application: Option<String>,
}

impl SourceFacts {
    /// Returns a table as the catalog has it.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// Returns what the role may do with a table.
    pub fn rights(&self, name: &TableName) -> Option<&TableRights> {
        self.rights.iter().find(|table| table.name == *name)
    }

    /// Returns how many bytes of write-ahead log the slot holds back.
    pub fn retained(&self) -> Option<u64> {
        let restart = self.slot.as_ref()?.restart_lsn?;
        Some(self.position?.bytes_since(restart))
    }
}

const RIGHTS: &str = "\
    SELECT n.nspname::text, c.relname::text, o.rolname::text, \
           $1::oid <> 0 AND pg_catalog.pg_has_role($1::oid, c.relowner, 'USAGE'), \
           pg_catalog.has_table_privilege($1::oid, c.oid, 'SELECT') OR NOT EXISTS ( \
               SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
               AND NOT pg_catalog.has_column_privilege($1::oid, c.oid, a.attnum, 'SELECT')), \
           c.relrowsecurity AND NOT $2::bool \
               AND (c.relforcerowsecurity OR $1::oid = 0 OR NOT pg_catalog.pg_has_role($1::oid, c.relowner, 'USAGE')), \
           ARRAY(SELECT hn.nspname::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class h ON h.oid = i.inhrelid \
                 JOIN pg_catalog.pg_namespace hn ON hn.oid = h.relnamespace \
                 WHERE i.inhparent = c.oid AND c.relkind = 'r' ORDER BY i.inhrelid), \
           ARRAY(SELECT h.relname::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class h ON h.oid = i.inhrelid \
                 WHERE i.inhparent = c.oid AND c.relkind = 'r' ORDER BY i.inhrelid) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_roles o ON o.oid = c.relowner \
    WHERE c.oid = ANY ($3::oid[])";

const SCHEMAS: &str = "\
    SELECT n.nspname::text, pg_catalog.has_schema_privilege($1::oid, n.oid, 'USAGE'), \
           ARRAY(SELECT o.rolname::text FROM ( \
                     SELECT c.relowner FROM pg_catalog.pg_class c \
                     WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') \
                     UNION SELECT n.nspowner \
                     UNION SELECT d.datdba FROM pg_catalog.pg_database d, pg_catalog.pg_roles b \
                     WHERE d.datname = pg_catalog.current_database() \
                       AND b.oid = n.nspowner AND b.rolname = 'pg_database_owner') AS m (oid) \
                 JOIN pg_catalog.pg_roles o ON o.oid = m.oid AND o.rolname <> 'pg_database_owner' \
                 WHERE ($1::oid = 0 OR NOT pg_catalog.pg_has_role($1::oid, o.oid, 'USAGE')) \
                   AND ($1::oid = 0 OR NOT pg_catalog.pg_has_role($1::oid, 'pg_read_all_data', 'USAGE')) \
                   AND NOT EXISTS ( \
                       SELECT FROM pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a \
                       WHERE d.defaclrole = o.oid AND d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, n.oid) \
                         AND a.privilege_type = 'SELECT' \
                         AND (a.grantee = 0 OR $1::oid <> 0 AND pg_catalog.pg_has_role($1::oid, a.grantee, 'USAGE'))) \
                 ORDER BY 1) \
    FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($2::text[]) ORDER BY 1";

// `age` counts from now, so that the younger of two transactions has the lesser one. A slot decodes with the catalog from
// its `catalog_xmin` on: a publication that is older was there all the time.
const SLOT: &str = "\
    SELECT (pg_catalog.to_jsonb(s)->>'failover')::bool, s.active_pid, a.application_name, \
           coalesce((SELECT pg_catalog.age(p.xmin) <= pg_catalog.age(s.catalog_xmin) FROM pg_catalog.pg_publication p \
                     WHERE p.pubname = $2::text), false) \
    FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid \
    WHERE s.slot_name = $1::text";

// Neon's own physical slot and sender are no standby.
const STANDBYS: &str = "\
    SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots \
                   WHERE slot_type = 'physical' AND slot_name <> 'wal_proposer_slot') \
        OR EXISTS (SELECT FROM pg_catalog.pg_stat_replication r WHERE r.application_name <> 'walproposer' AND NOT EXISTS ( \
                   SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid))";

pub async fn look(
    client: &Client,
    wanted: &SourceTarget,
    role: &RoleFacts,
    server: &ServerFacts,
) -> Result<SourceFacts, QueryError> {
    let failed = |error| QueryError::new("look at the source", error);
    let mut facts = SourceFacts { publication: publication(client, &wanted.publication).await?, ..Default::default() };

    let mut names = wanted.named();
    names.extend(wanted.asked.drop.iter().cloned());
    if let Some(publication) = &facts.publication {
        names.extend(publication.tables.iter().map(|table| table.name.clone()));
        let sql = "SELECT $2::oid <> 0 AND pg_catalog.pg_has_role($2::oid, p.pubowner, 'USAGE') \
                   FROM pg_catalog.pg_publication p WHERE p.pubname = $1::text";
        let owner = client.query_opt(sql, &[&publication.name, &role.oid]).await.map_err(failed)?;
        facts.owns_publication = owner.is_some_and(|row| row.get(0));
    }
    names.sort();
    names.dedup();
    facts.tables = match &wanted.wanted {
        Wanted::Listed(_) => catalog::load(client, Which::WithPartitions(&names)).await?,
        Wanted::All => {
            let mut tables = catalog::load(client, Which::All).await?;
            // What is read and is no table at all shows why it can't be.
            names.retain(|name| tables.iter().all(|table| table.name != *name));
            tables.extend(catalog::load(client, Which::WithPartitions(&names)).await?);
            tables
        }
    };
    let oids: Vec<u32> = facts.tables.iter().map(|table| table.oid).collect();
    let free_of_policies = role.superuser || role.bypass_rls;
    let rows = client.query(RIGHTS, &[&role.oid, &free_of_policies, &oids]).await.map_err(failed)?;
    facts.rights = rows
        .iter()
        .map(|row| {
            let (schemas, names): (Vec<String>, Vec<String>) = (row.get(6), row.get(7));
            TableRights {
                name: TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
                owner: row.get(2),
                owns: row.get(3),
                select: row.get(4),
                row_security: row.get(5),
                children: schemas.into_iter().zip(names).map(|(schema, name)| TableName { schema, name }).collect(),
            }
        })
        .collect();
    let mut schemas: Vec<&str> = facts.tables.iter().map(|table| table.name.schema.as_str()).collect();
    schemas.extend(wanted.asked.schemas.iter().map(String::as_str));
    schemas.sort_unstable();
    schemas.dedup();
    let rows = client.query(SCHEMAS, &[&role.oid, &schemas]).await.map_err(failed)?;
    let schema =
        |row: &tokio_postgres::Row| OwnedSchema { name: row.get(0), usage: row.get(1), without_defaults: row.get(2) };
    facts.schemas = rows.iter().map(schema).collect();
    if server.version >= 15 {
        let sql = "SELECT n.nspname::text FROM pg_catalog.pg_publication_namespace pn \
                   JOIN pg_catalog.pg_publication p ON p.oid = pn.pnpubid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = pn.pnnspid WHERE p.pubname = $1::text ORDER BY 1";
        let rows = client.query(sql, &[&wanted.publication]).await.map_err(failed)?;
        facts.published_schemas = rows.iter().map(|row| row.get(0)).collect();
    }

    facts.slot = slot::look_up(client, &wanted.slot).await.map_err(|error| match error {
        SlotError::Query(error) => error,
        other => QueryError::Answer { doing: "look up the replication slot".to_owned(), what: other.to_string() },
    })?;
    if let Some(row) = client.query_opt(SLOT, &[&wanted.slot, &wanted.publication]).await.map_err(failed)? {
        facts.failover = row.get(0);
        let pid: Option<i32> = row.get(1);
        facts.reader = pid.map(|pid| Reader { pid: pid.cast_unsigned(), application: row.get(2) });
        facts.publication_may_be_younger = row.get(3);
    }
    facts.has_standbys = client.query_one(STANDBYS, &[]).await.map_err(failed)?.get(0);

    Ok(facts)
}

/// Watches the write-ahead log for a second. What it asks may be refused, so not inside a transaction.
pub async fn watch(client: &Client, facts: &mut SourceFacts) {
    let began = Instant::now();
    let first = position(client).await;
    facts.wal.mean = mean(client).await;
    if let Some(first) = first {
        tokio::time::sleep(WATCHED.saturating_sub(began.elapsed())).await;
        facts.position = position(client).await;
        let seconds = began.elapsed().as_secs_f64();
        facts.wal.now = facts.position.map(|now| now.bytes_since(first) as f64 / seconds);
    }
}

async fn publication(client: &Client, name: &str) -> Result<Option<Publication>, QueryError> {
    publication::look_up(client, name).await.map_err(|error| match error {
        PublicationError::Query(error) => error,
        other => QueryError::Answer { doing: "look up the publication".to_owned(), what: other.to_string() },
    })
}

/// Returns where the write-ahead log is, as far as the role may see it.
async fn position(client: &Client) -> Option<Lsn> {
    let sql = "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
               ELSE pg_catalog.pg_current_wal_lsn() END)::text";
    client.query_one(sql, &[]).await.ok()?.try_get::<_, Option<&str>>(0).ok()??.parse().ok()
}

/// Returns the bytes a second since the statistics were reset, as far as the server counts them, and for long enough: of a
/// server that was just made, most of it is its making.
async fn mean(client: &Client) -> Option<f64> {
    let sql = "SELECT wal_bytes::float8 / extract(epoch FROM pg_catalog.now() - stats_reset)::float8 \
               FROM pg_catalog.pg_stat_wal WHERE stats_reset < pg_catalog.now() - interval '1 hour'";
    client.query_one(sql, &[]).await.ok()?.try_get::<_, Option<f64>>(0).ok()?
}
