//! The role: that it is there, and what its attributes must say.

use crate::postgres::{quote_ident, quote_literal};
use crate::setup::facts::{Facts, SourceFacts};
use crate::setup::target::{Side, Target};
use crate::setup::{Item, Severity, Statement, sql};

/// The role, hardened: it may log in and, at a source, replicate. It lacks nothing else, and should have nothing else.
///
/// A role that is there keeps what it has. What it lacks is added, one attribute a statement: a server refuses even to
/// repeat an attribute to one who may not give it. What it has too much is said, not taken: others may count on it.
pub fn rules(target: &Target, facts: &Facts) -> Vec<Item> {
    let place = target.within(format_args!("role {}", facts.role.name));
    let mut items = vec![exists(&place, facts)];
    if let Some(source) = &facts.source {
        items.push(replicates(&place, facts));
        items.extend(row_security(target, facts, source));
        items.push(sender_timeout(&place, facts));
    }
    items.extend(excess(&place, facts));
    items
}

fn exists(place: &str, facts: &Facts) -> Item {
    let role = &facts.role;
    let name = quote_ident(&role.name);
    match (role.exists(), role.can_login) {
        (true, true) => Item::right("role", place, "it exists and may log in"),
        (true, false) => {
            let grant = format!("ALTER ROLE {name} LOGIN");
            Item::amiss(Severity::Error, "role", place, "it may not log in", "Pelton logs in as it")
                .sql(Statement::new("lets the role log in", grant).by_admin())
        }
        (false, _) => {
            let make =
                format!("CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS");
            let make = sql::when(&sql::no_role(&role.name), &[make]);
            Item::amiss(Severity::Error, "role", place, "there is no such role", "Pelton logs in as it")
                .sql(Statement::new("makes the role, with nothing but the right to log in", make).by_admin())
        }
    }
}

fn replicates(place: &str, facts: &Facts) -> Item {
    let role = &facts.role;
    if role.superuser || role.replication || role.rds_replication {
        return Item::right("role-replication", place, "it may replicate");
    }
    let why = "a stream can't be started, nor a slot made, without that right";
    let mut item = Item::amiss(Severity::Error, "role-replication", place, "it may not replicate", why);
    item.mends = facts.provider.may_replicate(&role.name);
    item
}

fn excess(place: &str, facts: &Facts) -> Option<Item> {
    let role = &facts.role;
    if role.excess.is_empty() {
        return None;
    }
    let why = "whoever has the role's password has these rights too, and Pelton needs none of them";
    let less: Vec<String> = role.excess.iter().map(|right| format!("NO{right}")).collect();
    let item = Item::amiss(Severity::Advice, "role-excess", place, format!("it has {}", role.excess.join(", ")), why);
    Some(item.step(format!(
        "name a role of its own, which `pelton setup` makes; or ALTER ROLE {} {}",
        quote_ident(&role.name),
        less.join(" ")
    )))
}

/// A copy that obeyed policies would lose rows in silence, so it is refused; the stream knows none.
fn row_security(target: &Target, facts: &Facts, source: &SourceFacts) -> Vec<Item> {
    let Side::Source(wanted) = &target.side else { return Vec::new() };
    let held = source.rights.iter().filter(|table| table.row_security);
    let held = held.filter(|table| wanted.reads.iter().any(|read| read.table == table.name));
    let role = quote_ident(&facts.role.name);
    held.map(|table| {
        let place = target.within(format_args!("table {}", table.name));
        let what = format!("it has row level security, which holds for role {}", facts.role.name);
        let why =
            "copying the rows that exist is refused: policies would leave out some of them, and nobody would notice";
        let bypass = format!("ALTER ROLE {role} BYPASSRLS");
        Item::amiss(Severity::Error, "row-security", place, what, why)
            .sql(Statement::new("lets the role read all rows, whatever policies say", bypass).by_admin().by_person())
    })
    .collect()
}

/// Pelton answers every 10 s; what is less than twice that ends streams that are well.
const SENDER_TIMEOUT_MIN_MS: u64 = 20_000;

fn sender_timeout(place: &str, facts: &Facts) -> Item {
    const RULE: &str = "sender-timeout";
    let role = &facts.role;
    let (what, why) = match role.sender_timeout_ms {
        Some(0) => (
            "wal_sender_timeout is 0".to_owned(),
            "the server never gives up a connection that is dead, and its slot stays taken until somebody ends it",
        ),
        Some(ms) if ms < SENDER_TIMEOUT_MIN_MS => (
            format!("wal_sender_timeout is {ms} ms"),
            "Pelton answers every 10 s: the server would take a stream that is well for dead",
        ),
        Some(ms) => {
            return Item::right(RULE, place, format!("wal_sender_timeout is {} s", ms / 1000));
        }
        None => return Item::right(RULE, place, "wal_sender_timeout can't be seen"),
    };
    let set = format!("ALTER ROLE {} SET wal_sender_timeout = {}", quote_ident(&role.name), quote_literal("1min"));
    Item::amiss(Severity::Warning, RULE, place, what, why)
        .sql(Statement::new("ends this role's streams when their other end is gone, after a minute", set))
}
