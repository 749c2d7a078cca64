//! What a change costs a transform that was just built, on its project's own fixtures.

use std::path::Path;
use std::time::Duration;

use super::Built;
use crate::cli::test::of_folder;
use crate::fixture;
use crate::rehearse;
use crate::wasm::{Host, HostOptions, Limits};

/// Returns the time a change of the first fixture that tells; `None` where none does.
///
/// A fixture that can't be read, or that the transform fails on, is the business of `pelton test`.
pub(super) async fn of(dir: &Path, built: &Built) -> Option<Duration> {
    let bytes = std::fs::read(&built.path).ok()?;
    // It was compiled to be described, and is found again.
    let host = Host::new(HostOptions::for_user()).ok()?;
    let component = host.load(&bytes, &built.name, Limits::default()).ok()?;
    for path in of_folder(dir).ok()? {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(fixture) = fixture::read(&text, &path.display().to_string()) else { continue };
        if let Some(time) = rehearse::speed(&component, &fixture).await {
            return Some(time);
        }
    }
    None
}
