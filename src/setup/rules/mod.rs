//! The rules: what a server should be like, one idea a file.
//!
//! They are pure. What they are handed was looked at by [`super::inspect`], what they return is judged items with what
//! mends them, in the order in which the statements are to run: what grants least comes first, and what others build on
//! before them.

mod connection;
mod destination;
mod pooler;
mod privileges;
mod publication;
mod role;
mod settings;
mod slot;
mod tables;
mod wal;

pub use connection::{not_inspected, unreachable};

use super::facts::{Facts, VERSION_MIN};
use super::target::{Side, Target};
use super::{Item, Severity};

/// Judges a server.
pub fn rules(target: &Target, facts: &Facts) -> Vec<Item> {
    let mut items = vec![provider(target, facts)];
    match &target.side {
        Side::Source(wanted) => {
            let old = version(target, facts);
            let is_old = old.severity().is_some();
            items.push(old);
            let Some(source) = facts.source.as_ref().filter(|_| !is_old) else { return items };
            items.extend(settings::of_source(target, facts, source));
            items.extend(pooler::rule(target, facts));
            items.extend(role::exists(target, facts));
            items.extend(privileges::rules(target, wanted, facts, source));
            items.extend(tables::rules(target, wanted, source));
            items.extend(publication::rules(target, wanted, facts, source));
            items.extend(role::of_source(target, facts, source));
            items.extend(slot::rules(target, wanted, facts, source));
            items.extend(wal::rules(target, facts, source));
        }
        Side::Destination(wanted) => {
            let Some(found) = &facts.destination else { return items };
            items.extend(pooler::rule(target, facts));
            items.extend(role::exists(target, facts));
            items.extend(destination::rules(target, wanted, facts, found));
        }
        Side::EventStore => {}
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
    use crate::manifest::{PostgresConnection, SslMode};
    use crate::postgres::publication::Wanted;
    use crate::setup::facts::{RoleFacts, ServerFacts};
    use crate::setup::provider::Provider;
    use crate::setup::target::SourceTarget;

    #[test]
    fn an_old_server_is_an_error_and_nothing_else_is_said_of_it() {
        let connection = PostgresConnection {
            host: "h".to_owned(),
            port: 1,
            user: "u".to_owned(),
            password: None,
            database: "d".to_owned(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
        };
        let target = Target {
            slug: "shop".to_owned(),
            connection,
            role: None,
            side: Side::Source(SourceTarget {
                publication: "p".to_owned(),
                slot: "s".to_owned(),
                wanted: Wanted::All,
                reads: Vec::new(),
                begun: Vec::new(),
            }),
        };
        let server = ServerFacts { version: 13, version_text: "13.4".to_owned(), ..ServerFacts::default() };
        let facts = Facts {
            server,
            provider: Provider::SelfManaged,
            role: RoleFacts::default(),
            pooler: None,
            source: None,
            destination: None,
        };
        let said: Vec<_> = rules(&target, &facts).into_iter().map(|item| (item.rule, item.severity())).collect();
        assert_eq!(said, [("provider", None), ("version", Some(Severity::Error))]);
    }
}
