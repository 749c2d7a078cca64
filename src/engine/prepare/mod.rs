//! Makes a source ready to be read: the lock, the publication and then the slot, and what the catalog says.
//!
//! The publication is made first, since a slot decodes with the catalog of its time: changes from before a publication
//! existed make the stream fail. What exists is respected, and what is not fit to be read is said, with its mend.
//!
//! ```text
//! fit      the server can be a source; the slot, made where there is none
//! sight    what the catalog makes of the tables that the stream describes
//! judge    checkpoints against slot, cluster and timeline
//! ```

mod fit;
mod judge;
mod sight;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::change::Relation;
use crate::datastore::{self, FlowRow};
use crate::lsn::Lsn;
use crate::manifest;
use crate::manifest::Tables;
use crate::postgres::catalog::TableName;
use crate::postgres::publication::{self, Members, Publication, PublicationError, PublishedTable, Refused, Wanted};
use crate::postgres::replication::{ExportedSnapshot, Fork};
use crate::postgres::{self, QueryError, slot};

use super::Context;
use super::backfill::{BadSnapshot, Snapshot};
use super::failure::{Chain, EngineError};
use super::ownership;
use super::plan::SourcePlan;
use super::reading::{self, Held, table_name};
use super::today::Today;
pub(super) use fit::not_ready;
use fit::{ensure_slot, fit};
pub use sight::{SourceTable, public_schema};

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
        // Messages come with every publication.
        Tables::Needed => {
            let tables = needed.iter().filter(|table| table.schema != Relation::MESSAGE_SCHEMA);
            Wanted::Listed(tables.cloned().collect())
        }
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
            let snapshot = fit::snapshot(context, &client, plan, &facts).await?;
            (snapshot.consistent_point, Some(snapshot))
        }
    };
    // Behind the slot: flows that are made now begin at its position.
    let end = if facts.in_recovery { None } else { Some(position(&client).await.map_err(refused_query)?) };
    let today = Arc::new(Today::default());
    let tables = sight::published(&client, &ensured.publication, &today).await.map_err(refused_query)?;
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
}
