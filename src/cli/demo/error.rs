//! What can go wrong in the demo, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::cli::build::BuildError;
use crate::postgres::throwaway::ThrowawayError;

/// Why the demo did not come to its good end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("interrupted; the servers are stopped and removed")]
    Interrupted,
    #[error("the demo's servers could not be had")]
    Server(#[from] ThrowawayError),
    #[error("the demo could not {act}")]
    Sql { act: &'static str, source: tokio_postgres::Error },
    #[error("the transform of the orders could not be built")]
    Build(#[source] BuildError),
    #[error("can't {act} `{}`", .path.display())]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    #[error("`pelton sync` ended with {status}; its log:\n{log}")]
    SyncEnded { status: i32, log: String },
    #[error("the destination stood still for {seconds} s before it had everything; the log of `pelton sync`:\n{log}")]
    StoodStill { seconds: u64, log: String },
    #[error("source and destination differ in {flows}; the log of `pelton sync`:\n{log}", flows = .flows.join(", "))]
    Differs { flows: Vec<String>, log: String },
    #[error("`{}` is not there", .path.display())]
    NoComponent { path: PathBuf },
}

impl DemoError {
    /// Says what to do, where there is something that one can.
    pub fn hint(&self) -> Option<String> {
        match self {
            DemoError::Server(error) => error.hint(),
            DemoError::Build(error) => error.hint(),
            DemoError::NoComponent { .. } => {
                Some("`pelton build examples/orders` makes it; without --component the demo does so itself".to_owned())
            }
            DemoError::SyncEnded { .. } | DemoError::StoodStill { .. } | DemoError::Differs { .. } => Some(
                "--keep leaves the servers up, to look around. If this is ours, please report it with the log"
                    .to_owned(),
            ),
            DemoError::Interrupted | DemoError::Sql { .. } | DemoError::Io { .. } => None,
        }
    }
}
