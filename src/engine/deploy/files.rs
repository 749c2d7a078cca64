//! Deploys the manifest's components when their files change, for whoever develops them (`pelton sync --watch`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::Context;
use super::super::failure::{Chain, EngineError};
use super::super::load;
use super::choose::{digest, short};
use super::request::Target;

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// When a file was written, and how long it is: another one differs in one of them.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Watches the files of components for as long as the sync runs.
pub async fn watch_files(context: Arc<Context>, targets: Vec<Target>) {
    let paths = targets.iter().map(|target| target.config.component.clone());
    let mut known: BTreeMap<PathBuf, Stamp> = paths.map(|path| (path.clone(), stamp(&path))).collect();
    let mut changing: BTreeMap<PathBuf, Stamp> = BTreeMap::new();
    loop {
        tokio::time::sleep(POLL).await;
        for (path, taken) in &mut known {
            let now = stamp(path);
            // One that is gone is about to be written.
            if now == *taken || now.is_none() {
                changing.remove(path);
                continue;
            }
            // One that is still being written looks otherwise at the next look.
            if changing.insert(path.clone(), now) != Some(now) {
                continue;
            }
            changing.remove(path);
            *taken = now;
            let of_file = targets.iter().filter(|target| target.config.component == *path);
            for target in of_file {
                let (destination, transform) = (&target.group.slug, &target.transform.name);
                if let Err(error) = deploy(&context, target).await {
                    let hint = error.hint();
                    let hint = hint.as_deref().unwrap_or("-");
                    tracing::error!(
                        destination,
                        transform,
                        hint,
                        "{} is not deployed, and what ran goes on: {}",
                        path.display(),
                        Chain(&error)
                    );
                }
            }
        }
    }
}

async fn deploy(context: &Context, target: &Target) -> Result<(), EngineError> {
    let bytes = Arc::new(load::read(&target.config).await?);
    let digest = digest(&bytes);
    let name = target.config.component.display().to_string();
    let candidates = context.candidates().await?;
    let component = candidates.load(&bytes, &digest, name, load::limits(&target.config)).await?;
    let mut found = target.look(&context.manifest).await?;
    if found.runs_as()?.digest == digest {
        return Ok(());
    }
    found.judge(&context.host, &component).await?;
    found.deploy(&bytes).await?;
    let (destination, transform) = (&target.group.slug, &target.transform.name);
    tracing::info!(destination, transform, digest = short(&digest), "its file has changed: deployed");
    Ok(())
}
