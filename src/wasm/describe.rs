//! A component's description, checked: everything behind it may rely on what stands there.

use super::bindings::types as wit;
use super::descriptor::{Descriptor, Encoding, Setting, Subscription, World};
use super::relation::kind_from_wit;
use super::text::printable;
use crate::change::{Attrs, Column, Kind, Op, PublicSchema};

/// More columns than Postgres allows a table.
const COLUMNS_MAX: usize = 1600;
/// `NAMEDATALEN - 1`
const NAME_BYTES_MAX: usize = 63;
const LIST_MAX: usize = 10_000;

/// Takes over what `describe` returned.
///
/// # Errors
/// All problems at once.
pub(super) fn checked(given: wit::Descriptor, world: World) -> Result<Descriptor, Vec<String>> {
    let mut problems = Vec::new();
    let encoding = match given.encoding {
        wit::Encoding::Msgpack => Encoding::MessagePack,
        wit::Encoding::Json => Encoding::Json,
        wit::Encoding::Typed => Encoding::Typed,
    };
    if (encoding == Encoding::Typed) != (world == World::Typed) {
        problems.push(match world {
            World::Packed => "it is of the world `transformer`, whose encoding is msgpack or json".to_owned(),
            World::Typed => "it is of the world `typed-transformer`, whose encoding is typed".to_owned(),
        });
    }
    let lists = given.subscriptions.len() + given.public_schemas.len() + given.settings.len();
    if lists > LIST_MAX {
        return Err(vec![format!(
            "it lists {lists} subscriptions, public schemas and settings; the most is {LIST_MAX}"
        )]);
    }
    if given.subscriptions.is_empty() {
        problems.push("it subscribes to no table".to_owned());
    }
    if given.public_schemas.is_empty() {
        problems.push("it has no public schema".to_owned());
    }
    let subscriptions = given.subscriptions.into_iter().map(|it| subscription(it, &mut problems)).collect();
    let public_schemas: Vec<_> = given.public_schemas.into_iter().map(|it| public_schema(it, &mut problems)).collect();
    for (i, schema) in public_schemas.iter().enumerate() {
        if public_schemas[..i].iter().any(|other| other.name == schema.name && other.major == schema.major) {
            problems.push(format!("public schema `{} {}` is described twice", quoted(&schema.name), schema.major));
        }
    }
    let mut settings: Vec<Setting> = Vec::new();
    for it in given.settings {
        if settings.iter().any(|other| other.name == it.name) {
            problems.push(format!("setting `{}` is described twice", quoted(&it.name)));
        }
        settings.push(Setting { name: it.name, required: it.required, default: it.default, doc: it.doc });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Descriptor {
        name: given.name,
        version: given.version,
        encoding,
        subscriptions,
        public_schemas,
        settings,
        parallel: given.parallel,
        whole_transactions: given.whole_transactions,
        stateful: given.stateful,
        state_version: given.state_version,
        attrs: given.attrs,
    })
}

fn subscription(given: wit::Subscription, problems: &mut Vec<String>) -> Subscription {
    // The prefix of a logical message, which stands in the table's place, may be anything.
    if given.schema.is_empty() || given.table.is_empty() {
        let (schema, table) = (quoted(&given.schema), quoted(&given.table));
        problems.push(format!("a subscription needs a schema and a table, and has `{schema}` and `{table}`"));
    }
    let op = |op| match op {
        wit::Op::Insert => Op::Insert,
        wit::Op::Update => Op::Update,
        wit::Op::Delete => Op::Delete,
        wit::Op::Truncate => Op::Truncate,
    };
    Subscription {
        schema: given.schema,
        table: given.table,
        columns: given.columns,
        ops: given.ops.into_iter().map(op).collect(),
        attrs: given.attrs,
    }
}

fn public_schema(given: wit::PublicSchema, problems: &mut Vec<String>) -> PublicSchema {
    let name = quoted(&given.name);
    if !is_name(&given.name) {
        problems.push(format!("public schema `{name}` needs a name of 1 to {NAME_BYTES_MAX} bytes"));
    }
    if given.columns.is_empty() || given.columns.len() > COLUMNS_MAX {
        let count = given.columns.len();
        problems.push(format!("public schema `{name}` has {count} columns; 1 to {COLUMNS_MAX} are possible"));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(given.columns.len().min(COLUMNS_MAX));
    for it in given.columns.into_iter().take(COLUMNS_MAX) {
        let column = quoted(&it.name);
        if !is_name(&it.name) {
            problems.push(format!("column `{column}` of `{name}` needs a name of 1 to {NAME_BYTES_MAX} bytes"));
        }
        if columns.iter().any(|other| *other.name == *it.name) {
            problems.push(format!("column `{column}` of `{name}` is described twice"));
        }
        let kind = kind_from_wit(it.kind);
        if let Kind::Array(type_name) | Kind::Other(type_name) = &kind
            && !is_type_name(type_name)
        {
            problems.push(format!("column `{column}` of `{name}` has a type that is none: `{}`", quoted(type_name)));
        }
        columns.push(Column {
            name: it.name.into(),
            kind,
            type_oid: 0,
            type_modifier: it.type_modifier,
            // A key is never NULL.
            nullable: it.nullable && !it.key,
            key: it.key,
            attrs: it.attrs as Attrs,
        });
    }
    PublicSchema { name: given.name.into(), major: given.major, minor: given.minor, columns, attrs: given.attrs }
}

fn quoted(name: &str) -> String {
    printable(name, NAME_BYTES_MAX)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0')
}

/// Returns whether this can only be a type's name where SQL has one: words, dots and quoted identifiers, numbers in
/// parentheses, and the brackets of an array.
fn is_type_name(name: &str) -> bool {
    let mut rest = name;
    let mut words = 0;
    while let Some(c) = rest.chars().next() {
        match c {
            '"' => match rest[1..].find('"') {
                Some(end) if end > 0 => {
                    rest = &rest[end + 2..];
                    words += 1;
                }
                _ => return false,
            },
            '(' => match rest.find(')') {
                Some(end) if end > 1 && rest[1..end].bytes().all(|b| b.is_ascii_digit() || b", -".contains(&b)) => {
                    rest = &rest[end + 1..];
                }
                _ => return false,
            },
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                rest = &rest[end..];
                words += 1;
            }
            ' ' | '.' if words > 0 => rest = &rest[1..],
            '[' if rest.starts_with("[]") => rest = &rest[2..],
            _ => return false,
        }
    }
    words > 0 && name.len() <= 4 * NAME_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: wit::Kind) -> wit::Column {
        let (name, attrs) = (name.into(), vec![]);
        wit::Column { name, kind, type_oid: 0, type_modifier: -1, nullable: true, key: false, attrs }
    }

    fn descriptor(columns: Vec<wit::Column>) -> wit::Descriptor {
        let attrs = vec![];
        wit::Descriptor {
            name: "orders".into(),
            version: "1".into(),
            encoding: wit::Encoding::Msgpack,
            subscriptions: vec![wit::Subscription {
                schema: "public".into(),
                table: "orders".into(),
                columns: vec![],
                ops: vec![],
                attrs: vec![],
            }],
            public_schemas: vec![wit::PublicSchema {
                name: "orders".into(),
                major: 1,
                minor: 0,
                columns,
                attrs: vec![],
            }],
            settings: vec![],
            parallel: false,
            whole_transactions: false,
            stateful: false,
            state_version: 0,
            attrs,
        }
    }

    #[test]
    fn every_problem_of_a_description_is_named() {
        let mut wrong = descriptor(vec![
            column("a", wit::Kind::Text),
            column("a", wit::Kind::Other("text); drop table t; --".into())),
            column("", wit::Kind::Bool),
        ]);
        wrong.encoding = wit::Encoding::Typed;
        wrong.subscriptions.clear();
        wrong.public_schemas.push(wrong.public_schemas[0].clone());
        wrong.public_schemas[1].columns.clear();
        assert_eq!(
            checked(wrong, World::Packed).unwrap_err(),
            [
                "it is of the world `transformer`, whose encoding is msgpack or json",
                "it subscribes to no table",
                "column `a` of `orders` is described twice",
                "column `a` of `orders` has a type that is none: `text); drop table t; --`",
                "column `` of `orders` needs a name of 1 to 63 bytes",
                "public schema `orders` has 0 columns; 1 to 1600 are possible",
                "public schema `orders 1` is described twice",
            ]
        );
        assert!(checked(descriptor(vec![column("a", wit::Kind::Text)]), World::Packed).is_ok());
    }

    #[test]
    fn only_the_names_of_types_pass_for_types() {
        for name in [
            "int4",
            "character varying(20)",
            "timestamp(3) with time zone",
            "public.\"Odd; type\"",
            "numeric(10, 2)[]",
            "größe",
        ] {
            assert!(is_type_name(name), "{name}");
        }
        for name in [
            "",
            " ",
            "text, b text",
            "text; select 1",
            "text)",
            "text default f()",
            "a'b",
            "\"",
            "text -- x",
            "\"a\" \"",
            "(1)",
        ] {
            assert!(!is_type_name(name), "{name}");
        }
    }
}
