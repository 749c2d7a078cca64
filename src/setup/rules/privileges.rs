//! What the role may read: the database, schemas, tables, and tables that are made later.

use std::collections::BTreeSet;

use crate::postgres::catalog::{OWN_SCHEMAS, Table, TableKind, TableName, is_system_schema};
use crate::postgres::publication::Wanted;
use crate::postgres::quote_ident;
use crate::setup::facts::{Facts, SourceFacts};
use crate::setup::target::{SourceTarget, Target};
use crate::setup::{Item, Severity, Statement};

pub fn rules(target: &Target, wanted: &SourceTarget, facts: &Facts, source: &SourceFacts) -> Vec<Item> {
    let read = tables(wanted, source);
    let mut schemas: BTreeSet<&str> = read.iter().map(|table| table.schema.as_str()).collect();
    schemas.extend(wanted.asked.schemas.iter().map(String::as_str));
    let role = quote_ident(&facts.role.name);
    // What no flow reads is only published; of what is asked for by hand, all is wanted.
    let severity = |is_it: &dyn Fn(&TableName) -> bool| match wanted.reads.is_empty()
        || wanted.reads.iter().any(|read| is_it(&read.table))
    {
        true => Severity::Error,
        false => Severity::Warning,
    };
    let mut items = Vec::new();
    for schema in source.schemas.iter().filter(|schema| schemas.contains(schema.name.as_str())) {
        let place = target.within(format_args!("schema {}", schema.name));
        if schema.usage {
            items.push(Item::right("schema-usage", place.clone(), "the role may use it"));
            continue;
        }
        let what = format!("role {} may not use it", facts.role.name);
        let grant = format!("GRANT USAGE ON SCHEMA {} TO {role}", quote_ident(&schema.name));
        let severity = severity(&|table| table.schema == schema.name);
        items.push(
            Item::amiss(severity, "schema-usage", place.clone(), what, "its tables can't be copied")
                .sql(Statement::new("lets the role see into the schema", grant).by_admin()),
        );
    }
    for table in &read {
        let Some(rights) = source.rights(table) else { continue };
        let place = target.within(format_args!("table {table}"));
        if rights.select {
            items.push(Item::right("table-select", place, "the role may read it"));
            continue;
        }
        let what = format!("role {} may not read it", facts.role.name);
        let grant = format!("GRANT SELECT ON TABLE {} TO {role}", table.quoted());
        let severity = severity(&|one| one == *table);
        items.push(
            Item::amiss(severity, "table-select", place, what, "the rows that exist can't be copied")
                .sql(Statement::new("lets the role copy the table", grant).by_admin()),
        );
    }
    items.extend(defaults(target, wanted, facts, source, &schemas));
    items
}

/// At whatever database: the right to connect.
pub fn connect(target: &Target, facts: &Facts) -> Item {
    const RULE: &str = "database-connect";
    if facts.role.connect {
        return Item::right(RULE, target.place(), "the role may connect to the database");
    }
    let (database, role) = (&facts.server.database, &facts.role.name);
    let what = format!("role {role} may not connect to database {database}");
    let grant = format!("GRANT CONNECT ON DATABASE {} TO {}", quote_ident(database), quote_ident(role));
    Item::amiss(Severity::Error, RULE, target.place(), what, "Pelton connects as it")
        .sql(Statement::new("lets the role connect", grant).by_admin())
}

/// Returns the tables that are read: those of flows; where a source is wanted as a whole, or by hand, those of it.
fn tables<'a>(wanted: &'a SourceTarget, source: &'a SourceFacts) -> BTreeSet<&'a TableName> {
    let may_be = |table: &&Table| {
        matches!(table.kind, TableKind::Ordinary | TableKind::Partitioned)
            && table.partition_root.is_none()
            && !is_system_schema(&table.name.schema)
            && !OWN_SCHEMAS.contains(&table.name.schema.as_str())
    };
    let named = wanted.named();
    let taken = source.tables.iter().filter(|table| named.contains(&table.name) || may_be(table));
    taken.map(|table| &table.name).filter(|table| wanted.takes(table)).collect()
}

/// Where all of a schema is published, what is made in it later must be readable too.
fn defaults(
    target: &Target,
    wanted: &SourceTarget,
    facts: &Facts,
    source: &SourceFacts,
    schemas: &BTreeSet<&str>,
) -> Vec<Item> {
    const RULE: &str = "default-privileges";
    let of_all = |schema: &str| wanted.asked.schemas.is_empty() || wanted.asked.schemas.iter().any(|one| one == schema);
    let wants = |schema: &str| wanted.wanted == Wanted::All && of_all(schema);
    let all = source.publication.as_ref().is_some_and(|found| found.all_tables);
    let whole = |schema: &str| all || wants(schema) || source.published_schemas.iter().any(|one| one == schema);
    let mut items = Vec::new();
    let whole_schemas = source.schemas.iter().filter(|schema| schemas.contains(schema.name.as_str()));
    for schema in whole_schemas.filter(|schema| whole(&schema.name)) {
        let place = target.within(format_args!("schema {}", schema.name));
        if schema.without_defaults.is_empty() {
            items.push(Item::right(RULE, place, "the role may read tables that are made later"));
            continue;
        }
        for owner in &schema.without_defaults {
            let what = format!("role {} may not read tables that {owner} makes there later", facts.role.name);
            let why = "all tables of the schema are published, and the flows of a new one could not copy it";
            let grant = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT SELECT ON TABLES TO {}",
                quote_ident(owner),
                quote_ident(&schema.name),
                quote_ident(&facts.role.name)
            );
            items.push(
                Item::amiss(Severity::Warning, RULE, place.clone(), what, why).sql(
                    Statement::new(format!("lets the role read what {owner} makes in the schema from now on"), grant)
                        .by_admin(),
                ),
            );
        }
    }
    items
}
