//! The languages that a project can be written in.

use std::path::Path;

use super::error::GenerateError;
use super::model::RowType;
use super::{Naming, c, go, python, rust, script};

/// A language, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    Rust,
    /// TypeScript
    #[value(alias = "typescript")]
    Ts,
    /// JavaScript
    #[value(alias = "javascript")]
    Js,
    /// Python
    #[value(alias = "python")]
    Py,
    Go,
    C,
}

impl Lang {
    #[cfg(test)]
    pub const ALL: [Lang; 6] = [Lang::Rust, Lang::Ts, Lang::Js, Lang::Py, Lang::Go, Lang::C];

    /// Tells a project's language by its files.
    ///
    /// # Errors
    /// When there is no project.
    pub fn of(dir: &Path) -> Result<Lang, GenerateError> {
        let has = |file: &str| dir.join(file).is_file();
        match () {
            () if has("Cargo.toml") => Ok(Lang::Rust),
            () if has("package.json") && (has("tsconfig.json") || has(Lang::Ts.rows_file())) => Ok(Lang::Ts),
            () if has("package.json") => Ok(Lang::Js),
            () if has("pyproject.toml") => Ok(Lang::Py),
            () if has("go.mod") => Ok(Lang::Go),
            () if has_c(dir) => Ok(Lang::C),
            () => Err(GenerateError::NotAProject { dir: dir.to_path_buf() }),
        }
    }

    /// The file of a project that holds the generated types.
    pub fn rows_file(self) -> &'static str {
        match self {
            Lang::Rust => "src/rows.rs",
            Lang::Ts => "src/rows.ts",
            Lang::Js => "src/rows.js",
            Lang::Py => "rows.py",
            Lang::Go => "rows.go",
            Lang::C => "rows.h",
        }
    }

    /// Returns the text of the generated file.
    pub fn rows(self, rows: &[RowType], header: &[String]) -> String {
        match self {
            Lang::Rust => rust::rows(rows, header),
            Lang::Ts | Lang::Js => script::rows(rows, header),
            Lang::Py => python::rows(rows, header),
            Lang::Go => go::rows(rows, header),
            Lang::C => c::rows(rows, header),
        }
    }

    /// Returns the transform that a new project begins with.
    pub fn transform(self, rows: &[RowType], naming: &Naming) -> String {
        match self {
            Lang::Rust => rust::transform(rows, naming),
            Lang::Ts => script::typed_transform(rows, naming),
            Lang::Js => script::plain_transform(rows, naming),
            Lang::Py => python::transform(rows, naming),
            Lang::Go => go::transform(rows, naming),
            Lang::C => c::transform(rows, naming),
        }
    }
}

fn has_c(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|ending| ending == "c" || ending == "h"))
}
