//! Several manifests as one: those that were named, and those that their `workspaces` name.
//!
//! Each file is read once, however many name it. Manifests may not name each other in a circle.

use std::fs;
use std::path::{Path, PathBuf};

use super::lent::{Lent, Others};
use super::model::{Manifest, WorkspaceMember};
use super::parse::{LoadError, Origin, content, parse, parse_among, slug_of};
use super::problem::{Code, Problem, Severity};
use super::service::Resolver;
use super::{System, check_together};

/// The names that a manifest has in a folder, in the order in which they are looked for.
pub const FILE_NAMES: [&str; 4] = ["pelton.yaml", "pelton.yml", "pelton.json", "rejot-manifest.json"];

/// A workspace is written by hand; who names more has made a program that goes wrong.
const MANIFESTS_MAX: usize = 1000;

/// Manifests, and all that is wrong with them.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The valid ones, each before those that it names.
    pub manifests: Vec<Manifest>,
    /// Errors and warnings: file by file, then those between files.
    pub problems: Vec<Problem>,
    /// Those that were named and can't be read at all.
    pub unread: Vec<LoadError>,
    /// Whose problems they are: file and slug, as far as it could be made out.
    pub slugs: Vec<(String, String)>,
}

impl Loaded {
    /// Returns true when the manifests can't be used.
    pub fn failed(&self) -> bool {
        !self.unread.is_empty() || self.problems.iter().any(Problem::is_error)
    }
}

/// Reads manifests with all that their `workspaces` name, and checks them by themselves and together. `resolver` says where
/// services are that nothing names.
pub fn load_all(paths: &[PathBuf], resolver: Resolver) -> Loaded {
    let mut reader = Reader {
        loaded: Loaded::default(),
        read: Vec::new(),
        named: Vec::new(),
        open: Vec::new(),
        borrowers: Vec::new(),
    };
    for path in paths {
        reader.named(path);
    }
    reader.lend();
    let mut loaded = reader.loaded;
    let slugs: Vec<String> = loaded.manifests.iter().map(|manifest| manifest.slug.clone()).collect();
    loaded.manifests.iter_mut().for_each(|manifest| manifest.resolve(resolver, &slugs));
    // What is missing in one would be missed in the others.
    if !loaded.failed() {
        loaded.problems.extend(check_together(&loaded.manifests));
    }
    loaded
}

struct Reader {
    loaded: Loaded,
    /// The files that were read, by the path that each of them has once.
    read: Vec<PathBuf>,
    /// Those that were named one by one.
    named: Vec<PathBuf>,
    /// From the one that was named to the one that is being read.
    open: Vec<PathBuf>,
    /// Those that write into data stores which they don't have.
    borrowers: Vec<Borrower>,
}

struct Borrower {
    /// Among the manifests.
    index: usize,
    origin: Origin,
    content: Vec<u8>,
}

impl Reader {
    fn named(&mut self, path: &Path) {
        // One that is named twice is an error, which its slug shows; one that a workspace names too is not.
        let id = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.named.contains(&id) {
            self.read.retain(|read| *read != id);
        }
        self.named.push(id);
        match content(path) {
            Ok(content) => self.manifest(path, &content),
            Err(error) => self.loaded.unread.push(error),
        }
    }

    fn manifest(&mut self, path: &Path, content: &[u8]) {
        let id = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.read.contains(&id) {
            return;
        }
        self.read.push(id.clone());
        let origin = Origin::of(path);
        self.loaded.slugs.extend(slug_of(content).map(|slug| (origin.file.clone(), slug)));
        let manifest = match parse(content, &origin, &System) {
            Ok(manifest) => {
                self.loaded.problems.extend_from_slice(&manifest.warnings);
                manifest
            }
            Err(problems) => match parse_among(content, &origin, &System, Others::Unread) {
                Ok(manifest) => {
                    let index = self.loaded.manifests.len();
                    self.borrowers.push(Borrower { index, origin, content: content.to_owned() });
                    manifest
                }
                Err(_) => return self.loaded.problems.extend(problems.0),
            },
        };
        let (file, members) = (manifest.file.clone(), manifest.workspaces.clone());
        self.loaded.manifests.push(manifest);
        self.open.push(id);
        let mut named: Vec<PathBuf> = Vec::new();
        for member in &members {
            if let Some(problem) = self.member(&file, member, &mut named) {
                self.loaded.problems.push(problem);
            }
        }
        self.open.pop();
    }

    /// Reads those again that write into data stores of others, now that all are known.
    fn lend(&mut self) {
        for Borrower { index, origin, content } in std::mem::take(&mut self.borrowers) {
            let others = self.loaded.manifests.iter().enumerate().filter(|(other, _)| *other != index);
            let lent: Vec<Lent> = others.flat_map(|(_, manifest)| Lent::of(manifest)).collect();
            match parse_among(&content, &origin, &System, Others::Read(&lent)) {
                Ok(manifest) => {
                    self.loaded.problems.extend_from_slice(&manifest.warnings);
                    self.loaded.manifests[index] = manifest;
                }
                Err(problems) => self.loaded.problems.extend(problems.0),
            }
        }
    }

    /// Reads what one entry of `workspaces` names; `named` are the files of the entries before.
    fn member(&mut self, file: &str, member: &WorkspaceMember, named: &mut Vec<PathBuf>) -> Option<Problem> {
        let problem = |code, message: String, hint: &str| {
            Some(Problem {
                file: file.to_owned(),
                at: member.at,
                severity: Severity::Error,
                code,
                path: "workspaces".to_owned(),
                message,
                hint: Some(hint.to_owned()),
                excerpt: None,
            })
        };
        let shown = member.path.display();
        let path = match member.path.is_dir() {
            true => FILE_NAMES.iter().map(|name| member.path.join(name)).find(|path| path.is_file()),
            false => Some(member.path.clone()),
        };
        let Some(path) = path else {
            let message = format!("folder {shown} has no manifest ({})", FILE_NAMES.join(", "));
            return problem(Code::WorkspaceNotFound, message, "write one there, or name its file");
        };
        let content = match content(&path) {
            Ok(content) => content,
            Err(LoadError::Read { source, .. }) => {
                let message = format!("cannot read the manifest {shown}: {source}");
                let hint = "paths are relative to this file's folder; correct it, or remove it from `workspaces`";
                return problem(Code::WorkspaceNotFound, message, hint);
            }
            Err(LoadError::Problems(_)) => return None,
        };
        let id = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if let Some(start) = self.open.iter().position(|open| *open == id) {
            let name = |path: &PathBuf| path.file_name().unwrap_or_default().display().to_string();
            let circle: Vec<String> = self.open[start..].iter().chain([&id]).map(name).collect();
            let message = format!("the workspace goes in a circle: {}", circle.join(" → "));
            return problem(
                Code::WorkspaceCycle,
                message,
                "remove this entry: the manifest is part of the workspace already",
            );
        }
        if named.contains(&id) {
            let message = format!("{shown} is named twice");
            return problem(Code::DuplicateWorkspace, message, "remove one of the two");
        }
        named.push(id);
        if self.read.len() >= MANIFESTS_MAX {
            let message = format!("the workspace has more than {MANIFESTS_MAX} manifests");
            return problem(Code::WorkspaceNotFound, message, "put several of them into one");
        }
        self.manifest(&path, &content);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files into a folder, reads the first one, and returns the problems with the folder taken out.
    fn problems(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let loaded = load_all(&[folder.path().join(files[0].0)], Resolver::Env);
        assert!(loaded.unread.is_empty());
        let plain = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        let problem =
            |p: &Problem| plain(format!("{}:{}:{} {} {}", p.file, p.at.line, p.at.column, p.code.as_str(), p.message));
        let slugs = loaded.manifests.iter().map(|manifest| manifest.slug.clone()).collect();
        (slugs, loaded.problems.iter().map(problem).collect())
    }

    #[test]
    fn members_are_files_or_folders_and_are_read_once() {
        let (slugs, problems) = problems(&[
            ("root.yaml", "slug: root\nworkspaces: [a.yaml, b, \"b/../c/rejot-manifest.json\"]\n"),
            ("a.yaml", "slug: a\nworkspaces: [c]\n"),
            ("b/pelton.yaml", "slug: b\nworkspaces: [../a.yaml]"),
            ("c/rejot-manifest.json", "{\"slug\": \"c\"}"),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(slugs, ["root", "a", "c", "b"]);
    }

    #[test]
    fn what_is_wrong_with_a_workspace_has_a_place() {
        let (_, problems) = problems(&[
            (
                "root.yaml",
                "slug: root\nworkspaces:\n  - missing.yaml\n  - empty\n  - a.yaml\n  - ./a.yaml\n  - b.yaml\n",
            ),
            ("empty/other.yaml", "slug: x"),
            ("a.yaml", "slug: a\nworkspaces: [a.yaml, root.yaml]"),
            ("b.yaml", "slug: b\nsulg: b\n"),
        ]);
        assert_eq!(
            problems,
            [
                "root.yaml:3:5 WORKSPACE_NOT_FOUND cannot read the manifest missing.yaml: No such file or directory (os error 2)",
                "root.yaml:4:5 WORKSPACE_NOT_FOUND folder empty has no manifest (pelton.yaml, pelton.yml, pelton.json, rejot-manifest.json)",
                "a.yaml:2:14 WORKSPACE_CYCLE the workspace goes in a circle: a.yaml → a.yaml",
                "a.yaml:2:22 WORKSPACE_CYCLE the workspace goes in a circle: root.yaml → a.yaml → root.yaml",
                "root.yaml:6:5 DUPLICATE_WORKSPACE a.yaml is named twice",
                "b.yaml:2:1 UNKNOWN_FIELD unknown field `sulg` in the manifest",
            ]
        );
    }

    #[test]
    fn a_consumer_writes_into_a_data_store_that_another_manifest_has() {
        let stores = |slug: &str, host: &str, more: &str| {
            format!(
                "slug: {slug}\n{more}connections: [{{ slug: db, config: {{ connectionType: postgres, host: {host}, user: me }} }}]\ndataStores: [{{ connectionSlug: db }}]\n"
            )
        };
        let consumer = |slug: &str, more: &str| {
            format!(
                "slug: {slug}\n{more}consumerSchemas: [{{ name: c, sourceManifestSlug: shop, publicSchema: {{ name: orders, majorVersion: 1 }}, config: {{ consumerSchemaType: table, destinationDataStoreSlug: db, table: {slug} }} }}]\n"
            )
        };
        let shop = "slug: shop\nconnections: [{ slug: s, config: { connectionType: postgres, host: s, user: me } }]\ndataStores: [{ connectionSlug: s, config: {} }]\npublicSchemas: [{ name: orders, version: { major: 1, minor: 0 }, source: { dataStoreSlug: s }, config: { publicSchemaType: table, table: orders } }]\n";
        let check = |files: &[(&str, &str)], expected: &[&str]| assert_eq!(problems(files).1, expected);
        let named = |names: &str| format!("workspaces: [{names}]\n");
        // Whichever names the other.
        let root = consumer("root", &named("shop.yaml, infra.yaml"));
        check(&[("root.yaml", &root), ("shop.yaml", shop), ("infra.yaml", &stores("infra", "a", ""))], &[]);
        let infra = stores("infra", "a", &named("shop.yaml, crm.yaml"));
        check(&[("infra.yaml", &infra), ("shop.yaml", shop), ("crm.yaml", &consumer("crm", ""))], &[]);
        // Nobody has it, and two that are not the same.
        let alone = consumer("root", &named("shop.yaml"));
        check(
            &[("root.yaml", &alone), ("shop.yaml", shop)],
            &["root.yaml:3:168 DATA_STORE_NOT_FOUND there is no data store `db`"],
        );
        let two = consumer("root", &named("shop.yaml, a.yaml, b.yaml"));
        let (a, b, other) = (stores("a", "a", ""), stores("b", "a", ""), stores("b", "b", ""));
        check(&[("root.yaml", &two), ("shop.yaml", shop), ("a.yaml", &a), ("b.yaml", &b)], &[]);
        check(
            &[("root.yaml", &two), ("shop.yaml", shop), ("a.yaml", &a), ("b.yaml", &other)],
            &["root.yaml:3:168 CONFLICT data store `db` is one database in a.yaml and another one in b.yaml"],
        );
        // What is wrong between consumers is told all the same.
        let twice = root.replace("}]\n", "}, { name: d, sourceManifestSlug: shop, publicSchema: { name: orders, majorVersion: 1 }, config: { consumerSchemaType: table, destinationDataStoreSlug: db, table: root } }]\n");
        check(
            &[("root.yaml", &twice), ("shop.yaml", shop), ("infra.yaml", &stores("infra", "a", ""))],
            &["root.yaml:3:349 DUPLICATE_DESTINATION table `public.root` is written on line 3 already"],
        );
    }

    #[test]
    fn a_slug_is_told_of_a_manifest_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, "slug: shop\nbad: 1\n").unwrap();
        let loaded = load_all(std::slice::from_ref(&file), Resolver::Env);
        assert!(loaded.failed());
        assert_eq!(loaded.slugs, [(file.display().to_string(), "shop".to_owned())]);
    }
}
