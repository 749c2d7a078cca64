//! Finds and reads manifests, and knows where the user's cache is.

use std::path::{Path, PathBuf};

use super::report::Failure;
use crate::manifest::{self, LoadError, Manifest, Problems, Resolver};

/// The names that a manifest has when none is given, in the order in which they are looked for.
const DEFAULT_NAMES: [&str; 4] = ["pelton.yaml", "pelton.yml", "pelton.json", "rejot-manifest.json"];

/// Reads all manifests that were named, or the one in this folder.
///
/// # Errors
/// All problems of all of them at once.
pub fn load_all(named: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    // What `sync --resolver` takes from the environment holds for whatever looks at the same manifest.
    let localhost = std::env::var("PELTON_RESOLVER").is_ok_and(|resolver| resolver == "localhost");
    load_resolved(named, if localhost { Resolver::Localhost } else { Resolver::Env })
}

/// Reads all manifests that were named, or the one in this folder; `resolver` says where services are that nothing names.
///
/// # Errors
/// As [`load_all`].
pub fn load_resolved(named: &[PathBuf], resolver: Resolver) -> Result<Vec<Manifest>, Failure> {
    let found;
    let paths = if named.is_empty() {
        found = [find().ok_or_else(no_manifest)?];
        &found[..]
    } else {
        named
    };
    let mut failed = Vec::new();
    let mut manifests = Vec::new();
    for path in paths {
        match manifest::load(path) {
            Ok(manifest) => {
                for warning in &manifest.warnings {
                    eprintln!("{warning}");
                }
                manifests.push(manifest);
            }
            Err(error) => failed.push(Failure::of_manifest(&error)),
        }
    }
    if !failed.is_empty() {
        return Err(Failure::all(failed));
    }
    let slugs: Vec<String> = manifests.iter().map(|manifest| manifest.slug.clone()).collect();
    manifests.iter_mut().for_each(|manifest| manifest.resolve(resolver, &slugs));
    let problems = manifest::check_together(&manifests);
    if problems.is_empty() {
        Ok(manifests)
    } else {
        Err(Failure::of_manifest(&LoadError::Problems(Problems(problems))))
    }
}

/// Reads the one manifest that was named, or the one in this folder.
///
/// # Errors
/// As [`load_all`].
pub fn load_one(named: Option<&Path>) -> Result<Manifest, Failure> {
    let named: Vec<PathBuf> = named.map(Path::to_owned).into_iter().collect();
    Ok(load_all(&named)?.pop().expect("one was loaded"))
}

/// Returns true when this folder has a manifest.
pub fn is_there() -> bool {
    find().is_some()
}

fn find() -> Option<PathBuf> {
    DEFAULT_NAMES.iter().map(PathBuf::from).find(|path| path.is_file())
}

fn no_manifest() -> Failure {
    Failure::new(
        format!("there is no manifest in this folder ({})", DEFAULT_NAMES.join(", ")),
        Some("name one, or write one with `pelton init`".to_owned()),
    )
}

/// Returns `pelton` in the user's cache folder; `None` where the user has no home, and nothing is cached.
pub fn cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("pelton"))
}
