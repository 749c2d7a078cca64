//! `pelton generate`: the types of a project's rows, made of the tables as they are.
//!
//! ```text
//! catalog → row types with names that fit (model, words) → a file in the project's language (rust, script, …)
//! ```
//!
//! The file says of which tables it was made, so that it can be made anew, or held against them: what a transform
//! subscribes to and what is there drift apart without anybody seeing it until a flow stops.

mod c;
mod error;
mod go;
mod header;
mod lang;
mod model;
mod python;
mod rust;
mod script;
#[cfg(test)]
mod tests;
mod words;

use std::io::Write as _;
use std::path::PathBuf;

pub use error::GenerateError;
pub use header::Made;
pub use lang::Lang;
use model::row_types;
pub use model::{Column, RowType};
pub use words::{snake, words};

use super::databases::Databases;
use super::report::Failure;
use crate::manifest::TableName;
use crate::postgres::catalog::{self, Table, Which};
use crate::postgres::{self, Session};

/// Makes the types of a transform's source rows anew, from the tables as they are.
///
/// The generated file says of which tables it was made. `--check` leaves it as it is, and fails with the difference when
/// the tables have drifted from it: for continuous integration.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The transform's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// The database that has the tables; a password that the URL lacks is taken from PGPASSWORD
    #[arg(long, value_name = "URL", env = "SOURCE_URL", hide_env_values = true)]
    from: String,

    /// Take these tables too, or instead where the project has none yet
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,

    /// A column, as schema.table.column, whose values may be so large that an update may not send them
    #[arg(long = "large", value_name = "COLUMN")]
    large: Vec<String>,

    /// Write nothing, and fail with the difference when the file is not what would be written
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// A project that can't be read, a database that can't be asked, a table that is not there; with `--check` a difference.
pub async fn run(args: Args) -> Result<(), Failure> {
    let mended = |error: GenerateError| Failure::of(&error, error.hint());
    let lang = Lang::of(&args.dir).map_err(mended)?;
    let path = args.dir.join(lang.rows_file());
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(mended(GenerateError::Read { path, source })),
    };
    let mut made = match &before {
        Some(text) => Made::of(text).ok_or_else(|| mended(GenerateError::NotGenerated { path: path.clone() }))?,
        None if args.tables.is_empty() => return Err(mended(GenerateError::NoTables { path })),
        None => Made::default(),
    };
    made.add(&args.tables, &args.large).map_err(mended)?;
    let rows = rows_of(&args.from, &made).await?;
    let text = lang.rows(&rows, &made.header());
    let shown = path.display();
    if before.as_ref() == Some(&text) {
        eprintln!("{shown} is as the tables are.");
        return Ok(());
    }
    if args.check {
        let difference = difference(before.as_deref().unwrap_or_default(), &text);
        // Whoever closes our stdout has seen enough.
        let _ = std::io::stdout().write_all(difference.as_bytes());
        return Err(mended(GenerateError::Drifted { path }));
    }
    std::fs::write(&path, &text).map_err(|source| mended(GenerateError::Write { path: path.clone(), source }))?;
    eprintln!("Wrote {shown}: {}.", listed(&rows));
    Ok(())
}

/// Reads the tables, and makes row types of them.
///
/// # Errors
/// A database that can't be asked, a table that is not there or can't be read as a stream of changes.
pub async fn rows_of(url: &str, made: &Made) -> Result<Vec<RowType>, Failure> {
    let databases = Databases { manifest: None, url: Some(url.to_owned()) };
    let database = databases.of_url()?.expect("there is a URL");
    let session = Session::source("pelton generate");
    let client = postgres::connect(&database.connection, &session).await.map_err(|error| {
        let hint = error.hint();
        Failure::of(&error, hint)
    })?;
    let names: Vec<_> = made.tables().iter().map(catalog_name).collect();
    let failed = |error: postgres::QueryError| Failure::of(&error, None);
    let found = catalog::load(&client, Which::Named(&names)).await.map_err(failed)?;
    let all = || async { catalog::load(&client, Which::All).await.map_err(failed) };
    let mut tables: Vec<Table> = Vec::new();
    for name in &names {
        let Some(table) = found.iter().find(|table| table.name == *name) else {
            let error = GenerateError::no_such_table(name, &all().await?, &database.label);
            return Err(Failure::of(&error, error.hint()));
        };
        if let Some(error) = GenerateError::unreadable(table).or_else(|| GenerateError::oddly_named(table)) {
            return Err(Failure::of(&error, error.hint()));
        }
        tables.push(table.clone());
    }
    if let Some(error) = made.large_that_is_not_there(&tables) {
        return Err(Failure::of(&error, error.hint()));
    }
    Ok(row_types(&tables, made.large()))
}

fn catalog_name(name: &TableName) -> catalog::TableName {
    catalog::TableName::new(name.schema.clone(), name.name.clone())
}

/// What a project is called, and its public schemas.
pub struct Naming {
    pub name: String,
    pub words: Vec<String>,
}

impl Naming {
    /// The type that is the transform: called after the project, unless a row is called so.
    fn type_name(&self, rows: &[RowType]) -> String {
        let name = words::pascal(&self.words);
        let taken = |row: &RowType| {
            let one = words::pascal(&row.one);
            name == one || name == format!("Public{one}")
        };
        let enums = RowType::enums(rows);
        let hidden = rows.iter().any(taken) || enums.iter().any(|labels| words::pascal(&labels.name) == name);
        // What the SDKs call theirs is called so, too.
        if hidden || model::is_reserved(&self.words) { name + "Transform" } else { name }
    }

    /// The public schema that a table's rows are published as.
    pub fn schema(&self, row: &RowType) -> String {
        snake(&row.many)
    }
}

/// Text that grows line by line.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0 += line.as_ref();
        self.0.push('\n');
    }

    fn finish(self) -> String {
        self.0
    }
}

/// A name that is no keyword: one that is gets an underscore.
fn identifier(name: String, keywords: &[&str]) -> String {
    if keywords.contains(&name.as_str()) { name + "_" } else { name }
}

/// A string as all of our languages write it. Names hold no control characters but what JSON escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A line that stays inside of a comment in each of our languages, whatever somebody wrote at the source.
fn harmless(line: &str) -> String {
    let shown = |c: char| if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let line: String = line.chars().map(shown).collect();
    line.trim().replace('\\', "/").replace("*/", "* /").replace("/*", "/ *").replace("\"\"\"", "\" \" \"")
}

/// The lines of a comment at the source, empty ones left out.
fn comment_lines(comment: Option<&str>) -> impl Iterator<Item = String> {
    let lines = comment.unwrap_or_default().lines();
    lines.map(harmless).filter(|line| !line.is_empty()).collect::<Vec<_>>().into_iter()
}

/// What stands above a row type: the table's comment, or which table it is.
fn doc_of(row: &RowType) -> Vec<String> {
    let lines: Vec<_> = comment_lines(row.comment.as_deref()).collect();
    if lines.is_empty() { vec![format!("A row of `{}`.", row.qualified())] } else { lines }
}

fn listed(rows: &[RowType]) -> String {
    rows.iter().map(RowType::qualified).collect::<Vec<_>>().join(", ")
}

/// The difference of two files, as `diff -u` shows it.
fn difference(before: &str, after: &str) -> String {
    similar::TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(2)
        .header("as it is", "as the tables are")
        .to_string()
}
