//! A pooler between Pelton and Postgres.

use crate::setup::facts::Facts;
use crate::setup::pooler::{Sign, by_name};
use crate::setup::target::{Side, Target};
use crate::setup::{Item, Severity};

const RULE: &str = "pooler";

pub fn rule(target: &Target, facts: &Facts) -> Vec<Item> {
    let is_source = matches!(target.side, Side::Source(_));
    let Some(sign) = &facts.pooler else {
        let right = Item::right(RULE, target.place(), "the address leads to Postgres itself, not to a pooler");
        return is_source.then_some(right).into_iter().collect();
    };
    let (name, instead) = by_name(&target.connection)
        .unwrap_or(("a connection pooler", "name host and port of Postgres itself in the connection"));
    let (severity, what, why) = match sign {
        Sign::Refused => (
            Severity::Error,
            format!("the address leads to {name}, which refuses replication connections"),
            "changes are read over a replication connection",
        ),
        Sign::ModeDropped => (
            Severity::Error,
            format!("the address leads to {name}, which takes a replication connection for an ordinary one"),
            "changes are read over a replication connection",
        ),
        Sign::SharedProcess if is_source => (
            Severity::Error,
            format!("the address leads to {name} in transaction mode: sessions share a server process"),
            "the lock by which one process at a time reads a source belongs to a session, and so do the settings by which \
             values are printed; shared among sessions, neither holds",
        ),
        Sign::SharedProcess => (
            Severity::Error,
            format!("the address leads to {name} in transaction mode: sessions share a server process"),
            "prepared statements and settings belong to a session; shared among sessions, writes fail or are taken wrongly",
        ),
        Sign::HostName => (
            Severity::Warning,
            format!("the address is known to be that of {name}"),
            "it answered as Postgres does, and may not do so for long",
        ),
    };
    vec![Item::amiss(severity, RULE, target.place(), what, why).step(instead)]
}
