//! Which table a public schema's events become changes of, and whether it has what transforms read.

use std::str::FromStr;
use std::sync::Arc;

use crate::change::{Column, PublicSchema, Relation, ReplicaIdentity};
use crate::cli::report::Failure;
use crate::manifest::nearest;
use crate::wasm::Descriptor;

/// `PUBLIC_SCHEMA=SCHEMA.TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct As {
    pub public_schema: String,
    pub schema: String,
    pub table: String,
}

impl FromStr for As {
    type Err = String;

    fn from_str(text: &str) -> Result<As, String> {
        let parts = text.split_once('=').filter(|(public, table)| !public.is_empty() && !table.is_empty());
        let Some((public_schema, table)) = parts else {
            return Err("write PUBLIC_SCHEMA=SCHEMA.TABLE, as orders=public.orders".to_owned());
        };
        let (schema, table) = table.split_once('.').unwrap_or(("public", table));
        Ok(As { public_schema: public_schema.to_owned(), schema: schema.to_owned(), table: table.to_owned() })
    }
}

/// A stream of an event store, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Published {
    pub id: i32,
    /// `shop/orders@1`
    pub name: String,
    /// As the newest of its events have it.
    pub public: PublicSchema,
}

impl Published {
    /// Tells whether that is a name of it: `orders`, `orders@1`, or `shop/orders@1`.
    pub fn is_called(&self, name: &str) -> bool {
        let PublicSchema { name: own, major, .. } = &self.public;
        name == &**own || name == format!("{own}@{major}") || name == self.name
    }
}

/// What is replayed as what.
#[derive(Debug)]
pub struct Tables {
    /// Each stream with its table, in their order.
    pub tables: Vec<(Published, Arc<Relation>)>,
    /// What is good to know: what is left out, and what nothing comes of.
    pub notes: Vec<String>,
}

/// Finds a table for every stream. `chosen` says that the user named the streams: then none is left out.
///
/// # Errors
/// All that speaks against it: what has no table, tables of two streams, and columns that are not there.
pub fn tables(
    streams: Vec<Published>,
    chosen: bool,
    as_tables: &[As],
    transforms: &[Descriptor],
) -> Result<Tables, Failure> {
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for subscription in transforms.iter().flat_map(|descriptor| &descriptor.subscriptions) {
        let table = (subscription.schema.as_str(), subscription.table.as_str());
        if subscription.schema != Relation::MESSAGE_SCHEMA && !wanted.contains(&table) {
            wanted.push(table);
        }
    }
    let shown = |(schema, table): (&str, &str)| format!("{schema}.{table}");
    let list = || wanted.iter().map(|table| shown(*table)).collect::<Vec<_>>().join(", ");
    let (mut lines, mut notes) = (Vec::new(), Vec::new());
    for one in as_tables {
        let table = shown((&one.schema, &one.table));
        if !wanted.contains(&(&one.schema, &one.table)) {
            let names: Vec<String> = wanted.iter().map(|table| shown(*table)).collect();
            lines.push(match nearest(&table, names.iter().map(String::as_str)) {
                Some(near) => format!("--as names table {table}, which nobody reads; did you mean `{near}`?"),
                None => format!("--as names table {table}, which nobody reads; these are read: {}", list()),
            });
        }
        if !streams.iter().any(|stream| stream.is_called(&one.public_schema)) {
            let names: Vec<&str> = streams.iter().map(|stream| &*stream.public.name).collect();
            let near = nearest(&one.public_schema, names.iter().copied());
            let near = near.map_or(format!("there are {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
            lines.push(format!(
                "--as names public schema `{}`, which is not among the events; {near}",
                one.public_schema
            ));
        }
    }
    let mut tables: Vec<(Published, Arc<Relation>)> = Vec::new();
    for stream in streams {
        let said = as_tables.iter().find(|one| stream.is_called(&one.public_schema));
        let named: Vec<(&str, &str)> =
            wanted.iter().copied().filter(|(_, table)| *table == &*stream.public.name).collect();
        let table = match (said, &named[..]) {
            (Some(said), _) => (said.schema.as_str(), said.table.as_str()),
            (None, [one]) => *one,
            (None, []) if chosen => {
                let near = nearest(&stream.public.name, wanted.iter().map(|(_, table)| *table));
                let near = near.unwrap_or(wanted.first().map_or("TABLE", |(_, table)| table));
                lines.push(format!(
                    "no table `{}` is read; say which one {} is, as --as {}={near}; these are read: {}",
                    stream.public.name,
                    stream.name,
                    stream.public.name,
                    list()
                ));
                continue;
            }
            (None, []) => {
                notes.push(format!("{} is left out: no table of that name is read", stream.name));
                continue;
            }
            (None, several) => {
                let several: Vec<String> = several.iter().map(|table| shown(*table)).collect();
                lines.push(format!(
                    "{} may be {}; say which, as --as {}={}",
                    stream.name,
                    several.join(" or "),
                    stream.public.name,
                    several[0]
                ));
                continue;
            }
        };
        if let Some((other, _)) = tables.iter().find(|(_, known)| (&*known.schema, &*known.name) == table) {
            lines.push(format!(
                "{} and {} would both be {}; choose one with --schema, or say with --as what the other is",
                other.name,
                stream.name,
                shown(table)
            ));
            continue;
        }
        let relation = Arc::new(relation(&stream, table));
        lines.extend(transforms.iter().flat_map(|descriptor| lacking(descriptor, &stream, &relation)));
        tables.push((stream, relation));
    }
    if lines.is_empty() && tables.is_empty() {
        lines.push(format!("no public schema there has the name of a table that is read: {}", list()));
        lines.append(&mut notes);
    }
    if !lines.is_empty() {
        let hint =
            "--as PUBLIC_SCHEMA=SCHEMA.TABLE says which table a public schema is, and --schema leaves others out";
        return Err(Failure::new(format!("the events do not fit: {}", lines.join("; ")), Some(hint.to_owned())));
    }
    for table in wanted {
        if !tables.iter().any(|(_, known)| (&*known.schema, &*known.name) == table) {
            notes.push(format!("nothing comes of table {}: no public schema is replayed as it", shown(table)));
        }
    }
    Ok(Tables { tables, notes })
}

/// Returns the columns that a transform reads and events lack, each with the nearest that there is.
fn lacking(descriptor: &Descriptor, stream: &Published, relation: &Relation) -> Vec<String> {
    let of_table =
        |wanted: &&crate::wasm::Subscription| *wanted.schema == *relation.schema && *wanted.table == *relation.name;
    let columns = descriptor.subscriptions.iter().filter(of_table).flat_map(|wanted| &wanted.columns);
    let missing = columns.filter(|name| relation.column(name).is_none());
    let said = missing.map(|name| {
        let near = nearest(name, relation.columns.iter().map(|column| &*column.name));
        let near = near.map_or(String::new(), |near| format!("; it has `{near}`"));
        format!(
            "`{}` reads column `{name}` of {}, which {} does not have{near}",
            descriptor.name,
            relation.display_name(),
            stream.name
        )
    });
    said.collect()
}

/// Returns a public schema as a table: its key is the replica identity, and without a key it is the whole row, as its events
/// have it.
fn relation(stream: &Published, (schema, table): (&str, &str)) -> Relation {
    let has_key = !stream.public.key().is_empty();
    let column =
        |column: &Column| Column { type_oid: column.kind.oid(), key: column.key || !has_key, ..column.clone() };
    Relation {
        oid: stream.id as u32,
        schema: schema.into(),
        name: table.into(),
        identity: if has_key { ReplicaIdentity::Default } else { ReplicaIdentity::Full },
        columns: stream.public.columns.iter().map(column).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Kind;
    use crate::wasm::{Encoding, Subscription};

    /// A stream `shop/NAME@MAJOR` of `id` and `customer`.
    fn stream(id: i32, name: &str, major: u32) -> Published {
        let column = |name: &str, key: bool| Column {
            name: name.into(),
            kind: Kind::Int64,
            type_oid: 0,
            type_modifier: -1,
            nullable: !key,
            key,
            attrs: Vec::new(),
        };
        let columns = vec![column("id", true), column("customer", false)];
        let public = PublicSchema { name: name.into(), major, minor: 0, columns, attrs: Vec::new() };
        Published { id, name: format!("shop/{name}@{major}"), public }
    }

    fn transform(reads: &[(&str, &str, &[&str])]) -> Descriptor {
        let subscription = |(schema, table, columns): &(&str, &str, &[&str])| Subscription {
            schema: (*schema).to_owned(),
            table: (*table).to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            ops: Vec::new(),
            attrs: Vec::new(),
        };
        Descriptor {
            name: "orders".to_owned(),
            version: "1".to_owned(),
            encoding: Encoding::Json,
            subscriptions: reads.iter().map(subscription).collect(),
            public_schemas: Vec::new(),
            settings: Vec::new(),
            parallel: false,
            whole_transactions: false,
            stateful: false,
            state_version: 0,
            attrs: Vec::new(),
        }
    }

    /// What is replayed as what, with the notes; or what speaks against it.
    fn found(streams: &[(&str, u32)], chosen: bool, as_tables: &[&str], reads: &[(&str, &str, &[&str])]) -> String {
        let streams = streams.iter().enumerate().map(|(i, (name, major))| stream(i as i32, name, *major)).collect();
        let as_tables: Vec<As> = as_tables.iter().map(|text| text.parse().unwrap()).collect();
        match tables(streams, chosen, &as_tables, &[transform(reads)]) {
            Ok(found) => {
                let pairs =
                    found.tables.iter().map(|(stream, table)| format!("{}={}", stream.name, table.display_name()));
                pairs.chain(found.notes).collect::<Vec<_>>().join("; ")
            }
            Err(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn a_public_schema_is_the_table_of_its_name_unless_it_is_said_otherwise() {
        let reads: &[(&str, &str, &[&str])] = &[("public", "orders", &["id"]), ("pg_logical_message", "note", &[])];
        assert_eq!(found(&[("orders", 1)], false, &[], reads), "shop/orders@1=public.orders");
        assert_eq!(
            found(&[("orders", 1), ("notes", 1)], false, &[], reads),
            "shop/orders@1=public.orders; shop/notes@1 is left out: no table of that name is read"
        );
        assert_eq!(found(&[("sales", 2)], true, &["sales@2=orders"], reads), "shop/sales@2=public.orders");
        let reads: &[(&str, &str, &[&str])] = &[("public", "orders", &[]), ("public", "people", &[])];
        let told = found(&[("orders", 1)], false, &[], reads);
        assert!(told.ends_with("; nothing comes of table public.people: no public schema is replayed as it"), "{told}");
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_is_near() {
        let reads: &[(&str, &str, &[&str])] = &[("public", "orders", &["custmer", "id"])];
        let told = found(&[("orders", 1)], false, &[], reads);
        assert!(
            told.contains(
                "`orders` reads column `custmer` of public.orders, which shop/orders@1 does not have; it has `customer`"
            ),
            "{told}"
        );
        let told = found(&[("order", 1)], true, &[], reads);
        assert!(
            told.contains("no table `order` is read; say which one shop/order@1 is, as --as order=orders"),
            "{told}"
        );
        let told = found(&[("people", 1)], false, &[], reads);
        assert!(told.contains("no public schema there has the name of a table that is read: public.orders"), "{told}");
        let told = found(&[("orders", 1), ("orders", 2)], false, &[], reads);
        assert!(told.contains("shop/orders@1 and shop/orders@2 would both be public.orders"), "{told}");
        let told = found(&[("orders", 1)], false, &["order=public.order"], reads);
        assert!(
            told.contains("--as names table public.order, which nobody reads; did you mean `public.orders`?"),
            "{told}"
        );
        assert!(
            told.contains("--as names public schema `order`, which is not among the events; did you mean `orders`?"),
            "{told}"
        );
        let told = found(&[("t", 1)], false, &[], &[("a", "t", &[]), ("b", "t", &[])]);
        assert!(told.contains("shop/t@1 may be a.t or b.t; say which, as --as t=a.t"), "{told}");
    }
}
