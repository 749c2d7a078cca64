//! From a manifest to a plan; what can't be run is refused, all of it at once.

use crate::manifest::{
    BadTableName, ConsumerConfig, ConsumerSchemaDef, EventStore, Manifest, PostgresConnection, PublicSchemaConfig,
    PublicSchemaDef, SqlOperation, SqlTransformation,
};
use crate::service;
use crate::sql::Template;

use super::super::upstream::UpstreamPlan;
use super::*;

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
            let own = consumer.source_manifest == manifest.slug;
            let service = manifest.sync_service(&consumer.source_manifest).filter(|_| !own);
            let added = match (service, manifest.event_store_of(consumer)) {
                (Some(service), _) => {
                    let upstream = || Ok(UpstreamPlan::Service(service.clone()));
                    plan.read(manifest, &service::name(&service.manifest), upstream, consumer)
                }
                (None, Some(store)) => plan.read_store(manifest, store, consumer),
                (None, None) => plan.add(manifest, consumer),
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
            target: TargetPlan::Table(table),
        };
        group.flows.push(flow);
        Ok(())
    }

    /// Adds a consumer of an event store.
    fn read_store(
        &mut self,
        manifest: &Manifest,
        store: &EventStore,
        consumer: &ConsumerSchemaDef,
    ) -> Result<(), Unsupported> {
        let upstream = || postgres(manifest, &store.slug, &refuse_consumer(consumer)).map(UpstreamPlan::Store);
        self.read(manifest, &store.slug, upstream, consumer)
    }

    /// Adds a consumer of an event store or of a service.
    fn read(
        &mut self,
        manifest: &Manifest,
        store: &str,
        upstream: impl FnOnce() -> Result<UpstreamPlan, Unsupported>,
        consumer: &ConsumerSchemaDef,
    ) -> Result<(), Unsupported> {
        let refuse = refuse_consumer(consumer);
        let target = TargetPlan::of(consumer, &refuse)?;
        let postgres = |slug: &str| postgres(manifest, slug, &refuse);
        let reader = find_or_add(
            &mut self.readers,
            |reader| reader.store == store && reader.destination == target.data_store(),
            || {
                Ok(ReaderPlan {
                    store: store.to_owned(),
                    upstream: upstream()?,
                    destination: target.data_store().to_owned(),
                    connection: postgres(target.data_store())?,
                    consumers: Vec::new(),
                })
            },
        )?;
        reader.consumers.push(ConsumerPlan {
            name: consumer.name.clone(),
            source_manifest: consumer.source_manifest.clone(),
            public_schema: consumer.public_schema.clone(),
            major: consumer.major,
            target,
        });
        Ok(())
    }

    fn add(&mut self, manifest: &Manifest, consumer: &ConsumerSchemaDef) -> Result<(), Unsupported> {
        let refuse = refuse_consumer(consumer);
        if consumer.source_manifest != manifest.slug {
            return Err(refuse(
                "its public schema is in another manifest, and nothing says where that is",
                "list both in the `workspaces` of a manifest, or say where the other one's service is (`syncServices`, or \
                 PELTON_SYNC_SERVICE_<SLUG>=host:port), or name the event store that it publishes into (`eventStores`)",
            ));
        }
        let target = TargetPlan::of(consumer, &refuse)?;
        let Some(public) = manifest.public_schema(&consumer.public_schema, consumer.major) else {
            return Err(refuse("its public schema is not in the manifest", "add it to `publicSchemas`"));
        };
        let transform = self.group(manifest, public, target.data_store(), false, &refuse)?;
        transform.flows.push(FlowPlan {
            name: consumer.name.clone(),
            public_schema: public.name.clone(),
            major: public.version.major,
            minor: public.version.minor,
            target,
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
        let (name, kind) = transform(manifest, public, refuse)?;
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
        let transform = find_or_add(
            &mut group.transforms,
            |transform| transform.name == name,
            || Ok(TransformPlan { name: name.clone(), kind, flows: Vec::new(), outputs: Vec::new() }),
        )?;
        let major = public.version.major;
        let is_known = |known: &OutputPlan| known.public_schema == public.name && known.major == major;
        if let Some(output) = public.output_schema.as_ref().filter(|_| !transform.outputs.iter().any(is_known)) {
            let (schema, strict) = (output.schema.clone(), public.strict);
            transform.outputs.push(OutputPlan { public_schema: public.name.clone(), major, schema, strict });
        }
        Ok(transform)
    }
}

/// Returns what refuses a consumer.
fn refuse_consumer(consumer: &ConsumerSchemaDef) -> impl Fn(&str, &str) -> Unsupported + '_ {
    |why: &str, hint: &str| Unsupported {
        what: format!("consumer schema `{}`: {why}", consumer.name),
        hint: hint.to_owned(),
        in_memory: false,
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
fn transform(
    manifest: &Manifest,
    public: &PublicSchemaDef,
    refuse: &impl Fn(&str, &str) -> Unsupported,
) -> Result<(String, TransformKind), Unsupported> {
    let named = |schema: &PublicSchemaDef| format!("{}@{}", schema.name, schema.version.major);
    match &public.config {
        PublicSchemaConfig::Table(projection) => {
            let kind = TransformKind::Table {
                projection: projection.clone(),
                name: public.name.clone(),
                major: public.version.major,
                minor: public.version.minor,
            };
            Ok((named(public), kind))
        }
        PublicSchemaConfig::Wasm(_) => {
            let same = |schema: &&PublicSchemaDef| schema.name == public.name && schema.version == public.version;
            let transforms = manifest.transforms();
            let transform = transforms.iter().find(|transform| transform.public_schemas.iter().any(same));
            let transform =
                transform.ok_or_else(|| refuse("its component is not in the manifest", "name the component"))?;
            Ok((named(transform.public_schemas[0]), TransformKind::Wasm(transform.config.clone())))
        }
        PublicSchemaConfig::Postgres(statements) => {
            let statements: Vec<SqlStatementPlan> =
                statements.iter().map(|one| statement(public, one, refuse)).collect::<Result<_, _>>()?;
            if statements.iter().all(|one| one.op == Op::Delete) {
                return Err(refuse(
                    &format!("public schema `{}` has no statement for new or changed rows", public.name),
                    "add a transformation with `operation: insert`, and one with `operation: update`",
                ));
            }
            let kind = TransformKind::Sql(SqlPlan {
                name: public.name.clone(),
                major: public.version.major,
                minor: public.version.minor,
                statements,
            });
            Ok((named(public), kind))
        }
    }
}

/// Reads a statement of a public schema.
fn statement(
    public: &PublicSchemaDef,
    one: &SqlTransformation,
    refuse: &impl Fn(&str, &str) -> Unsupported,
) -> Result<SqlStatementPlan, Unsupported> {
    let (operation, op) = match one.operation {
        SqlOperation::Insert => ("insert", Op::Insert),
        SqlOperation::Update => ("update", Op::Update),
        SqlOperation::Delete => ("delete", Op::Delete),
    };
    let which = format!("the {operation} of `{}` in public schema `{}`", one.table, public.name);
    let table: TableName = one.table.parse().map_err(|error: BadTableName| {
        let hint = error.hint().unwrap_or_else(|| "name a table".to_owned());
        refuse(&format!("{which} is of no table: {error}"), &hint)
    })?;
    let sql =
        Template::parse(&one.sql).map_err(|error| refuse(&format!("{which} can't be run: {error}"), &error.hint()))?;
    match sql.verb().as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" => Ok(SqlStatementPlan { op, table, sql }),
        verb => {
            let why = format!("{which} is a {verb}, and what makes public rows only reads");
            Err(refuse(&why, "write a SELECT that gives the public row"))
        }
    }
}

impl TargetPlan {
    /// Reads what a manifest says of a consumer.
    fn of(
        consumer: &ConsumerSchemaDef,
        refuse: &impl Fn(&str, &str) -> Unsupported,
    ) -> Result<TargetPlan, Unsupported> {
        let sql = match &consumer.config {
            ConsumerConfig::Table(table) => return Ok(TargetPlan::Table(table.clone())),
            ConsumerConfig::Postgres(sql) => sql,
        };
        let statement = |name: &str, text: &str| {
            let template = Template::parse(text)
                .map_err(|error| refuse(&format!("`{name}` can't be run: {error}"), &error.hint()))?;
            match template.verb().as_str() {
                verb @ ("BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE"
                | "PREPARE") => {
                    let why = format!(
                        "`{name}` is a {verb}, and rows are written in a transaction that moves the flow's position"
                    );
                    Err(refuse(&why, "write the INSERT, UPDATE, DELETE, MERGE or SELECT alone"))
                }
                _ => Ok(template),
            }
        };
        Ok(TargetPlan::Sql(StatementsPlan {
            data_store: sql.data_store.clone(),
            sql: statement("sql", &sql.sql)?,
            delete_sql: sql.delete_sql.as_deref().map(|text| statement("deleteSql", text)).transpose()?,
            backfill: sql.backfill,
        }))
    }
}
