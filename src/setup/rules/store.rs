//! The schema of Pelton's own, at a destination or an event store: that it is there, or will be made, and that what is in
//! it is what this version of Pelton made.

use crate::datastore::State;
use crate::postgres::{quote_ident, quote_literal, quote_table};
use crate::setup::facts::{Facts, StoreFacts};
use crate::setup::target::Target;
use crate::setup::{Item, Severity, Statement, sql};

const WHY: &str = "Pelton keeps there how far every flow is, in the transaction that writes its rows";

pub fn rules(target: &Target, facts: &Facts, store: &StoreFacts) -> Vec<Item> {
    let schema = store.schema;
    let place = target.within(format_args!("schema {schema}"));
    if !store.exists {
        return vec![missing(place, facts, schema)];
    }
    let role = quote_ident(&facts.role.name);
    let mut items = Vec::new();
    // Whoever finds everything in it needs to make nothing.
    let is_complete = store.history.as_ref().is_some_and(|history| history.pending().is_empty());
    if store.usage && (store.create || is_complete) {
        items.push(Item::right("data-store", place.clone(), "it exists, and the role may make what is missing in it"));
    } else {
        let what = format!("role {} may not make tables in it", facts.role.name);
        let grant = format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}");
        items.push(
            Item::amiss(Severity::Error, "data-store", place.clone(), what, WHY)
                .sql(Statement::new("lets the role make Pelton's tables", grant).by_admin()),
        );
    }
    if !store.lacking.is_empty() {
        let what = format!("role {} may not read and write its tables {}", facts.role.name, store.lacking.join(", "));
        let tables: Vec<String> = store.lacking.iter().map(|table| quote_table(schema, table)).collect();
        let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {role}", tables.join(", "));
        items.push(
            Item::amiss(Severity::Error, "data-store-tables", place.clone(), what, WHY)
                .sql(Statement::new("lets the role keep how far its flows are", grant).by_admin()),
        );
    }
    items.extend(migrations(&place, facts, store));
    items
}

/// Judges the event store of a manifest that only consumes from it.
pub fn read_only(target: &Target, facts: &Facts, store: &StoreFacts) -> Item {
    let place = target.within(format_args!("schema {}", store.schema));
    if !store.exists {
        return Item::right("data-store", place, "it does not exist yet: nothing has been published there");
    }
    if store.usage {
        return Item::right("data-store", place, "the role may look into it");
    }
    let role = quote_ident(&facts.role.name);
    let schema = store.schema;
    let grant = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}; \
         GRANT INSERT, UPDATE, DELETE ON {schema}.consumer TO {role}"
    );
    let what = format!("role {} may not look into it", facts.role.name);
    let why = "consumers read there what is published, and say how far they are";
    Item::amiss(Severity::Error, "data-store", place, what, why)
        .sql(Statement::new("lets the role consume", grant).by_admin())
}

/// A start makes it where the role may; where it may not, an administrator gives it to the role.
fn missing(place: String, facts: &Facts, schema: &str) -> Item {
    const RULE: &str = "data-store";
    if facts.role.create {
        return Item::right(RULE, place, "it does not exist yet: `pelton sync` makes it at its start");
    }
    let what = format!("it does not exist, and role {} may not make it", facts.role.name);
    let role = quote_ident(&facts.role.name);
    let make = format!("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}");
    // To give something to a role takes membership in it, which a creator of roles gives itself and gives back.
    let right = if facts.server.version >= 16 { "SET" } else { "MEMBER" };
    let body = format!(
        "IF pg_catalog.pg_has_role({}, '{right}') THEN {make}; \
         ELSE GRANT {role} TO CURRENT_USER; {make}; REVOKE {role} FROM CURRENT_USER; END IF;",
        quote_literal(&facts.role.name)
    );
    let comment = format!("makes the schema {schema} of Pelton's own, and gives it to the role");
    Item::amiss(Severity::Error, RULE, place, what, WHY).sql(Statement::new(comment, sql::steps(&body)).by_admin())
}

/// What was applied of the migrations that make what is in it.
fn migrations(place: &str, facts: &Facts, store: &StoreFacts) -> Vec<Item> {
    const RULE: &str = "data-store-migrations";
    let Some(history) = &store.history else { return Vec::new() };
    let mut items = Vec::new();
    for entry in history.entries.iter().filter(|entry| entry.state != State::Pending) {
        let Some(what) = entry.difference(history.set) else { continue };
        let (why, step) = match entry.state {
            State::Unknown => (
                "a newer Pelton has been here, and `pelton sync` of this version refuses to start",
                "run that newer version, or one that is newer still",
            ),
            State::Drifted => (
                "nobody knows what is there, so `pelton sync` refuses to start",
                "compare its table schema_migrations with the release that applied it: put back what differs, or run that \
                 release",
            ),
            _ => (
                "what Pelton reads and writes there is gone, and flows stop",
                "put back what is missing: `pelton migrations emit-sql` prints what makes it",
            ),
        };
        items.push(Item::amiss(Severity::Error, RULE, place, what, why).step(step));
    }
    let pending = history.pending();
    if !items.is_empty() {
        return items;
    }
    if pending.is_empty() {
        return vec![Item::right(RULE, place, "all migrations are applied")];
    }
    let versions: Vec<String> = pending.iter().map(ToString::to_string).collect();
    let mut what = format!("migrations that are not applied yet: {}", versions.join(", "));
    if let Some(version) = history.version_of_rejot() {
        let oldest = history.set.oldest_of_rejot();
        if version < oldest {
            let what = format!("made by ReJot, version {version}; it is taken over from version {oldest} on");
            let why = "what was there before is laid out in another way, and `pelton sync` refuses to start";
            let step = format!("let ReJot's last release start once, which brings it to version {oldest}");
            return vec![Item::amiss(Severity::Error, RULE, place, what, why).step(step)];
        }
        what = format!("made by ReJot, version {version}: taken over at the next sync; {what}");
    }
    let alters = history.alters();
    let mut foreign = store.foreign.iter().filter(|(table, _)| alters.contains(&table.as_str()));
    let Some((table, owner)) = foreign.next() else {
        return vec![Item::right(RULE, place, format!("{what}; `pelton sync` applies them at its start"))];
    };
    let role = &facts.role.name;
    let why =
        format!("they alter table {table}, which belongs to {owner}: role {role} may not, and `pelton sync` stops");
    let apply = format!("as role {owner} or a superuser: `pelton migrations apply --url …`");
    let emit = format!("or the script of `pelton migrations emit-sql --role {}`", shell_word(role));
    vec![Item::amiss(Severity::Error, RULE, place, what, why).step(format!("{apply}, {emit}, run by psql"))]
}

/// Quoted for a shell where a character in it could mean something there.
fn shell_word(text: &str) -> String {
    match text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
