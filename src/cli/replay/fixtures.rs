//! The transactions of fixtures, one after the other.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::piece::{Origin, Piece};
use super::settings::Settings;
use crate::cli::report::Failure;
use crate::cli::test;
use crate::fixture::Fixture;
use crate::rehearse::{Cut, cut};
use crate::wasm::Descriptor;

/// What is left to be replayed of fixtures.
#[derive(Default)]
pub struct Fixtures(VecDeque<Piece>);

/// Reads fixtures, each with its name.
///
/// # Errors
/// What is wrong with them, of all at once.
pub fn read(paths: &[PathBuf]) -> Result<Vec<(String, Fixture)>, Failure> {
    let read = |path: &PathBuf| Ok((path.display().to_string(), one(path)?));
    let (mut fixtures, mut failures) = (Vec::new(), Vec::new());
    for result in paths.iter().map(read) {
        match result {
            Ok(fixture) => fixtures.push(fixture),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(fixtures) } else { Err(Failure::all(failures)) }
}

fn one(path: &Path) -> Result<Fixture, Failure> {
    if path.is_dir() {
        let hint = format!("name the fixtures in it, such as {}/tests/*.yaml", path.display());
        return Err(Failure::new(format!("{} is a folder", path.display()), Some(hint)));
    }
    test::read(path).map(|(_, fixture)| fixture)
}

impl Fixtures {
    /// Prepares fixtures for transforms.
    ///
    /// # Errors
    /// A fixture lacks a table or a column that one of them reads.
    pub fn of(
        fixtures: Vec<(String, Fixture)>,
        settings: &Settings,
        transforms: &[Descriptor],
    ) -> Result<Fixtures, Failure> {
        let mut pieces = VecDeque::new();
        for (i, (file, fixture)) in fixtures.into_iter().enumerate() {
            for descriptor in transforms {
                test::fits(descriptor, &fixture, &file)?;
            }
            let file: Arc<str> = file.into();
            let mut setups = Some(settings.setups(transforms, Some(&fixture), &fixture.relations));
            for (j, transaction) in fixture.transactions.iter().enumerate() {
                for piece in cut(&fixture.relations, std::slice::from_ref(transaction), Cut::Nowhere) {
                    let mut batch = piece.batch;
                    // Every fixture begins at the same position, and positions never go back.
                    batch.spans.iter_mut().for_each(|span| span.epoch = i as u32 + 1);
                    let origin = Origin::of_fixture(&file, j + 1, transaction);
                    pieces.push_back(Piece { batch, origin, setups: setups.take() });
                }
            }
        }
        Ok(Fixtures(pieces))
    }
}

impl Iterator for Fixtures {
    type Item = Piece;

    /// Returns the next transaction.
    fn next(&mut self) -> Option<Piece> {
        self.0.pop_front()
    }
}
