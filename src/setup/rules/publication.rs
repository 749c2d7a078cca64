//! The publication: that it is there, has what flows read, and all of that.

use std::collections::BTreeSet;

use crate::change::{Op, ReplicaIdentity};
use crate::postgres::catalog::{Generated, OWN_SCHEMAS, Table, TableKind, TableName};
use crate::postgres::publication::{self, Publication, PublishedTable, Reason, create_statements};
use crate::postgres::{quote_ident, quote_literal};
use crate::setup::facts::{Facts, SourceFacts};
use crate::setup::target::{Read, SourceTarget, Target};
use crate::setup::wish::Way;
use crate::setup::{Item, Severity, Statement, sql};

pub fn rules(target: &Target, wanted: &SourceTarget, facts: &Facts, source: &SourceFacts) -> Vec<Item> {
    let tables = to_publish(wanted, source);
    let version = &facts.server;
    if version.version < 15 && wanted.asked.entries.iter().any(|entry| !entry.is_whole()) {
        let what = format!("PostgreSQL {} knows no column lists and row filters", version.version_text);
        let place = target.within(format_args!("publication {}", wanted.publication));
        let item = Item::amiss(Severity::Error, "publication", place, what, "they came with version 15");
        return vec![item.step("name whole tables, or upgrade the server")];
    }
    let owns = |table: &TableName| source.rights(table).is_some_and(|rights| rights.owns);
    let may = facts.role.superuser || wanted.asked.group.is_some() || (facts.role.create && tables.iter().all(owns));
    let Some(publication) = &source.publication else { return vec![missing(target, wanted, facts, &tables, may)] };
    let by_role = may && (facts.role.superuser || source.owns_publication);
    let mut items = vec![Item::right("publication", place(target, publication), "it exists")];
    items.extend(own_schemas(target, source, publication));
    for table in &tables {
        items.push(covers(target, wanted, source, publication, (table, by_role && publication.ours)));
    }
    items.push(operations(target, wanted, source, publication));
    for name in &tables {
        items.extend(source.table(name).and_then(|table| via_root(target, publication, table)));
    }
    for read in &wanted.reads {
        let Some(table) = source.table(&read.table) else { continue };
        if let Some(published) = publication.table(&read.table) {
            items.extend(row_filter(target, publication, published));
            items.extend(columns(target, publication, published, table, read));
        }
    }
    items.extend(source.differing.iter().map(|table| as_asked(target, wanted, publication, table)));
    let dropped = wanted.asked.drop.iter().filter(|table| publication.covers(table));
    items.extend(dropped.map(|table| dropped_table(target, publication, table)));
    let may_alter = wanted.asked.publication_named || publication.ours || publication.by_setup;
    let by_whom = |item: Item| {
        let item = if by_role { item.by_role() } else { item };
        match wanted.asked.way == Way::Plan || may_alter || item.severity().is_none() {
            true => item,
            false => {
                let name = quote_ident(&publication.name);
                item.by_person(format!("somebody else made it: name it with --publication {name} to have it altered"))
            }
        }
    };
    items.into_iter().map(by_whom).collect()
}

fn place(target: &Target, publication: &Publication) -> String {
    target.within(format_args!("publication {}", publication.name))
}

/// Returns the tables that are to be published: those that can be, and in a script those that can once what stands above
/// is run. Step by step only what was mended counts: a table without an identity would refuse every UPDATE.
pub fn to_publish(wanted: &SourceTarget, source: &SourceFacts) -> BTreeSet<TableName> {
    let plan = wanted.judge(&source.tables);
    let is_mended = |reason: &Reason| match (wanted.asked.way, reason) {
        (Way::Steps, _) => false,
        (Way::Plan, Reason::Unlogged) => true,
        (Way::Plan, Reason::Partition { reason, .. }) if **reason == Reason::Unlogged => true,
        (_, reason) => reason.is_identity() && wanted.asked.gives_identity(),
    };
    let mended = plan.refused.into_iter().filter(|refused| is_mended(&refused.reason)).map(|refused| refused.table);
    plan.publish.into_iter().chain(mended).collect()
}

/// Whoever can alter it by itself gets it as its own, with the mark by which a start knows what it may add tables to. Any
/// other is an administrator's, which setup looks after.
fn missing(target: &Target, wanted: &SourceTarget, facts: &Facts, tables: &BTreeSet<TableName>, may: bool) -> Item {
    const RULE: &str = "publication";
    let name = &wanted.publication;
    let place = target.within(format_args!("publication {name}"));
    if !wanted.begun.is_empty() {
        let why = "flows have read from it, and what was changed since it was dropped is in no stream";
        return Item::amiss(Severity::Error, RULE, place, "it does not exist any more", why).step(format!(
            "drop the slot {} and start every flow of the source anew (docs/operations.md, Starting a flow anew)",
            wanted.slot
        ));
    }
    let tables: Vec<String> = tables.iter().map(|table| wanted.asked.entry(table).sql()).collect();
    let mark = if may { publication::MARK } else { publication::SETUP_MARK };
    let mut make = create_statements(name, &tables, mark);
    if may {
        make.push(format!("ALTER PUBLICATION {} OWNER TO {}", quote_ident(name), quote_ident(&facts.role.name)));
    }
    let make = sql::when(&sql::no_publication(name), &make);
    let statement = Statement::new("gives away the changes of these tables; before the slot is made", make);
    if may {
        let why = "`pelton sync` makes it at its start, before the slot";
        Item::amiss(Severity::Advice, RULE, place, "it does not exist yet", why).sql(statement)
    } else {
        let why = "the role may not make it: that takes CREATE on the database, and ownership of every table in it";
        Item::amiss(Severity::Error, RULE, place, "it does not exist", why).sql(statement.by_admin())
    }
}

/// A table with other columns or rows than were asked for is taken out and put in again.
fn as_asked(target: &Target, wanted: &SourceTarget, publication: &Publication, table: &TableName) -> Item {
    let name = quote_ident(&publication.name);
    let place = target.within(format_args!("table {table}"));
    let what = format!("publication {} has other columns or rows of it than were asked for", publication.name);
    let steps = format!(
        "IF EXISTS ({}) THEN ALTER PUBLICATION {name} DROP TABLE ONLY {}; END IF; ALTER PUBLICATION {name} ADD TABLE {};",
        sql::member(&publication.name, &table.quoted()),
        table.quoted(),
        wanted.asked.entry(table).sql()
    );
    let comment = format!("publishes {table} as it was asked for; in one transaction, so that no change is missed");
    Item::amiss(Severity::Error, "publication-columns", place, what, "a stream gives what its publication names")
        .sql(Statement::new(comment, sql::steps(&steps)).by_admin())
}

fn dropped_table(target: &Target, publication: &Publication, table: &TableName) -> Item {
    let place = target.within(format_args!("table {table}"));
    let drop = format!("ALTER PUBLICATION {} DROP TABLE ONLY {}", quote_ident(&publication.name), table.quoted());
    let member = format!("EXISTS ({})", sql::member(&publication.name, &table.quoted()));
    let what = format!("it is in publication {}", publication.name);
    Item::amiss(Severity::Warning, "publication-tables", place, what, "it was asked to be taken out")
        .sql(Statement::new(format!("publishes {table} no longer"), sql::when(&member, &[drop])).by_admin())
}

/// What Pelton writes itself must not come back, nor go anywhere else.
fn own_schemas(target: &Target, source: &SourceFacts, publication: &Publication) -> Vec<Item> {
    const RULE: &str = "publication-own-schemas";
    let name = quote_ident(&publication.name);
    let ours: Vec<&TableName> = publication.tables.iter().map(|table| &table.name).collect();
    let ours: Vec<&TableName> = ours.into_iter().filter(|one| OWN_SCHEMAS.contains(&one.schema.as_str())).collect();
    if ours.is_empty() {
        return vec![Item::right(RULE, place(target, publication), "it has no tables of Pelton's own")];
    }
    let names: Vec<String> = ours.iter().map(ToString::to_string).collect();
    let what = format!("it has tables of Pelton's own: {}", names.join(", "));
    let why = "they change with every batch: the source decodes and sends what Pelton then drops, and other subscribers \
               get it too";
    let mut item = Item::amiss(Severity::Warning, RULE, place(target, publication), what, why);
    if publication.all_tables {
        item = item.step(
            "a publication FOR ALL TABLES can't leave any out: take another publicationName, which Pelton makes without \
             them, and start the flows anew",
        );
        return vec![item];
    }
    for schema in OWN_SCHEMAS.iter().filter(|schema| source.published_schemas.iter().any(|one| one == *schema)) {
        let member = format!(
            "EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid \
             WHERE p.pubname = {} AND s.pnnspid = {}::pg_catalog.regnamespace)",
            quote_literal(&publication.name),
            quote_literal(&quote_ident(schema))
        );
        let drop = format!("ALTER PUBLICATION {name} DROP TABLES IN SCHEMA {}", quote_ident(schema));
        let comment = format!("takes Pelton's own schema {schema} out of the publication");
        item = item.sql(Statement::new(comment, sql::when(&member, &[drop])).by_admin());
    }
    let by_schema = |table: &TableName| source.published_schemas.contains(&table.schema);
    for table in ours.into_iter().filter(|table| !by_schema(table)) {
        let drop = format!("ALTER PUBLICATION {name} DROP TABLE {}", table.quoted());
        let member = format!("EXISTS ({})", sql::member(&publication.name, &table.quoted()));
        let comment = format!("takes Pelton's own {table} out of the publication");
        item = item.sql(Statement::new(comment, sql::when(&member, &[drop])).by_admin());
    }
    vec![item]
}

/// `sync_adds`: the publication is Pelton's own, and its role may add tables.
fn covers(
    target: &Target,
    wanted: &SourceTarget,
    source: &SourceFacts,
    publication: &Publication,
    (table, sync_adds): (&TableName, bool),
) -> Item {
    const RULE: &str = "publication-tables";
    let name = &publication.name;
    let place = target.within(format_args!("table {table}"));
    if publication.covers(table) {
        return Item::right(RULE, place, format!("it is in publication {name}"));
    }
    let what = format!("it is not in publication {name}");
    let read = wanted.read(table);
    let root = source.table(table).and_then(|found| found.partition_root.as_ref());
    if let Some((_, root)) = root.filter(|(_, root)| publication.via_partition_root && publication.covers(root)) {
        let why = format!("it is a partition, and its changes come as those of {root}");
        return Item::amiss(Severity::Error, RULE, place, what, why).step(format!("let the public schema read {root}"));
    }
    let add = format!("ALTER PUBLICATION {} ADD TABLE {}", quote_ident(name), wanted.asked.entry(table).sql());
    let begun: Vec<&str> = read.iter().flat_map(|read| wanted.begun_of(read)).collect();
    if !begun.is_empty() {
        let why = format!(
            "flows {} have read it, and what was changed since it was taken out is in no stream",
            begun.join(", ")
        );
        return Item::amiss(Severity::Error, RULE, place, what, why).step(format!(
            "start these flows anew (docs/operations.md, Starting a flow anew), and Pelton adds it; or accept the gap: {add}"
        ));
    }
    let (severity, why) = match (read, sync_adds) {
        (_, true) => (Severity::Advice, "`pelton sync` adds it at its start".to_owned()),
        (Some(read), false) => {
            (Severity::Error, format!("flows {} read it, and nothing of it comes", read.flows.join(", ")))
        }
        (None, false) if wanted.reads.is_empty() => {
            (Severity::Error, "it is wanted, and nothing of it comes".to_owned())
        }
        (None, false) => (Severity::Warning, "the manifest lists it, and nothing of it comes".to_owned()),
    };
    let absent = format!("NOT EXISTS ({})", sql::member(name, &table.quoted()));
    let statement = Statement::new("publishes what is changed in the table from now on", sql::when(&absent, &[add]));
    Item::amiss(severity, RULE, place, what, why).sql(statement.by_admin())
}

/// An operation that is left out never comes, and nobody notices.
fn operations(target: &Target, wanted: &SourceTarget, source: &SourceFacts, publication: &Publication) -> Item {
    const RULE: &str = "publication-operations";
    let needs = |read: &Read, op: Op| {
        // Of a table whose rows can't be told apart, rows are only added: that is a way to have it.
        let tells_apart = source
            .table(&read.table)
            .is_none_or(|table| table.row_key().is_some() || table.identity == ReplicaIdentity::Full);
        (read.ops.is_empty() || read.ops.contains(&op)) && (tells_apart || !matches!(op, Op::Update | Op::Delete))
    };
    let ops = [Op::Insert, Op::Update, Op::Delete, Op::Truncate].into_iter().zip(publication.operations());
    // What is asked for by hand is wanted whole.
    let needed = |op: Op| wanted.reads.is_empty() || wanted.reads.iter().any(|read| needs(read, op));
    let lacking: Vec<&str> =
        ops.clone().filter(|(op, (_, has))| !has && needed(*op)).map(|(_, (name, _))| name).collect();
    if lacking.is_empty() {
        return Item::right(RULE, place(target, publication), "it has the operations that flows read");
    }
    let all: Vec<&str> = ops.filter(|(op, (_, has))| *has || needed(*op)).map(|(_, (name, _))| name).collect();
    let set = format!("ALTER PUBLICATION {} SET (publish = '{}')", quote_ident(&publication.name), all.join(", "));
    let what = format!("it leaves out {}", lacking.join(", "));
    let why = "flows read them, and stop rather than miss them in silence; a flow that ran without them is to be started anew";
    Item::amiss(Severity::Error, RULE, place(target, publication), what, why)
        .sql(Statement::new("publishes every operation that flows read", set).by_admin())
}

/// A flow names the partitioned table, so its changes must come under that name.
fn via_root(target: &Target, publication: &Publication, table: &Table) -> Option<Item> {
    const RULE: &str = "publication-via-root";
    if table.kind != TableKind::Partitioned {
        return None;
    }
    let place = target.within(format_args!("table {}", table.name));
    if publication.via_partition_root {
        return Some(Item::right(RULE, place, "changes of its partitions come under its own name"));
    }
    let what = format!("publication {} has changes of its partitions under their own names", publication.name);
    let why = "a flow reads the partitioned table, and nothing comes under that name";
    let set = format!("ALTER PUBLICATION {} SET (publish_via_partition_root = true)", quote_ident(&publication.name));
    let statement = Statement::new("publishes changes of partitions as those of their table", set);
    Some(Item::amiss(Severity::Error, RULE, place, what, why).sql(statement.by_admin()))
}

fn row_filter(target: &Target, publication: &Publication, published: &PublishedTable) -> Option<Item> {
    published.row_filter.as_ref()?;
    let place = target.within(format_args!("table {}", published.name));
    let (name, table) = (quote_ident(&publication.name), published.name.quoted());
    let what = format!("publication {} has a row filter for it", publication.name);
    let why = "flows get the rows that pass it, and no others: right, if that is meant";
    Some(Item::amiss(Severity::Advice, "publication-row-filter", place, what, why).step(format!(
        "if it is not: BEGIN; ALTER PUBLICATION {name} DROP TABLE {table}; ALTER PUBLICATION {name} ADD TABLE ONLY {table}; \
         COMMIT; then start the flows anew"
    )))
}

/// Columns that a flow names, and those that tell rows apart: without the latter, the server refuses UPDATE and DELETE.
fn columns(
    target: &Target,
    publication: &Publication,
    published: &PublishedTable,
    table: &Table,
    read: &Read,
) -> Option<Item> {
    const RULE: &str = "publication-columns";
    let plain = table.columns.iter().filter(|column| column.generated == Generated::No);
    let plain: Vec<&str> = plain.map(|column| column.name.as_str()).collect();
    let has = |column: &&str| published.columns.iter().any(|one| one == column);
    if plain.iter().all(has) {
        return None;
    }
    let identity: Vec<&str> = match (table.identity, table.identity_key()) {
        (ReplicaIdentity::Full, _) => plain.clone(),
        (_, Some(key)) => key.columns.iter().map(|column| table.columns[column.column].name.as_str()).collect(),
        _ => Vec::new(),
    };
    let wanted = |column: &&str| read.columns.iter().any(|one| one == column) || identity.contains(column);
    let lacking: Vec<&str> = plain.iter().copied().filter(|column| wanted(column) && !has(column)).collect();
    let place = target.within(format_args!("table {}", table.name));
    if lacking.is_empty() {
        let what = format!("publication {} has some of its columns, all that flows name among them", publication.name);
        return Some(Item::right(RULE, place, what));
    }
    let what = format!("publication {} leaves out its columns {}", publication.name, lacking.join(", "));
    let why = if lacking.iter().any(|column| identity.contains(column)) && (publication.update || publication.delete) {
        "they tell its rows apart: the server refuses every UPDATE and DELETE of it, and the application fails"
            .to_owned()
    } else {
        format!("flows {} need them", read.flows.join(", "))
    };
    let all: Vec<String> =
        plain.iter().filter(|column| has(column) || wanted(column)).map(|column| quote_ident(column)).collect();
    let (name, quoted) = (quote_ident(&publication.name), table.name.quoted());
    let filter = published.row_filter.as_ref().map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
    let lacks: Vec<String> = lacking.iter().map(|column| quote_literal(column)).collect();
    let condition = format!(
        "EXISTS ({}) AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables WHERE pubname = {} AND schemaname = {} AND \
         tablename = {} AND attnames @> ARRAY[{}]::pg_catalog.name[])",
        sql::member(&publication.name, &quoted),
        quote_literal(&publication.name),
        quote_literal(&table.name.schema),
        quote_literal(&table.name.name),
        lacks.join(", ")
    );
    let statements = [
        format!("ALTER PUBLICATION {name} DROP TABLE {quoted}"),
        format!("ALTER PUBLICATION {name} ADD TABLE ONLY {quoted} ({}){filter}", all.join(", ")),
    ];
    let comment = "publishes the columns that are needed too; both in one transaction, so that no change is missed";
    Some(
        Item::amiss(Severity::Error, RULE, place, what, why)
            .sql(Statement::new(comment, sql::when(&condition, &statements)).by_admin()),
    )
}
