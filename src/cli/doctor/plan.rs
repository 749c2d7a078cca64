//! `--fix-plan`: what SQL can mend, as scripts that a person reads and psql runs.
//!
//! A script is for one database: a connection is a matter of secrets and of who may, which a script should not decide.
//! So several databases have a file each, and one that has nothing to mend has none.

use std::path::{Path, PathBuf};

use super::look::{Report, Server};
use crate::cli::report::Failure;
use crate::setup::{Part, Statement, script};

/// Writes the scripts, and says on stderr which ones.
///
/// # Errors
/// A file can't be written.
pub fn write(file: &Path, manifest: &str, report: &Report) -> Result<(), Failure> {
    let wanting: Vec<&Server> = report.servers.iter().filter(|server| statements(server).next().is_some()).collect();
    if wanting.is_empty() {
        let text = format!("-- Manifest {manifest}: there is nothing that SQL could mend.\n");
        return put(file, &text, "there is nothing that SQL could mend");
    }
    for server in &wanting {
        let path = if wanting.len() == 1 { file.to_owned() } else { with_slug(file, &server.target.slug) };
        let by_admin = statements(server).filter(|statement| statement.part == Part::Admin).count();
        let all = statements(server).count();
        let who = match by_admin {
            0 => "The role of the connection may run it.".to_owned(),
            _ => format!(
                "{by_admin} of its {all} statements take an administrator: a superuser, or the owner of what they change."
            ),
        };
        let title = format!(
            "Manifest {manifest}, {}: what `pelton doctor` found there and SQL can mend.\nRead it, then run it with psql in \
             database {} ({}).\nRun twice, it changes nothing the second time. {who}",
            server.target.place(),
            server.target.connection.database,
            place(server),
        );
        put(&path, &script(&title, statements(server)), &format!("mends {}", server.target.place()))?;
    }
    Ok(())
}

fn statements(server: &Server) -> impl Iterator<Item = &Statement> {
    server.items.iter().filter(|item| item.severity().is_some()).flat_map(|item| item.statements())
}

fn place(server: &Server) -> String {
    let connection = &server.target.connection;
    format!("{}:{}", connection.host, connection.port)
}

/// `plan.sql` becomes `plan.shop.sql`.
fn with_slug(file: &Path, slug: &str) -> PathBuf {
    // A slug may hold anything, and a file's name no separator.
    let slug: String = slug.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = match file.extension() {
        Some(extension) => format!("{stem}.{slug}.{}", extension.to_string_lossy()),
        None => format!("{stem}.{slug}"),
    };
    file.with_file_name(name)
}

fn put(path: &Path, text: &str, what: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        Failure::new(format!("cannot write {}: {error}", path.display()), Some("name another file".to_owned()))
    })?;
    eprintln!("{}: {what}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_stands_before_the_extension_and_leads_nowhere_else() {
        let named = |file: &str, slug: &str| with_slug(Path::new(file), slug).display().to_string();
        assert_eq!(named("plan.sql", "shop"), "plan.shop.sql");
        assert_eq!(named("a/plan", "shop"), "a/plan.shop");
        assert_eq!(named("a/plan.sql", "../x y"), "a/plan..._x_y.sql");
    }
}
