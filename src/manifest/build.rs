//! Makes the typed manifest of shaped values, and finishes what takes several fields at once: connections, tables.
//!
//! Everything is `None` where a problem was reported before.

use std::time::Duration;

use super::connection::{PostgresConnection, Secret, SslMode};
use super::fields::is_slot_name;
use super::model::*;
use super::problem::{Code, Place};
use super::report::Report;
use super::service::SyncService;
use super::shape::{Shaped, Value};
use super::url::{Parts, UrlError};

/// Builds a manifest; `None` only when a problem was reported.
pub(crate) fn build(root: &Shaped, connections: Vec<Option<Connection>>, file: &str) -> Option<Manifest> {
    let slug = root.text_of("slug")?;
    let connections: Vec<Connection> = connections.into_iter().collect::<Option<_>>()?;
    let in_memory = |store: &EventStore| {
        let connection = connections.iter().find(|connection| connection.slug == store.slug);
        connection.is_some_and(|connection| matches!(connection.config, ConnectionConfig::InMemory))
    };
    let event_stores = all(root.items("eventStores"), event_store)?;
    Some(Manifest {
        file: file.to_owned(),
        slug: slug.to_owned(),
        workspaces: all(root.items("workspaces"), |path| {
            Some(WorkspaceMember { path: path.path_buf()?, at: path.at })
        })?,
        data_stores: all(root.items("dataStores"), |store| data_store(store, slug))?,
        event_stores: event_stores.into_iter().filter(|store| !in_memory(store)).collect(),
        sync_services: all(root.items("syncServices"), sync_service)?,
        connections,
        public_schemas: all(root.items("publicSchemas"), public_schema)?,
        consumer_schemas: all(root.items("consumerSchemas"), consumer_schema)?,
        warnings: Vec::new(),
    })
}

fn all<T>(items: &[Shaped], build: impl Fn(&Shaped) -> Option<T>) -> Option<Vec<T>> {
    items.iter().map(build).collect()
}

fn owned(shaped: &Shaped, field: &str) -> Option<String> {
    Some(shaped.text_of(field)?.to_owned())
}

fn number(shaped: &Shaped, field: &str) -> Option<u32> {
    u32::try_from(shaped.get(field)?.integer()?).ok()
}

/// Returns a field that may be left out; the outer `None` where it is there and invalid.
fn optional<T>(shaped: &Shaped, field: &str, read: impl Fn(&Shaped) -> Option<T>) -> Option<Option<T>> {
    match shaped.get(field) {
        Some(value) => read(value).map(Some),
        None => Some(None),
    }
}

/// Builds the connections, `None` for each that has a problem.
pub(crate) fn connections(root: &Shaped, report: &mut Report) -> Vec<Option<Connection>> {
    let build = |shaped: &Shaped| {
        let config = shaped.get("config")?;
        let config = match config.text_of("connectionType")? {
            "postgres" => ConnectionConfig::Postgres(postgres(config, report)?),
            _ => ConnectionConfig::InMemory,
        };
        Some(Connection { slug: owned(shaped, "slug")?, config, at: shaped.at })
    };
    root.items("connections").iter().map(build).collect()
}

/// Puts a connection together from its URL and its fields, neither of which may repeat the other.
fn postgres(config: &Shaped, report: &mut Report) -> Option<PostgresConnection> {
    let Value::Object(fields) = &config.value else { return None };
    let mut parts = match config.get("url").map(|url| &url.value) {
        Some(Value::Url(parts)) => parts.clone(),
        Some(_) => return None,
        None => Parts::default(),
    };
    let mut whole = true;
    for (name, shaped) in fields {
        let fresh = match (*name, &shaped.value) {
            ("connectionType" | "url", _) => true,
            ("host", Value::Text(text)) => parts.host.replace(text.clone()).is_none(),
            ("port", Value::Integer(port)) => parts.port.replace(u16::try_from(*port).ok()?).is_none(),
            ("user", Value::Text(text)) => parts.user.replace(text.clone()).is_none(),
            ("password", Value::Secret(secret)) if secret.reveal().is_empty() => true,
            ("password", Value::Secret(secret)) => parts.password.replace(Secret::clone(secret)).is_none(),
            ("database", Value::Text(text)) => parts.database.replace(text.clone()).is_none(),
            ("sslmode", Value::Text(text)) => parts.sslmode.replace(text.parse::<SslMode>().ok()?).is_none(),
            ("sslrootcert", Value::Path(path)) => parts.sslrootcert.replace(path.clone()).is_none(),
            ("sslcert", Value::Path(path)) => parts.sslcert.replace(path.clone()).is_none(),
            ("sslkey", Value::Path(path)) => parts.sslkey.replace(path.clone()).is_none(),
            _ => {
                whole = false;
                true
            }
        };
        if !fresh {
            let message = format!("`{}` says again what the `url` beside it says", shaped.path);
            let hint = format!("leave `{name}` out here or in the `url`");
            report.error(shaped.at, &shaped.path, Code::Conflict, message, Some(hint));
            whole = false;
        }
    }
    if !whole {
        return None;
    }
    let missing = |error: &UrlError| match error {
        UrlError::NoHost | UrlError::NoUser | UrlError::HalfCertificate { .. } => Code::MissingField,
        _ => Code::BadValue,
    };
    match parts.finish() {
        Ok(connection) => Some(connection),
        // Without a `url`, the description has asked for host and user already.
        Err(UrlError::NoHost | UrlError::NoUser) if config.get("url").is_none() => None,
        Err(error) => {
            let message = format!("`{}`: {error}", config.path);
            report.error(config.at, &config.path, missing(&error), message, error.hint());
            None
        }
    }
}

fn data_store(shaped: &Shaped, manifest: &str) -> Option<DataStore> {
    let source = |config: &Shaped| match config.text_of("connectionType")? {
        "in-memory" => Some(None),
        _ => source(config, manifest).map(Some),
    };
    let source = optional(shaped, "config", source)?.flatten();
    Some(DataStore { slug: owned(shaped, "connectionSlug")?, source, at: shaped.at })
}

fn source(config: &Shaped, manifest: &str) -> Option<SourceConfig> {
    let name = |field| {
        Some(optional(config, field, |name| name.text().map(str::to_owned))?.unwrap_or_else(|| default_name(manifest)))
    };
    let listed = all(config.items("tables"), |table| table.table().cloned())?;
    let tables = match optional(config, "allTables", Shaped::bool)? {
        Some(true) => Tables::All,
        _ if listed.is_empty() => Tables::Needed,
        _ => Tables::Listed(listed),
    };
    Some(SourceConfig {
        slot_name: name("slotName")?,
        publication_name: name("publicationName")?,
        tables,
        detached_wal_max_bytes: optional(config, "detachedWalMax", Shaped::integer)?,
    })
}

/// Returns the name of a slot or publication that the manifest of that slug leaves to us.
///
/// Of the connection's slug it would be a name that manifests share: half of them call their connection `source`.
pub(crate) fn default_name(slug: &str) -> String {
    let fit = |c: char| if is_slot_name(&c.to_string()) { c } else { '_' };
    let name: String = slug.chars().map(fit).collect();
    let mut name = format!("pelton_{name}");
    name.truncate(63);
    name
}

fn event_store(shaped: &Shaped) -> Option<EventStore> {
    Some(EventStore {
        slug: owned(shaped, "connectionSlug")?,
        mirror_of: optional(shaped, "mirrorOf", |slug| slug.text().map(str::to_owned))?,
        retention: optional(shaped, "retention", retention)?,
        at: shaped.at,
    })
}

fn retention(shaped: &Shaped) -> Option<Retention> {
    Some(Retention {
        max_age: optional(shaped, "maxAge", Shaped::integer)?.map(Duration::from_secs),
        max_bytes: optional(shaped, "maxSize", Shaped::integer)?,
        compact: optional(shaped, "compact", Shaped::bool)?.unwrap_or(true),
    })
}

fn sync_service(shaped: &Shaped) -> Option<SyncService> {
    let token = |shaped: &Shaped| match &shaped.value {
        Value::Secret(secret) => Some(secret.clone()),
        _ => None,
    };
    Some(SyncService {
        manifest: owned(shaped, "manifestSlug")?,
        // The description has held it against the rule.
        url: shaped.text_of("url")?.parse().ok()?,
        token: optional(shaped, "token", token)?.filter(|token| !token.reveal().is_empty()),
        sslrootcert: optional(shaped, "sslrootcert", Shaped::path_buf)?,
    })
}

fn public_schema(shaped: &Shaped) -> Option<PublicSchemaDef> {
    let version = shaped.get("version")?;
    let output_schema = |json: &Shaped| match &json.value {
        Value::Json(schema) => Some(OutputSchema { schema: schema.clone(), at: json.at }),
        _ => None,
    };
    let config = shaped.get("config")?;
    Some(PublicSchemaDef {
        name: owned(shaped, "name")?,
        version: Version { major: number(version, "major")?, minor: number(version, "minor")? },
        source: owned(shaped.get("source")?, "dataStoreSlug")?,
        output_schema: optional(shaped, "outputSchema", output_schema)?,
        strict: optional(shaped, "strict", Shaped::bool)?.unwrap_or(false),
        definition_file: optional(shaped, "definitionFile", Shaped::path_buf)?,
        config: match config.text_of("publicSchemaType")? {
            "wasm" => PublicSchemaConfig::Wasm(wasm(config)?),
            "table" => PublicSchemaConfig::Table(projection(config)?),
            _ => PublicSchemaConfig::Postgres(all(config.items("transformations"), transformation)?),
        },
        at: shaped.at,
    })
}

pub(crate) fn wasm(config: &Shaped) -> Option<WasmConfig> {
    let settings = |shaped: &Shaped| match &shaped.value {
        Value::Settings(settings) => Some(settings.clone()),
        _ => None,
    };
    let limits = |limits: &Shaped| {
        let limit = |field| optional(limits, field, |value| u32::try_from(value.integer()?).ok());
        Some(WasmLimits { memory_mib: limit("memoryMib")?, timeout_ms: limit("timeoutMs")? })
    };
    let on_error = |word: &Shaped| word.text().map(|_| OnError::Stop);
    let component = config.get("component")?;
    Some(WasmConfig {
        component: component.path_buf()?,
        settings: optional(config, "settings", settings)?.unwrap_or_default(),
        limits: optional(config, "limits", limits)?.unwrap_or_default(),
        on_error: optional(config, "onError", on_error)?.unwrap_or_default(),
        parallel: optional(config, "parallel", |value| u32::try_from(value.integer()?).ok())?.unwrap_or(1),
        shadow: optional(config, "shadow", Shaped::path_buf)?,
        at: component.at,
    })
}

fn projection(config: &Shaped) -> Option<TableProjection> {
    let column = |shaped: &Shaped| match &shaped.value {
        Value::Column(column) => Some(column.clone()),
        _ => None,
    };
    let list = |shaped: &Shaped| match &shaped.value {
        Value::List(items) => all(items, column),
        _ => None,
    };
    let key = |shaped: &Shaped| match &shaped.value {
        Value::List(items) => all(items, |name| name.text().map(str::to_owned)),
        _ => None,
    };
    let table = config.get("table")?;
    Some(TableProjection {
        table: table.table()?.clone(),
        columns: optional(config, "columns", list)?,
        key: optional(config, "key", key)?,
        at: table.at,
    })
}

fn transformation(shaped: &Shaped) -> Option<SqlTransformation> {
    Some(SqlTransformation {
        operation: match shaped.text_of("operation")? {
            "insert" => SqlOperation::Insert,
            "update" => SqlOperation::Update,
            _ => SqlOperation::Delete,
        },
        table: owned(shaped, "table")?,
        sql: owned(shaped, "sql")?,
        at: shaped.at,
    })
}

fn consumer_schema(shaped: &Shaped) -> Option<ConsumerSchemaDef> {
    let public_schema = shaped.get("publicSchema")?;
    let config = shaped.get("config")?;
    let data_store = owned(config, "destinationDataStoreSlug")?;
    Some(ConsumerSchemaDef {
        name: owned(shaped, "name")?,
        source_manifest: owned(shaped, "sourceManifestSlug")?,
        public_schema: owned(public_schema, "name")?,
        major: number(public_schema, "majorVersion")?,
        event_store: optional(shaped, "eventStore", |slug| slug.text().map(str::to_owned))?,
        definition_file: optional(shaped, "definitionFile", Shaped::path_buf)?,
        config: match config.text_of("consumerSchemaType")? {
            "table" => ConsumerConfig::Table(TableDestination {
                data_store,
                table: config.get("table")?.table()?.clone(),
                create_table: optional(config, "createTable", Shaped::bool)?.unwrap_or(false),
                backfill: optional(config, "backfill", Shaped::bool)?.unwrap_or(true),
                at: config.get("table").map_or(Place::START, |table| table.at),
            }),
            _ => ConsumerConfig::Postgres(SqlDestination {
                data_store,
                sql: owned(config, "sql")?,
                delete_sql: optional(config, "deleteSql", |sql| sql.text().map(str::to_owned))?,
                backfill: optional(config, "backfill", Shaped::bool)?.unwrap_or(true),
                at: config.get("sql").map_or(Place::START, |sql| sql.at),
            }),
        },
        at: shaped.at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_fit_a_slot() {
        assert_eq!(default_name("shop"), "pelton_shop");
        assert_eq!(default_name("@team/my-shop"), "pelton__team_my_shop");
        assert_eq!(default_name(&"x".repeat(200)).len(), 63);
    }
}
