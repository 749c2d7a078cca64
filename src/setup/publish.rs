//! The publication: made, or brought by ALTER to what is wished; never dropped, and no table is taken out of it unasked.
//!
//! Why `FOR ALL TABLES` is not made says [`crate::postgres::publication`]. So all tables, and whole schemas, are those
//! that may be published today; `pelton sync`, or another run of setup, adds later ones.
//!
//! # Whose publication it is
//! One that the role itself can alter, as owner of all of its tables, becomes the role's own and gets the mark by which
//! `pelton sync` knows what it may add tables to. Any other is an administrator's, gets a mark of setup's, and only
//! setup alters it. One without a mark is somebody else's: it is altered when it was named with `--publication`.

use tokio_postgres::Client;

use super::here::Here;
use super::item::{Item, Part, Severity, Statement};
use super::replica_identity::is_about_identity;
use super::sql;
use super::tables::Entry;
use super::wish::{Job, Scope, SourceWish};
use crate::postgres::catalog::{Table, TableName};
use crate::postgres::publication::{self, Publication, PublicationError, Wanted, judge};
use crate::postgres::quote::ident_for_people;
use crate::postgres::{QueryError, quote_ident, quote_literal};

/// The mark of a publication that setup looks after.
const MARK: &str =
    "Made by pelton setup, which adds tables when it is run again. Remove this comment to keep it as it is.";

/// What is published, and what is to be done for it.
pub struct Published {
    pub items: Vec<Item>,
    /// The tables that are, or will be, published.
    pub tables: Vec<TableName>,
}

/// Returns what brings the publication to what is wished. `tables` are the catalog's, with the replica identities that
/// they will have.
///
/// # Errors
/// [`PublicationError`].
pub async fn items(
    client: &Client,
    here: &Here,
    job: &Job,
    source: &SourceWish,
    tables: &[Table],
) -> Result<Published, PublicationError> {
    let name = &source.publication;
    let place = format!("{}, publication {}", job.place, ident_for_people(name));
    let mut items = Vec::new();
    let (entries, refused) = wanted(source, tables);
    for refused in refused {
        let severity = if source.listed().is_some() { Severity::Error } else { Severity::Warning };
        let place = format!("{}, table {}", job.place, refused.table);
        let item = Item::amiss(severity, "publication-table", place, refused.to_string(), "so it is not published");
        items.push(refused.mend().into_iter().fold(item, Item::step));
    }
    if here.version < 15 && entries.iter().any(|entry| entry.columns.is_some() || entry.filter.is_some()) {
        let what = format!("PostgreSQL {} knows no column lists and row filters", here.version_text);
        let why = "they came with version 15";
        items.push(
            Item::amiss(Severity::Error, "publication", place, what, why)
                .step("name whole tables, or upgrade the server"),
        );
        return Ok(Published { items, tables: Vec::new() });
    }
    let found = publication::look_up(client, name).await?;
    let names: Vec<TableName> = entries.iter().map(|entry| entry.table.clone()).collect();
    let part = if may_own(client, here, source, &names).await? { Part::Ordinary } else { Part::Admin };
    let by = |statement: Statement| Statement { part, ..statement };
    let Some(found) = found else {
        let why = "a stream gives what its publication names";
        let statement = by(Statement::new(
            format!("the publication, with {}", counted(entries.len())),
            make(here, name, &entries, part),
        ));
        items.push(
            Item::amiss(Severity::Error, "publication", place, "the publication does not exist", why).sql(statement),
        );
        return Ok(Published { items, tables: names });
    };
    let changes = changes(client, source, &found, &entries).await?;
    let published = names.into_iter().filter(|table| found.covers(table) || !changes.is_empty()).collect();
    if changes.is_empty() {
        let what = format!("publishes {}", counted(found.tables.len()));
        items.push(Item::right("publication", place, what));
        return Ok(Published { items, tables: published });
    }
    let ours = found.ours || source.publication_named || is_marked(client, name).await?;
    let what = changes.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>().join("; ");
    let item = Item::amiss(Severity::Error, "publication", &place, what, "a stream gives what its publication names");
    let statements = changes.into_iter().map(|(what, sql)| by(Statement::new(what, sql)));
    items.push(match ours {
        true => statements.fold(item, Item::sql),
        false => {
            let item = item.step(format!(
                "somebody else made it: name it with --publication {} to have it altered",
                quote_ident(name)
            ));
            statements.fold(item, |item, statement| item.step(statement.sql))
        }
    });
    Ok(Published { items, tables: published })
}

/// Splits what is wished into what can be published and what can't; what only lacks an identity was said before.
fn wanted(source: &SourceWish, tables: &[Table]) -> (Vec<Entry>, Vec<publication::Refused>) {
    let plan = match source.listed() {
        Some(names) => judge(tables, &Wanted::Listed(names)),
        None => {
            let mut plan = judge(tables, &Wanted::All);
            let kept = |table: &TableName| source.takes(table);
            plan.publish.retain(kept);
            plan.refused.retain(|refused| kept(&refused.table));
            plan
        }
    };
    let entry = |table: TableName| match &source.scope {
        Scope::Listed(entries) => {
            entries.iter().find(|entry| entry.table == table).cloned().unwrap_or_else(|| Entry::of(table))
        }
        _ => Entry::of(table),
    };
    let refused = plan.refused.into_iter().filter(|refused| !is_about_identity(&refused.reason)).collect();
    (plan.publish.into_iter().map(entry).collect(), refused)
}

fn make(here: &Here, name: &str, entries: &[Entry], part: Part) -> String {
    let quoted = quote_ident(name);
    let of = if entries.is_empty() { String::new() } else { format!(" FOR TABLE {}", list(entries)) };
    let create = format!(
        "CREATE PUBLICATION {quoted}{of} WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)"
    );
    let (owner, mark) = match part {
        Part::Ordinary => {
            (format!("ALTER PUBLICATION {quoted} OWNER TO {}; ", quote_ident(&here.role)), publication::MARK)
        }
        Part::Admin => (String::new(), MARK),
    };
    let all = format!("{create}; COMMENT ON PUBLICATION {quoted} IS {}; {owner}", quote_literal(mark));
    sql::unless(
        &format!("EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = {})", quote_literal(name)),
        all.trim_end_matches("; "),
    )
}

fn list(entries: &[Entry]) -> String {
    entries.iter().map(Entry::sql).collect::<Vec<_>>().join(", ")
}

fn counted(tables: usize) -> String {
    if tables == 1 { "1 table".to_owned() } else { format!("{tables} tables") }
}

/// What a publication lacks: in words, and as a statement that may be run again.
async fn changes(
    client: &Client,
    source: &SourceWish,
    found: &Publication,
    entries: &[Entry],
) -> Result<Vec<(String, String)>, PublicationError> {
    let name = quote_ident(&found.name);
    let mut changes = Vec::new();
    let lacking: Vec<&str> = found.operations().iter().filter(|(_, has)| !has).map(|(name, _)| *name).collect();
    if !lacking.is_empty() {
        let set = format!("ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')");
        changes.push((format!("publishes no {}", lacking.join(", ")), set));
    }
    if !found.via_partition_root {
        let set = format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = true)");
        changes.push(("publishes partitions under their own names".to_owned(), set));
    }
    if found.all_tables {
        return Ok(changes);
    }
    for entry in entries {
        let table = &entry.table;
        let add = format!("ALTER PUBLICATION {name} ADD TABLE {}", entry.sql());
        let member = is_member(found, table);
        match found.table(table) {
            None if !found.covers(table) => {
                changes.push((format!("does not publish {table}"), sql::unless(&member, &add)))
            }
            Some(published) if entry.exact && !says(client, entry, published).await? => {
                // In one transaction, so that no change of a row falls in between.
                let drop = format!("ALTER PUBLICATION {name} DROP TABLE ONLY {}", table.quoted());
                let body = format!("IF {member} THEN {drop}; END IF; {add};");
                changes.push((format!("publishes other columns or rows of {table}"), sql::steps(&body)));
            }
            _ => {}
        }
    }
    for table in source.drop.iter().filter(|table| found.covers(table)) {
        let drop = format!("ALTER PUBLICATION {name} DROP TABLE ONLY {}", table.quoted());
        changes.push((
            format!("publishes {table}"),
            sql::steps(&format!("IF {} THEN {drop}; END IF;", is_member(found, table))),
        ));
    }
    Ok(changes)
}

fn is_member(found: &Publication, table: &TableName) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid \
         WHERE p.pubname = {} AND r.prrelid = {}::pg_catalog.regclass)",
        quote_literal(&found.name),
        quote_literal(&table.quoted())
    )
}

/// Returns true when a table is published as the entry says. Filters are compared as the server prints them: it is
/// asked to, by a publication that is never committed.
async fn says(
    client: &Client,
    entry: &Entry,
    published: &publication::PublishedTable,
) -> Result<bool, PublicationError> {
    if entry.filter.is_none() && published.row_filter.is_some() {
        return Ok(false);
    }
    if entry.columns.is_none() && entry.filter.is_none() {
        // By name and not by a cast to regclass, which takes USAGE on the schema.
        let sql = "SELECT count(*) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";
        let failed = |error| QueryError::new("count a table's columns", error);
        let TableName { schema, name } = &entry.table;
        let count: i64 = client.query_one(sql, &[schema, name]).await.map_err(failed)?.get(0);
        return Ok(usize::try_from(count).is_ok_and(|count| count <= published.columns.len()));
    }
    let probe = format!("pelton_probe_{:016x}", fastrand::u64(..));
    let failed = |error| QueryError::new(format!("try the columns and the row filter of {}", entry.table), error);
    // All of it is planned inside a transaction.
    let (begin, end) = ("SAVEPOINT probe", "ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe");
    client.batch_execute(begin).await.map_err(failed)?;
    let made = client
        .batch_execute(&format!(
            "CREATE PUBLICATION {probe} FOR TABLE {} WITH (publish_via_partition_root = true)",
            entry.sql()
        ))
        .await;
    let looked = match made {
        Ok(()) => publication::look_up(client, &probe).await,
        Err(error) => Err(failed(error).into()),
    };
    client.batch_execute(end).await.map_err(failed)?;
    let probed = looked?.and_then(|found| found.table(&entry.table).cloned());
    Ok(probed.is_some_and(|probed| probed.columns == published.columns && probed.row_filter == published.row_filter))
}

async fn is_marked(client: &Client, name: &str) -> Result<bool, PublicationError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = $1 \
               AND pg_catalog.obj_description(p.oid, 'pg_publication') = $2)";
    let failed = |error| QueryError::new("ask who made the publication", error);
    Ok(client.query_one(sql, &[&name, &MARK]).await.map_err(failed)?.get(0))
}

/// Returns true when the role owns every table and may make publications, so that it can look after this one by itself.
async fn may_own(
    client: &Client,
    here: &Here,
    source: &SourceWish,
    tables: &[TableName],
) -> Result<bool, PublicationError> {
    if source.group.is_some() {
        return Ok(true);
    }
    let sql = "SELECT pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CREATE') \
               AND NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) AS w (schema, name) \
                   JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema \
                   JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name \
                   WHERE NOT pg_catalog.pg_has_role(r.oid, c.relowner, 'usage')) \
               FROM pg_catalog.pg_roles r WHERE r.rolname = $1";
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let failed = |error| QueryError::new("ask who owns the tables", error);
    let row = client.query_opt(sql, &[&here.role, &schemas, &names]).await.map_err(failed)?;
    Ok(row.is_some_and(|row| row.get(0)))
}
