//! What is said of each step: plain lines, one below the other, on a terminal and off it.

use std::fmt;

use crate::setup::run::Done;
use crate::setup::wish::Job;
use crate::setup::{Item, Mend, Severity, State, manifest_fragment};

/// How many items there were of each kind.
#[derive(Default)]
pub struct Counts {
    changed: usize,
    right: usize,
    warnings: usize,
    errors: usize,
}

impl Counts {
    /// Counts an item by its state.
    pub fn add(&mut self, item: &Item) {
        match (&item.state, item.severity()) {
            (State::Changed, _) => self.changed += 1,
            (_, Some(Severity::Error)) => self.errors += 1,
            (_, Some(Severity::Warning)) => self.warnings += 1,
            (State::Right, _) => self.right += 1,
            _ => {}
        }
    }

    /// Returns `Error` if there was one; what is less bad does not change the exit code.
    pub fn worst(&self) -> Option<Severity> {
        (self.errors > 0).then_some(Severity::Error)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { changed, right, warnings, errors } = self;
        let s = |count: &usize| if *count == 1 { "" } else { "s" };
        write!(
            f,
            "{changed} changed, {right} already right, {warnings} warning{}, {errors} error{}.",
            s(warnings),
            s(errors)
        )
    }
}

/// Says how something stands; a script has stdout for itself.
pub fn item(item: &Item, beside_a_script: bool) {
    let text = text(item);
    match beside_a_script {
        true if item.state != State::Right => eprint!("{text}"),
        true => {}
        false => print!("{text}"),
    }
}

fn text(item: &Item) -> String {
    let label = match (&item.state, item.severity()) {
        (State::Right, _) => "already right",
        (State::Changed, _) => "changed",
        (_, Some(Severity::Error)) => "error",
        (_, Some(Severity::Warning)) => "warning",
        _ => "advice",
    };
    let mut out = format!("{label:13}  {}: {}\n", item.place, item.what);
    let mut line = |name: &str, text: &str| {
        for (at, part) in text.lines().enumerate() {
            let name = if at == 0 { name } else { "" };
            out.push_str(&format!("{:15}{name:6} {part}\n", ""));
        }
    };
    if let State::Failed(told) = &item.state {
        line("said:", told);
    }
    if item.severity().is_some() {
        item.why.iter().for_each(|why| line("why:", why));
        for mend in &item.mends {
            match mend {
                Mend::Sql(statement) => line("SQL:", statement.printed.as_ref().unwrap_or(&statement.sql)),
                Mend::Step(step) => line("do:", step),
            }
        }
    }
    out
}

/// Says how to connect to what was prepared; never with a password.
pub fn connection(job: &Job, done: &Done) {
    let to = &job.connection;
    println!("\n{}:", job.place);
    let mut lines = vec![
        ("host", to.host.clone()),
        ("port", to.port.to_string()),
        ("database", done.here.database.clone()),
        ("role", done.here.role.clone()),
        ("sslmode", manifest_fragment::ssl_mode(to.sslmode).to_owned()),
    ];
    if let Some(source) = job.source() {
        lines.push(("publication", source.publication.clone()));
        lines.push(("slot", source.slot.clone()));
    }
    lines.push(("server", format!("PostgreSQL {} ({})", done.here.version_text, done.here.provider.name())));
    for (name, value) in lines {
        println!("  {name:12} {value}");
    }
}
