//! Tables: whether they can be published, and whether the stream tells their rows apart.

use crate::change::ReplicaIdentity;
use crate::postgres::catalog::{Generated, Table, TableKind, TableName};
use crate::postgres::publication::{Reason, Refused, Wanted, judge};
use crate::postgres::quote_ident;
use crate::setup::facts::SourceFacts;
use crate::setup::target::{Read, SourceTarget, Target};
use crate::setup::{Item, Severity, Statement};

pub fn rules(target: &Target, wanted: &SourceTarget, source: &SourceFacts) -> Vec<Item> {
    let plan = wanted.judge(&source.tables);
    let mut refused = plan.refused;
    // What somebody else published fails today, wanted or not.
    if let Some(publication) = source.publication.as_ref().filter(|found| found.update || found.delete) {
        let published = publication.tables.iter().map(|table| table.name.clone()).collect();
        let published = judge(&source.tables, &Wanted::Listed(published));
        let dropped = |refused: &Refused| wanted.asked.drop.contains(&refused.table);
        refused.extend(published.refused.into_iter().filter(|one| is_identity(one) && !dropped(one)));
    }
    refused.sort_by(|a, b| a.table.cmp(&b.table));
    refused.dedup();
    let mut items: Vec<Item> = Vec::new();
    for refused in &refused {
        for blamed in to_blame(refused, &source.tables) {
            let item = refusal(target, wanted, source, &refused.table, &blamed);
            // A partition is refused as itself and with its table.
            if !items.contains(&item) {
                items.push(item);
            }
        }
    }
    for name in &plan.publish {
        let Some(table) = source.table(name) else { continue };
        items.push(identity(target, table));
        items.extend(inherited(target, source, name));
    }
    items.extend(wanted.reads.iter().filter_map(|read| generated(target, source, read)));
    items
}

/// A table with partitions is refused for the first thing that is wrong; what is wrong with any of them is to be mended.
fn to_blame(refused: &Refused, tables: &[Table]) -> Vec<Refused> {
    let own = Some(refused).filter(|refused| !matches!(refused.reason, Reason::Partition { .. }));
    let leaves = tables.iter().filter(|table| {
        table.kind != TableKind::Partitioned
            && table.partition_root.as_ref().is_some_and(|(_, root)| *root == refused.table)
    });
    let of_leaves = leaves.flat_map(|leaf| {
        let alone = Table { partition_root: None, ..leaf.clone() };
        judge(&[alone], &Wanted::Listed(vec![leaf.name.clone()])).refused
    });
    own.cloned().into_iter().chain(of_leaves).collect()
}

fn is_identity(refused: &Refused) -> bool {
    refused.reason.is_identity()
}

/// Says why `named`, or a partition of it, can't be published.
fn refusal(target: &Target, wanted: &SourceTarget, source: &SourceFacts, named: &TableName, refused: &Refused) -> Item {
    let table = &refused.table;
    let place = target.within(format_args!("table {table}"));
    // Of what is asked for by hand, all that is named is wanted.
    let is_read = match wanted.reads.is_empty() {
        true => wanted.named().contains(named),
        false => wanted.read(named).is_some(),
    };
    let is_published = source.publication.as_ref().is_some_and(|publication| publication.covers(named));
    let fails = is_published && is_identity(refused);
    let severity = if is_read || fails { Severity::Error } else { Severity::Warning };
    let why = match (fails, is_read) {
        (true, _) => "it is published, so the server refuses every UPDATE and DELETE of it: the application fails",
        (false, true) => "it is wanted, and can't be published",
        (false, false) => "it can't be published, so nothing of it comes",
    };
    let rule = match &refused.reason {
        _ if is_identity(refused) => "replica-identity",
        Reason::DoesNotExist => "table-missing",
        Reason::Unlogged => "table-unlogged",
        _ => "table-kind",
    };
    let item = Item::amiss(severity, rule, place, refused.to_string(), why);
    let alter = |comment: &str, what: &str| {
        Statement::new(comment, format!("ALTER TABLE {} {what}", table.quoted())).by_admin()
    };
    let full = || alter("puts the whole old row into the log, which tells which one it was", "REPLICA IDENTITY FULL");
    let has_key = source.table(table).and_then(Table::primary_key).is_some_and(|key| key.usable);
    let item = match &refused.reason {
        Reason::NoIdentity { candidate: Some(index) } => item.sql(alter(
            "tells rows apart by a unique index",
            &format!("REPLICA IDENTITY USING INDEX {}", quote_ident(index)),
        )),
        Reason::NoIdentity { candidate: None } => {
            item.sql(full()).step(format!("better, where the rows have one: ALTER TABLE {table} ADD PRIMARY KEY (…)"))
        }
        Reason::IdentityNothing | Reason::IdentityIndexGone if has_key => {
            item.sql(alter("tells rows apart by the primary key", "REPLICA IDENTITY DEFAULT"))
        }
        Reason::IdentityNothing
        | Reason::IdentityIndexGone
        | Reason::KeyNotUsable { .. }
        | Reason::GeneratedKey { .. } => item.sql(full()),
        // It writes the whole table anew, while nobody may use it.
        Reason::Unlogged => item.sql(alter("writes the table's changes into the log", "SET LOGGED").by_person()),
        _ => match refused.mend() {
            Some(mend) => item.step(mend),
            None => item,
        },
    };
    match is_identity(refused) && !wanted.asked.gives_identity() {
        true => item.by_person("or let setup do it, with --replica-identity keyless"),
        false => item,
    }
}

/// What tells rows apart, and what it costs.
fn identity(target: &Target, table: &Table) -> Item {
    let place = target.within(format_args!("table {}", table.name));
    if table.row_key().is_some() {
        return Item::right("replica-identity", place, "the stream tells its rows apart");
    }
    let why = "every UPDATE and DELETE carries the whole old row, and is applied by comparing all columns; a copy of the \
               table can't go on where it stopped";
    let what = "it has no usable key, and REPLICA IDENTITY FULL";
    match table.identity {
        ReplicaIdentity::Full => Item::amiss(Severity::Advice, "table-without-key", place, what, why)
            .step(format!("where the rows have one: ALTER TABLE {} ADD PRIMARY KEY (…)", table.name)),
        _ => Item::right("replica-identity", place, "the stream tells its rows apart"),
    }
}

/// A table is published alone: what inherits from it is not, though a SELECT of it shows its rows too.
fn inherited(target: &Target, source: &SourceFacts, name: &TableName) -> Option<Item> {
    let children = &source.rights(name)?.children;
    if children.is_empty() {
        return None;
    }
    let names: Vec<String> = children.iter().map(ToString::to_string).collect();
    let published = |child: &TableName| source.publication.as_ref().is_some_and(|found| found.covers(child));
    let place = target.within(format_args!("table {name}"));
    if children.iter().all(published) {
        let what = format!("{} inherit from it and are published themselves", names.join(", "));
        return Some(Item::right("table-inherited", place, what));
    }
    let what = format!("{} inherit from it", names.join(", "));
    let why = "rows of theirs, which a SELECT of this table shows too, don't come with it";
    Some(
        Item::amiss(Severity::Warning, "table-inherited", place, what, why).step(format!(
            "list them at the source, and publish each by a public schema of its own: {}",
            names.join(", ")
        )),
    )
}

/// Generated columns are not in the stream.
fn generated(target: &Target, source: &SourceFacts, read: &Read) -> Option<Item> {
    const RULE: &str = "generated-column";
    let table = source.table(&read.table)?;
    if !matches!(table.kind, TableKind::Ordinary | TableKind::Partitioned) {
        return None;
    }
    let generated = table.columns.iter().filter(|column| column.generated != Generated::No);
    let names: Vec<&str> = generated.map(|column| column.name.as_str()).collect();
    let needed: Vec<&str> = names.iter().copied().filter(|name| read.columns.iter().any(|one| one == name)).collect();
    let place = target.within(format_args!("table {}", read.table));
    match (names.is_empty(), needed.is_empty()) {
        (true, _) => None,
        (false, true) => {
            let what =
                format!("generated columns ({}) are not in the stream, and no flow asks for them", names.join(", "));
            Some(Item::right(RULE, place, what))
        }
        (false, false) => {
            let what = format!("generated columns ({}) are not in the stream", needed.join(", "));
            let why = format!("flows {} need them", read.flows.join(", "));
            Some(
                Item::amiss(Severity::Error, RULE, place, what, why)
                    .step("leave them out of `columns`; generate them at the destination too, or in a transform"),
            )
        }
    }
}
