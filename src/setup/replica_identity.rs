//! Tables from which an UPDATE or DELETE could not be published: listed, with what to do, and mended on request.
//!
//! FULL writes the whole old row into the log with every change, so a key is better, and FULL is set only when it was
//! asked for.

use tokio_postgres::Client;

use super::item::{Item, Severity, Statement};
use super::wish::{IdentityWish, Job, Scope, SourceWish};
use crate::change::ReplicaIdentity;
use crate::postgres::catalog::{OWN_SCHEMAS, Persistence, Table, TableKind, TableName, is_system_schema};
use crate::postgres::publication::{Reason, Refused, Wanted, judge};
use crate::postgres::{QueryError, quote_literal};

/// Returns true when a replica identity would mend it.
pub fn is_about_identity(reason: &Reason) -> bool {
    match reason {
        Reason::NoIdentity { .. }
        | Reason::KeyNotUsable { .. }
        | Reason::IdentityNothing
        | Reason::IdentityIndexGone
        | Reason::GeneratedKey { .. } => true,
        Reason::Partition { reason, .. } => is_about_identity(reason),
        _ => false,
    }
}

/// Returns what to do about the replica identities of `tables`, and changes them there as if it were done.
///
/// # Errors
/// [`QueryError`].
pub async fn items(
    client: &Client,
    job: &Job,
    source: &SourceWish,
    tables: &mut [Table],
) -> Result<Vec<Item>, QueryError> {
    let mut items = Vec::new();
    let mut full: Vec<TableName> = Vec::new();
    let refused = lacking(source, tables);
    for refused in &refused {
        let place = format!("{}, table {}", job.place, refused.table);
        let named = source.add.contains(&root_of(tables, &refused.table));
        if source.identity == IdentityWish::Leave && !named {
            let why = "a published table without one refuses every UPDATE and DELETE, so it is not published";
            let item = Item::amiss(Severity::Warning, "replica-identity", place, refused.to_string(), why);
            let mut steps: Vec<String> = refused.mend().into_iter().collect();
            steps.push("or let setup do it, with --replica-identity keyless".to_owned());
            items.push(steps.into_iter().fold(item, Item::step));
        } else {
            full.push(refused.table.clone());
        }
    }
    let mut takes_all = |table: &Table| {
        let root = table.partition_root.as_ref().map_or(&table.name, |(_, root)| root);
        let meant = source.identity == IdentityWish::Full && source.takes(root) || source.add.contains(root);
        if meant && is_fit(table) && table.identity != ReplicaIdentity::Full && !full.contains(&table.name) {
            full.push(table.name.clone());
        }
    };
    tables.iter().for_each(&mut takes_all);
    full.sort();
    // A procedure for whole schemas, where there is one; the tables that it leaves out are done one by one.
    let mut called = Vec::new();
    if !full.is_empty() && has_procedure(client).await? && !matches!(source.scope, Scope::Listed(_)) {
        let mode = if source.identity == IdentityWish::Full { "full" } else { "keyless" };
        let by_procedure = |name: &&TableName| {
            let reason = refused.iter().find(|refused| refused.table == **name).map(|refused| &refused.reason);
            mode == "full"
                || matches!(
                    reason,
                    Some(Reason::NoIdentity { .. } | Reason::IdentityNothing | Reason::IdentityIndexGone)
                )
        };
        called = full.iter().filter(by_procedure).cloned().collect();
        let mut schemas: Vec<&str> = called.iter().map(|table| table.schema.as_str()).collect();
        schemas.dedup();
        if !schemas.is_empty() && source.identity != IdentityWish::Leave {
            let array = schemas.iter().map(|schema| quote_literal(schema)).collect::<Vec<_>>().join(", ");
            let call = format!("CALL pelton.set_replica_identity('{mode}', ARRAY[{array}]::text[])");
            let shown = called.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let why = "UPDATE and DELETE of a published table have to tell which row they mean";
            let what = format!("no replica identity that tells rows apart: {shown}");
            let statement = Statement::new(format!("REPLICA IDENTITY FULL for {shown}"), call).by_admin();
            items.push(Item::amiss(Severity::Warning, "replica-identity", &job.place, what, why).sql(statement));
        } else {
            called.clear();
        }
    }
    for name in full.iter().filter(|name| !called.contains(name)) {
        let place = format!("{}, table {name}", job.place);
        let alter = format!("ALTER TABLE ONLY {} REPLICA IDENTITY FULL", name.quoted());
        let statement = Statement::new(format!("REPLICA IDENTITY FULL for {name}"), alter).by_admin();
        let why = "UPDATE and DELETE of a published table have to tell which row they mean";
        items.push(
            Item::amiss(Severity::Warning, "replica-identity", place, "has no REPLICA IDENTITY FULL", why)
                .sql(statement),
        );
    }
    for table in tables.iter_mut().filter(|table| full.contains(&table.name)) {
        table.identity = ReplicaIdentity::Full;
    }
    for table in tables.iter_mut() {
        let root = table.partition_root.as_ref().map_or(&table.name, |(_, root)| root);
        if source.drop.contains(root) && table.identity == ReplicaIdentity::Full {
            let place = format!("{}, table {}", job.place, table.name);
            let alter = format!("ALTER TABLE ONLY {} REPLICA IDENTITY DEFAULT", table.name.quoted());
            let statement = Statement::new(format!("REPLICA IDENTITY DEFAULT for {}", table.name), alter).by_admin();
            let why = "it is no longer published, and FULL makes its UPDATEs and DELETEs larger";
            items.push(
                Item::amiss(Severity::Warning, "replica-identity", place, "has REPLICA IDENTITY FULL", why)
                    .sql(statement),
            );
            table.identity = ReplicaIdentity::Default;
        }
    }
    if items.is_empty() {
        items.push(Item::right(
            "replica-identity",
            &job.place,
            "every table that is to be published tells its rows apart",
        ));
    }
    Ok(items)
}

/// Returns true for the tables that a publication can have, their identity aside.
pub fn is_fit(table: &Table) -> bool {
    matches!(table.kind, TableKind::Ordinary | TableKind::Partitioned)
        && table.persistence == Persistence::Permanent
        && !is_system_schema(&table.name.schema)
        && !OWN_SCHEMAS.contains(&table.name.schema.as_str())
}

/// Returns the tables, partitions among them, that lack an identity.
fn lacking(source: &SourceWish, tables: &[Table]) -> Vec<Refused> {
    let mut lacking = Vec::new();
    for table in tables {
        let root = table.partition_root.as_ref().map_or(&table.name, |(_, root)| root);
        if !source.takes(root) {
            continue;
        }
        let refused = match &table.partition_root {
            None => judge(tables, &Wanted::Listed(vec![table.name.clone()])).refused,
            // Judged by itself: its table would name the first of them alone.
            Some(_) => {
                let alone = Table { partition_root: None, ..table.clone() };
                judge(std::slice::from_ref(&alone), &Wanted::Listed(vec![table.name.clone()])).refused
            }
        };
        let own = |refused: &Refused| {
            is_about_identity(&refused.reason) && !matches!(refused.reason, Reason::Partition { .. })
        };
        lacking.extend(refused.into_iter().filter(own));
    }
    lacking
}

fn root_of(tables: &[Table], name: &TableName) -> TableName {
    let table = tables.iter().find(|table| table.name == *name);
    let root = table.and_then(|table| table.partition_root.as_ref());
    root.map_or_else(|| name.clone(), |(_, root)| root.clone())
}

async fn has_procedure(client: &Client) -> Result<bool, QueryError> {
    let sql = "SELECT pg_catalog.to_regprocedure('pelton.set_replica_identity(text, text[])') IS NOT NULL";
    let failed = |error| QueryError::new("look for the procedures of schema pelton", error);
    Ok(client.query_one(sql, &[]).await.map_err(failed)?.get(0))
}
