//! Which tables may be published without breaking anything at the source.
//!
//! Pure: from tables to a plan. What counts is that UPDATE and DELETE go on working, and that the stream tells which
//! row they touched. A partitioned table is as good as the worst of its partitions, for it is a partition that
//! refuses an UPDATE; the replica identity is not inherited.

use std::fmt;

use crate::change::ReplicaIdentity;
use crate::postgres::catalog::{Generated, OWN_SCHEMAS, Persistence, Table, TableKind, TableName, is_system_schema};
use crate::postgres::publication::Wanted;
use crate::postgres::quote::ident_for_people;

/// Why a table is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    DoesNotExist,
    /// No primary key, or none that identifies rows at every moment; `candidate` is a unique index that would do.
    NoIdentity {
        candidate: Option<String>,
    },
    /// The primary key, or the chosen index, is deferrable, invalid or over columns that may be NULL.
    KeyNotUsable {
        index: String,
    },
    /// `REPLICA IDENTITY NOTHING`.
    IdentityNothing,
    /// The index that `REPLICA IDENTITY USING INDEX` named is gone.
    IdentityIndexGone,
    /// The key has a generated column, which a publication leaves out.
    GeneratedKey {
        column: String,
    },
    /// A partition that refuses updates, or has another identity than its table.
    Partition {
        partition: TableName,
        reason: Box<Reason>,
    },
    Unlogged,
    Temporary,
    View,
    Foreign,
    /// A sequence or the like.
    NotATable,
    System,
    /// One of our own schemas: what is written there would come back.
    Ours,
}

impl Reason {
    /// Returns true when a replica identity would mend it.
    pub fn is_identity(&self) -> bool {
        match self {
            Reason::NoIdentity { .. }
            | Reason::KeyNotUsable { .. }
            | Reason::IdentityNothing
            | Reason::IdentityIndexGone
            | Reason::GeneratedKey { .. } => true,
            Reason::Partition { reason, .. } => reason.is_identity(),
            _ => false,
        }
    }
}

/// A table that is not published, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub table: TableName,
    pub reason: Reason,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match &self.reason {
            Reason::DoesNotExist => write!(f, "table {table} does not exist"),
            Reason::NoIdentity { .. } => {
                write!(
                    f,
                    "table {table} has no primary key and no replica identity: once published, it would refuse \
                           every UPDATE and DELETE"
                )
            }
            Reason::KeyNotUsable { index } => write!(
                f,
                "table {table} can't be identified by its index {}, which is deferrable, invalid, or over columns that \
                 may be NULL",
                ident_for_people(index)
            ),
            Reason::IdentityNothing => write!(f, "table {table} has REPLICA IDENTITY NOTHING"),
            Reason::IdentityIndexGone => write!(f, "the index of the replica identity of table {table} is gone"),
            Reason::GeneratedKey { column } => {
                write!(
                    f,
                    "the key of table {table} has the generated column {}, which is not published",
                    ident_for_people(column)
                )
            }
            Reason::Partition { partition, reason } => {
                let of = Refused { table: partition.clone(), reason: (**reason).clone() };
                write!(f, "table {table} has a partition that can't be published: {of}")
            }
            Reason::Unlogged => write!(f, "table {table} is unlogged: its changes are not in the write-ahead log"),
            Reason::Temporary => write!(f, "table {table} is temporary: its changes are not in the write-ahead log"),
            Reason::View => write!(f, "{table} is a view, which has no changes of its own"),
            Reason::Foreign => write!(f, "table {table} is a foreign table, which has its changes elsewhere"),
            Reason::NotATable => write!(f, "{table} is no table"),
            Reason::System => write!(f, "table {table} belongs to Postgres itself"),
            Reason::Ours => write!(f, "table {table} is in a schema of Pelton's own"),
        }
    }
}

impl Refused {
    /// Returns the statement that makes the table fit, or what to do instead.
    pub fn mend(&self) -> Option<String> {
        let table = &self.table;
        let full = format!("ALTER TABLE {table} REPLICA IDENTITY FULL");
        Some(match &self.reason {
            Reason::NoIdentity { candidate: Some(index) } => {
                format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {}", ident_for_people(index))
            }
            Reason::NoIdentity { candidate: None } => format!("ALTER TABLE {table} ADD PRIMARY KEY (…), or {full}"),
            Reason::IdentityNothing | Reason::IdentityIndexGone => {
                format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT if it has a primary key, or {full}")
            }
            Reason::KeyNotUsable { .. } | Reason::GeneratedKey { .. } => full,
            Reason::Partition { partition, reason } => {
                return Refused { table: partition.clone(), reason: (**reason).clone() }.mend();
            }
            Reason::Unlogged => format!("ALTER TABLE {table} SET LOGGED"),
            Reason::View => "name the tables that it reads from".to_owned(),
            Reason::Foreign => "make the database that holds it a source".to_owned(),
            Reason::DoesNotExist => "check the name, schema included, or take it out of the manifest".to_owned(),
            Reason::Temporary | Reason::NotATable | Reason::System | Reason::Ours => {
                "take it out of the manifest".to_owned()
            }
        })
    }
}

/// What to publish and what not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub publish: Vec<TableName>,
    /// With `Wanted::All` only those that a user would miss.
    pub refused: Vec<Refused>,
}

/// Judges the wanted tables; `tables` holds them and, of partitioned ones, their partitions.
pub fn judge(tables: &[Table], wanted: &Wanted) -> Plan {
    let mut plan = Plan::default();
    let mut decide = |table: &Table| match reason(table, tables) {
        None => plan.publish.push(table.name.clone()),
        Some(reason) => plan.refused.push(Refused { table: table.name.clone(), reason }),
    };
    match wanted {
        Wanted::All => {
            // Partitions come with their table. What lies outside by nature is nothing to report.
            let meant = |table: &&Table| {
                table.partition_root.is_none()
                    && matches!(table.kind, TableKind::Ordinary | TableKind::Partitioned)
                    && table.persistence != Persistence::Temporary
                    && !is_system_schema(&table.name.schema)
                    && !OWN_SCHEMAS.contains(&table.name.schema.as_str())
            };
            tables.iter().filter(meant).for_each(decide);
        }
        Wanted::Listed(names) => {
            let mut absent = Vec::new();
            for name in names {
                match tables.iter().find(|table| table.name == *name) {
                    Some(table) => decide(table),
                    None => absent.push(Refused { table: name.clone(), reason: Reason::DoesNotExist }),
                }
            }
            plan.refused.extend(absent);
        }
    }
    plan.publish.sort();
    plan.publish.dedup();
    plan
}

/// Finds the tables that refuse updates once published.
pub(super) fn without_identity(tables: &[Table]) -> Vec<Refused> {
    let writable = tables.iter().filter(|table| table.kind == TableKind::Ordinary);
    let bad = writable.filter_map(|table| Some(Refused { reason: identity_reason(table)?, table: table.name.clone() }));
    bad.collect()
}

fn reason(table: &Table, tables: &[Table]) -> Option<Reason> {
    if is_system_schema(&table.name.schema) {
        return Some(Reason::System);
    }
    if OWN_SCHEMAS.contains(&table.name.schema.as_str()) {
        return Some(Reason::Ours);
    }
    match table.persistence {
        Persistence::Permanent => {}
        Persistence::Unlogged => return Some(Reason::Unlogged),
        Persistence::Temporary => return Some(Reason::Temporary),
    }
    match table.kind {
        TableKind::Ordinary => identity_reason(table),
        TableKind::Partitioned => identity_reason(table).or_else(|| partition_reason(table, tables)),
        TableKind::View | TableKind::MaterializedView => Some(Reason::View),
        TableKind::Foreign => Some(Reason::Foreign),
        TableKind::Other => Some(Reason::NotATable),
    }
}

fn identity_reason(table: &Table) -> Option<Reason> {
    let key = match table.identity {
        ReplicaIdentity::Full => return None,
        ReplicaIdentity::Nothing => return Some(Reason::IdentityNothing),
        ReplicaIdentity::Default => table.keys.iter().find(|key| key.primary),
        ReplicaIdentity::Index => table.keys.iter().find(|key| key.replica_identity),
    };
    let Some(key) = key else {
        return Some(match table.identity {
            ReplicaIdentity::Index => Reason::IdentityIndexGone,
            _ => {
                let candidate = table.keys.iter().find(|key| key.usable);
                Reason::NoIdentity { candidate: candidate.map(|key| key.index.clone()) }
            }
        });
    };
    if !key.usable {
        return Some(Reason::KeyNotUsable { index: key.index.clone() });
    }
    let generated = key.columns.iter().map(|c| &table.columns[c.column]).find(|c| c.generated != Generated::No);
    generated.map(|column| Reason::GeneratedKey { column: column.name.clone() })
}

fn partition_reason(root: &Table, tables: &[Table]) -> Option<Reason> {
    let below = tables.iter().filter(|table| {
        // A partition of a partition that was named itself has the same top.
        table.kind != TableKind::Partitioned && table.partition_root.as_ref().is_some_and(|(oid, _)| *oid == root.oid)
    });
    let bad = below.filter_map(|leaf| {
        let reason = match leaf.kind {
            TableKind::Foreign => Some(Reason::Foreign),
            _ => match leaf.persistence {
                Persistence::Unlogged => Some(Reason::Unlogged),
                _ => identity_reason(leaf),
            },
        };
        Some(Reason::Partition { partition: leaf.name.clone(), reason: Box::new(reason?) })
    });
    bad.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::catalog::{Comparable, Key, KeyColumn, TableColumn, TypeKind};

    fn table(name: &str) -> Table {
        let column = TableColumn {
            name: "id".to_owned(),
            number: 1,
            type_oid: 23,
            base_oid: 23,
            type_modifier: -1,
            type_name: "integer".to_owned(),
            type_kind: TypeKind::Base,
            not_null: true,
            generated: Generated::No,
            identity: false,
            missing: None,
            comment: None,
        };
        Table {
            oid: 1,
            name: TableName::new("public", name),
            kind: TableKind::Ordinary,
            persistence: Persistence::Permanent,
            identity: ReplicaIdentity::Default,
            partition_root: None,
            row_security: false,
            comment: None,
            columns: vec![column],
            keys: Vec::new(),
        }
    }

    fn key(index: &str, primary: bool) -> Key {
        let column = KeyColumn {
            column: 0,
            descending: false,
            nulls_first: false,
            collation: None,
            default_order: true,
            comparable: Comparable::ByHost,
        };
        Key { index: index.to_owned(), primary, replica_identity: false, usable: true, columns: vec![column] }
    }

    fn check(tables: &[Table], wanted: &Wanted, expected: &str) {
        let plan = judge(tables, wanted);
        let publish = plan.publish.iter().map(|table| format!("+ {table}"));
        let refused = plan.refused.iter().map(|r| format!("- {r} | {}", r.mend().unwrap_or_default()));
        assert_eq!(publish.chain(refused).collect::<Vec<_>>().join("\n"), expected);
    }

    #[test]
    fn tables_that_would_refuse_updates_are_not_published() {
        let good = Table { keys: vec![key("a_pkey", true)], ..table("a") };
        let full = Table { identity: ReplicaIdentity::Full, ..table("f") };
        let unique = Table { keys: vec![key("u_id_key", false)], ..table("u") };
        let deferrable = Table { keys: vec![Key { usable: false, ..key("d_pkey", true) }], ..table("d") };
        check(
            &[good, full, table("bare"), unique, deferrable],
            &Wanted::All,
            "+ public.a\n\
             + public.f\n\
             - table public.bare has no primary key and no replica identity: once published, it would refuse every \
             UPDATE and DELETE | ALTER TABLE public.bare ADD PRIMARY KEY (…), or ALTER TABLE public.bare REPLICA \
             IDENTITY FULL\n\
             - table public.u has no primary key and no replica identity: once published, it would refuse every UPDATE \
             and DELETE | ALTER TABLE public.u REPLICA IDENTITY USING INDEX u_id_key\n\
             - table public.d can't be identified by its index d_pkey, which is deferrable, invalid, or over columns \
             that may be NULL | ALTER TABLE public.d REPLICA IDENTITY FULL",
        );
    }

    #[test]
    fn all_tables_are_without_our_own_and_what_is_no_table() {
        let ours = Table { name: TableName::new("pelton", "x"), ..table("x") };
        let view = Table { kind: TableKind::View, ..table("v") };
        check(&[ours.clone(), view.clone()], &Wanted::All, "");
        check(
            &[ours, view],
            &Wanted::Listed(vec![
                TableName::new("pelton", "x"),
                TableName::new("public", "v"),
                TableName::new("a", "b"),
            ]),
            "- table pelton.x is in a schema of Pelton's own | take it out of the manifest\n\
             - public.v is a view, which has no changes of its own | name the tables that it reads from\n\
             - table a.b does not exist | check the name, schema included, or take it out of the manifest",
        );
    }

    #[test]
    fn a_partitioned_table_is_as_good_as_its_worst_partition() {
        let keyed = |name| Table { keys: vec![key("pkey", true)], ..table(name) };
        let root = Table { kind: TableKind::Partitioned, oid: 7, ..keyed("root") };
        let of_root = Some((7, TableName::new("public", "root")));
        let leaf = Table { partition_root: of_root, ..keyed("leaf") };
        check(&[root.clone(), leaf.clone()], &Wanted::All, "+ public.root");
        let mute = Table { identity: ReplicaIdentity::Nothing, ..leaf };
        check(
            &[root, mute],
            &Wanted::All,
            "- table public.root has a partition that can't be published: table public.leaf has REPLICA IDENTITY \
             NOTHING | ALTER TABLE public.leaf REPLICA IDENTITY DEFAULT if it has a primary key, or ALTER TABLE \
             public.leaf REPLICA IDENTITY FULL",
        );
    }
}
