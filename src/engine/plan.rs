//! What a manifest asks the engine to do: for each source the groups of flows, one a destination.
//!
//! Nothing is connected here. What this version can't run is refused here, all of it at once.

use crate::eventstore;
use crate::manifest::{
    ConsumerConfig, ConsumerSchemaDef, EventStore, Manifest, PostgresConnection, PublicSchemaConfig, PublicSchemaDef,
    Retention, SourceConfig, TableDestination, TableName, TableProjection, WasmConfig,
};

/// What a manifest asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub manifest: String,
    pub sources: Vec<SourcePlan>,
    /// Who reads event stores, one entry for each store and destination.
    pub readers: Vec<ReaderPlan>,
    pub mirrors: Vec<MirrorPlan>,
    /// The event stores that don't keep everything.
    pub retained: Vec<RetentionPlan>,
}

/// An event store all of whose events are kept in another one, too.
#[derive(Clone, Debug)]
pub struct MirrorPlan {
    pub upstream: String,
    pub upstream_connection: PostgresConnection,
    pub store: String,
    pub connection: PostgresConnection,
}

/// An event store, and what it keeps.
#[derive(Clone, Debug)]
pub struct RetentionPlan {
    pub store: String,
    pub connection: PostgresConnection,
    pub retention: Retention,
}

/// The consumers of one event store into one destination.
#[derive(Clone, Debug)]
pub struct ReaderPlan {
    pub store: String,
    pub store_connection: PostgresConnection,
    pub destination: String,
    pub connection: PostgresConnection,
    pub consumers: Vec<ConsumerPlan>,
}

/// One consumer of an event store.
#[derive(Clone, Debug)]
pub struct ConsumerPlan {
    pub name: String,
    pub source_manifest: String,
    pub public_schema: String,
    pub major: u32,
    pub table: TableDestination,
}

/// One source and where its flows go.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    pub slug: String,
    pub connection: PostgresConnection,
    pub config: SourceConfig,
    pub groups: Vec<GroupPlan>,
}

/// The flows of one source into one destination, or into one event store.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    pub slug: String,
    pub connection: PostgresConnection,
    /// Its rows are appended to the event store as events.
    pub event_store: bool,
    pub transforms: Vec<TransformPlan>,
}

/// One transform with its flows into one destination.
#[derive(Clone, Debug)]
pub struct TransformPlan {
    /// `orders@1`: its first public schema in the manifest, and that one's major version. Names the transform's state.
    pub name: String,
    pub kind: TransformKind,
    pub flows: Vec<FlowPlan>,
}

#[derive(Clone, Debug)]
pub enum TransformKind {
    Table { projection: TableProjection, name: String, major: u32, minor: u32 },
    Wasm(WasmConfig),
}

/// One flow: a public schema into a table.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    pub name: String,
    pub public_schema: String,
    pub major: u32,
    pub minor: u32,
    pub table: TableDestination,
}

impl ConsumerPlan {
    /// Returns true when that is the stream that it reads.
    pub fn reads(&self, stream: &eventstore::Stream) -> bool {
        stream.manifest == self.source_manifest
            && stream.public_schema == self.public_schema
            && stream.major == self.major as i32
    }
}

/// Something that the manifest asks for and this version can't do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unsupported {
    pub what: String,
    pub hint: String,
    /// Something is in memory, as in ReJot's tests: the manifest is right, and can't be run.
    pub in_memory: bool,
}

impl Plan {
    /// Plans what a manifest asks for.
    ///
    /// # Errors
    /// Everything in it that this version can't run.
    pub fn new(manifest: &Manifest) -> Result<Plan, Vec<Unsupported>> {
        let (plan, mut refused) = Plan::of_what_runs(manifest);
        if refused.is_empty() && plan.sources.is_empty() && plan.readers.is_empty() && plan.mirrors.is_empty() {
            let nothing = "no consumerSchemas, and no event store";
            refused.push(Unsupported {
                what: format!("manifest `{}` has nothing to sync: {nothing}", manifest.slug),
                hint:
                    "add a consumer schema that takes a public schema into a destination, or an event store that keeps \
                       what is published"
                        .to_owned(),
                in_memory: false,
            });
        }
        if refused.is_empty() { Ok(plan) } else { Err(refused) }
    }

    /// Plans what can be run of a manifest, and says what can't.
    pub fn of_what_runs(manifest: &Manifest) -> (Plan, Vec<Unsupported>) {
        let mut refused = Vec::new();
        let mut plan = Plan {
            manifest: manifest.slug.clone(),
            sources: Vec::new(),
            readers: Vec::new(),
            mirrors: Vec::new(),
            retained: Vec::new(),
        };
        for store in &manifest.event_stores {
            refused.extend(plan.keep(manifest, store).err());
            if store.mirror_of.is_some() {
                continue;
            }
            for public in &manifest.public_schemas {
                refused.extend(plan.publish(manifest, store, public).err());
            }
        }
        for consumer in &manifest.consumer_schemas {
            let added = match manifest.event_store_of(consumer) {
                Some(store) => plan.read(manifest, store, consumer),
                None => plan.add(manifest, consumer),
            };
            refused.extend(added.err());
        }
        (plan, refused)
    }

    /// Adds what is done with an event store itself.
    fn keep(&mut self, manifest: &Manifest, store: &EventStore) -> Result<(), Unsupported> {
        let refuse = |why: &str, hint: &str| Unsupported {
            what: format!("event store `{}`: {why}", store.slug),
            hint: hint.to_owned(),
            in_memory: false,
        };
        let connection = postgres(manifest, &store.slug, &refuse)?;
        if let Some(upstream) = &store.mirror_of {
            let upstream_connection = postgres(manifest, upstream, &refuse)?;
            self.mirrors.push(MirrorPlan {
                upstream: upstream.clone(),
                upstream_connection,
                store: store.slug.clone(),
                connection: connection.clone(),
            });
        }
        if let Some(retention) = store.retention {
            self.retained.push(RetentionPlan { store: store.slug.clone(), connection, retention });
        }
        Ok(())
    }

    /// Adds the flow of a public schema into an event store.
    fn publish(
        &mut self,
        manifest: &Manifest,
        store: &EventStore,
        public: &PublicSchemaDef,
    ) -> Result<(), Unsupported> {
        let name = format!("{}@{}", public.name, public.version.major);
        let refuse = |why: &str, hint: &str| Unsupported {
            what: format!("public schema `{name}`: {why}"),
            hint: hint.to_owned(),
            in_memory: false,
        };
        let group = self.group(manifest, public, &store.slug, true, &refuse)?;
        let table = TableDestination {
            data_store: store.slug.clone(),
            table: TableName { schema: eventstore::SCHEMA.to_owned(), name: "event".to_owned() },
            create_table: false,
            backfill: true,
            at: public.at,
        };
        let flow = FlowPlan {
            name: name.clone(),
            public_schema: public.name.clone(),
            major: public.version.major,
            minor: public.version.minor,
            table,
        };
        group.flows.push(flow);
        Ok(())
    }

    /// Adds a consumer of an event store.
    fn read(
        &mut self,
        manifest: &Manifest,
        store: &EventStore,
        consumer: &ConsumerSchemaDef,
    ) -> Result<(), Unsupported> {
        let refuse = |why: &str, hint: &str| Unsupported {
            what: format!("consumer schema `{}`: {why}", consumer.name),
            hint: hint.to_owned(),
            in_memory: false,
        };
        let ConsumerConfig::Table(table) = &consumer.config else {
            return Err(refuse("consumerSchemaType `postgres` can't be run yet", "use consumerSchemaType `table`"));
        };
        let postgres = |slug: &str| postgres(manifest, slug, &refuse);
        let reader = find_or_add(
            &mut self.readers,
            |reader| reader.store == store.slug && reader.destination == table.data_store,
            || {
                Ok(ReaderPlan {
                    store: store.slug.clone(),
                    store_connection: postgres(&store.slug)?,
                    destination: table.data_store.clone(),
                    connection: postgres(&table.data_store)?,
                    consumers: Vec::new(),
                })
            },
        )?;
        reader.consumers.push(ConsumerPlan {
            name: consumer.name.clone(),
            source_manifest: consumer.source_manifest.clone(),
            public_schema: consumer.public_schema.clone(),
            major: consumer.major,
            table: table.clone(),
        });
        Ok(())
    }

    fn add(&mut self, manifest: &Manifest, consumer: &ConsumerSchemaDef) -> Result<(), Unsupported> {
        let refuse = |why: &str, hint: &str| Unsupported {
            what: format!("consumer schema `{}`: {why}", consumer.name),
            hint: hint.to_owned(),
            in_memory: false,
        };
        if consumer.source_manifest != manifest.slug {
            return Err(refuse(
                "its public schema is in another manifest, which is not here",
                "list both in the `workspaces` of a manifest, or put an event store between them",
            ));
        }
        let ConsumerConfig::Table(table) = &consumer.config else {
            return Err(refuse("consumerSchemaType `postgres` can't be run yet", "use consumerSchemaType `table`"));
        };
        let Some(public) = manifest.public_schema(&consumer.public_schema, consumer.major) else {
            return Err(refuse("its public schema is not in the manifest", "add it to `publicSchemas`"));
        };
        let transform = self.group(manifest, public, &table.data_store, false, &refuse)?;
        transform.flows.push(FlowPlan {
            name: consumer.name.clone(),
            public_schema: public.name.clone(),
            major: public.version.major,
            minor: public.version.minor,
            table: table.clone(),
        });
        Ok(())
    }

    /// Returns the transform that makes a public schema for a destination, adding what is not there yet.
    fn group(
        &mut self,
        manifest: &Manifest,
        public: &PublicSchemaDef,
        destination: &str,
        event_store: bool,
        refuse: &impl Fn(&str, &str) -> Unsupported,
    ) -> Result<&mut TransformPlan, Unsupported> {
        postgres(manifest, &public.source, refuse)?;
        let Some(config) = manifest.data_store(&public.source).and_then(|store| store.source.clone()) else {
            return Err(refuse("its source has no `config`", "say how the source's data store is read"));
        };
        let (name, kind) = transform(manifest, public)
            .ok_or_else(|| refuse("publicSchemaType `postgres` can't be run yet", "use `table` or `wasm`"))?;
        let source = find_or_add(
            &mut self.sources,
            |source| source.slug == public.source,
            || {
                let connection = postgres(manifest, &public.source, refuse)?;
                Ok(SourcePlan { slug: public.source.clone(), connection, config, groups: Vec::new() })
            },
        )?;
        let group = find_or_add(
            &mut source.groups,
            |group| group.slug == destination,
            || {
                let connection = postgres(manifest, destination, refuse)?;
                Ok(GroupPlan { slug: destination.to_owned(), connection, event_store, transforms: Vec::new() })
            },
        )?;
        find_or_add(
            &mut group.transforms,
            |transform| transform.name == name,
            || Ok(TransformPlan { name: name.clone(), kind, flows: Vec::new() }),
        )
    }
}

/// Returns how a database is reached.
fn postgres(
    manifest: &Manifest,
    slug: &str,
    refuse: &impl Fn(&str, &str) -> Unsupported,
) -> Result<PostgresConnection, Unsupported> {
    let in_memory = || Unsupported {
        in_memory: true,
        ..refuse(&format!("connection `{slug}` is in memory, which can't be run"), "use connectionType `postgres`")
    };
    manifest.postgres(slug).cloned().ok_or_else(in_memory)
}

impl SourcePlan {
    /// Returns the names of a transform's flows into one destination.
    pub fn flows(&self, group: &str, transform: &str) -> Vec<String> {
        let group = self.groups.iter().filter(|one| one.slug == group);
        let transform = group.flat_map(|group| &group.transforms).filter(|one| one.name == transform);
        transform.flat_map(|transform| &transform.flows).map(|flow| flow.name.clone()).collect()
    }
}

fn find_or_add<T>(
    list: &mut Vec<T>,
    is_it: impl Fn(&T) -> bool,
    make: impl FnOnce() -> Result<T, Unsupported>,
) -> Result<&mut T, Unsupported> {
    let index = match list.iter().position(is_it) {
        Some(index) => index,
        None => {
            list.push(make()?);
            list.len() - 1
        }
    };
    Ok(&mut list[index])
}

/// Returns the transform that makes a public schema, and its name.
fn transform(manifest: &Manifest, public: &PublicSchemaDef) -> Option<(String, TransformKind)> {
    let named = |schema: &PublicSchemaDef| format!("{}@{}", schema.name, schema.version.major);
    match &public.config {
        PublicSchemaConfig::Table(projection) => {
            let kind = TransformKind::Table {
                projection: projection.clone(),
                name: public.name.clone(),
                major: public.version.major,
                minor: public.version.minor,
            };
            Some((named(public), kind))
        }
        PublicSchemaConfig::Wasm(_) => {
            let same = |schema: &&PublicSchemaDef| schema.name == public.name && schema.version == public.version;
            let transforms = manifest.transforms();
            let transform = transforms.iter().find(|transform| transform.public_schemas.iter().any(same))?;
            Some((named(transform.public_schemas[0]), TransformKind::Wasm(transform.config.clone())))
        }
        PublicSchemaConfig::Postgres(_) => None,
    }
}

impl TransformPlan {
    /// Returns the table of a `table` transform; what a component reads is known once it is loaded.
    pub fn table(&self) -> Option<&TableName> {
        match &self.kind {
            TransformKind::Table { projection, .. } => Some(&projection.table),
            TransformKind::Wasm(_) => None,
        }
    }
}
