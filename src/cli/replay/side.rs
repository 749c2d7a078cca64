//! One of the components that changes are replayed through.

use crate::cli::report::Failure;
use crate::fixture::Outcome;
use crate::rehearse::{Labels, Played, Rehearsal, Setup, Unstartable, play};
use crate::wasm::{Component, GuestError};

use super::piece::Piece;

/// A component that runs.
pub struct Side {
    /// As it was named.
    pub name: String,
    component: Component,
    /// Absent until the first piece.
    rehearsal: Option<Rehearsal>,
    /// The transaction that goes on has failed: the rest of it is left out.
    failed: bool,
    pub counts: Counts,
}

/// What came of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub rows: u64,
    pub rejected: u64,
    /// Transactions.
    pub failed: u64,
}

impl Side {
    pub fn new(name: String, component: Component) -> Side {
        Side { name, component, rehearsal: None, failed: false, counts: Counts::default() }
    }

    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Starts the transform, or lets it go on with another setup and the state that it has.
    ///
    /// # Errors
    /// Settings that do not fit, and what its `init` answered.
    pub async fn set_up(&mut self, setup: &Setup) -> Result<(), Failure> {
        let started = match &mut self.rehearsal {
            Some(rehearsal) => rehearsal.go_on(setup).await,
            None => Rehearsal::start(&self.component, setup).await.map(|started| self.rehearsal = Some(started)),
        };
        started.map_err(|error| {
            let hint = match &error {
                Unstartable::Settings(_) => {
                    "give it with --setting NAME=VALUE, or take those of the manifest's transform \
                                             with --transform NAME"
                        .to_owned()
                }
                Unstartable::Guest(_) => "what the transform said is in the log above".to_owned(),
            };
            Failure::new(format!("{} does not start: {error}", self.name), Some(hint))
        })
    }

    /// Returns what comes of a piece, and the errors in which it ended, with the guest's own lines.
    pub async fn play(&mut self, piece: &Piece, labels: &Labels) -> (Played, Vec<GuestError>) {
        let Some(rehearsal) = &mut self.rehearsal else { return (Played::default(), Vec::new()) };
        let goes_on = piece.batch.ends_inside_transaction();
        let left_out = self.failed;
        self.failed = left_out && goes_on;
        if left_out {
            return (Played::default(), Vec::new());
        }
        let played = play(rehearsal, piece.batch.clone(), 1, labels).await;
        for one in &played.made {
            match &one.outcome {
                Outcome::Row(_) => self.counts.rows += 1,
                Outcome::Rejected { .. } => self.counts.rejected += 1,
                Outcome::Failed(_) => {
                    self.counts.failed += 1;
                    self.failed = goes_on;
                }
            }
        }
        (played, rehearsal.take_errors())
    }
}
