//! Makes a source ready to be read: the lock, the publication and then the slot, and what the catalog says.
//!
//! The publication is made first, since a slot decodes with the catalog of its time: changes from before a publication
//! existed make the stream fail. What exists is respected, and what is not fit to be read is said, with its mend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::change::{Column, PublicSchema, Relation, ReplicaIdentity};
use crate::datastore::{self, FlowRow};
use crate::lsn::Lsn;
use crate::manifest;
use crate::manifest::Tables;
use crate::postgres::catalog::{self, Generated, Table, TableName, Which};
use crate::postgres::preflight::{self, Facts};
use crate::postgres::publication::{self, Members, Publication, PublicationError, PublishedTable, Refused, Wanted};
use crate::postgres::replication::{ExportedSnapshot, Fork, SnapshotSlot, create_slot_with_snapshot, forks};
use crate::postgres::{self, QueryError, slot};

use super::Context;
use super::backfill::{BadSnapshot, Snapshot};
use super::failure::{Chain, EngineError};
use super::ownership;
use super::plan::SourcePlan;
use super::projection::{Definition, Projection, ProjectionError};
use super::reading::{self, Held, table_name};
use super::stream::{Enrich, Patience, Sight};
use super::today::Today;

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

/// A source that is ready to be read, and ours while `client` lives.
pub struct Source {
    pub slug: String,
    /// Holds the lock.
    pub client: Client,
    pub slot: String,
    pub system_identifier: String,
    pub timeline: u32,
    /// Where the log ended when the source was prepared; `None` on a standby, which may be behind where it was.
    end: Option<Lsn>,
    /// The timelines that this one comes from, once somebody asked.
    forks: OnceCell<Vec<Fork>>,
    /// How our sessions are called.
    application_name: String,
    /// Raised each time that a slot was made anew in the place of a lost one; what destinations say counts.
    pub epoch: AtomicU32,
    /// Where slots are made once the primary has logged which transactions run.
    pub standby: bool,
    /// The slot's position: the stream has everything behind it.
    pub confirmed: Lsn,
    /// Names of the tables that transforms may read, those of logical messages included.
    pub tables: Vec<(String, String)>,
    pub connection: manifest::PostgresConnection,
    pub publication: Publication,
    /// What the catalog says, kept up to date with each relation that the stream describes.
    pub today: Arc<Today>,
    known: Vec<SourceTable>,
    /// The role may not write messages into the log.
    may_not_beat: AtomicBool,
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

/// What a source is made ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// To be streamed from the slot; that is made where there is none.
    Streaming,
    /// To be compared under a snapshot behind which the slot has everything; that is made anew where it is lost.
    Comparing,
}

/// Makes a source ready.
///
/// Waits as a standby while another process owns it.
///
/// # Errors
/// It can't be reached, is not fit to be read, or the role may not make what is missing.
pub async fn source(context: &Context, plan: &SourcePlan) -> Result<Source, EngineError> {
    let client = connect(context, plan).await?;
    let waiting = || {
        tracing::info!(source = plan.slug, "another process runs this manifest; waiting to take over when it ends");
    };
    let owned = ownership::acquire(&client, &context.manifest, &plan.slug, waiting).await;
    owned.map_err(|source| EngineError::Source { slug: plan.slug.clone(), source })?;
    Ok(ready(context, plan, client, For::Streaming).await?.0)
}

/// Connects to a source and makes it ours.
///
/// # Errors
/// It can't be reached, or another process owns it.
pub async fn own(context: &Context, plan: &SourcePlan) -> Result<Client, EngineError> {
    let client = connect(context, plan).await?;
    let owned = ownership::try_acquire(&client, &context.manifest, &plan.slug).await;
    match owned.map_err(|source| EngineError::Source { slug: plan.slug.clone(), source })? {
        true => Ok(client),
        false => Err(EngineError::Setup {
            what: format!("a process runs this manifest, and reads from source `{}`", plan.slug),
            hint: Some("stop `pelton sync` first, wherever it runs".to_owned()),
        }),
    }
}

/// Makes a source ready that is ours through `client`, and returns a snapshot behind which its slot has everything.
///
/// A slot that can be read from stays as it is; one that is lost is made anew.
///
/// # Errors
/// As [`source`]; the slot is somebody else's, or is being read from.
pub async fn source_with_snapshot(
    context: &Context,
    plan: &SourcePlan,
    client: Client,
) -> Result<(Source, ExportedSnapshot), EngineError> {
    let (source, snapshot) = ready(context, plan, client, For::Comparing).await?;
    Ok((source, snapshot.ok_or_else(|| EngineError::Bug("a comparison without its snapshot".to_owned()))?))
}

async fn connect(context: &Context, plan: &SourcePlan) -> Result<Client, EngineError> {
    let session = postgres::Session::source(context.application_name());
    postgres::connect(&plan.connection, &session).await.map_err(|source| EngineError::Connect {
        role: "source",
        slug: plan.slug.clone(),
        source,
    })
}

async fn ready(
    context: &Context,
    plan: &SourcePlan,
    client: Client,
    wants: For,
) -> Result<(Source, Option<ExportedSnapshot>), EngineError> {
    let slug = &plan.slug;
    let refused_query = |source| EngineError::Source { slug: slug.clone(), source };
    let facts = fit(&client, plan, wants).await?;
    look_at_helpers(&client, slug).await;
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
        problem: Chain(&error).to_string(),
        hint: error.hint(),
        transient: error.is_transient(),
    };
    let before = publication::look_up(&client, name).await.map_err(unpublished)?;
    let slot = slot::look_up(&client, &plan.config.slot_name).await.map_err(|error| not_ready(slug, error))?;
    // Without a slot no checkpoint can be gone on from, and that will be said.
    let held = match (&before, &slot) {
        // Nobody counts on a table's having been published any more.
        _ if wants == For::Comparing => BTreeMap::new(),
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

    let (confirmed, snapshot) = match wants {
        For::Streaming => (ensure_slot(&client, plan, facts.in_recovery).await?, None),
        For::Comparing => {
            let snapshot = snapshot(context, &client, plan, &facts).await?;
            (snapshot.consistent_point, Some(snapshot))
        }
    };
    // Behind the slot: flows that are made now begin at its position.
    let end = if facts.in_recovery { None } else { Some(position(&client).await.map_err(refused_query)?) };
    let today = Arc::new(Today::default());
    let tables = published(&client, &ensured.publication, &today).await.map_err(refused_query)?;
    let mut names: Vec<(String, String)> =
        tables.iter().map(|t| (t.relation.schema.to_string(), t.relation.name.to_string())).collect();
    let messages = needed.iter().filter(|table| table.schema == Relation::MESSAGE_SCHEMA);
    names.extend(messages.map(|table| (table.schema.clone(), table.name.clone())));
    let source = Source {
        slug: slug.clone(),
        client,
        slot: plan.config.slot_name.clone(),
        system_identifier: facts.identity.system_identifier.to_string(),
        timeline: facts.identity.timeline,
        end,
        forks: OnceCell::new(),
        application_name: context.application_name(),
        epoch: AtomicU32::new(1),
        standby: facts.in_recovery,
        confirmed,
        tables: names,
        connection: plan.connection.clone(),
        publication: ensured.publication,
        today,
        known: tables,
        may_not_beat: AtomicBool::new(false),
        refused: ensured.refused,
        held,
        gone: ensured.gone,
        members: ensured.members,
    };
    Ok((source, snapshot))
}

/// Warns where the schema `pelton` is not what this version expects. Nothing that runs depends on it, so nothing stops.
async fn look_at_helpers(client: &Client, slug: &str) {
    match datastore::history(client, &datastore::PRIVILEGED).await {
        Ok(history) if history.is_absent() => {}
        Ok(history) => {
            for difference in history.differences() {
                tracing::warn!(source = slug, mend = "pelton migrations verify --privileged", "{difference}");
            }
        }
        // An ordinary role need not be able to read its history.
        Err(error) => tracing::debug!(source = slug, "{}", Chain(&error)),
    }
}

/// Makes sure that the server can be a source at all. Returns what it says of itself.
async fn fit(client: &Client, plan: &SourcePlan, wants: For) -> Result<Facts, EngineError> {
    let slug = &plan.slug;
    let refused_query = |source| EngineError::Source { slug: slug.clone(), source };
    let facts = preflight::facts(client).await.map_err(refused_query)?;
    let slot = slot::look_up(client, &plan.config.slot_name).await.map_err(|error| not_ready(slug, error))?;
    match slot.as_ref().map(|slot| slot.usable(&facts.database)) {
        Some(Err(slot::SlotError::Lost { .. })) if wants == For::Comparing => {}
        Some(Err(error)) => return Err(not_ready(slug, error)),
        None | Some(Ok(())) => {}
    }
    let findings = facts.findings(slot.is_some(), slot.is_some_and(|slot| slot.active_pid.is_some()));
    if findings.is_empty() {
        return Ok(facts);
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
        problem: Chain(&error).to_string(),
        hint: error.hint(),
        transient: error.is_transient(),
    }
}

/// Makes the slot when it is absent, and returns its position.
async fn ensure_slot(client: &Client, plan: &SourcePlan, standby: bool) -> Result<Lsn, EngineError> {
    let slug = &plan.slug;
    let name = &plan.config.slot_name;
    let found = slot::look_up(client, name).await.map_err(|error| not_ready(slug, error))?;
    match found {
        Some(slot) => Ok(slot.confirmed_flush.unwrap_or(Lsn::ZERO)),
        None => {
            // Waits for the transactions that are running now: only behind them does a slot know all changes.
            tracing::info!(source = slug, slot = name, "making the replication slot");
            if standby {
                slot::say_what_a_standby_waits_for();
            }
            slot::create(client, name).await.map_err(|error| not_ready(slug, error))
        }
    }
}

/// Exports a snapshot behind which the slot has everything: that of the slot itself where it must be made anew, otherwise
/// that of one that goes with the session.
async fn snapshot(
    context: &Context,
    client: &Client,
    plan: &SourcePlan,
    facts: &Facts,
) -> Result<ExportedSnapshot, EngineError> {
    let slug = &plan.slug;
    let name = &plan.config.slot_name;
    let found = slot::look_up(client, name).await.map_err(|error| not_ready(slug, error))?;
    let (confirmed, is_lost) = match &found {
        None => (Lsn::ZERO, true),
        Some(slot) => (slot.confirmed_flush.unwrap_or(Lsn::ZERO), slot.usable(&facts.database).is_err()),
    };
    let slot = match is_lost {
        false => SnapshotSlot {
            name: format!("pelton_compare_{:016x}", fastrand::u64(..)),
            temporary: true,
            failover: false,
        },
        true => {
            if found.is_some() {
                slot::drop_slot(client, name).await.map_err(|error| not_ready(slug, error))?;
            }
            tracing::info!(source = slug, slot = name, "making the replication slot anew");
            SnapshotSlot { name: name.clone(), temporary: false, failover: facts.version >= 17 && !facts.in_recovery }
        }
    };
    if facts.in_recovery {
        slot::say_what_a_standby_waits_for();
    }
    // Waits for the transactions that are running now: only behind them does a slot know all changes.
    let made = create_slot_with_snapshot(&plan.connection, &context.application_name(), &slot).await;
    let made = made.map_err(|source| EngineError::Replication { slug: slug.clone(), source })?;
    match made.consistent_point >= confirmed {
        true => Ok(made),
        false => Err(EngineError::Bug(format!("slot \"{name}\" is confirmed beyond a snapshot that was made later"))),
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
        tracing::debug!("no message of our own: {}", Chain(&error));
        let failed = |error| failed(("end a transaction", error));
        source.client.batch_execute("ROLLBACK").await.map_err(failed)?;
    }
    let position = position(&source.client).await;
    position.map_err(|error| EngineError::Source { slug: source.slug.clone(), source: error })
}

/// Returns how far a server's log is flushed; on a standby, how far it was replayed.
pub async fn position(client: &Client) -> Result<Lsn, QueryError> {
    let doing = "ask for the end of the write-ahead log";
    let sql = "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
               ELSE pg_catalog.pg_current_wal_flush_lsn() END)::text";
    let row = client.query_one(sql, &[]).await.map_err(|error| QueryError::new(doing, error))?;
    let text: String = row.try_get(0).map_err(|error| QueryError::new(doing, error))?;
    text.parse()
        .map_err(|error: crate::lsn::BadLsn| QueryError::Answer { doing: doing.to_owned(), what: error.to_string() })
}

impl Source {
    /// Returns the epoch of positions in the stream.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Takes note of the epoch of flows that go on.
    pub fn goes_on(&self, flows: &[FlowRow]) {
        let epochs = flows.iter().map(|flow| flow.epoch.max(1).cast_unsigned());
        self.epoch.fetch_max(epochs.max().unwrap_or(1), Ordering::Relaxed);
    }

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

    /// Makes sure that what a flow has applied is part of this server's log: a standby that was promoted may lack the end
    /// of its former primary's, and so does a server that was restored from a backup. Positions go on as if nothing had
    /// happened, so what is new up to the checkpoint would be skipped in silence.
    ///
    /// # Errors
    /// It is not, or the server does not say.
    pub async fn check_branch(&self, flow: &FlowRow) -> Result<(), EngineError> {
        let beside = |fork: Option<Fork>| EngineError::OtherBranch {
            slug: self.slug.clone(),
            timeline: self.timeline,
            fork,
            checkpoint: flow.lsn,
            flow: flow.flow.clone(),
        };
        if let Some(timeline) = flow.timeline.filter(|timeline| *timeline != self.timeline) {
            let forks = || forks(&self.connection, &self.application_name, self.timeline);
            let forks = self.forks.get_or_try_init(forks).await;
            let forks = forks.map_err(|source| EngineError::Replication { slug: self.slug.clone(), source })?;
            match forks.iter().find(|fork| fork.timeline == timeline) {
                Some(fork) if fork.at >= flow.lsn => {}
                fork => return Err(beside(fork.copied())),
            }
        }
        match self.end {
            Some(end) if flow.lsn > end => Err(EngineError::LogEndsBefore {
                slug: self.slug.clone(),
                end,
                checkpoint: flow.lsn,
                flow: flow.flow.clone(),
            }),
            _ => Ok(()),
        }
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
    async fn enrich(&self, relation: &Relation, patience: Patience) -> Result<Sight, QueryError> {
        let mut tables = catalog::load(&self.client, Which::Oids(&[relation.oid])).await?;
        let differs = !tables.first().is_some_and(|table| table.is_described_by(relation));
        if differs && patience == Patience::Waits {
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
