//! Which databases are prepared, by whom and for whom: from a manifest, from a URL, or from the variables of libpq.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Args;
use crate::change::Relation;
use crate::cli::files;
use crate::cli::report::Failure;
use crate::engine;
use crate::manifest::{self, Environment, Manifest, PostgresConnection, PublicSchemaConfig, Secret, System};
use crate::postgres::catalog::TableName;
use crate::postgres::slot;
use crate::setup::of_manifest;
use crate::setup::tables::{self, Entry};
use crate::setup::wish::{Job, RoleWish, Scope, SourceWish};
use crate::wasm;

/// The administrator's URL, password included.
const ADMIN_URL: &str = "PELTON_ADMIN_URL";

/// Returns what is to be done, and whether a manifest says it.
///
/// # Errors
/// What was typed is wrong.
pub async fn jobs(args: &Args) -> Result<(Vec<Job>, bool), Failure> {
    let by_hand = args.url.is_some()
        || args.role.is_some()
        || args.slot.is_some()
        || !args.tables.is_empty()
        || args.tables_file.is_some()
        || !args.schemas.is_empty()
        || args.all_tables
        || (args.manifest.is_none() && !files::is_there() && any_variable()?);
    if !by_hand && args.manifest.is_none() && !files::is_there() {
        return Err(Failure::new(
            "there is no manifest in this folder, and no database is named",
            Some("name a manifest, or a database: --url, or PGHOST, PGUSER and PGDATABASE".to_owned()),
        ));
    }
    let mut jobs = if by_hand { vec![one(args)?] } else { of_manifest(args).await? };
    let named = |names: &[String]| names.iter().map(|name| table(name)).collect::<Result<Vec<_>, _>>();
    let (add, drop) = (named(&args.add_table)?, named(&args.drop_table)?);
    for source in jobs.iter_mut().filter_map(|job| job.source.as_mut()) {
        source.identity = args.replica_identity.into();
        source.keep_identity = args.keep_replica_identity;
        source.ddl_messages = args.ddl_messages;
        source.group = args.replication_group.clone();
        source.helpers = !args.no_helpers;
        source.add = add.clone();
        source.drop = drop.clone();
        // A manifest could not name it otherwise.
        if !slot::is_slot_name(&source.publication) {
            let what = format!("\"{}\" is no name for a publication of Pelton's", source.publication);
            return Err(Failure::new(
                what,
                Some("use lower case letters, digits and underscores, 1 to 63 of them".to_owned()),
            ));
        }
        if !slot::is_slot_name(&source.slot) {
            let error = slot::SlotError::BadName { name: source.slot.clone() };
            return Err(Failure::of(&error, error.hint()));
        }
    }
    Ok((jobs, !by_hand))
}

/// The database that was named on the command line, or by variables.
fn one(args: &Args) -> Result<Job, Failure> {
    let connection = match &args.url {
        Some(url) => connection(url, "--url")?,
        None => match variable(ADMIN_URL)? {
            Some(url) => read_url(&url)?,
            None => from_variables()?,
        },
    };
    let role = match &args.role {
        Some(name) => Some(RoleWish { name: name.clone(), password: password(args)? }),
        None => None,
    };
    let scope = scope(args)?;
    let slot = args.slot.clone().unwrap_or_else(|| slot_name(&connection.database));
    let source = SourceWish {
        publication: args.publication.clone().unwrap_or_else(|| "pelton".to_owned()),
        publication_named: args.publication.is_some(),
        slot,
        scope,
        identity: args.replica_identity.into(),
        keep_identity: false,
        ddl_messages: false,
        add: Vec::new(),
        drop: Vec::new(),
        group: None,
        helpers: true,
    };
    let place = format!("database {}", connection.database);
    Ok(Job { place, connection, role, source: Some(source), destination: None, event_store: false })
}

fn scope(args: &Args) -> Result<Scope, Failure> {
    if !args.schemas.is_empty() {
        return Ok(Scope::Schemas(args.schemas.clone()));
    }
    let mut texts = args.tables.clone();
    if let Some(file) = &args.tables_file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::new(
                format!("cannot read {}: {error}", file.display()),
                Some("name a file with one table a line".to_owned()),
            )
        })?;
        texts.extend(text.lines().map(str::trim).filter(|line| !line.starts_with('#')).map(str::to_owned));
    }
    if args.tables.is_empty() && args.tables_file.is_none() {
        return Ok(Scope::All);
    }
    let mut entries: Vec<Entry> = Vec::new();
    for text in &texts {
        entries.extend(tables::parse(text).map_err(|error| Failure::of(&error, error.hint()))?);
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = entries.iter().find(|entry| !seen.insert(entry.table.clone())) {
        return Err(Failure::new(format!("table {} is named twice", twice.table), Some("name it once".to_owned())));
    }
    if entries.is_empty() {
        return Err(Failure::new("no table is named", Some("name some, or take --all-tables".to_owned())));
    }
    Ok(Scope::Listed(entries))
}

fn table(text: &str) -> Result<TableName, Failure> {
    let table: manifest::TableName = text
        .parse()
        .map_err(|error: manifest::BadTableName| Failure::new(format!("`{text}`: {error}"), error.hint()))?;
    Ok(TableName::new(table.schema, table.name))
}

/// A slot's name has fewer characters than a database's.
fn slot_name(database: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("pelton_{}", database.chars().map(plain).collect::<String>()).chars().take(63).collect()
}

fn password(args: &Args) -> Result<Option<Secret>, Failure> {
    let text = if let Some(name) = &args.password_env {
        let value = variable(name)?;
        Some(value.ok_or_else(|| {
            Failure::new(
                format!("the variable {name} is not set"),
                Some("--password-env names the variable that holds the password, not the password itself".to_owned()),
            )
        })?)
    } else if let Some(file) = &args.password_file {
        let text = System.secret_file(file).map_err(|error| {
            Failure::new(
                format!("cannot read the password in {}: {error}", file.display()),
                Some("name a file that this user may read".to_owned()),
            )
        })?;
        let cut = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
        Some(cut.unwrap_or(&text).to_owned())
    } else {
        None
    };
    if text.as_ref().is_some_and(|text| text.is_empty() || text.contains('\0')) {
        return Err(Failure::new("the role's password is empty, or holds a NUL", Some("name another one".to_owned())));
    }
    Ok(text.map(Secret::new))
}

async fn of_manifest(args: &Args) -> Result<Vec<Job>, Failure> {
    let manifest = files::load_one(args.manifest.as_deref())?;
    let mut jobs = of_manifest::jobs(&manifest, &read(&manifest).await?);
    if let Some(slug) = &args.connection {
        if !manifest.connections.iter().any(|connection| connection.slug == *slug) {
            let known =
                manifest.connections.iter().map(|connection| connection.slug.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Failure::new(
                format!("the manifest has no connection `{slug}`"),
                Some(format!("it has {known}")),
            ));
        }
        // A place ends with the slug of its connection.
        jobs.retain(|job| job.place.rsplit(' ').next() == Some(slug));
    }
    let admin = match (&args.admin_url, variable(ADMIN_URL)?) {
        (Some(url), _) => Some(connection(url, "--admin-url")?),
        (None, Some(url)) => Some(read_url(&url)?),
        (None, None) => None,
    };
    if let Some(admin) = admin {
        let mut used = false;
        for job in &mut jobs {
            let to = &job.connection;
            if args.connection.is_some() || (to.host == admin.host && to.port == admin.port) {
                let database = to.database.clone();
                job.connection = PostgresConnection { database, ..admin.clone() };
                used = true;
            }
        }
        if !used {
            return Err(Failure::new(
                format!("the administrator's URL leads to {}:{}, and no connection of the manifest does", admin.host, admin.port),
                Some("write host and port as the manifest has them, or name the connection that it is for with --connection".to_owned()),
            ));
        }
    }
    for source in jobs.iter_mut().filter_map(|job| job.source.as_mut()) {
        match &args.publication {
            Some(name) if *name != source.publication => {
                return Err(Failure::new(
                    format!("the manifest's publication is {}, not {name}", source.publication),
                    Some("change publicationName in the manifest, or name the publication that it has".to_owned()),
                ));
            }
            named => source.publication_named = named.is_some(),
        }
    }
    if jobs.is_empty() {
        return Err(Failure::new(
            "the manifest reads from no Postgres and writes to none",
            Some("add dataStores and consumerSchemas, then run `pelton check`".to_owned()),
        ));
    }
    Ok(jobs)
}

/// Returns the tables that the manifest's components read.
async fn read(manifest: &Manifest) -> Result<HashMap<PathBuf, Vec<TableName>>, Failure> {
    let mut read = HashMap::new();
    let configs = manifest.public_schemas.iter().filter_map(|schema| match &schema.config {
        PublicSchemaConfig::Wasm(config) => Some(config),
        _ => None,
    });
    let mut host = None;
    for config in configs {
        if host.is_none() {
            let options = wasm::HostOptions { cache_dir: files::cache_dir() };
            host = Some(Arc::new(wasm::Host::new(options).map_err(|error| Failure::of(&error, error.hint()))?));
        }
        let Some(host) = &host else { continue };
        let component = engine::component(host, config).await.map_err(|error| Failure::of(&error, error.hint()))?;
        let tables = component.descriptor().subscriptions.iter().filter(|one| one.schema != Relation::MESSAGE_SCHEMA);
        let tables = tables.map(|one| TableName::new(one.schema.clone(), one.table.clone())).collect();
        read.insert(config.component.clone(), tables);
    }
    Ok(read)
}

/// Reads a URL of the command line, which everybody on the machine can see.
fn connection(url: &str, option: &str) -> Result<PostgresConnection, Failure> {
    let mut connection = read_url(url)?;
    if connection.password.is_some() {
        return Err(Failure::new(
            format!("the URL of {option} holds a password, which everybody on this machine can see"),
            Some(format!("leave it out there and set PGPASSWORD, or set all of it in {ADMIN_URL}")),
        ));
    }
    connection.password = variable("PGPASSWORD")?.map(Secret::new);
    Ok(connection)
}

fn read_url(url: &str) -> Result<PostgresConnection, Failure> {
    PostgresConnection::from_url(url).map_err(|error| Failure::of(&error, error.hint()))
}

/// Reads the variables that libpq reads, by way of a URL, so that they mean the same.
fn from_variables() -> Result<PostgresConnection, Failure> {
    let names = [
        ("host", "PGHOST"),
        ("port", "PGPORT"),
        ("user", "PGUSER"),
        ("password", "PGPASSWORD"),
        ("dbname", "PGDATABASE"),
        ("sslmode", "PGSSLMODE"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("sslcert", "PGSSLCERT"),
        ("sslkey", "PGSSLKEY"),
    ];
    let mut parameters = Vec::new();
    for (parameter, name) in names {
        let default = match parameter {
            "host" => Some("localhost".to_owned()),
            "user" => variable("USER")?,
            _ => None,
        };
        if let Some(value) = variable(name)?.or(default) {
            parameters.push(format!("{parameter}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)));
        }
    }
    PostgresConnection::from_url(&format!("postgresql:///?{}", parameters.join("&"))).map_err(|error| {
        let hint =
            "check PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and PGSSLMODE, or name the database with --url";
        Failure::of(&error, Some(hint.to_owned()))
    })
}

/// Returns true when a variable names a database.
fn any_variable() -> Result<bool, Failure> {
    Ok(variable("PGHOST")?.is_some() || variable("PGDATABASE")?.is_some() || variable(ADMIN_URL)?.is_some())
}

/// Returns a variable that is set and not empty.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    let value = System.variable(name).map_err(|error| Failure::new(format!("{name}: {error}"), None))?;
    Ok(value.filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_slot_is_named_for_its_database() {
        assert_eq!(super::slot_name("shop"), "pelton_shop");
        assert_eq!(super::slot_name("Sales ; drop"), "pelton_sales___drop");
        assert_eq!(super::slot_name(&"x".repeat(70)).len(), 63);
    }
}
