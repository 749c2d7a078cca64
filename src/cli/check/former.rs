//! The manifest as it was: another file, or the same one at a revision of git.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use super::against::relative;
use crate::cli::report::Failure;
use crate::manifest::{self, Manifest, Origin, PublicSchemaConfig, System};

/// A manifest as it was, with the components that it had then.
pub struct Former {
    pub manifest: Manifest,
    /// Holds the components.
    _folder: TempDir,
}

/// Reads another manifest: of a workspace, the one of the same slug.
pub fn of_file(manifest: &Manifest, path: &Path) -> Result<Manifest, Failure> {
    let loaded = manifest::load_all(&[path.to_owned()], crate::cli::files::resolver());
    if let Some(error) = loaded.unread.first() {
        return Err(Failure::of_manifest(error));
    }
    let mut manifests = loaded.manifests;
    let same = manifests.iter().position(|other| other.slug == manifest.slug);
    match same.or((manifests.len() == 1).then_some(0)) {
        Some(index) => Ok(manifests.swap_remove(index)),
        None if manifests.is_empty() => Err(Failure::of_problems_of_file(&manifest::Problems(loaded.problems))),
        None => {
            let what = format!("{} has no manifest `{}` to compare with", path.display(), manifest.slug);
            Err(Failure::new(what, Some("name the file of the manifest itself".to_owned())))
        }
    }
}

/// Reads a manifest at a revision; `None` where that has none.
pub async fn of_git(manifest: &Manifest, revision: &str) -> Result<Option<Former>, Failure> {
    let file = Path::new(&manifest.file);
    let folder = file.parent().unwrap_or(Path::new(""));
    let name = file.file_name().unwrap_or_default();
    known_to_git(folder, revision).await?;
    let Some(content) = show(folder, revision, Path::new(name)).await? else { return Ok(None) };
    let origin = Origin { file: format!("{} at {revision}", manifest.file), folder: folder.to_owned() };
    let mut former =
        manifest::parse(&content, &origin, &System).map_err(|problems| Failure::of_problems_of_file(&problems))?;
    let components = tempfile::tempdir().map_err(|error| Failure::of(&error, None))?;
    for (index, public) in former.public_schemas.iter_mut().enumerate() {
        let PublicSchemaConfig::Wasm(config) = &mut public.config else { continue };
        let path = match relative(&config.component, folder) {
            Some(path) => show(folder, revision, path).await?,
            None => None,
        };
        let copy = components.path().join(format!("{index}.wasm"));
        match path {
            Some(component) => std::fs::write(&copy, component).map_err(|error| Failure::of(&error, None))?,
            None => eprintln!(
                "{} is not in git at {revision}, so its columns are not compared; an `outputSchema` is",
                config.component.display()
            ),
        }
        config.component = copy;
    }
    Ok(Some(Former { manifest: former, _folder: components }))
}

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    if !folder.as_os_str().is_empty() {
        git.current_dir(folder);
    }
    git.stdin(Stdio::null()).kill_on_drop(true);
    git
}

async fn known_to_git(folder: &Path, revision: &str) -> Result<(), Failure> {
    let verify = ["rev-parse", "--quiet", "--verify", "--end-of-options"];
    let output = git(folder).args(verify).arg(format!("{revision}^{{commit}}")).output().await;
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            let what = format!("git knows no revision `{revision}` here{said}");
            Err(Failure::new(what, Some("name one that `git log` shows, such as git:HEAD~1 or git:main".to_owned())))
        }
        Err(error) => {
            Err(Failure::of(&error, Some("install git, or compare with a file: --against old.yaml".to_owned())))
        }
    }
}

/// Returns a file at a revision; `None` where that has none.
async fn show(folder: &Path, revision: &str, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let name = format!("{revision}:./{}", path.display());
    let output = git(folder).args(["show", "--end-of-options"]).arg(name).output().await;
    let output = output.map_err(|error| Failure::of(&error, None))?;
    Ok(output.status.success().then_some(output.stdout))
}
