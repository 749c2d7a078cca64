//! The first test of a project: one row of each table, and what becomes of it.

use crate::change::Kind;
use crate::cli::generate::{Column, Naming, RowType, snake};

/// Returns a fixture in YAML. The expected rows are what the transform to begin with makes: the same.
pub fn fixture(rows: &[RowType], naming: &Naming) -> String {
    let mut text = String::from(
        "# What the transform makes of these changes. `pelton test` runs it; `pelton test --accept` takes what comes of it as\n\
         # right. Record real changes with `pelton capture`.\ntables:\n",
    );
    for row in rows {
        text += &format!("  {}:\n    columns:\n", name(&row.qualified()));
        for column in &row.columns {
            text += &format!("      {}: {}\n", name(&column.name), declared(column));
        }
    }
    text += "transactions:\n  - changes:\n";
    for row in rows {
        text += &format!("      - insert: {}\n        new:\n", name(&row.qualified()));
        text += &values(row, |column| column.name.clone(), "          ");
    }
    text += "    expect:\n";
    for row in rows {
        text += &format!("      - insert: {}\n        new:\n", name(&naming.schema(row)));
        text += &values(row, |column| column.name.clone(), "          ");
    }
    text
}

fn values(row: &RowType, called: impl Fn(&Column) -> String, indent: &str) -> String {
    row.columns.iter().map(|column| format!("{indent}{}: {}\n", name(&called(column)), sample(column))).collect()
}

/// A column as `CREATE TABLE` would have it.
fn declared(column: &Column) -> String {
    let traits = match (column.key, column.nullable) {
        (true, _) => " key",
        (_, false) => " not null",
        _ => "",
    };
    match &column.labels {
        Some(labels) => {
            let all: Vec<_> = labels.labels.iter().map(|(label, _)| name(label)).collect();
            format!("{{ type: {}, labels: [{}] }}", name(&format!("{}{traits}", snake(&labels.name))), all.join(", "))
        }
        None => name(&format!("{}{traits}", column.kind.type_name())),
    }
}

/// A value of the column's type.
fn sample(column: &Column) -> String {
    if let Some((label, _)) = column.labels.as_ref().and_then(|labels| labels.labels.first()) {
        return name(label);
    }
    let text = match &column.kind {
        Kind::Bool => "true",
        Kind::Int16 | Kind::Int32 | Kind::Int64 => "1",
        Kind::Float32 | Kind::Float64 => "1.5",
        Kind::Numeric => "\"12.50\"",
        Kind::Text => "some text",
        Kind::Bytea => "{ bytes: 00ff }",
        Kind::Uuid => "6f1c1f6e-1f0a-4c3e-9f65-0d6a3c1b2a90",
        Kind::Json | Kind::Jsonb => "'{\"a\": 1}'",
        Kind::Date => "\"2024-07-01\"",
        Kind::Time => "\"12:00:00\"",
        Kind::Timetz => "\"12:00:00+00\"",
        Kind::Timestamp => "\"2024-07-01 12:00:00\"",
        Kind::Timestamptz => "\"2024-07-01 12:00:00+00\"",
        Kind::Interval => "\"1 day\"",
        Kind::Array(_) => "'{}'",
        Kind::Enumeration | Kind::Other(_) if column.nullable => "null",
        Kind::Enumeration | Kind::Other(_) => "'?'",
    };
    text.to_owned()
}

/// A scalar of YAML, quoted where it would be read as something else.
fn name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _.()".contains(c);
    let safe = text.chars().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if safe { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
