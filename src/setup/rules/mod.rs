//! The rules: what a server should be like, one idea a file.
//!
//! They are pure. What they are handed was looked at by [`super::facts`], what they return is judged items with what
//! mends them. They come in steps, and what a step builds on comes before it, so that the statements of all of them can
//! run as one script (the doctor's plan), or those of each step after a look at what the steps before it have done
//! (setup).

mod connection;
mod destination;
mod pooler;
mod privileges;
mod publication;
mod role;
mod settings;
mod slot;
mod store;
mod tables;
mod wal;

pub use connection::{not_inspected, unreachable};
pub use publication::to_publish;
pub use settings::{RESTART, waits_for_restart};

use super::facts::{Facts, VERSION_MIN};
use super::target::{Side, Target};
use super::{Item, Severity};

/// What is judged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What the server is, and what only whoever runs it can change.
    Server,
    /// Settings of the server.
    Settings,
    /// The role, and its attributes.
    Role,
    /// The right to connect.
    Connect,
    /// Tables of a source, and their replica identities.
    Tables,
    Publication,
    /// What the role may read.
    Privileges,
    /// The schema of Pelton's own.
    Store,
    /// The tables of a destination.
    Written,
    Slot,
    /// How much log is held back, and for how long.
    Log,
}

impl Step {
    /// All of them, in their order.
    const ALL: [Step; 11] = [
        Step::Server,
        Step::Settings,
        Step::Role,
        Step::Connect,
        Step::Tables,
        Step::Publication,
        Step::Privileges,
        Step::Store,
        Step::Written,
        Step::Slot,
        Step::Log,
    ];

    /// Returns those that setup takes in one transaction. The others refuse one, or come before or behind it.
    pub fn together() -> impl Iterator<Item = Step> {
        let apart = [Step::Server, Step::Settings, Step::Slot, Step::Log];
        Step::ALL.into_iter().filter(move |step| !apart.contains(step))
    }
}

/// Judges a server.
pub fn rules(target: &Target, facts: &Facts) -> Vec<Item> {
    Step::ALL.into_iter().flat_map(|step| judge(step, target, facts)).collect()
}

/// Judges one step. A source that is too old is judged for that alone.
pub fn judge(step: Step, target: &Target, facts: &Facts) -> Vec<Item> {
    match (step, &target.side, &facts.source, &facts.destination) {
        (Step::Server, ..) => server(target, facts),
        (_, Side::Source(_), None, _) => Vec::new(),
        (Step::Role, ..) => role::rules(target, facts),
        (Step::Connect, ..) => vec![privileges::connect(target, facts)],
        (Step::Settings, Side::Source(_), Some(source), _) => settings::rules(target, facts, source),
        (Step::Tables, Side::Source(wanted), Some(source), _) => tables::rules(target, wanted, source),
        (Step::Publication, Side::Source(wanted), Some(source), _) => publication::rules(target, wanted, facts, source),
        (Step::Privileges, Side::Source(wanted), Some(source), _) => privileges::rules(target, wanted, facts, source),
        (Step::Slot, Side::Source(wanted), Some(source), _) => slot::rules(target, wanted, facts, source),
        (Step::Log, Side::Source(_), Some(source), _) => wal::rules(target, facts, source),
        (Step::Settings, Side::Destination(_), ..) => vec![destination::writable(target, facts)],
        (Step::Store, Side::EventStore { published: false }, ..) => {
            facts.store.iter().map(|store| store::read_only(target, facts, store)).collect()
        }
        (Step::Store, ..) => facts.store.iter().flat_map(|store| store::rules(target, facts, store)).collect(),
        (Step::Written, Side::Destination(wanted), _, Some(found)) => destination::rules(target, wanted, facts, found),
        _ => Vec::new(),
    }
}

fn server(target: &Target, facts: &Facts) -> Vec<Item> {
    let mut items = vec![provider(target, facts)];
    if let Side::Source(_) = target.side {
        items.push(version(target, facts));
    }
    if facts.source.is_some() {
        items.extend(settings::of_server(target, facts));
    }
    if facts.source.is_some() || facts.destination.is_some() {
        items.extend(pooler::rule(target, facts));
    }
    items
}

/// Says whose server it is taken for.
fn provider(target: &Target, facts: &Facts) -> Item {
    let what = format!("PostgreSQL {}, {}", facts.server.version_text, facts.provider.name());
    Item::right("provider", target.place(), what)
}

fn version(target: &Target, facts: &Facts) -> Item {
    let version = &facts.server.version_text;
    if facts.server.version >= VERSION_MIN {
        return Item::right("version", target.place(), format!("PostgreSQL {version} can be read from"));
    }
    let what = format!("PostgreSQL {version} is too old: a source needs {VERSION_MIN} or newer");
    let why = "older servers don't put logical messages into the stream, and lack what else is asked of them";
    Item::amiss(Severity::Error, "version", target.place(), what, why).step("upgrade the server")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::facts::ServerFacts;
    use crate::setup::target::tests::{nowhere, source_of_all};

    #[test]
    fn an_old_server_is_an_error_and_nothing_else_is_said_of_it() {
        let target = Target::new("shop", nowhere(), Side::Source(source_of_all()));
        let server = ServerFacts { version: 13, version_text: "13.4".to_owned(), ..ServerFacts::default() };
        let facts = Facts { server, ..Facts::default() };
        let said: Vec<_> = rules(&target, &facts).into_iter().map(|item| (item.rule, item.severity())).collect();
        assert_eq!(said, [("provider", None), ("version", Some(Severity::Error))]);
    }
}
