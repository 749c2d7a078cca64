//! `pelton test`: runs a project's transform on its fixtures, and shows what is not as they expect.
//!
//! The project is built as `pelton build` builds it, and run in the sandbox where it will run. Beside what the fixtures
//! expect, every transform must withstand some things that nobody writes fixtures for ([`rehearse::CHECKS`]).

mod find;
mod print;

use std::path::{Path, PathBuf};

use serde_json::json;

pub(super) use find::{fits, of_folder};

use super::component;
use super::report::Failure;
use crate::fixture::{self, Fixture};
use crate::rehearse::{CHECKS, CheckResult, Checker, Verdict, broke, verdict};
use crate::wasm::{Component, Host, HostOptions};

/// Runs transforms on their fixtures: changes, and the rows that should come of them
///
/// A project's fixtures are the files tests/*.yaml, *.yml and *.json of its folder, and those in fixtures/. Docs:
/// docs/testing.md.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of projects, or fixtures
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Run this component, and build nothing
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,

    /// Make what comes of the fixtures what they expect
    #[arg(long)]
    accept: bool,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// One fixture that ran.
struct Tested {
    file: String,
    fixture: Fixture,
    verdict: Verdict,
    checks: Vec<CheckResult>,
    /// How many `expect` lists were written.
    accepted: Option<usize>,
    /// `--accept` was asked for, and what came of it is nothing to be accepted.
    refused: bool,
}

impl Tested {
    fn is_good(&self) -> bool {
        !self.refused && self.verdict.is_good() && self.checks.iter().all(|check| check.failures.is_empty())
    }
}

/// Runs the command.
///
/// # Errors
/// A project that does not build, a fixture that can't be read, and whatever is not as expected.
pub async fn run(args: Args) -> Result<(), Failure> {
    let jobs = find::jobs(&args.paths, args.component.as_deref())?;
    let host = Host::new(HostOptions::for_user()).map_err(|error| Failure::of(&error, error.hint()))?;
    let (mut tested, mut failures) = (Vec::new(), Vec::new());
    for job in jobs {
        let path = job.component.as_deref().unwrap_or(&job.project);
        let component = match component::load(&host, path) {
            Ok(component) => component,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        for file in &job.fixtures {
            match test(&component, file, args.accept).await {
                Ok(one) => {
                    if !args.json {
                        print::tested(&one);
                    }
                    tested.push(one);
                }
                Err(failure) => failures.push(failure),
            }
        }
    }
    if args.json {
        let fixtures: Vec<_> = tested.iter().map(print::to_json).collect();
        println!("{}", json!({ "fixtures": fixtures }));
    } else {
        print::summary(&tested);
    }
    match failures.is_empty() {
        true if tested.iter().all(Tested::is_good) => Ok(()),
        // All has been said.
        true => Err(Failure::said()),
        false => Err(Failure::all(failures)),
    }
}

async fn test(component: &Component, path: &Path, accept: bool) -> Result<Tested, Failure> {
    let file = path.display().to_string();
    let (text, fixture) = read(path)?;
    check_skips(&fixture, &file)?;
    find::fits(component.descriptor(), &fixture, &file)?;
    let mut found = verdict(component, &fixture).await;
    let mut accepted = None;
    let refused = accept && broke(&fixture, &found);
    if accept && !refused && found.unstarted.is_none() {
        let new = fixture::accept(&text, &file, &fixture, &found.found, &found.all)
            .map_err(|error| Failure::new(format!("{file}: {error}"), Some(error.hint())))?;
        if new.text != text {
            std::fs::write(path, &new.text)
                .map_err(|error| Failure::new(format!("{file} can't be written: {error}"), None))?;
        }
        accepted = Some(new.lists);
        found.differences.clear();
        found.failed.clear();
        found.open = 0;
    }
    let mut checks = Vec::new();
    if found.started && !fixture.transactions.is_empty() {
        let checker = Checker::new(component, &fixture, &found);
        for check in &CHECKS {
            checks.push(checker.check(check, &text, &file).await);
        }
    }
    Ok(Tested { file, fixture, verdict: found, checks, accepted, refused })
}

/// Reads a fixture; returns its text, too.
///
/// # Errors
/// The file can't be read, or all that is wrong with it.
pub(super) fn read(path: &Path) -> Result<(String, Fixture), Failure> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = "a fixture is a YAML or JSON file in UTF-8; docs/testing.md shows one".to_owned();
        Failure::new(format!("the fixture {file} can't be read: {error}"), Some(hint))
    })?;
    let fixture = fixture::read(&text, &file)
        .map_err(|problems| Failure::new(format!("the fixture is not one\n{problems}"), None))?;
    Ok((text, fixture))
}

/// Refuses the name of a check that does not exist.
fn check_skips(fixture: &Fixture, file: &str) -> Result<(), Failure> {
    for (name, _, at) in &fixture.skip {
        if !CHECKS.iter().any(|check| check.name == name) {
            let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
            let what = format!("{file}:{}:{}: there is no check `{name}` that could be skipped", at.line, at.column);
            return Err(Failure::new(what, Some(format!("the checks are {}", names.join(", ")))));
        }
    }
    Ok(())
}
