//! What the catalog makes of published tables: from the start, and each time that the stream describes one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::change::{Column, PublicSchema, Relation, ReplicaIdentity};
use crate::lsn::Lsn;
use crate::manifest;
use crate::postgres::QueryError;
use crate::postgres::catalog::{self, Generated, Table, TableName, Which};
use crate::postgres::publication::Publication;

use super::super::projection::{Definition, Projection, ProjectionError};
use super::super::stream::{Enrich, Sight};
use super::super::today::Today;
use super::super::told::Altered;
use super::{Chain, Source};

/// How long the stream waits until an altered table can be seen, and how often is looked: mostly it is at once.
const VISIBLE_WAIT: Duration = Duration::from_secs(5);
const VISIBLE_POLL: Duration = Duration::from_millis(5);

/// How much the log may grow without bringing us anything until a heartbeat is written: a segment, as servers have them.
const BEAT_BYTES: i64 = 16 << 20;

/// The message of a heartbeat, outside of any transaction, so that it waits for nobody. A standby can't write one.
const BEAT: &str = "\
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL \
                WHEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), $1::text::pg_lsn) >= $2::bigint \
                THEN pg_catalog.pg_logical_emit_message(false, 'pelton.heartbeat', '')::text END";

/// A table that is published.
#[derive(Clone, Debug)]
pub struct SourceTable {
    /// As the stream describes it, with what only the catalog knows.
    pub relation: Arc<Relation>,
    /// The columns that tell rows apart in the stream; none under FULL without a primary key.
    pub key: Vec<String>,
}

/// Describes the published tables as the stream will, with what only the catalog knows.
pub(super) async fn published(
    client: &Client,
    publication: &Publication,
    today: &Today,
) -> Result<Vec<SourceTable>, QueryError> {
    let names: Vec<TableName> = publication.tables.iter().map(|table| table.name.clone()).collect();
    let tables = catalog::load(client, Which::Named(&names)).await?;
    tables.iter().for_each(|table| today.note(&table.name.schema, &table.name.name, Some(table)));
    let described = tables.iter().filter_map(|table| {
        let published = publication.table(&table.name)?;
        Some(describe(table, &published.columns))
    });
    Ok(described.collect())
}

/// Derives the public schema of a table as it is, without reading from it; `published` are the columns that the
/// publication has of it, where there is one.
///
/// # Errors
/// The table is not what the projection needs.
pub fn public_schema(
    table: &Table,
    published: Option<&[String]>,
    projection: &manifest::TableProjection,
    (name, major, minor): (&str, u32, u32),
) -> Result<PublicSchema, ProjectionError> {
    let all: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let today = Arc::new(Today::default());
    today.note(&table.name.schema, &table.name.name, Some(table));
    let described = describe(table, published.unwrap_or(&all));
    let columns: Option<Vec<(String, String)>> =
        projection.columns.as_ref().map(|columns| columns.iter().map(|c| (c.name.clone(), c.source.clone())).collect());
    let definition = Definition {
        name,
        major,
        minor,
        columns: columns.as_deref(),
        key: projection.key.as_deref(),
        table_key: &described.key,
        today,
    };
    Ok(Projection::new(&described.relation, &definition)?.public_schema().clone())
}

fn describe(table: &Table, published: &[String]) -> SourceTable {
    let identity_key = table.identity_key();
    let in_identity = |index: usize| match table.identity {
        ReplicaIdentity::Full => true,
        _ => identity_key.is_some_and(|key| key.columns.iter().any(|column| column.column == index)),
    };
    let columns = table
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| published.contains(&column.name) && column.generated == Generated::No);
    let columns = columns.map(|(index, column)| Column {
        name: column.name.as_str().into(),
        kind: column.kind(),
        type_oid: column.type_oid,
        type_modifier: column.type_modifier,
        nullable: !column.not_null,
        key: in_identity(index),
        attrs: column.attrs(),
    });
    let relation = Relation {
        oid: table.oid,
        schema: table.name.schema.as_str().into(),
        name: table.name.name.as_str().into(),
        identity: table.identity,
        columns: columns.collect(),
    };
    // Under FULL every column is known of an old row, so the primary key is, where there is one.
    let key = match table.identity {
        ReplicaIdentity::Full => table.primary_key(),
        _ => identity_key,
    };
    let names = |key: &catalog::Key| key.columns.iter().map(|c| table.columns[c.column].name.clone()).collect();
    SourceTable { relation: Arc::new(relation), key: key.map(names).unwrap_or_default() }
}

impl Source {
    /// Returns the name by which the flows know a table of the stream.
    fn known_name(&self, relation: &Relation) -> TableName {
        let known = self.known.iter().find(|table| table.relation.oid == relation.oid);
        let relation = known.map_or(relation, |table| &table.relation);
        TableName::new(&*relation.schema, &*relation.name)
    }

    /// Waits until what altered a table can be seen; false when that takes too long.
    async fn is_visible(&self, oid: u32) -> Result<bool, QueryError> {
        if !catalog::is_being_altered(&self.client, oid).await? {
            return Ok(true);
        }
        tracing::debug!(source = self.slug, "waiting until an altered table can be seen");
        let begun = Instant::now();
        while begun.elapsed() < VISIBLE_WAIT {
            tokio::time::sleep(VISIBLE_POLL).await;
            if !catalog::is_being_altered(&self.client, oid).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Enrich for Source {
    async fn is_published(&self) -> Result<bool, QueryError> {
        match &self.members {
            Some(members) => members.are_there(&self.client).await,
            None => Ok(true),
        }
    }

    async fn nudge(&self) {
        if self.standby {
            return;
        }
        // A transaction that has an id and writes nothing else commits asynchronously: the log writer flushes up to there.
        if let Err(error) = self.client.batch_execute("SELECT pg_catalog.pg_current_xact_id()").await {
            tracing::debug!(source = self.slug, "the log is not nudged: {}", Chain(&error));
        }
    }

    async fn beat(&self, since: Lsn) -> Option<Lsn> {
        if self.may_not_beat.load(Ordering::Relaxed) {
            return None;
        }
        match self.client.query_one(BEAT, &[&since.to_string(), &BEAT_BYTES]).await {
            Ok(row) => row.try_get::<_, Option<String>>(0).ok().flatten()?.parse().ok(),
            Err(error) => {
                // Where it may not, or can't, keepalives alone must do.
                tracing::debug!(source = self.slug, "no heartbeat: {}", Chain(&error));
                let never = ["42501", "0A000"].contains(&error.code().map_or("", |code| code.code()));
                self.may_not_beat.store(never, Ordering::Relaxed);
                None
            }
        }
    }

    fn knows(&self, oid: u32) -> bool {
        self.known.iter().any(|table| table.relation.oid == oid)
    }

    /// A table is who its OID says: after a rename the stream brings the changes from before it under the former name,
    /// and a table that was dropped and made anew is another one.
    async fn enrich(&self, relation: &Relation, told: Option<&Altered>, again: bool) -> Result<Sight, QueryError> {
        let mut tables = catalog::load(&self.client, Which::Oids(&[relation.oid])).await?;
        let differs = !again && !tables.first().is_some_and(|table| table.is_described_by(relation));
        if differs || tables.first().is_some_and(|table| told.is_some_and(|told| told.is_ahead_of(table))) {
            // Either the stream is behind, or the catalog does not show yet what the stream has brought.
            if !self.is_visible(relation.oid).await? && differs {
                let TableName { schema, name } = self.known_name(relation);
                return Ok(Sight::Hidden { schema, name });
            }
            tables = catalog::load(&self.client, Which::Oids(&[relation.oid])).await?;
        }
        let today = tables.first();
        let streamed = TableName::new(&*relation.schema, &*relation.name);
        let Some(known) = self.known.iter().find(|table| table.relation.oid == relation.oid) else {
            let remade = today.is_some_and(|table| table.name == streamed);
            let TableName { schema, name } = streamed;
            return Ok(if remade { Sight::Lost { schema, name, now: None } } else { Sight::Stranger });
        };
        let TableName { schema, name } = TableName::new(&*known.relation.schema, &*known.relation.name);
        let is_known = |table: &TableName| table.schema == schema && table.name == name;
        if let Some(table) = today.filter(|table| !is_known(&table.name) && !is_known(&streamed)) {
            return Ok(Sight::Lost { schema, name, now: Some(table.name.to_string()) });
        }
        self.today.note(&schema, &name, today);
        let mut relation = Relation { schema: schema.into(), name: name.into(), ..relation.clone() };
        if let Some(table) = today {
            table.enrich(&mut relation);
        }
        Ok(Sight::Known(relation))
    }
}
