//! Where the fixture goes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::report::Failure;
use crate::fixture;

/// A new file that is claimed before anything is recorded, and goes again if nothing was; or stdout.
pub(super) struct Out {
    path: Option<PathBuf>,
    written: bool,
}

impl Out {
    /// Makes the file, so that nothing is recorded in vain.
    ///
    /// # Errors
    /// It is there already, or can't be made.
    pub fn open(path: Option<&Path>) -> Result<Out, Failure> {
        let Some(path) = path else { return Ok(Out { path: None, written: false }) };
        if let Err(error) = std::fs::File::options().write(true).create_new(true).open(path) {
            let hint = match error.kind() {
                std::io::ErrorKind::AlreadyExists => Some("name another file, or remove it".to_owned()),
                std::io::ErrorKind::NotFound => Some("make the folder first".to_owned()),
                _ => None,
            };
            return Err(Failure::new(format!("{} can't be made: {error}", path.display()), hint));
        }
        Ok(Out { path: Some(path.to_owned()), written: false })
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes the fixture, after it was read as whoever gets it will read it.
    ///
    /// # Errors
    /// The disk is full, or what was written is no fixture of so many transactions, which is a bug: it is written even then.
    pub fn write(&mut self, text: &str, transactions: usize) -> Result<(), Failure> {
        self.written = true;
        let written = match &self.path {
            Some(path) => std::fs::write(path, text),
            None => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            }
        };
        let name = self.path.as_ref().map_or("stdout".to_owned(), |path| path.display().to_string());
        written.map_err(|error| Failure::new(format!("{name} can't be written: {error}"), None))?;
        match fixture::read(text, "captured.yaml") {
            Ok(fixture) if fixture.transactions.len() == transactions => Ok(()),
            Ok(_) => Err(Failure::bug("the fixture has other transactions than were recorded")),
            Err(problems) => {
                // Without what the problems quote: values of rows.
                let places: Vec<String> = problems
                    .0
                    .iter()
                    .map(|problem| format!("{}:{} {}", problem.at.line, problem.at.column, problem.code.as_str()))
                    .take(10)
                    .collect();
                let what = format!("{name} can't be read back as a fixture: {}", places.join(", "));
                Err(Failure::bug(what))
            }
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if let Some(path) = self.path.as_ref().filter(|_| !self.written) {
            let _ = std::fs::remove_file(path);
        }
    }
}
