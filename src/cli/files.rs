//! Finds and reads manifests, and knows where the user's cache is.

use std::path::{Path, PathBuf};

use super::report::Failure;
use crate::manifest::{self, FILE_NAMES, Loaded, Manifest, Problem, Problems, Resolver};

/// Reads all manifests that were named, or the one in this folder, with all that their `workspaces` name, and joins
/// them. `FILE#SLUG` takes the manifest of that slug alone of a workspace.
///
/// # Errors
/// All problems of all of them at once.
pub fn load_all(named: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    load_resolved(named, resolver())
}

/// Returns what `sync --resolver` takes from the environment: it holds for whatever looks at the same manifest.
pub fn resolver() -> Resolver {
    let localhost = std::env::var("PELTON_RESOLVER").is_ok_and(|resolver| resolver == "localhost");
    if localhost { Resolver::Localhost } else { Resolver::Env }
}

/// Reads all manifests that were named, or the one in this folder; `resolver` says where services are that nothing names.
///
/// # Errors
/// As [`load_all`].
pub fn load_resolved(named: &[PathBuf], resolver: Resolver) -> Result<Vec<Manifest>, Failure> {
    let chosen = choose(named)?;
    let joined = usable(manifest::load_all(&chosen.files, resolver))?;
    if chosen.slugs.is_empty() {
        // A manifest whose consumers run with another one has nothing left to run.
        let running: Vec<Manifest> = joined.iter().filter(|manifest| manifest.runs()).cloned().collect();
        return Ok(if running.is_empty() { joined } else { running });
    }
    chosen.slugs.iter().map(|(file, slug)| pick(&joined, file, slug)).collect()
}

/// Reads the one manifest that was named, or the one in this folder; of a workspace, the one that runs.
///
/// # Errors
/// As [`load_all`], and when a workspace has several to choose from.
pub fn load_one(named: Option<&Path>) -> Result<Manifest, Failure> {
    let named: Vec<PathBuf> = named.map(Path::to_owned).into_iter().collect();
    let mut manifests = load_all(&named)?;
    if manifests.len() > 1 {
        let file = match named.first() {
            Some(file) => file.display().to_string(),
            None => find().unwrap_or_default().display().to_string(),
        };
        let choices: Vec<String> = manifests.iter().map(|manifest| format!("{file}#{}", manifest.slug)).collect();
        let what = format!("{file} is a workspace of {} manifests, and this command takes one", manifests.len());
        return Err(Failure::new(what, Some(format!("name one of them: {}", choices.join(", ")))));
    }
    Ok(manifests.pop().expect("one was loaded"))
}

/// What was named on the command line.
pub struct Chosen {
    pub files: Vec<PathBuf>,
    /// The files of which one manifest alone is meant, by its slug.
    slugs: Vec<(PathBuf, String)>,
}

/// Returns the files that were named, or the one in this folder.
pub fn choose(named: &[PathBuf]) -> Result<Chosen, Failure> {
    let mut chosen = Chosen { files: Vec::new(), slugs: Vec::new() };
    if named.is_empty() {
        chosen.files.push(find().ok_or_else(no_manifest)?);
        return Ok(chosen);
    }
    for path in named {
        match path.to_str().and_then(|text| text.rsplit_once('#')).filter(|_| !path.exists()) {
            Some((file, slug)) => {
                if !chosen.files.contains(&PathBuf::from(file)) {
                    chosen.files.push(PathBuf::from(file));
                }
                chosen.slugs.push((PathBuf::from(file), slug.to_owned()));
            }
            None => chosen.files.push(path.clone()),
        }
    }
    if !chosen.slugs.is_empty() && chosen.slugs.len() < named.len() {
        let what = "manifests with and without `#` can't be named together";
        return Err(Failure::new(what, Some("write FILE#SLUG for each of them".to_owned())));
    }
    Ok(chosen)
}

fn pick(joined: &[Manifest], file: &Path, slug: &str) -> Result<Manifest, Failure> {
    let shown = file.display();
    let slugs: Vec<&str> = joined.iter().map(|manifest| manifest.slug.as_str()).collect();
    let Some(found) = joined.iter().find(|manifest| manifest.slug == slug) else {
        let hint = format!("it has {}", slugs.join(", "));
        return Err(Failure::new(format!("{shown} has no manifest `{slug}`"), Some(hint)));
    };
    if !found.runs() && joined.len() > 1 {
        let running: Vec<&str> = joined.iter().filter(|one| one.runs()).map(|one| one.slug.as_str()).collect();
        let what = format!("manifest `{slug}` of {shown} has nothing that runs by itself");
        let hint = "a consumer runs with the manifest whose public schema it takes, unless it has an event store";
        return Err(Failure::new(what, Some(format!("{hint}; these run: {}", running.join(", ")))));
    }
    Ok(found.clone())
}

/// Prints what is wrong with manifests; returns them, joined, if it is nothing but warnings.
fn usable(loaded: Loaded) -> Result<Vec<Manifest>, Failure> {
    let failed = loaded.failed();
    let mut failures: Vec<Failure> = loaded.unread.iter().map(Failure::of_manifest).collect();
    for problems in loaded.problems.chunk_by(|one, next| one.file == next.file) {
        if problems.iter().any(Problem::is_error) {
            failures.push(Failure::of_problems_of_file(&Problems(problems.to_vec())));
        } else {
            problems.iter().for_each(|warning| eprintln!("{warning}"));
        }
    }
    if failed { Err(Failure::all(failures)) } else { Ok(manifest::join(loaded.manifests)) }
}

/// Returns true when this folder has a manifest.
pub fn is_there() -> bool {
    find().is_some()
}

/// Returns the manifest of this folder.
pub fn find() -> Option<PathBuf> {
    FILE_NAMES.iter().map(PathBuf::from).find(|path| path.is_file())
}

pub fn no_manifest() -> Failure {
    Failure::new(
        format!("there is no manifest in this folder ({})", FILE_NAMES.join(", ")),
        Some("name one, or write one with `pelton init`".to_owned()),
    )
}

/// Returns `pelton` in the user's cache folder; `None` where the user has no home, and nothing is cached.
pub fn cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("pelton"))
}
