//! Which projects and fixtures are meant, and whether they belong together.

use std::path::{Path, PathBuf};

use crate::change::Relation;
use crate::cli::build::Language;
use crate::cli::report::Failure;
use crate::fixture::Fixture;
use crate::manifest::nearest;
use crate::wasm::{Descriptor, Subscription};

/// A project with the fixtures to run.
#[derive(Debug)]
pub struct Job {
    pub project: PathBuf,
    /// Given by the user; otherwise the project is built.
    pub component: Option<PathBuf>,
    pub fixtures: Vec<PathBuf>,
}

/// Finds projects and fixtures.
pub fn jobs(paths: &[PathBuf], component: Option<&Path>) -> Result<Vec<Job>, Failure> {
    let mut jobs: Vec<Job> = Vec::new();
    for path in paths {
        let (project, fixtures) = match path {
            path if path.is_dir() => (path.clone(), of_folder(path)?),
            path if path.is_file() => {
                let project = match component {
                    Some(_) => PathBuf::from("."),
                    None => project_of(path)?,
                };
                (project, vec![path.clone()])
            }
            path => {
                let what = format!("there is no file or folder {}", path.display());
                return Err(Failure::new(what, Some("name a project's folder, or a fixture".to_owned())));
            }
        };
        if fixtures.is_empty() {
            let what = format!("{} has no fixtures", path.display());
            let hint = "write one into its folder tests, such as tests/orders.yaml; docs/testing.md shows one";
            return Err(Failure::new(what, Some(hint.to_owned())));
        }
        match jobs.iter_mut().find(|job| job.project == project) {
            Some(job) => job.fixtures.extend(fixtures),
            None => jobs.push(Job { project, component: component.map(Path::to_path_buf), fixtures }),
        }
    }
    Ok(jobs)
}

/// Returns the fixtures of a project, sorted by their names.
///
/// # Errors
/// A folder that can't be read.
pub fn of_folder(project: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut fixtures = Vec::new();
    for folder in ["tests", "fixtures"] {
        let folder = project.join(folder);
        if !folder.is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| Failure::new(format!("{} can't be read: {error}", folder.display()), None))?;
        let is_fixture = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            path.is_file() && matches!(extension, Some("yaml" | "yml" | "json"))
        };
        let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_fixture).collect();
        found.sort();
        fixtures.extend(found);
    }
    Ok(fixtures)
}

/// Returns the innermost folder around a fixture that holds a project.
fn project_of(fixture: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(fixture).unwrap_or_else(|_| fixture.to_path_buf());
    // Tests in the project's own language may lie beside fixtures; they are no project.
    let around = absolute.ancestors().skip(1);
    let is_of_tests = |folder: &&Path| folder.file_name().is_some_and(|name| name == "tests" || name == "fixtures");
    let found = around.skip_while(is_of_tests).find(|folder| Language::of(folder).is_ok());
    found.map(Path::to_path_buf).ok_or_else(|| {
        let what = format!("no folder around {} holds a project", fixture.display());
        Failure::new(what, Some("name the component that is to be run: --component FILE".to_owned()))
    })
}

/// Refuses a fixture without the tables and columns that the transform reads, all at once.
pub fn fits(descriptor: &Descriptor, fixture: &Fixture, file: &str) -> Result<(), Failure> {
    let mut lines = Vec::new();
    let read = |relation: &Relation| {
        let its = |wanted: &Subscription| *wanted.schema == *relation.schema && *wanted.table == *relation.name;
        descriptor.subscriptions.iter().any(its)
    };
    for wanted in &descriptor.subscriptions {
        if wanted.schema == Relation::MESSAGE_SCHEMA {
            continue;
        }
        let table = format!("{}.{}", wanted.schema, wanted.table);
        let found = fixture.relations.iter().find(|relation| relation.display_name() == table);
        let Some(relation) = found else {
            // A fixture need not have every table; one that nobody reads, and whose name is nearly right, is meant.
            let strangers =
                fixture.relations.iter().filter(|relation| !read(relation) && *relation.schema == *wanted.schema);
            if let Some(near) = nearest(&wanted.table, strangers.map(|relation| &*relation.name)) {
                lines
                    .push(format!("the transform reads table {table}, and the fixture has `{}.{near}`", wanted.schema));
            }
            continue;
        };
        for name in &wanted.columns {
            if relation.column(name).is_none() {
                let near = nearest(name, relation.columns.iter().map(|column| &*column.name));
                let near = near.map(|near| format!("; it has `{near}`")).unwrap_or_default();
                lines.push(format!(
                    "the transform reads column `{name}` of {table}, which the fixture does not have{near}"
                ));
            }
        }
    }
    if lines.is_empty() && !fixture.relations.is_empty() && !fixture.relations.iter().any(|relation| read(relation)) {
        let reads: Vec<String> = descriptor.subscriptions.iter().map(|s| format!("{}.{}", s.schema, s.table)).collect();
        lines.push(format!("the fixture has no table that the transform reads: it reads {}", reads.join(", ")));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let hint = "describe the table under `tables` as it is at the source, or correct the transform";
    Err(Failure::new(format!("{file} does not fit the transform: {}", lines.join("; ")), Some(hint.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::read;
    use crate::wasm::Encoding;

    /// What is wrong with a fixture of `public.orders (id, customer)` for a transform that reads these tables and columns.
    fn refusal(reads: &[(&str, &[&str])]) -> Option<String> {
        let subscription = |(table, columns): &(&str, &[&str])| Subscription {
            schema: "public".to_owned(),
            table: (*table).to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            ops: Vec::new(),
            attrs: Vec::new(),
        };
        let descriptor = Descriptor {
            name: "orders".to_owned(),
            version: "1".to_owned(),
            encoding: Encoding::Json,
            subscriptions: reads.iter().map(subscription).collect(),
            public_schemas: Vec::new(),
            settings: Vec::new(),
            parallel: false,
            whole_transactions: false,
            stateful: false,
            state_version: 0,
            attrs: Vec::new(),
        };
        let text = "tables: { orders: { columns: { id: int key, customer: text } } }\ntransactions: []\n";
        let fixture = read(text, "t.yaml").unwrap();
        fits(&descriptor, &fixture, "t.yaml").err().map(|failure| format!("{failure:?}"))
    }

    #[test]
    fn tables_and_columns_that_do_not_exist_are_named_with_the_nearest() {
        assert_eq!(refusal(&[("orders", &["id", "customer"]), ("refunds", &[])]), None);
        // A table that is read is meant by nobody else's name.
        assert_eq!(refusal(&[("orders", &["id"]), ("order_lines", &[]), ("order", &[])]), None);
        let told = refusal(&[("orders", &["id", "custmer", "colour"])]).unwrap();
        assert!(
            told.contains("column `custmer` of public.orders, which the fixture does not have; it has `customer`"),
            "{told}"
        );
        assert!(told.contains("column `colour` of public.orders, which the fixture does not have"), "{told}");
        let told = refusal(&[("order", &[])]).unwrap();
        assert!(told.contains("reads table public.order, and the fixture has `public.orders`"), "{told}");
        let told = refusal(&[("people", &[])]).unwrap();
        assert!(told.contains("no table that the transform reads: it reads public.people"), "{told}");
    }

    #[test]
    fn paths_that_hold_nothing_to_test_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| format!("{:?}", jobs(&[path.to_path_buf()], None).unwrap_err());
        assert!(told(&folder.path().join("none")).contains("there is no file or folder"));
        assert!(told(folder.path()).contains("has no fixtures"));
        std::fs::create_dir(folder.path().join("tests")).unwrap();
        for name in ["b.json", "a.yaml", "c.rs"] {
            std::fs::write(folder.path().join("tests").join(name), "").unwrap();
        }
        let found = jobs(&[folder.path().to_path_buf()], None).unwrap();
        let names: Vec<_> = found[0].fixtures.iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.yaml", "b.json"]);
    }
}
