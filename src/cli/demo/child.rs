//! The `pelton sync` that the demo runs: the program itself, as a child.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{DemoError, PATIENCE, Result};
use crate::postgres::throwaway::Keeper;

/// Lines of the child's log that an error shows.
const SHOWN_LINES: usize = 40;

/// A running `pelton sync`; killed when dropped.
pub(super) struct Sync {
    keeper: Keeper,
    log: PathBuf,
}

impl Sync {
    /// Starts `PROGRAM sync MANIFEST`, its log beside the manifest.
    pub fn start(program: &Path, manifest: &Path, environment: &[(&str, &str)]) -> Result<Sync> {
        let log = manifest.with_file_name("sync.log");
        // KILL as the last resort: when the demo is interrupted, nobody needs what the child still has in hand.
        let mut keeper = Keeper::new(None, &log, "KILL", None, |command| {
            command.envs(environment.iter().copied());
        })?;
        keeper.start([program.as_os_str(), "sync".as_ref(), manifest.as_os_str()])?;
        Ok(Sync { keeper, log })
    }

    /// Fails if the child has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.keeper.ended()? {
            None => Ok(()),
            Some(status) => Err(DemoError::SyncEnded { status, log: self.log() }),
        }
    }

    /// Asks the child to end, by SIGTERM, and returns its status.
    pub async fn stop(&mut self) -> Result<i32> {
        self.keeper.signal("TERM")?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.keeper.ended()? {
                return Ok(status);
            }
            if begun.elapsed() > PATIENCE {
                return Err(DemoError::StoodStill { seconds: PATIENCE.as_secs(), log: self.log() });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the end of the child's log.
    pub fn log(&self) -> String {
        let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines = text.lines().collect::<Vec<_>>();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}
