//! Which databases are prepared, by whom and for whom: from a manifest, from a URL, or from the variables of libpq.

use std::collections::BTreeSet;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Args;
use crate::cli::files;
use crate::cli::report::Failure;
use crate::engine;
use crate::manifest::{self, Environment, Manifest, PostgresConnection, Secret, System};
use crate::postgres::catalog::TableName;
use crate::postgres::publication::Wanted;
use crate::postgres::{self, Session, slot};
use crate::setup::tables::{self, Entry};
use crate::setup::wish::{Asked, Job, RoleWish};
use crate::setup::{self, Begun, Described, Side, SourceTarget, Target, of_manifest};
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
    for source in jobs.iter_mut().filter_map(Job::source_mut) {
        source.asked = Asked {
            identity: args.replica_identity.into(),
            publication_named: args.publication.is_some(),
            keep_identity: args.keep_replica_identity,
            ddl_messages: args.ddl_messages,
            group: args.replication_group.clone(),
            helpers: !args.no_helpers,
            add: add.clone(),
            drop: drop.clone(),
            ..std::mem::take(&mut source.asked)
        };
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
    let entries = entries(args)?;
    let wanted = match entries.is_empty() {
        true => Wanted::All,
        false => Wanted::Listed(entries.iter().map(|entry| entry.table.clone()).collect()),
    };
    let source = SourceTarget {
        publication: args.publication.clone().unwrap_or_else(|| "pelton".to_owned()),
        slot: args.slot.clone().unwrap_or_else(|| slot_name(&connection.database)),
        wanted,
        reads: Vec::new(),
        begun: Vec::new(),
        asked: Asked { schemas: args.schemas.clone(), entries, ..Asked::default() },
    };
    let place = format!("database {}", connection.database);
    let mut target = Target::new(&connection.database, connection.clone(), Side::Source(source));
    (target.place, target.role) = (place.clone(), role.as_ref().map(|role| role.name.clone()));
    Ok(Job { place, connection, role, targets: vec![target] })
}

/// The tables that are named; none stands for all.
fn entries(args: &Args) -> Result<Vec<Entry>, Failure> {
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
        return Ok(Vec::new());
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
    Ok(entries)
}

fn table(text: &str) -> Result<TableName, Failure> {
    let table: manifest::TableName = text
        .parse()
        .map_err(|error: manifest::BadTableName| Failure::new(format!("`{text}`: {error}"), error.hint()))?;
    Ok(engine::table_name(&table))
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
    let described = described(&manifest).await?;
    let mut jobs = of_manifest::jobs(&manifest, &described);
    if let Some(slug) = &args.connection
        && !manifest.connections.iter().any(|connection| connection.slug == *slug)
    {
        let known =
            manifest.connections.iter().map(|connection| connection.slug.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Failure::new(format!("the manifest has no connection `{slug}`"), Some(format!("it has {known}"))));
    }
    let is_named = |job: &Job| args.connection.as_ref().is_some_and(|slug| job.targets[0].slug == *slug);
    let admin = match (&args.admin_url, variable(ADMIN_URL)?) {
        (Some(url), _) => Some(connection(url, "--admin-url")?),
        (None, Some(url)) => Some(read_url(&url)?),
        (None, None) => None,
    };
    if let Some(admin) = admin {
        let mut used = false;
        for job in &mut jobs {
            let to = &job.connection;
            if is_named(job) || (to.host == admin.host && to.port == admin.port) {
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
    // Of those that are left out, too.
    find_begun(&mut jobs).await;
    jobs.retain(|job| args.connection.is_none() || is_named(job));
    let other = |source: &&SourceTarget| args.publication.as_ref().is_some_and(|name| *name != source.publication);
    if let Some(source) = jobs.iter().filter_map(Job::source).find(other) {
        return Err(Failure::new(
            format!("the manifest's publication is {}, not the one that was named", source.publication),
            Some("change publicationName in the manifest, or name the publication that it has".to_owned()),
        ));
    }
    if jobs.is_empty() {
        return Err(Failure::new(
            "the manifest reads from no Postgres and writes to none",
            Some("add dataStores and consumerSchemas, then run `pelton check`".to_owned()),
        ));
    }
    Ok(jobs)
}

/// Asks the destinations how far flows are: what is missing at a source that they have read must not be made anew. One
/// that can't be asked, since its role is still to be made, has no flows.
async fn find_begun(jobs: &mut [Job]) {
    let mut begun: Vec<(String, Begun)> = Vec::new();
    for job in jobs.iter() {
        let destinations = job.targets.iter().filter_map(|target| match &target.side {
            Side::Destination(wanted) if !wanted.sources.is_empty() => Some(wanted),
            _ => None,
        });
        for wanted in destinations {
            let session = Session::destination("pelton setup");
            let Ok(client) = postgres::connect(&job.connection, &session).await else { continue };
            let found = setup::checkpoints(&client, wanted).await.into_iter().flatten();
            begun.extend(found.map(|found| (found.source.clone(), found.into())));
        }
    }
    for target in jobs.iter_mut().flat_map(|job| &mut job.targets) {
        if let Side::Source(source) = &mut target.side {
            source.begun = begun.iter().filter(|(slug, _)| *slug == target.slug).map(|(_, one)| one.clone()).collect();
        }
    }
}

/// Returns what the manifest's components say of themselves: which tables they read.
async fn described(manifest: &Manifest) -> Result<Described, Failure> {
    let mut described = Described::new();
    let transforms = manifest.transforms();
    if transforms.is_empty() {
        return Ok(described);
    }
    let options = wasm::HostOptions { cache_dir: files::cache_dir() };
    let host = Arc::new(wasm::Host::new(options).map_err(|error| Failure::of(&error, error.hint()))?);
    for transform in transforms {
        let component = engine::component(&host, transform.config).await;
        let component = component.map_err(|error| Failure::of(&error, error.hint()))?;
        described.insert(transform.config.component.clone(), component.descriptor().clone());
    }
    Ok(described)
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
