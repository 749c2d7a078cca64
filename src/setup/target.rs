//! What one server is to be: what a manifest asks of it, or what somebody says by hand.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::facts::{Checkpoint, SourceFacts};
use super::wish::Asked;
use crate::change::{Op, PublicSchema, Relation};
use crate::engine::{self, GroupPlan, Plan, TransformKind, TransformPlan, UpstreamPlan, table_name};
use crate::lsn::Lsn;
use crate::manifest::{PostgresConnection, SourceConfig, Tables};
use crate::postgres::catalog::{Table, TableName};
use crate::postgres::publication::{self, Wanted, judge};
use crate::wasm::Descriptor;

/// One server, and what it is to be.
#[derive(Clone, Debug)]
pub struct Target {
    /// Names it in messages: the slug of its connection.
    pub slug: String,
    /// Where it is, as people write it: `source shop`.
    pub place: String,
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
    EventStore {
        /// The manifest publishes into it, and does not only consume.
        published: bool,
    },
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
    /// What somebody asks for beyond that.
    pub asked: Asked,
}

/// A flow that has a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub flow: String,
    pub lsn: Lsn,
    /// It counts on the changes of its tables: they are copied, or are being copied.
    pub has_read: bool,
}

impl From<Checkpoint> for Begun {
    fn from(checkpoint: Checkpoint) -> Begun {
        Begun { flow: checkpoint.flow, lsn: checkpoint.lsn, has_read: checkpoint.has_read }
    }
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
    /// What a manifest asks of a source. Tables are wanted as its `config` says; where that leaves it open, as `needed`.
    pub fn new(config: &SourceConfig, needed: Vec<TableName>, reads: Vec<Read>) -> SourceTarget {
        let wanted = match &config.tables {
            Tables::All => Wanted::All,
            Tables::Listed(tables) => Wanted::Listed(tables.iter().map(table_name).collect()),
            Tables::Needed => Wanted::Listed(needed),
        };
        let (publication, slot) = (config.publication_name.clone(), config.slot_name.clone());
        SourceTarget { publication, slot, wanted, reads, begun: Vec::new(), asked: Asked::default() }
    }

    /// Returns what flows read of a table.
    pub fn read(&self, table: &TableName) -> Option<&Read> {
        self.reads.iter().find(|read| read.table == *table)
    }

    /// Returns the flows that count on the changes of a table.
    pub fn begun_of<'a>(&'a self, read: &'a Read) -> impl Iterator<Item = &'a str> {
        let begun = |flow: &&String| self.begun.iter().any(|begun| begun.flow == **flow && begun.has_read);
        read.flows.iter().filter(begun).map(String::as_str)
    }

    /// Returns true for a table that is to be published, if it can be: flows read it, or somebody wants it.
    pub fn takes(&self, table: &TableName) -> bool {
        let Asked { schemas, add, drop, .. } = &self.asked;
        let wanted = || match &self.wanted {
            Wanted::All => schemas.is_empty() || schemas.contains(&table.schema),
            Wanted::Listed(tables) => tables.contains(table),
        };
        !drop.contains(table) && (self.read(table).is_some() || add.contains(table) || wanted())
    }

    /// Returns the tables that are named, by flows, by a list, or by hand.
    pub fn named(&self) -> Vec<TableName> {
        let listed = match &self.wanted {
            Wanted::All => &[],
            Wanted::Listed(tables) => &tables[..],
        };
        let read = self.reads.iter().map(|read| &read.table);
        let mut names: Vec<TableName> = read.chain(listed).chain(&self.asked.add).cloned().collect();
        names.sort();
        names.dedup();
        names.retain(|table| self.takes(table));
        names
    }

    /// Judges which of the tables that are taken can be published.
    pub fn judge(&self, tables: &[Table]) -> publication::Plan {
        let mut plan = judge(tables, &Wanted::Listed(self.named()));
        if self.wanted == Wanted::All {
            let all = judge(tables, &Wanted::All);
            plan.publish.extend(all.publish.into_iter().filter(|table| self.takes(table)));
            plan.refused.extend(all.refused.into_iter().filter(|refused| self.takes(&refused.table)));
        }
        plan.publish.sort();
        plan.publish.dedup();
        plan
    }
}

impl Target {
    /// A database that a manifest names by the slug of its connection, for the role that the connection logs in as.
    pub fn new(slug: &str, connection: PostgresConnection, side: Side) -> Target {
        let word = match side {
            Side::Source(_) => "source",
            Side::Destination(_) => "destination",
            Side::EventStore { .. } => "event store",
        };
        Target { slug: slug.to_owned(), place: format!("{word} {slug}"), connection, role: None, side }
    }

    /// Returns where it is, as people write it: `source shop`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns a place in it: `source shop, table public.orders`.
    pub fn within(&self, what: impl std::fmt::Display) -> String {
        format!("{}, {what}", self.place)
    }
}

/// Returns what a manifest asks of its sources.
pub fn sources(plan: &Plan, described: &Described) -> Vec<Target> {
    let target = |source: &engine::SourcePlan| {
        let mut reads: Vec<Read> = Vec::new();
        let transforms = source.groups.iter().flat_map(|group| &group.transforms);
        transforms.flat_map(|transform| reads_of(transform, described)).for_each(|read| add(&mut reads, read));
        let needed = reads.iter().map(|read| read.table.clone()).collect();
        let side = Side::Source(SourceTarget::new(&source.config, needed, reads));
        Target::new(&source.slug, source.connection.clone(), side)
    };
    plan.sources.iter().map(target).collect()
}

/// Returns what a manifest asks of its destinations, each database once. `seen` gives what was found at a source.
pub fn destinations<'a>(
    plan: &Plan,
    described: &Described,
    seen: impl Fn(&str) -> Option<&'a SourceFacts>,
) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for source in &plan.sources {
        for group in &source.groups {
            // What an event store has of flows is kept as at any destination; its own tables come with its migrations.
            let tables = if group.event_store { Vec::new() } else { tables(group, described, seen(&source.slug)) };
            let known = targets.iter_mut().find(|target| target.slug == group.slug);
            match known.map(|target| &mut target.side) {
                Some(Side::Destination(known)) => {
                    known.sources.push(source.slug.clone());
                    known.tables.extend(tables);
                }
                _ => {
                    let (manifest, sources) = (plan.manifest.clone(), vec![source.slug.clone()]);
                    let side = Side::Destination(DestinationTarget { manifest, sources, tables });
                    targets.push(Target::new(&group.slug, group.connection.clone(), side));
                }
            }
        }
    }
    for reader in &plan.readers {
        let table = |consumer: &engine::ConsumerPlan| {
            let table = consumer.target.table()?;
            Some(DestinationTable {
                name: table_name(&table.table),
                flow: consumer.name.clone(),
                create: table.create_table,
                // The event store knows it, once it is published.
                public: None,
                exact: false,
            })
        };
        let tables = reader.consumers.iter().filter_map(table);
        match targets.iter_mut().find(|target| target.slug == reader.destination).map(|target| &mut target.side) {
            Some(Side::Destination(known)) => known.tables.extend(tables),
            _ => {
                let manifest = plan.manifest.clone();
                let side = DestinationTarget { manifest, sources: Vec::new(), tables: tables.collect() };
                let side = Side::Destination(side);
                targets.push(Target::new(&reader.destination, reader.connection.clone(), side));
            }
        }
    }
    targets
}

/// Returns what a manifest asks of its event stores, each database once.
pub fn event_stores(plan: &Plan) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let groups = plan.sources.iter().flat_map(|source| &source.groups).filter(|group| group.event_store);
    let published = groups.map(|group| (&group.slug, &group.connection, true));
    let stores = plan.readers.iter().filter_map(|reader| match &reader.upstream {
        UpstreamPlan::Store(connection) => Some((&reader.store, connection)),
        UpstreamPlan::Service(_) => None,
    });
    let read = stores.map(|(slug, connection)| (slug, connection, false));
    for (slug, connection, published) in published.chain(read) {
        if targets.iter().all(|target| target.slug != *slug) {
            targets.push(Target::new(slug, connection.clone(), Side::EventStore { published }));
        }
    }
    targets
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
            let table = table_name(&projection.table);
            vec![Read { table, columns: columns.collect(), ops: Vec::new(), flows }]
        }
        TransformKind::Sql(plan) => {
            let read = |one: &engine::SqlStatementPlan| Read {
                table: table_name(&one.table),
                columns: Vec::new(),
                ops: vec![one.op],
                flows: flows.clone(),
            };
            plan.statements.iter().map(read).collect()
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
            // What a consumer's statements need, only their author knows.
            let Some(table) = flow.target.table() else { continue };
            let public = match &transform.kind {
                TransformKind::Table { projection, name, major, minor } => {
                    let wanted = table_name(&projection.table);
                    let found = seen.and_then(|seen| Some((seen, seen.table(&wanted)?)));
                    found.and_then(|(seen, table)| {
                        let published = seen.publication.as_ref().and_then(|publication| publication.table(&wanted));
                        let columns = published.map(|published| &published.columns[..]);
                        engine::public_schema(table, columns, projection, (name, *major, *minor)).ok()
                    })
                }
                // The source alone knows what its statements give.
                TransformKind::Sql(_) => None,
                TransformKind::Wasm(config) => described.get(&config.component).and_then(|found| {
                    let is_it =
                        |public: &&PublicSchema| *public.name == *flow.public_schema && public.major == flow.major;
                    found.public_schemas.iter().find(is_it).cloned()
                }),
            };
            tables.push(DestinationTable {
                name: table_name(&table.table),
                flow: flow.name.clone(),
                create: table.create_table,
                public,
                exact: matches!(transform.kind, TransformKind::Table { .. }),
            });
        }
    }
    tables
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::manifest::SslMode;

    /// A server that nobody connects to.
    pub fn nowhere() -> PostgresConnection {
        PostgresConnection {
            host: "h".to_owned(),
            port: 1,
            user: "u".to_owned(),
            password: None,
            database: "d".to_owned(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
        }
    }

    /// A source of which all tables are wanted.
    pub fn source_of_all() -> SourceTarget {
        let config = SourceConfig {
            publication_name: "p".to_owned(),
            slot_name: "s".to_owned(),
            tables: Tables::All,
            detached_wal_max_bytes: None,
        };
        SourceTarget::new(&config, Vec::new(), Vec::new())
    }

    #[test]
    fn what_is_taken_follows_schemas_what_is_added_and_what_is_dropped() {
        let mut source = source_of_all();
        let takes = |source: &SourceTarget| {
            let tables = [("a", "t"), ("a", "u"), ("b", "t")];
            let taken = tables.iter().filter(|(schema, name)| source.takes(&TableName::new(*schema, *name)));
            taken.map(|(schema, name)| format!("{schema}.{name}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(takes(&source), "a.t a.u b.t");
        source.asked.schemas = vec!["a".to_owned()];
        assert_eq!(takes(&source), "a.t a.u");
        source.asked.add = vec![TableName::new("b", "t")];
        source.asked.drop = vec![TableName::new("a", "t")];
        assert_eq!(takes(&source), "a.u b.t");
    }
}
