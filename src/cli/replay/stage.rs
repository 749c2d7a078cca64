//! Pieces go through the components, and what comes of them is printed or compared.

use std::time::{Duration, Instant};

use super::piece::Piece;
use super::print::{self, Totals};
use super::side::{Counts, Side};
use crate::change::Row;
use crate::cli::report::Failure;
use crate::rehearse::{Keys, Labels, differing};
use crate::wasm::Component;

/// How often is told how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
/// Beyond that many differences nobody reads on.
const DIFFERENCES_MAX: u64 = 100;

/// One component whose rows are printed, or two whose rows are compared.
pub struct Stage {
    sides: Vec<Side>,
    labels: Labels,
    keys: Keys,
    json: bool,
    /// How much is shown.
    limit: u64,
    shown: u64,
    totals: Totals,
    told: Instant,
}

impl Stage {
    /// Prepares components, each with its name.
    pub fn new(sides: Vec<(String, Component)>, json: bool, limit: Option<u64>) -> Stage {
        let sides: Vec<Side> = sides.into_iter().map(|(name, component)| Side::new(name, component)).collect();
        let descriptors: Vec<_> = sides.iter().map(|side| side.component().descriptor()).collect();
        let labels = Labels::of(descriptors.iter().copied());
        let keys = match &descriptors[..] {
            [before, after] => Keys::of(before, after, &labels),
            _ => Keys::default(),
        };
        let all = json || sides.len() == 1;
        let limit = limit.unwrap_or(if all { u64::MAX } else { DIFFERENCES_MAX });
        Stage { sides, labels, keys, json, limit, shown: 0, totals: Totals::default(), told: Instant::now() }
    }

    /// Says what is compared with what.
    pub fn head(&self) {
        if let ([before, after], false) = (&self.sides[..], self.json) {
            print::head(before, after);
        }
    }

    /// Runs a piece, and returns the rows of the last component.
    ///
    /// # Errors
    /// A transform does not start.
    pub async fn take(&mut self, piece: &Piece) -> Result<Vec<Row>, Failure> {
        if let Some(setups) = &piece.setups {
            for (side, setup) in self.sides.iter_mut().zip(setups.iter()) {
                side.set_up(setup).await?;
            }
        }
        let (mut made, mut rows) = (Vec::new(), Vec::new());
        for side in &mut self.sides {
            let (played, said) = side.play(piece, &self.labels).await;
            made.push((played.made, said));
            rows = played.rows;
        }
        self.totals.transactions += u64::from(!piece.batch.ends_inside_transaction());
        self.totals.changes += piece.batch.changes.len() as u64;
        match &made[..] {
            [(before, said_before), (after, said_after)] => {
                let found = differing(&self.keys, before, after);
                for one in &found {
                    self.totals.count(one);
                    if self.may_show() {
                        print::differing(piece, one, &self.keys, self.json);
                    }
                }
                if !found.is_empty() && !self.json {
                    for (side, said) in self.sides.iter().zip([said_before, said_after]) {
                        said.iter().for_each(|error| print::said(Some(&side.name), error));
                    }
                }
            }
            [(made, said)] => {
                let mut first = true;
                for one in made {
                    if self.may_show() {
                        print::made(piece, one, std::mem::take(&mut first), self.json);
                    }
                }
                if !self.json {
                    said.iter().for_each(|error| print::said(None, error));
                }
            }
            _ => {}
        }
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            eprintln!("… {}", print::progress(&self.totals, self.sides.len() == 2));
        }
        Ok(rows)
    }

    /// Returns what was replayed and what differed, what came of the last component, and how much of it was shown.
    pub fn counts(&self) -> (Totals, Counts, u64) {
        (self.totals, self.sides.last().map(|side| side.counts).unwrap_or_default(), self.shown)
    }

    fn may_show(&mut self) -> bool {
        let may = self.shown < self.limit;
        self.shown += u64::from(may);
        may
    }

    /// Prints the counts, and says by the exit code what came of it.
    ///
    /// # Errors
    /// Something differs or failed, or the end was not reached; all has been said.
    pub fn end(&self, interrupted: bool) -> Result<(), Failure> {
        let counts: Vec<_> = self.sides.iter().map(|side| (side.name.as_str(), side.counts)).collect();
        match self.json {
            true => println!("{}", print::summary_json(&self.totals, &counts, interrupted)),
            false => print::summary(&self.totals, &counts, self.shown, interrupted),
        }
        let good = match &self.sides[..] {
            [one] => one.counts.failed == 0,
            // Nothing at all is no agreement.
            _ => self.totals.differences() == 0 && (self.totals.transactions > 0 || interrupted),
        };
        match (interrupted, good) {
            (true, _) => Err(Failure::interrupted()),
            (false, true) => Ok(()),
            (false, false) => Err(Failure::said()),
        }
    }
}
