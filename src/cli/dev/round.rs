//! What comes of one build: fixtures and recorded transactions through it, and through the build before it.

use std::path::PathBuf;
use std::time::Duration;

use super::recording::Snapshot;
use super::scratch::Scratch;
use crate::cli::replay::{Fixtures, Piece, Settings, Side, Stage, Totals};
use crate::cli::report::Failure;
use crate::cli::test;
use crate::cli::words::{GREEN, RED, coloured, counted};
use crate::rehearse::Labels;
use crate::wasm::{Component, Descriptor};

/// Beyond that many rows or differences nobody reads on.
const SHOWN_MAX: u64 = 100;

/// Makes what is run of what transforms read, or says why it does not fit them.
type MakePieces<'a> = dyn Fn(&[Descriptor]) -> Result<Vec<Piece>, Failure> + 'a;

/// One build, and what it is tried with.
pub struct Round<'a> {
    /// The build before, if there was one.
    pub previous: Option<&'a Component>,
    pub component: &'a Component,
    pub settings: &'a Settings,
    pub recorded: Option<&'a Snapshot>,
    pub scratch: Option<&'a mut Scratch>,
    pub result: Played,
}

/// What came of it.
#[derive(Default)]
pub struct Played {
    compared: Totals,
    /// Of what was not compared: there was no build before, or the fixture is new.
    alone: Totals,
    rows: u64,
    shown: u64,
    fixtures: u64,
    /// Something could not be run, or a transaction failed.
    pub failed: bool,
}

impl Round<'_> {
    /// Runs everything; `same` tells of a fixture whether it is as it was for the build before.
    ///
    /// # Errors
    /// The tables of the scratch schema can't be written.
    pub async fn play(&mut self, fixtures: &[PathBuf], same: impl Fn(&PathBuf) -> bool) -> Result<(), Failure> {
        let descriptor = self.component.descriptor().clone();
        if let Some(scratch) = &mut self.scratch {
            scratch.begin(&descriptor.public_schemas, &Labels::of([&descriptor])).await?;
        }
        let recorded = self.recorded.filter(|recorded| recorded.len() > 0);
        for path in fixtures {
            let settings = self.settings;
            let file = path.display().to_string();
            let fixture = match test::read(path) {
                Ok((_, fixture)) => fixture,
                Err(failure) => {
                    self.fail(&failure);
                    continue;
                }
            };
            self.result.fixtures += 1;
            let pieces = |transforms: &[Descriptor]| {
                Ok(Fixtures::of(vec![(file.clone(), fixture.clone())], settings, transforms)?.collect())
            };
            self.group(&pieces, same(path), recorded.is_none()).await?;
        }
        if let Some(recorded) = recorded {
            let (settings, tables) = (self.settings, recorded.tables());
            let pieces = |transforms: &[Descriptor]| {
                for descriptor in transforms {
                    test::fits(descriptor, &tables, "the recording")?;
                }
                let mut pieces = recorded.pieces();
                if let Some(first) = pieces.first_mut() {
                    first.setups = Some(settings.setups(transforms, None, &tables.relations));
                }
                Ok(pieces)
            };
            self.group(&pieces, true, true).await?;
        }
        match &mut self.scratch {
            Some(scratch) => scratch.commit().await,
            None => Ok(()),
        }
    }

    /// Runs what belongs together, with an empty state at its beginning.
    async fn group(&mut self, pieces: &MakePieces<'_>, compare: bool, write: bool) -> Result<(), Failure> {
        let now = self.component.descriptor().clone();
        let mut before = None;
        if let Some(previous) = self.previous.filter(|_| compare) {
            // A build before that can't take this is nothing to compare with.
            if let Ok(pieces) = pieces(&[previous.descriptor().clone(), now.clone()]) {
                let setup = pieces.first().and_then(|piece| piece.setups.as_ref()).and_then(|setups| setups.first());
                let mut side = Side::new(String::new(), previous.clone());
                let starts = match setup {
                    Some(setup) => side.set_up(setup).await.is_ok(),
                    None => false,
                };
                before = starts.then_some((previous, pieces));
            }
        }
        let mut sides = vec![("this build".to_owned(), self.component.clone())];
        let pieces = match before {
            Some((previous, pieces)) => {
                sides.insert(0, ("the build before".to_owned(), previous.clone()));
                pieces
            }
            None => match pieces(&[now]) {
                Ok(pieces) => pieces,
                Err(failure) => {
                    self.fail(&failure);
                    return Ok(());
                }
            },
        };
        let compared = sides.len() == 2;
        let mut stage = Stage::new(sides, false, Some(SHOWN_MAX.saturating_sub(self.result.shown)));
        for piece in &pieces {
            let rows = match stage.take(piece).await {
                Ok(rows) => rows,
                Err(failure) => {
                    self.fail(&failure);
                    break;
                }
            };
            if let (Some(scratch), true) = (&mut self.scratch, write) {
                scratch.write(&rows).await?;
            }
        }
        let (totals, counts, shown) = stage.counts();
        let result = &mut self.result;
        result.rows += counts.rows;
        result.shown += shown;
        result.failed |= counts.failed > 0;
        if compared {
            result.compared += totals;
        } else {
            result.alone += totals;
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) {
        failure.print();
        self.result.failed = true;
    }
}

impl Played {
    /// Prints what changed, and how long all of it took.
    pub fn print(&self, first: bool, recorded: usize, took: Duration) {
        let Totals { changed, only_before, only_after, .. } = self.compared;
        let hidden = (self.compared.differences() + if first { self.rows } else { 0 }).saturating_sub(self.shown);
        if hidden > 0 {
            println!("… and {}", counted(hidden, "more"));
        }
        let transactions = self.compared.transactions + self.alone.transactions;
        if transactions == 0 && !self.failed {
            println!("there is nothing to run: write fixtures into the folder tests, or name a source with --from");
            return;
        }
        let of = match recorded {
            0 => counted(self.fixtures, "fixture"),
            recorded => format!("{} and {recorded} recorded", counted(self.fixtures, "fixture")),
        };
        let end = format!(
            "{} from {} ({of}); {:.1} s",
            counted(self.rows, "row"),
            counted(transactions, "transaction"),
            took.as_secs_f64()
        );
        if first || self.compared.transactions == 0 {
            println!("{end}");
        } else if self.compared.differences() == 0 {
            println!("{}: {end}", coloured(GREEN, "nothing changed"));
        } else {
            let what = format!("{changed} changed, {only_before} gone, {only_after} added");
            println!("{}: {end}", coloured(RED, &what));
        }
    }
}
