//! `pelton manifest connection`: adds, updates, lists and removes connections.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::columns;
use super::super::report::Failure;
use super::file::File;
use crate::manifest::edit::{Edit, Step};
use crate::manifest::without_password;

#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Adds a connection
    Add {
        /// Its slug
        #[arg(long)]
        slug: String,
        #[command(flatten)]
        how: How,
    },
    /// Changes how a connection is reached; what is not named stays
    Update {
        /// Its slug
        #[arg(value_name = "SLUG")]
        slug: String,
        #[command(flatten)]
        how: How,
    },
    /// Lists the connections, without their passwords
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes a connection that nothing uses
    Remove {
        /// Its slug
        #[arg(value_name = "SLUG")]
        slug: String,
    },
}

/// How a database is reached. Any value may be `${VARIABLE}`, in single quotes so that the shell leaves it alone.
#[derive(Debug, clap::Args)]
pub struct How {
    /// The connection URL, postgresql://user[:password]@host[:port]/database, or '${VARIABLE}'
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "port", "user", "password", "database"])]
    connection_string: Option<String>,
    /// The kind of database: postgres, or in-memory for tests [default: postgres]
    #[arg(long = "type", value_name = "TYPE", value_parser = ["postgres", "in-memory"])]
    kind: Option<String>,
    /// A host name, an address, or the folder of a unix socket
    #[arg(long)]
    host: Option<String>,
    /// The port [default: 5432]
    #[arg(long, value_parser = port)]
    port: Option<String>,
    /// The role to log in as
    #[arg(long)]
    user: Option<String>,
    /// The password, better '${VARIABLE}'
    #[arg(long)]
    password: Option<String>,
    /// The database
    #[arg(long)]
    database: Option<String>,
}

/// A port is a number, or a variable that holds one.
fn port(text: &str) -> Result<String, String> {
    match text.parse::<u16>() {
        Ok(1..) => Ok(text.to_owned()),
        _ if text.starts_with("${") => Ok(text.to_owned()),
        _ => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

const LIST: &str = "connections";

/// The fields that a URL takes the place of.
const PARTS: [&str; 5] = ["host", "port", "user", "password", "database"];

impl How {
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let text = |name, value: &Option<String>| value.as_ref().map(|value| (name, json!(value)));
        let port = self.port.as_ref().map(|port| ("port", port.parse::<u16>().map_or(json!(port), |port| json!(port))));
        [
            text("connectionType", &self.kind),
            text("url", &self.connection_string),
            text("host", &self.host),
            port,
            text("user", &self.user),
            text("password", &self.password),
            text("database", &self.database),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Says what a password on a command line means, once it is written.
    fn warn(&self, file: &Path, slug: &str) {
        let literal = |text: &String| !text.is_empty() && !text.contains("${");
        let in_url = self.connection_string.as_ref().filter(|url| without_password(url) != **url);
        if let Some(flag) =
            match (self.password.as_ref().filter(|text| literal(text)), in_url.filter(|url| literal(url))) {
                (Some(_), _) => Some("--password '${DB_PASSWORD}'"),
                (None, Some(_)) => Some("--connection-string '${DB_URL}'"),
                (None, None) => None,
            }
        {
            eprintln!("Warning: the password stands in {} and in your shell's history now", file.display());
            eprintln!("Hint: pelton manifest connection update {slug} {flag}, with the variable set where Pelton runs");
        }
    }
}

/// Does it.
pub fn run(path: &Path, what: What) -> Result<(), Failure> {
    let mut file = File::read(path)?;
    match what {
        What::List { json } => return list(&file, json),
        What::Add { slug, how } => {
            if file.position(LIST, "slug", &slug).is_some() {
                let hint =
                    format!("change it with `pelton manifest connection update {slug} …`, or choose another slug");
                return Err(Failure::new(format!("there is a connection `{slug}` already"), Some(hint)));
            }
            let mut config: Map<String, Value> =
                [("connectionType".to_owned(), json!("postgres"))].into_iter().collect();
            config.extend(how.fields().into_iter().map(|(name, value)| (name.to_owned(), value)));
            let needs = config["connectionType"] == "postgres" && how.connection_string.is_none();
            if needs && (how.host.is_none() || how.user.is_none()) {
                let hint = "give --connection-string, or --host and --user; with --type in-memory neither is needed";
                return Err(Failure::new("it is not said how the database is reached", Some(hint.to_owned())));
            }
            file.edit(&Edit::Push { list: LIST, item: json!({ "slug": slug, "config": config }) })?;
            file.write()?;
            how.warn(path, &slug);
            eprintln!("Added connection `{slug}` to {}.", path.display());
        }
        What::Update { slug, how } => {
            update(&mut file, &slug, &how)?;
            file.write()?;
            how.warn(path, &slug);
            eprintln!("Updated connection `{slug}` in {}.", path.display());
        }
        What::Remove { slug } => {
            let index = position(&file, &slug)?;
            file.edit(&Edit::Remove { list: LIST, index })?;
            file.write()?;
            eprintln!("Removed connection `{slug}` from {}.", path.display());
        }
    }
    Ok(())
}

fn position(file: &File, slug: &str) -> Result<usize, Failure> {
    file.position(LIST, "slug", slug).ok_or_else(|| {
        let known: Vec<&str> = file.items(LIST).iter().filter_map(|item| item["slug"].as_str()).collect();
        let hint = match known.is_empty() {
            true => "it has none; add one with `pelton manifest connection add`".to_owned(),
            false => format!("it has {}", known.join(", ")),
        };
        Failure::new(format!("there is no connection `{slug}` in {}", file.path.display()), Some(hint))
    })
}

fn update(file: &mut File, slug: &str, how: &How) -> Result<(), Failure> {
    let index = position(file, slug)?;
    let fields = how.fields();
    if fields.is_empty() {
        let hint = "give --connection-string, --type, --host, --port, --user, --password or --database";
        return Err(Failure::new("nothing is to be changed", Some(hint.to_owned())));
    }
    let map = [Step::Field(LIST), Step::Item(index), Step::Field("config")];
    for (field, value) in fields {
        file.edit(&Edit::Set { map: &map, field, value })?;
    }
    // A URL and single fields exclude each other; in memory there is neither.
    let gone: Vec<&str> = match (how.kind.as_deref(), &how.connection_string) {
        (Some("in-memory"), _) => PARTS.into_iter().chain(["url"]).collect(),
        (_, Some(_)) => PARTS.to_vec(),
        _ if how.fields().iter().any(|(name, _)| PARTS.contains(name)) => vec!["url"],
        _ => Vec::new(),
    };
    for field in gone {
        if file.items(LIST)[index]["config"].get(field).is_some() {
            file.edit(&Edit::Unset { map: &map, field })?;
        }
    }
    Ok(())
}

fn list(file: &File, json: bool) -> Result<(), Failure> {
    let config = |item: &Value, name: &str| item["config"].get(name).map(shown).unwrap_or_default();
    let row = |item: &Value| {
        let address = match item["config"].get("url") {
            Some(Value::String(url)) => without_password(url),
            Some(other) => shown(other),
            None if config(item, "host").is_empty() => String::new(),
            None => {
                let [host, port, user, database] = ["host", "port", "user", "database"].map(|name| config(item, name));
                let port = if port.is_empty() { port } else { format!(":{port}") };
                format!("{user}@{host}{port}/{database}")
            }
        };
        [item["slug"].as_str().unwrap_or_default().to_owned(), config(item, "connectionType"), address]
    };
    let rows: Vec<[String; 3]> = file.items(LIST).iter().map(row).collect();
    if json {
        let one =
            |[slug, kind, address]: &[String; 3]| json!({ "slug": slug, "connectionType": kind, "address": address });
        println!("{:#}", Value::Array(rows.iter().map(one).collect()));
    } else {
        columns::print([["CONNECTION", "TYPE", "ADDRESS"].map(str::to_owned)].into_iter().chain(rows));
    }
    Ok(())
}

/// Shows what is no secret: texts and numbers; `{ file: … }` by its file.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields.get("file").map(|file| format!("file {}", shown(file))).unwrap_or_default(),
        other => other.to_string(),
    }
}
