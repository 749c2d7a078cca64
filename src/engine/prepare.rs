//! Makes a source ready to be read: the lock, the publication and then the slot, and what the catalog says.
//!
//! The publication is made first, since a slot decodes with the catalog of its time: changes from before a publication
//! existed make the stream fail. What exists is respected, and what is not fit to be read is said, with its mend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::change::{Column, Relation, ReplicaIdentity};
use crate::datastore::FlowRow;
use crate::lsn::Lsn;
use crate::manifest;
use crate::manifest::Tables;
use crate::postgres::catalog::{self, Generated, Table, TableName, Which};
use crate::postgres::publication::{self, Members, Publication, PublicationError, PublishedTable, Refused, Wanted};
use crate::postgres::{self, QueryError, preflight, slot};

use super::Context;
use super::backfill::{BadSnapshot, Snapshot};
use super::failure::EngineError;
use super::ownership;
use super::plan::SourcePlan;
use super::reading::{self, Held, table_name};
use super::stream::{Enrich, Sight};
use super::today::Today;

/// How long the stream waits until an altered table can be seen, and how often is looked: mostly it is at once.
const VISIBLE_WAIT: Duration = Duration::from_secs(5);
const VISIBLE_POLL: Duration = Duration::from_millis(5);

/// A source that is ready to be read, and ours while `client` lives.
pub struct Source {
    pub slug: String,
    /// Holds the lock.
    pub client: Client,
    pub slot: String,
    pub system_identifier: String,
    pub epoch: u32,
    /// The slot's position: the stream has everything behind it.
    pub confirmed: Lsn,
    /// Names of the tables that transforms may read, those of logical messages included.
    pub tables: Vec<(String, String)>,
    pub connection: manifest::PostgresConnection,
    pub publication: Publication,
    /// What the catalog says, kept up to date with each relation that the stream describes.
    pub today: Arc<Today>,
    known: Vec<SourceTable>,
    refused: Vec<Refused>,
    /// Tables that the publication lacks and must not be added to it.
    held: BTreeMap<TableName, Held>,
    /// There is no publication, though there are flows that have read from it.
    gone: bool,
    /// What the publication named when it was looked up.
    members: Option<Members>,
}

/// A table that is published.
#[derive(Clone, Debug)]
pub struct SourceTable {
    /// As the stream describes it, with what only the catalog knows.
    pub relation: Arc<Relation>,
    /// The columns that tell rows apart in the stream; none under FULL without a primary key.
    pub key: Vec<String>,
}

/// Makes a source ready.
///
/// Waits as a standby while another process owns it.
///
/// # Errors
/// It can't be reached, is not fit to be read, or the role may not make what is missing.
pub async fn source(context: &Context, plan: &SourcePlan) -> Result<Source, EngineError> {
    let slug = &plan.slug;
    let refused_query = |source| EngineError::Source { slug: slug.clone(), source };
    let session = postgres::Session::source(context.application_name());
    let client = postgres::connect(&plan.connection, &session).await.map_err(|source| EngineError::Connect {
        role: "source",
        slug: slug.clone(),
        source,
    })?;
    let waiting = || {
        tracing::info!(source = slug, "another process runs this manifest; waiting to take over when it ends");
    };
    ownership::acquire(&client, &context.manifest, slug, waiting).await.map_err(refused_query)?;

    let system_identifier = fit(&client, plan).await?;
    let reads = reading::reads(context, plan).await;
    let mut needed: Vec<TableName> = reads.iter().flat_map(|reads| reads.tables.iter().cloned()).collect();
    needed.sort();
    needed.dedup();
    let wanted = match &plan.config.tables {
        Tables::All => Wanted::All,
        Tables::Listed(tables) => Wanted::Listed(tables.iter().map(table_name).collect()),
        Tables::Needed => Wanted::Listed(needed.clone()),
    };
    let name = &plan.config.publication_name;
    let unpublished = |error: PublicationError| EngineError::NotReady {
        slug: slug.clone(),
        problem: super::Chain(&error).to_string(),
        hint: error.hint(),
        transient: error.is_transient(),
    };
    let before = publication::look_up(&client, name).await.map_err(unpublished)?;
    let slot = slot::look_up(&client, &plan.config.slot_name).await.map_err(|error| not_ready(slug, error))?;
    // Without a slot no checkpoint can be gone on from, and that will be said.
    let held = match (&before, &slot) {
        (None, None) => BTreeMap::new(),
        (None, Some(_)) => reading::held(context, plan, &reads, |_| true).await,
        (Some(found), _) => reading::held(context, plan, &reads, |table| !found.covers(table)).await,
    };
    let held_tables: Vec<TableName> = held.keys().cloned().collect();
    let ensured = publication::ensure(&client, name, &wanted, &held_tables).await.map_err(unpublished)?;
    if ensured.made {
        tracing::info!(source = slug, publication = name, tables = ensured.added.len(), "made the publication");
    } else if !ensured.added.is_empty() {
        let added = ensured.added.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::info!(source = slug, publication = name, "added to the publication: {added}");
    }
    for table in ensured.refused.iter().chain(&ensured.endangered) {
        let mend = table.mend().unwrap_or_default();
        tracing::warn!(source = slug, mend, "{table}");
    }
    for table in ensured.missing.iter().filter(|table| !held.contains_key(table)) {
        tracing::warn!(
            source = slug,
            mend = format!("ALTER PUBLICATION {} ADD TABLE {table}", postgres::quote_ident(name)),
            "publication {name} lacks table {table}"
        );
    }

    let confirmed = ensure_slot(&client, plan).await?;
    let today = Arc::new(Today::default());
    let tables = published(&client, &ensured.publication, &today).await.map_err(refused_query)?;
    let mut names: Vec<(String, String)> =
        tables.iter().map(|t| (t.relation.schema.to_string(), t.relation.name.to_string())).collect();
    let messages = needed.iter().filter(|table| table.schema == Relation::MESSAGE_SCHEMA);
    names.extend(messages.map(|table| (table.schema.clone(), table.name.clone())));
    Ok(Source {
        slug: slug.clone(),
        client,
        slot: plan.config.slot_name.clone(),
        system_identifier,
        epoch: 1,
        confirmed,
        tables: names,
        connection: plan.connection.clone(),
        publication: ensured.publication,
        today,
        known: tables,
        refused: ensured.refused,
        held,
        gone: ensured.gone,
        members: ensured.members,
    })
}

/// Makes sure that the server can be a source at all. Returns its system identifier.
async fn fit(client: &Client, plan: &SourcePlan) -> Result<String, EngineError> {
    let slug = &plan.slug;
    let refused_query = |source| EngineError::Source { slug: slug.clone(), source };
    let facts = preflight::facts(client).await.map_err(refused_query)?;
    let slot = slot::look_up(client, &plan.config.slot_name).await.map_err(|error| not_ready(slug, error))?;
    if let Some(slot) = &slot {
        slot.usable(&facts.database).map_err(|error| not_ready(slug, error))?;
    }
    let findings = facts.findings(slot.is_some(), slot.is_some_and(|slot| slot.active_pid.is_some()));
    if findings.is_empty() {
        return Ok(facts.identity.system_identifier.to_string());
    }
    let problems: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let hints: Vec<String> = findings.iter().map(|finding| finding.hint()).collect();
    Err(EngineError::NotReady {
        slug: slug.clone(),
        problem: problems.join("; "),
        hint: Some(hints.join("; ")),
        // Somebody else's backup, or a walsender of ours that has not noticed yet that we are gone.
        transient: findings.iter().all(|finding| matches!(finding, preflight::Finding::NoFreeSender { .. })),
    })
}

fn not_ready(slug: &str, error: slot::SlotError) -> EngineError {
    EngineError::NotReady {
        slug: slug.to_owned(),
        problem: super::Chain(&error).to_string(),
        hint: error.hint(),
        transient: error.is_transient(),
    }
}

/// Makes the slot when it is absent, and returns its position.
async fn ensure_slot(client: &Client, plan: &SourcePlan) -> Result<Lsn, EngineError> {
    let slug = &plan.slug;
    let name = &plan.config.slot_name;
    let found = slot::look_up(client, name).await.map_err(|error| not_ready(slug, error))?;
    match found {
        Some(slot) => Ok(slot.confirmed_flush.unwrap_or(Lsn::ZERO)),
        None => {
            // Waits for the transactions that are running now: only behind them does a slot know all changes.
            tracing::info!(source = slug, slot = name, "making the replication slot");
            slot::create(client, name).await.map_err(|error| not_ready(slug, error))
        }
    }
}

/// Describes the published tables as the stream will, with what only the catalog knows.
async fn published(client: &Client, publication: &Publication, today: &Today) -> Result<Vec<SourceTable>, QueryError> {
    let names: Vec<TableName> = publication.tables.iter().map(|table| table.name.clone()).collect();
    let tables = catalog::load(client, Which::Named(&names)).await?;
    tables.iter().for_each(|table| today.note(&table.name.schema, &table.name.name, Some(table)));
    let described = tables.iter().filter_map(|table| {
        let published = publication.table(&table.name)?;
        Some(describe(table, &published.columns))
    });
    Ok(described.collect())
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

/// Returns a position behind everything that is committed at the source now.
///
/// # Errors
/// The server refused.
pub async fn end_of_log(source: &Source) -> Result<Lsn, EngineError> {
    let failed =
        |(doing, error)| EngineError::Source { slug: source.slug.clone(), source: QueryError::new(doing, error) };
    // A commit of our own is flushed at once and comes through the stream, where asynchronous ones of others might
    // keep it waiting. A standby refuses; its log moves with its primary.
    // Nobody's standby is waited for.
    let message = "BEGIN; SET LOCAL synchronous_commit = local; \
                   SELECT pg_catalog.pg_logical_emit_message(true, 'pelton', ''); COMMIT";
    if let Err(error) = source.client.batch_execute(message).await {
        tracing::debug!("no message of our own: {}", super::Chain(&error));
        let failed = |error| failed(("end a transaction", error));
        source.client.batch_execute("ROLLBACK").await.map_err(failed)?;
    }
    let position = "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                    ELSE pg_catalog.pg_current_wal_flush_lsn() END)::text";
    let row = source.client.query_one(position, &[]).await;
    let row = row.map_err(|error| failed(("ask for the end of the write-ahead log", error)))?;
    row.get::<_, &str>(0).parse().map_err(|error: crate::lsn::BadLsn| EngineError::Bug(error.to_string()))
}

impl Source {
    /// Returns a published table.
    ///
    /// # Errors
    /// It is not published: why, and what to do.
    pub fn table(&self, schema: &str, name: &str) -> Result<&SourceTable, EngineError> {
        let found = self.known.iter().find(|t| *t.relation.schema == *schema && *t.relation.name == *name);
        found.ok_or_else(|| {
            let held = self.held.get(&TableName::new(schema, name));
            // Without the publication it is all the same which of its tables is asked for.
            if let Some(held) = held.or_else(|| self.held.values().next().filter(|_| self.gone)) {
                return self.is_held(schema, name, held);
            }
            let refused = self.refused.iter().find(|r| r.table.schema == schema && r.table.name == name);
            let (problem, hint) = match refused {
                Some(refused) => (refused.to_string(), refused.mend()),
                None => (
                    format!("table {schema}.{name} is not in publication {}", self.publication.name),
                    Some(format!(
                        "ALTER PUBLICATION {} ADD TABLE {}, then restart `pelton sync`",
                        postgres::quote_ident(&self.publication.name),
                        postgres::quote_table(schema, name)
                    )),
                ),
            };
            EngineError::NotReady { slug: self.slug.clone(), problem, hint, transient: false }
        })
    }

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

    fn is_held(&self, schema: &str, name: &str, held: &Held) -> EngineError {
        let slug = self.slug.clone();
        let publication = self.publication.name.clone();
        match held {
            Held::Unknown { destination } => EngineError::NotPublishedYet {
                table: TableName::new(schema, name).to_string(),
                publication,
                destination: destination.clone(),
            },
            Held::By(_) if self.gone => EngineError::PublicationGone { slug, publication, slot: self.slot.clone() },
            Held::By(flows) => {
                let table = TableName::new(schema, name);
                let add = publication::add_statement(&publication, std::slice::from_ref(&table));
                EngineError::Unpublished { table: table.to_string(), publication, flows: flows.clone(), add }
            }
        }
    }

    /// Returns what the publication says of those of `names` that it has.
    pub fn published(&self, names: &[(String, String)]) -> Vec<PublishedTable> {
        let wanted = |table: &&PublishedTable| {
            names.iter().any(|(schema, name)| *schema == table.name.schema && *name == table.name.name)
        };
        self.publication.tables.iter().filter(wanted).cloned().collect()
    }

    /// Returns a snapshot of which every transaction that has an id by now lies before the end.
    ///
    /// That of `pg_current_snapshot()` ends behind the last transaction that is over, and one that is in the log, and
    /// was streamed and confirmed, but waits for a synchronous standby, is not over; so the end is an id of our own. A
    /// standby gives out none; there a transaction is over as soon as its end was replayed, which is when it is
    /// streamed.
    ///
    /// # Errors
    /// The server refused.
    pub async fn snapshot(&self) -> Result<Snapshot, EngineError> {
        let failed = |source| EngineError::Source { slug: self.slug.clone(), source };
        let sql = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_snapshot()::text \
                   ELSE pg_catalog.format('%1$s:%1$s:', pg_catalog.pg_current_xact_id()) END";
        let row = self.client.query_one(sql, &[]).await;
        let row = row.map_err(|error| failed(QueryError::new("take a snapshot", error)))?;
        row.get::<_, &str>(0).parse().map_err(|error: BadSnapshot| EngineError::Bug(error.to_string()))
    }

    /// Returns all published tables, for guests to know from the start.
    pub fn relations(&self) -> Vec<Arc<Relation>> {
        self.known.iter().map(|table| table.relation.clone()).collect()
    }

    /// Makes sure that the stream has everything behind a flow's checkpoint.
    ///
    /// `START_REPLICATION` forwards a position that is too old in silence, so this is where a slot that was made anew
    /// or moved, and another cluster in the place of the former one, are noticed.
    ///
    /// # Errors
    /// It does not.
    pub fn check_checkpoint(&self, flow: &FlowRow) -> Result<(), EngineError> {
        self.check_cluster(flow)?;
        if self.confirmed > flow.lsn {
            return Err(EngineError::SlotBeyondCheckpoint {
                slug: self.slug.clone(),
                slot: self.slot.clone(),
                confirmed: self.confirmed,
                checkpoint: flow.lsn,
                flow: flow.flow.clone(),
            });
        }
        Ok(())
    }

    /// Makes sure that a flow was fed from this cluster.
    ///
    /// # Errors
    /// It was fed from another one.
    pub fn check_cluster(&self, flow: &FlowRow) -> Result<(), EngineError> {
        if flow.system_identifier != self.system_identifier {
            return Err(EngineError::OtherCluster {
                slug: self.slug.clone(),
                found: self.system_identifier.clone(),
                expected: flow.system_identifier.clone(),
                flow: flow.flow.clone(),
            });
        }
        Ok(())
    }
}

impl Enrich for Source {
    async fn is_published(&self) -> Result<bool, QueryError> {
        match &self.members {
            Some(members) => members.are_there(&self.client).await,
            None => Ok(true),
        }
    }

    fn knows(&self, oid: u32) -> bool {
        self.known.iter().any(|table| table.relation.oid == oid)
    }

    /// A table is who its OID says: after a rename the stream brings the changes from before it under the former name,
    /// and a table that was dropped and made anew is another one.
    async fn enrich(&self, relation: &Relation) -> Result<Sight, QueryError> {
        let mut tables = catalog::load(&self.client, Which::Oids(&[relation.oid])).await?;
        if !tables.first().is_some_and(|table| table.is_described_by(relation)) {
            // Either the stream is behind, or the catalog does not show yet what the stream has brought.
            if !self.is_visible(relation.oid).await? {
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
