//! What one server is to be: what a manifest asks of it, or what somebody says by hand.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::facts::SourceFacts;
use crate::change::{Op, PublicSchema, Relation};
use crate::engine::{self, GroupPlan, Plan, SourcePlan, TransformKind, TransformPlan};
use crate::lsn::Lsn;
use crate::manifest::{self, PostgresConnection, Tables};
use crate::postgres::catalog::TableName;
use crate::postgres::publication::Wanted;
use crate::wasm::Descriptor;

/// One server, and what it is to be.
#[derive(Clone, Debug)]
pub struct Target {
    /// Names it in messages: the slug of its connection.
    pub slug: String,
    pub connection: PostgresConnection,
    /// The role that Pelton is to run as; `None`: the one that the connection logs in as. Whoever looks may be another.
    pub role: Option<String>,
    pub side: Side,
}

/// What a server is for.
#[derive(Clone, Debug)]
pub enum Side {
    Source(SourceTarget),
    Destination(DestinationTarget),
    EventStore,
}

/// A database that is read from.
#[derive(Clone, Debug)]
pub struct SourceTarget {
    pub publication: String,
    pub slot: String,
    /// What the publication should have.
    pub wanted: Wanted,
    /// What flows read of it, each table once.
    pub reads: Vec<Read>,
    /// Flows that have a checkpoint, so that the slot must be there. Known once the destinations were looked at.
    pub begun: Vec<Begun>,
}

/// A flow that has a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub flow: String,
    pub lsn: Lsn,
    /// It counts on the changes of its tables: they are copied, or are being copied.
    pub has_read: bool,
}

/// What flows read of one table.
#[derive(Clone, Debug)]
pub struct Read {
    pub table: TableName,
    /// None: all of its columns, as they are.
    pub columns: Vec<String>,
    /// None: all operations.
    pub ops: Vec<Op>,
    /// The flows, by name.
    pub flows: Vec<String>,
}

/// A database that is written to.
#[derive(Clone, Debug)]
pub struct DestinationTarget {
    pub manifest: String,
    /// The slugs of the sources whose flows go there.
    pub sources: Vec<String>,
    pub tables: Vec<DestinationTable>,
}

/// A table that a flow writes.
#[derive(Clone, Debug)]
pub struct DestinationTable {
    pub name: TableName,
    pub flow: String,
    /// Pelton makes it.
    pub create: bool,
    /// What it must take; `None` where that can't be said, since the source or a component is not as it should be.
    pub public: Option<PublicSchema>,
    /// See [`crate::sink::TableTarget::exact`].
    pub exact: bool,
}

/// What components say of themselves, by their file; one that can't be loaded is left out.
pub type Described = HashMap<PathBuf, Descriptor>;

impl SourceTarget {
    /// Returns the flows that count on the changes of a table.
    pub fn begun_of<'a>(&'a self, read: &'a Read) -> impl Iterator<Item = &'a str> {
        let begun = |flow: &&String| self.begun.iter().any(|begun| begun.flow == **flow && begun.has_read);
        read.flows.iter().filter(begun).map(String::as_str)
    }
}

impl Target {
    /// Returns where it is, as people write it: `source shop`.
    pub fn place(&self) -> String {
        let side = match self.side {
            Side::Source(_) => "source",
            Side::Destination(_) => "destination",
            Side::EventStore => "event store",
        };
        format!("{side} {}", self.slug)
    }

    /// Returns a place in it: `source shop, table public.orders`.
    pub fn within(&self, what: impl std::fmt::Display) -> String {
        format!("{}, {what}", self.place())
    }
}

/// Returns what a manifest asks of its sources.
pub fn sources(plan: &Plan, described: &Described) -> Vec<Target> {
    plan.sources.iter().map(|source| source_target(source, described)).collect()
}

/// Returns what a manifest asks of its destinations, each database once. `seen` gives what was found at a source.
pub fn destinations<'a>(
    plan: &Plan,
    described: &Described,
    seen: impl Fn(&str) -> Option<&'a SourceFacts>,
) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for source in &plan.sources {
        for group in source.groups.iter().filter(|group| !group.event_store) {
            let tables = tables(group, described, seen(&source.slug));
            let known = targets.iter_mut().find(|target| target.slug == group.slug);
            match known.map(|target| &mut target.side) {
                Some(Side::Destination(known)) => {
                    known.sources.push(source.slug.clone());
                    known.tables.extend(tables);
                }
                _ => targets.push(Target {
                    slug: group.slug.clone(),
                    connection: group.connection.clone(),
                    role: None,
                    side: Side::Destination(DestinationTarget {
                        manifest: plan.manifest.clone(),
                        sources: vec![source.slug.clone()],
                        tables,
                    }),
                }),
            }
        }
    }
    targets
}

fn source_target(plan: &SourcePlan, described: &Described) -> Target {
    let mut reads: Vec<Read> = Vec::new();
    let transforms = plan.groups.iter().flat_map(|group| &group.transforms);
    transforms.flat_map(|transform| reads_of(transform, described)).for_each(|read| add(&mut reads, read));
    let name = |table: &manifest::TableName| TableName::new(table.schema.clone(), table.name.clone());
    let wanted = match &plan.config.tables {
        Tables::All => Wanted::All,
        Tables::Listed(tables) => Wanted::Listed(tables.iter().map(name).collect()),
        Tables::Needed => Wanted::Listed(reads.iter().map(|read| read.table.clone()).collect()),
    };
    Target {
        slug: plan.slug.clone(),
        connection: plan.connection.clone(),
        role: None,
        side: Side::Source(SourceTarget {
            publication: plan.config.publication_name.clone(),
            slot: plan.config.slot_name.clone(),
            wanted,
            reads,
            begun: Vec::new(),
        }),
    }
}

/// Adds what one transform reads to what the others do.
fn add(reads: &mut Vec<Read>, read: Read) {
    let Some(known) = reads.iter_mut().find(|known| known.table == read.table) else { return reads.push(read) };
    // None at all stands for all of them, and so do all of them with some others.
    if known.ops.is_empty() || read.ops.is_empty() {
        known.ops.clear();
    } else {
        known.ops.extend(read.ops);
    }
    let columns: BTreeSet<String> = known.columns.drain(..).chain(read.columns).collect();
    known.columns = columns.into_iter().collect();
    known.flows.extend(read.flows);
}

fn reads_of(transform: &TransformPlan, described: &Described) -> Vec<Read> {
    let flows: Vec<String> = transform.flows.iter().map(|flow| flow.name.clone()).collect();
    match &transform.kind {
        TransformKind::Table { projection, .. } => {
            let columns = projection.columns.iter().flatten().map(|column| column.source.clone());
            let TableName { schema, name } =
                TableName::new(projection.table.schema.clone(), projection.table.name.clone());
            vec![Read { table: TableName { schema, name }, columns: columns.collect(), ops: Vec::new(), flows }]
        }
        TransformKind::Wasm(config) => {
            let subscriptions = described.get(&config.component).map(|found| &found.subscriptions[..]).unwrap_or(&[]);
            let tables = subscriptions.iter().filter(|one| one.schema != Relation::MESSAGE_SCHEMA);
            tables
                .map(|one| Read {
                    table: TableName::new(one.schema.clone(), one.table.clone()),
                    columns: one.columns.clone(),
                    ops: one.ops.clone(),
                    flows: flows.clone(),
                })
                .collect()
        }
    }
}

fn tables(group: &GroupPlan, described: &Described, seen: Option<&SourceFacts>) -> Vec<DestinationTable> {
    let mut tables = Vec::new();
    for transform in &group.transforms {
        for flow in &transform.flows {
            let public = match &transform.kind {
                TransformKind::Table { projection, name, major, minor } => {
                    let wanted = TableName::new(projection.table.schema.clone(), projection.table.name.clone());
                    let found = seen.and_then(|seen| Some((seen, seen.table(&wanted)?)));
                    found.and_then(|(seen, table)| {
                        let published = seen.publication.as_ref().and_then(|publication| publication.table(&wanted));
                        let columns = published.map(|published| &published.columns[..]);
                        engine::public_schema(table, columns, projection, (name, *major, *minor)).ok()
                    })
                }
                TransformKind::Wasm(config) => described.get(&config.component).and_then(|found| {
                    let is_it =
                        |public: &&PublicSchema| *public.name == *flow.public_schema && public.major == flow.major;
                    found.public_schemas.iter().find(is_it).cloned()
                }),
            };
            tables.push(DestinationTable {
                name: TableName::new(flow.table.table.schema.clone(), flow.table.table.name.clone()),
                flow: flow.name.clone(),
                create: flow.table.create_table,
                public,
                exact: matches!(transform.kind, TransformKind::Table { .. }),
            });
        }
    }
    tables
}
