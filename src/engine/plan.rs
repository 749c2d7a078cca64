//! What a manifest asks the engine to do: for each source the groups of flows, one a destination.
//!
//! Nothing is connected here. What this version can't run is refused here, all of it at once.

use crate::manifest::{
    ConsumerConfig, ConsumerSchemaDef, Manifest, PostgresConnection, PublicSchemaConfig, PublicSchemaDef, SourceConfig,
    TableDestination, TableName, TableProjection, WasmConfig,
};

/// What a manifest asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub manifest: String,
    pub sources: Vec<SourcePlan>,
}

/// One source and where its flows go.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    pub slug: String,
    pub connection: PostgresConnection,
    pub config: SourceConfig,
    pub groups: Vec<GroupPlan>,
}

/// The flows of one source into one destination.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    pub slug: String,
    pub connection: PostgresConnection,
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

/// Something that the manifest asks for and this version can't do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unsupported {
    pub what: String,
    pub hint: String,
}

impl Plan {
    /// Plans what a manifest asks for.
    ///
    /// # Errors
    /// Everything in it that this version can't run.
    pub fn new(manifest: &Manifest) -> Result<Plan, Vec<Unsupported>> {
        let (plan, mut refused) = Plan::of_what_runs(manifest);
        if refused.is_empty() && plan.sources.is_empty() {
            refused.push(Unsupported {
                what: format!("manifest `{}` has no consumerSchemas, so there is nothing to sync", manifest.slug),
                hint: "add a consumer schema that takes a public schema into a destination".to_owned(),
            });
        }
        if refused.is_empty() { Ok(plan) } else { Err(refused) }
    }

    /// Plans what can be run of a manifest, and says what can't.
    pub fn of_what_runs(manifest: &Manifest) -> (Plan, Vec<Unsupported>) {
        let mut refused = Vec::new();
        for store in &manifest.event_stores {
            refused.push(Unsupported {
                what: format!("event store `{}`: event stores can't be run yet", store.slug),
                hint: "remove `eventStores`: flows then go straight to their destinations".to_owned(),
            });
        }
        let mut plan = Plan { manifest: manifest.slug.clone(), sources: Vec::new() };
        for consumer in &manifest.consumer_schemas {
            if let Err(unsupported) = plan.add(manifest, consumer) {
                refused.push(unsupported);
            }
        }
        (plan, refused)
    }

    fn add(&mut self, manifest: &Manifest, consumer: &ConsumerSchemaDef) -> Result<(), Unsupported> {
        let refuse = |why: &str, hint: &str| Unsupported {
            what: format!("consumer schema `{}`: {why}", consumer.name),
            hint: hint.to_owned(),
        };
        if consumer.source_manifest != manifest.slug {
            return Err(refuse(
                "public schemas of another manifest can't be read yet",
                "put source and consumer into one manifest",
            ));
        }
        let ConsumerConfig::Table(table) = &consumer.config else {
            return Err(refuse("consumerSchemaType `postgres` can't be run yet", "use consumerSchemaType `table`"));
        };
        let Some(public) = manifest.public_schema(&consumer.public_schema, consumer.major) else {
            return Err(refuse("its public schema is not in the manifest", "add it to `publicSchemas`"));
        };
        let in_memory = "the connection is in memory, which can't be run";
        let postgres = |slug: &str| {
            manifest.postgres(slug).ok_or_else(|| refuse(in_memory, "use connectionType `postgres`")).cloned()
        };
        let Some(config) = manifest.data_store(&public.source).and_then(|store| store.source.clone()) else {
            return Err(refuse("its source has no `config`", "say how the source's data store is read"));
        };
        let (name, kind) = transform(manifest, public)
            .ok_or_else(|| refuse("publicSchemaType `postgres` can't be run yet", "use `table` or `wasm`"))?;
        let source = find_or_add(
            &mut self.sources,
            |source| source.slug == public.source,
            || {
                Ok(SourcePlan {
                    slug: public.source.clone(),
                    connection: postgres(&public.source)?,
                    config,
                    groups: Vec::new(),
                })
            },
        )?;
        let group = find_or_add(
            &mut source.groups,
            |group| group.slug == table.data_store,
            || {
                let connection = postgres(&table.data_store)?;
                Ok(GroupPlan { slug: table.data_store.clone(), connection, transforms: Vec::new() })
            },
        )?;
        let transform = find_or_add(
            &mut group.transforms,
            |transform| transform.name == name,
            || Ok(TransformPlan { name: name.clone(), kind, flows: Vec::new() }),
        )?;
        transform.flows.push(FlowPlan {
            name: consumer.name.clone(),
            public_schema: public.name.clone(),
            major: public.version.major,
            minor: public.version.minor,
            table: table.clone(),
        });
        Ok(())
    }
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
