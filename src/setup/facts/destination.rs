//! What a destination shows: the tables that flows write, and how far its flows are.

use tokio_postgres::Client;

use super::RoleFacts;
use crate::datastore::{self, Scope};
use crate::lsn::Lsn;
use crate::postgres::QueryError;
use crate::setup::target::{DestinationTable, DestinationTarget};
use crate::sink::{self, SinkError, TableTarget};

#[derive(Debug, Default)]
pub struct DestinationFacts {
    /// Of each table that is wanted, in their order.
    pub tables: Vec<TableState>,
    /// `None` where whoever looks may not see them, or has not looked.
    pub checkpoints: Option<Vec<Checkpoint>>,
}

/// A destination table and the role's rights to it.
#[derive(Debug, Default)]
pub struct TableState {
    pub schema_exists: bool,
    pub usage: bool,
    /// CREATE on the schema.
    pub create: bool,
    pub exists: bool,
    /// Has the rights of its owner.
    pub owns: bool,
    /// Of those that writing takes.
    pub lacks: Vec<String>,
    /// Policies hold for the role.
    pub row_security: bool,
    /// What is wrong with it, but for the role's rights.
    pub problems: Vec<SinkError>,
}

/// A flow that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub source: String,
    pub flow: String,
    pub lsn: Lsn,
    /// It has read its table, or has nothing to copy.
    pub has_read: bool,
}

const TABLE: &str = "\
    SELECT pg_catalog.has_schema_privilege($1::oid, n.oid, 'USAGE'), \
           pg_catalog.has_schema_privilege($1::oid, n.oid, 'CREATE'), c.oid IS NOT NULL, \
           coalesce($1::oid <> 0 AND pg_catalog.pg_has_role($1::oid, c.relowner, 'USAGE'), false), \
           ARRAY(SELECT p FROM pg_catalog.unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) WITH ORDINALITY AS v(p, o) \
                 WHERE c.relkind IN ('r', 'p') \
                   AND NOT CASE WHEN p IN ('DELETE', 'TRUNCATE') THEN pg_catalog.has_table_privilege($1::oid, c.oid, p) \
                       ELSE pg_catalog.has_any_column_privilege($1::oid, c.oid, p) END ORDER BY o), \
           coalesce(c.relrowsecurity AND NOT $2::bool \
               AND (c.relforcerowsecurity OR $1::oid = 0 OR NOT pg_catalog.pg_has_role($1::oid, c.relowner, 'USAGE')), false) \
    FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = $4::text \
    WHERE n.nspname = $3::text";

pub async fn look(
    client: &Client,
    wanted: &DestinationTarget,
    role: &RoleFacts,
) -> Result<DestinationFacts, QueryError> {
    let mut facts = DestinationFacts::default();
    for table in &wanted.tables {
        facts.tables.push(table_state(client, table, role).await?);
    }
    Ok(facts)
}

async fn table_state(client: &Client, table: &DestinationTable, role: &RoleFacts) -> Result<TableState, QueryError> {
    let failed = |error| QueryError::new(format!("look at the table {}", table.name), error);
    let free_of_policies = role.superuser || role.bypass_rls;
    let found = client.query_opt(TABLE, &[&role.oid, &free_of_policies, &table.name.schema, &table.name.name]).await;
    let mut state = match found.map_err(failed)? {
        None => TableState::default(),
        Some(row) => TableState {
            schema_exists: true,
            usage: row.get(0),
            create: row.get(1),
            exists: row.get(2),
            owns: row.get(3),
            lacks: row.get(4),
            row_security: row.get(5),
            problems: Vec::new(),
        },
    };
    if let (true, Some(public)) = (state.exists, &table.public) {
        let target = TableTarget {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            create_table: table.create,
            public: public.clone(),
            exact: table.exact,
        };
        state.problems = sink::examine(client, &target).await.map_err(failed)?;
    }
    Ok(state)
}

/// Returns how far the flows are, as far as whoever looks may see it: it may fail, so not inside a transaction.
pub async fn checkpoints(client: &Client, wanted: &DestinationTarget) -> Option<Vec<Checkpoint>> {
    let mut checkpoints = Vec::new();
    for source in &wanted.sources {
        let scope = Scope { manifest: wanted.manifest.clone(), source: source.clone() };
        let flows = datastore::flows(client, &scope).await.ok()?;
        // Without flows there may be no tables of ours at all.
        let copied = if flows.is_empty() { Vec::new() } else { datastore::backfills(client, &scope).await.ok()? };
        checkpoints.extend(flows.into_iter().map(|flow| {
            let begun = |name: &String| copied.iter().any(|row| row.name == *name);
            let has_read = flow.backfill.as_ref().is_none_or(begun);
            Checkpoint { source: source.clone(), flow: flow.flow, lsn: flow.lsn, has_read }
        }));
    }
    Some(checkpoints)
}
