//! Holding a table against its public schema before the first row.

use hashbrown::HashMap;
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use super::binary::Send;
use super::catalog::{self, Found, FoundColumn, FoundConstraints, FoundIndex};
use super::key::Form;
use super::shape::{Replacement, Shape, ShapeColumn, quoted, readable};
use super::{SinkError, TableTarget};
use crate::change::{Column, Kind, fraction_digits};

/// Checks that the relation is a table that may be written to.
pub(super) fn is_table(target: &TableTarget, found: &Found) -> Result<(), SinkError> {
    let other = match found.relkind.as_str() {
        "r" | "p" => None,
        "v" => Some("a view"),
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        "S" => Some("a sequence"),
        "i" | "I" => Some("an index"),
        _ => Some("something else"),
    };
    match (other, found.lacks) {
        (Some(found), _) => Err(SinkError::NotATable { table: target.readable(), found }),
        (None, Some(privilege)) => Err(SinkError::Privilege { table: target.readable(), privilege }),
        (None, None) => Ok(()),
    }
}

/// Resolves the types that the public schema names and the destination may not have: (name → base type).
pub(super) async fn foreign_types(
    client: &Client,
    target: &TableTarget,
    columns: &[FoundColumn],
) -> Result<HashMap<String, Oid>, tokio_postgres::Error> {
    let mut types = HashMap::new();
    for wanted in &target.public.columns {
        let found = columns.iter().find(|column| column.name == *wanted.name);
        let (Kind::Other(name), Some(found)) = (&wanted.kind, found) else {
            continue;
        };
        if same_type(name, found) {
            continue;
        }
        if let Some((_, base)) = catalog::resolve_type(client, name, -1).await? {
            types.insert(name.to_string(), base);
        }
    }
    Ok(types)
}

/// Checks the columns, types and the key, and returns what the statements need to know.
pub(super) fn shape(
    target: &TableTarget,
    found: &Found,
    columns: &[FoundColumn],
    indexes: &[FoundIndex],
    constraints: &FoundConstraints,
    types: &HashMap<String, Oid>,
) -> Result<Shape, SinkError> {
    if let Some(problem) = problems(target, columns, indexes, types).into_iter().next() {
        return Err(problem);
    }
    let table = target.readable();
    let public = &target.public;
    let key = public.key();
    let index = match key.is_empty() {
        true => None,
        false => Some(key_index(target, &key, indexes)?),
    };
    let mut shaped = Vec::with_capacity(public.columns.len());
    let mut overriding = false;
    for wanted in &public.columns {
        let column = columns.iter().find(|column| column.name == *wanted.name).expect("no column is missing");
        overriding |= column.identity_always;
        shaped.push(shape_column(wanted, column, index));
    }
    let ours = |column: &FoundColumn| public.columns.iter().any(|wanted| *wanted.name == *column.name);
    let own_columns = columns.iter().any(|column| !column.generated && !ours(column));
    let referred_by: Vec<Oid> = constraints.references.iter().filter(|r| r.to == found.oid).map(|r| r.from).collect();
    let reaches = constraints.references.iter().any(|r| r.to == found.oid && r.reaches);
    let partitioned = found.relkind == "p";
    Ok(Shape {
        oid: found.oid,
        table: format!("{}.{}", quoted(&target.schema), quoted(&target.table)),
        readable: table,
        bulk: public.columns.iter().all(|wanted| columns.iter().all(|c| c.name != *wanted.name || !c.odd_cast)),
        columns: shaped,
        whole_rows: key.is_empty() && public.attrs.iter().any(|(name, value)| name == "identity" && value == "full"),
        key,
        partitioned,
        overriding,
        copy: !found.row_security,
        truncate: found.truncate,
        // Partitions may have indexes and triggers of their own.
        order_matters: partitioned
            || constraints.triggers
            || !constraints.references.is_empty()
            || indexes.len() > usize::from(index.is_some()),
        deferrable: constraints.deferrable,
        refers_to: constraints.references.iter().filter(|r| r.from == found.oid).map(|r| r.to).collect(),
        replacement: match (reaches, own_columns) {
            (true, _) => Replacement::Never,
            (false, true) => Replacement::DeleteFirst,
            (false, false) => Replacement::InPlace,
        },
        referred_by,
    })
}

/// Returns everything that is wrong with the columns, types and the key.
pub(super) fn problems(
    target: &TableTarget,
    columns: &[FoundColumn],
    indexes: &[FoundIndex],
    types: &HashMap<String, Oid>,
) -> Vec<SinkError> {
    let public = &target.public;
    let key = public.key();
    let mut problems: Vec<SinkError> = Vec::new();
    if !key.is_empty() {
        problems.extend(key_index(target, &key, indexes).err());
    }
    for wanted in &public.columns {
        problems.extend(column_problem(target, wanted, columns, types));
    }
    let ours = |column: &FoundColumn| public.columns.iter().any(|wanted| *wanted.name == *column.name);
    let required = columns.iter().filter(|c| c.not_null && !c.has_default && !c.generated && !ours(c));
    problems.extend(
        required.map(|column| SinkError::RequiredColumn { table: target.readable(), column: column.name.clone() }),
    );
    problems
}

/// Returns what keeps a column from being written.
fn column_problem(
    target: &TableTarget,
    wanted: &Column,
    columns: &[FoundColumn],
    types: &HashMap<String, Oid>,
) -> Option<SinkError> {
    let (table, name) = (target.readable(), wanted.name.to_string());
    let Some(column) = columns.iter().find(|column| column.name == name) else {
        let type_name = wanted.kind.type_name();
        return Some(SinkError::ColumnMissing { table, column: name, type_name });
    };
    if column.generated {
        return Some(SinkError::GeneratedColumn { table, column: name });
    }
    if column.identity_always && !wanted.key {
        return Some(SinkError::IdentityColumn { table, column: name });
    }
    let (expected, found) = (wanted.kind.type_name(), column.type_name.clone());
    if !takes(column, wanted, types) {
        return Some(SinkError::WrongType { table, column: name, expected, found });
    }
    rounds(column, wanted, target.exact).then(|| SinkError::FewerDigits { table, column: name, expected, found })
}

/// Finds the unique index on exactly the key, in whatever order of columns.
fn key_index<'a>(target: &TableTarget, key: &[usize], indexes: &'a [FoundIndex]) -> Result<&'a FoundIndex, SinkError> {
    let names: Vec<&str> = key.iter().map(|&i| &*target.public.columns[i].name).collect();
    let fits = |index: &&FoundIndex| {
        index.fit
            && index.columns.len() == names.len()
            && names.iter().all(|name| index.columns.iter().any(|c| c == name))
    };
    indexes.iter().find(fits).ok_or_else(|| SinkError::KeyNotUnique {
        table: readable(&target.schema, &target.table),
        columns: names.join(", "),
    })
}

fn shape_column(wanted: &Column, column: &FoundColumn, index: Option<&FoundIndex>) -> ShapeColumn {
    let in_key = index.and_then(|index| {
        let at = index.columns.iter().position(|name| *name == column.name)?;
        index.equals.get(at).cloned()
    });
    let form = match column.is_domain {
        true => Form::Unknown,
        false => Form::of(column.base, column.modifier, column.deterministic, column.is_enum),
    };
    ShapeColumn {
        name: column.name.clone(),
        quoted: quoted(&column.name),
        kind: wanted.kind.clone(),
        cast: column.cast.clone(),
        collation: column.collation.clone(),
        bytea: column.base == 17,
        send: Send::of(column.base, column.is_enum),
        form,
        equals: in_key.or_else(|| column.equals.clone()),
    }
}

/// True if `name`, as a public schema has it, is the column's type or what its domain is made of.
fn same_type(name: &str, column: &FoundColumn) -> bool {
    let bare = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
    [column.type_name.as_str(), &column.base_name, &column.base_bare_name].contains(&name)
        || column.base_bare_name == bare
        || column.cast.rsplit('.').next().is_some_and(|own| own.trim_matches('"') == bare)
}

/// Decides whether every text of a kind is a text of the column's type with the same meaning.
///
/// Any kind fits into a text column, integers and floats into wider ones. What is narrower or only looks alike (a
/// timestamp into a timestamptz, numeric into float8) is refused: it would pass for most rows, until it does not.
fn takes(column: &FoundColumn, wanted: &Column, types: &HashMap<String, Oid>) -> bool {
    const INT2: Oid = 21;
    const INT4: Oid = 23;
    const INT8: Oid = 20;
    const FLOAT4: Oid = 700;
    const FLOAT8: Oid = 701;
    const NUMERIC: Oid = 1700;
    const NAME: Oid = 19;
    const CHAR: Oid = 18;
    // Texts of any length without a meaning of their own: `name` and "char" cut off what is too long.
    if column.category == "S" && ![NAME, CHAR].contains(&column.base) {
        return true;
    }
    let one_of = |oids: &[Oid]| oids.contains(&column.base);
    match &wanted.kind {
        Kind::Bool => one_of(&[16]),
        Kind::Int16 => one_of(&[INT2, INT4, INT8, NUMERIC]),
        Kind::Int32 => one_of(&[INT4, INT8, NUMERIC]),
        Kind::Int64 => one_of(&[INT8, NUMERIC]),
        Kind::Float32 => one_of(&[FLOAT4, FLOAT8]),
        Kind::Float64 => one_of(&[FLOAT8]),
        Kind::Numeric => one_of(&[NUMERIC]),
        Kind::Text => one_of(&[NAME]) || column.is_enum,
        Kind::Enumeration => column.is_enum || one_of(&[NAME]),
        Kind::Bytea => one_of(&[17]),
        Kind::Uuid => one_of(&[2950]),
        Kind::Json | Kind::Jsonb => one_of(&[114, 3802]),
        Kind::Date => one_of(&[1082]),
        Kind::Time => one_of(&[1083]),
        Kind::Timetz => one_of(&[1266]),
        Kind::Timestamp => one_of(&[1114]),
        Kind::Timestamptz => one_of(&[1184]),
        Kind::Interval => one_of(&[1186]),
        Kind::Array(element) => {
            column.category == "A" && {
                let found = column.base_name.strip_suffix("[]").unwrap_or(&column.base_name);
                let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned();
                found == &**element || bare(found) == bare(element) || alike(element, found)
            }
        }
        // A type that this server does not have can't be compared: its rows will tell.
        Kind::Other(name) => match types.get(&**name) {
            _ if same_type(name, column) => true,
            Some(&base) => base == column.base,
            None => true,
        },
    }
}

/// Decides whether some values of a public column have more digits than the table's column keeps: Postgres would round
/// them in silence. What is too long, or too large, it refuses by itself. Unless the public schema is `exact`, a column
/// of it without a modifier leaves it to the table how many there are.
fn rounds(column: &FoundColumn, wanted: &Column, exact: bool) -> bool {
    if !exact && wanted.type_modifier < 0 {
        return false;
    }
    let kind = match column.base_name.strip_suffix("[]") {
        Some(element) => Some(Kind::Array(element.into())),
        None => Kind::of_oid(column.base),
    };
    let kept = kind.and_then(|kind| fraction_digits(&kind, column.base_modifier));
    let come = fraction_digits(&wanted.kind, wanted.type_modifier);
    matches!((come, kept), (Some(come), Some(kept)) if kept < come)
}

/// True for names of one built-in type, and for texts of different length limits.
fn alike(a: &str, b: &str) -> bool {
    let canonical = |name: &str| match name {
        "int2" | "smallint" => "int2",
        "int4" | "integer" => "int4",
        "int8" | "bigint" => "int8",
        "float4" | "real" => "float4",
        "float8" | "double precision" => "float8",
        "bool" | "boolean" => "bool",
        "text" | "varchar" | "character varying" | "bpchar" | "character" => "text",
        "timestamptz" | "timestamp with time zone" => "timestamptz",
        "timestamp" | "timestamp without time zone" => "timestamp",
        "timetz" | "time with time zone" => "timetz",
        "time" | "time without time zone" => "time",
        "varbit" | "bit varying" => "varbit",
        _ => "",
    };
    !canonical(a).is_empty() && canonical(a) == canonical(b)
}
