//! REPLICA IDENTITY FULL for tables that could do without, and DEFAULT for those that are no longer published: what
//! somebody asks of setup.
//!
//! FULL writes the whole old row into the log with every change, so a key is better. Tables that need an identity get one
//! by the rule of `rules/tables.rs`.

use super::facts::SourceFacts;
use super::item::{Item, Severity, Statement};
use super::target::{SourceTarget, Target};
use super::wish::IdentityWish;
use crate::change::ReplicaIdentity;
use crate::postgres::catalog::{OWN_SCHEMAS, Persistence, Table, TableKind, is_system_schema};

const RULE: &str = "replica-identity";

/// Returns what is asked for, and changes `source` as if it were done: a script is written from that.
pub fn items(target: &Target, wanted: &SourceTarget, source: &mut SourceFacts) -> Vec<Item> {
    let asked = &wanted.asked;
    let mut items = Vec::new();
    for table in source.tables.iter_mut().filter(|table| is_fit(table)) {
        let root = table.partition_root.as_ref().map_or(&table.name, |(_, root)| root);
        let all = asked.identity == IdentityWish::Full && wanted.takes(root);
        let (identity, why) = if all || asked.add.contains(root) {
            (ReplicaIdentity::Full, "UPDATE and DELETE of a published table have to tell which row they mean")
        } else if asked.drop.contains(root) && table.identity == ReplicaIdentity::Full {
            (ReplicaIdentity::Default, "it is no longer published, and FULL makes its UPDATEs and DELETEs larger")
        } else {
            continue;
        };
        if table.identity == identity {
            continue;
        }
        table.identity = identity;
        let word = if identity == ReplicaIdentity::Full { "FULL" } else { "DEFAULT" };
        let alter = format!("ALTER TABLE {} REPLICA IDENTITY {word}", table.name.quoted());
        let statement = Statement::new(format!("REPLICA IDENTITY {word} for {}", table.name), alter).by_admin();
        let place = target.within(format_args!("table {}", table.name));
        let what = format!("it has no REPLICA IDENTITY {word}");
        items.push(Item::amiss(Severity::Warning, RULE, place, what, why).sql(statement));
    }
    items
}

/// Returns true for the tables that a publication can have, their identity aside.
fn is_fit(table: &Table) -> bool {
    matches!(table.kind, TableKind::Ordinary | TableKind::Partitioned)
        && table.persistence == Persistence::Permanent
        && !is_system_schema(&table.name.schema)
        && !OWN_SCHEMAS.contains(&table.name.schema.as_str())
}
