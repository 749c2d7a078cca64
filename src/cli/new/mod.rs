//! `pelton new`: a transform's project, from the tables as they are.
//!
//! What is written builds, passes its test and publishes every row as it is; from there the author leaves out, renames and
//! joins. Types of rows are a file of their own, which `pelton generate` makes anew when the tables change. The SDK is
//! copied into the project ([`sdk`]).

mod fixture;
mod project;
mod sdk;

use std::path::{Path, PathBuf};

use super::generate::{GenerateError, Lang, Made, Naming, rows_of, words};
use super::report::Failure;

/// Begins a transform: reads tables from a live database, and writes a project that builds at once.
///
/// The project has types for the tables' rows, a public schema for each table to edit, a test, a manifest that runs it, and
/// the SDK. Build it with `pelton build`, test it with `pelton test`; `pelton generate` renews the types.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's folder; its last part is the transform's name
    #[arg(value_name = "NAME")]
    folder: PathBuf,

    /// The language to write it in
    #[arg(long, value_enum)]
    lang: Lang,

    /// The database that has the tables; a password that the URL lacks is taken from PGPASSWORD
    #[arg(long, value_name = "URL", env = "SOURCE_URL", hide_env_values = true)]
    from: String,

    /// A table to read, as schema.table; without a schema it is one of `public`
    #[arg(long = "table", value_name = "TABLE", required = true)]
    tables: Vec<String>,

    /// A column, as schema.table.column, whose values may be so large that an update may not send them
    #[arg(long = "large", value_name = "COLUMN")]
    large: Vec<String>,
}

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error("`{name}` can't be a transform's name")]
    BadName { name: String },
    #[error("{} is there already, and is not empty", folder.display())]
    Exists { folder: PathBuf },
    #[error("{} could not be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl NewError {
    fn hint(&self) -> Option<String> {
        match self {
            NewError::BadName { .. } => Some("use a-z, 0-9 and `-`, a letter first, such as `shop-orders`".to_owned()),
            NewError::Exists { .. } => Some("name another folder".to_owned()),
            NewError::Write { .. } => None,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A name or a folder that can't be taken, a database that can't be asked, a table that is not there. Nothing is written
/// before all is known.
pub async fn run(args: Args) -> Result<(), Failure> {
    let wrong = |error: NewError| Failure::of(&error, error.hint());
    let bad = |error: GenerateError| Failure::of(&error, error.hint());
    let name = args.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !is_name(&name) {
        return Err(wrong(NewError::BadName { name }));
    }
    if std::fs::read_dir(&args.folder).is_ok_and(|mut entries| entries.next().is_some()) || args.folder.is_file() {
        return Err(wrong(NewError::Exists { folder: args.folder }));
    }
    let mut made = Made::default();
    made.add(&args.tables, &args.large).map_err(bad)?;
    let rows = rows_of(&args.from, &made).await?;
    let naming = Naming { words: words(&name), name };
    let mut files = project::files(args.lang, &rows, &naming);
    files.push((args.lang.rows_file().to_owned(), args.lang.rows(&rows, &made.header())));
    files.push(("fixtures/first.yaml".to_owned(), fixture::fixture(&rows, &naming)));
    for (file, text) in &files {
        write(&args.folder.join(file), text).map_err(wrong)?;
    }
    let at = args.folder.join(sdk::FOLDER);
    sdk::write(args.lang, &args.folder).map_err(|source| wrong(NewError::Write { path: at, source }))?;
    let shown = args.folder.display();
    let transform = project::transform_file(args.lang, &naming);
    eprintln!(
        "Made {shown}, which publishes every row as it is. Next:\n  \
         edit {shown}/{transform}\n  \
         pelton build {shown}\n  \
         pelton test {shown}\n  \
         pelton sync {shown}/pelton.yaml    # with SOURCE_URL and WAREHOUSE_URL set"
    );
    Ok(())
}

/// What is a slug, a name of a package and of a module in every language.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-')
        && !name.contains("--")
        && name.len() <= 50
        // What is generated is called so.
        && name != "rows"
}

fn write(path: &Path, text: &str) -> Result<(), NewError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
    written.map_err(|source| NewError::Write { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_fit_into_every_language() {
        for name in ["orders", "shop-orders", "a1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "rows", "Orders", "1a", "a_b", "a--b", "a-", "../a", "a b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
