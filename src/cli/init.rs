//! `pelton init`: writes a manifest to begin with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::manifest::{init_text, is_slug};

/// Writes a commented manifest that works once its two URLs are set.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The file to write
    #[arg(default_value = "pelton.yaml", value_name = "FILE")]
    pub file: PathBuf,

    /// The manifest's slug [default: the name of the file's folder]
    #[arg(long)]
    pub slug: Option<String>,

    /// Write over a file that exists
    #[arg(long)]
    pub force: bool,
}

/// Why no manifest was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("`{slug}` is no slug")]
    BadSlug { slug: String },
    #[error("{} exists", file.display())]
    Exists { file: PathBuf },
    #[error("cannot write {}", file.display())]
    Write { file: PathBuf, source: io::Error },
}

impl InitError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            InitError::BadSlug { .. } => "use a-z, 0-9 and `-`, such as `shop` or `@team/shop`".to_owned(),
            InitError::Exists { .. } => "name another file, or write over it with --force".to_owned(),
            InitError::Write { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "make the folder first".to_owned()
            }
            InitError::Write { .. } => "name a file that this user may write".to_owned(),
        })
    }
}

/// Writes the manifest; says on stderr what was written and what comes next.
///
/// # Errors
/// [`InitError`]; a file that exists is never touched without `--force`.
pub fn run(args: &InitArgs) -> Result<(), InitError> {
    let slug = match &args.slug {
        Some(slug) if is_slug(slug) => slug.clone(),
        Some(slug) => return Err(InitError::BadSlug { slug: slug.clone() }),
        None => folder_slug(args),
    };
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists { file: args.file.clone() },
        _ => InitError::Write { file: args.file.clone(), source },
    };
    let mut options = OpenOptions::new();
    match args.force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut file = options.write(true).open(&args.file).map_err(failed)?;
    file.write_all(init_text(&slug).as_bytes()).map_err(failed)?;
    let shown = args.file.display();
    eprintln!(
        "Wrote {shown}. Next: set SOURCE_URL and WAREHOUSE_URL, name your tables in it, and run `pelton check {shown}`."
    );
    Ok(())
}

/// Makes a slug of the name of the folder that the file goes into.
fn folder_slug(args: &InitArgs) -> String {
    let path = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    let folder = path.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_string_lossy();
    let fit = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let slug: String = folder.to_lowercase().chars().map(fit).collect();
    match slug.trim_matches('-') {
        "" => "my-manifest".to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(folder: &std::path::Path, slug: Option<&str>, force: bool) -> InitArgs {
        InitArgs { file: folder.join("pelton.yaml"), slug: slug.map(str::to_owned), force }
    }

    #[test]
    fn a_file_that_exists_is_kept_without_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pelton.yaml");
        std::fs::write(&file, "mine").unwrap();
        let error = run(&args(folder.path(), None, false)).unwrap_err();
        assert!(matches!(error, InitError::Exists { .. }), "{error:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        run(&args(folder.path(), Some("shop"), true)).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("slug: \"shop\""));
    }

    #[test]
    fn the_slug_is_checked_and_comes_from_the_folder_otherwise() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("My Shop");
        assert!(matches!(run(&args(&folder, Some("My Shop"), false)), Err(InitError::BadSlug { .. })));
        assert!(matches!(run(&args(&folder, None, false)), Err(InitError::Write { .. })), "no such folder");
        std::fs::create_dir(&folder).unwrap();
        run(&args(&folder, None, false)).unwrap();
        assert!(std::fs::read_to_string(folder.join("pelton.yaml")).unwrap().contains("slug: \"my-shop\""));
    }
}
