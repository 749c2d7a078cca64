//! Rust: structs that derive `Source` and `Public`.

use super::model::{Column, RowType};
use super::words::{pascal, snake};
use super::{Naming, Text, comment_lines};
use crate::change::Kind;

const KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false", "fn",
    "for", "gen", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while", "abstract", "become",
    "box", "do", "final", "macro", "override", "priv", "try", "typeof", "unsized", "virtual", "yield",
];

fn field(column: &Column) -> String {
    super::identifier(snake(&column.field), KEYWORDS)
}

/// The field's type, and whether it borrows from the batch.
fn type_of(column: &Column) -> (String, bool) {
    let (plain, borrows) = match (&column.kind, &column.labels) {
        (_, Some(labels)) => (pascal(&labels.name), false),
        (Kind::Bool, _) => ("bool".to_owned(), false),
        (Kind::Int16, _) => ("i16".to_owned(), false),
        (Kind::Int32, _) => ("i32".to_owned(), false),
        (Kind::Int64, _) => ("i64".to_owned(), false),
        (Kind::Float32, _) => ("f32".to_owned(), false),
        (Kind::Float64, _) => ("f64".to_owned(), false),
        (Kind::Bytea, _) => ("&'a [u8]".to_owned(), true),
        (Kind::Text | Kind::Enumeration | Kind::Other(_), _) => ("&'a str".to_owned(), true),
        (Kind::Array(_), _) => ("Array<&'a str>".to_owned(), true),
        (Kind::Numeric, _) => ("Decimal<&'a str>".to_owned(), true),
        (other, _) => (format!("{}<&'a str>", pascal(&[short(other).to_owned()])), true),
    };
    let plain = if column.nullable { format!("Option<{plain}>") } else { plain };
    (if column.toasted { format!("Toasted<{plain}>") } else { plain }, borrows)
}

/// A kind by Postgres's short name.
fn short(kind: &Kind) -> &'static str {
    match kind {
        Kind::Uuid => "uuid",
        Kind::Json => "json",
        Kind::Jsonb => "jsonb",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Timetz => "timetz",
        Kind::Timestamp => "timestamp",
        Kind::Timestamptz => "timestamptz",
        Kind::Interval => "interval",
        _ => unreachable!("the others have types of their own"),
    }
}

fn borrows(row: &RowType) -> bool {
    row.columns.iter().any(|column| type_of(column).1)
}

fn generics(row: &RowType, lifetime: &str) -> String {
    if borrows(row) { format!("<{lifetime}>") } else { String::new() }
}

/// A struct's fields; `public` ones also say the Postgres type that they are published as.
fn fields(text: &mut Text, row: &RowType, public: bool) {
    for column in &row.columns {
        if !public {
            for line in comment_lines(column.comment.as_deref()) {
                text.line(format!("    /// {line}"));
            }
        }
        if column.key {
            text.line("    #[key]");
        }
        let (name, kind) = (field(column), column.public_type().filter(|_| public));
        let named = (name != column.name).then(|| format!("name = {:?}", column.name));
        let options: Vec<_> = named.into_iter().chain(kind.map(|kind| format!("kind = {kind:?}"))).collect();
        if !options.is_empty() {
            text.line(format!("    #[column({})]", options.join(", ")));
        }
        text.line(format!("    pub {name}: {},", type_of(column).0));
    }
}

/// Returns the generated file.
pub fn rows(rows: &[RowType], header: &[String]) -> String {
    let mut text = Text::default();
    for line in header {
        text.line(format!("//! {line}").trim_end());
    }
    text.line("");
    text.line("use pelton_sdk::prelude::*;");
    for labels in RowType::enums(rows) {
        text.line("");
        text.line("#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]");
        text.line(format!("pub enum {} {{", pascal(&labels.name)));
        for (label, words) in &labels.labels {
            text.line(format!("    #[label({label:?})]"));
            text.line(format!("    {},", super::identifier(pascal(words), &["Self"])));
        }
        text.line("}");
    }
    for row in rows {
        text.line("");
        for line in super::doc_of(row) {
            text.line(format!("/// {line}"));
        }
        text.line("#[derive(Source)]");
        let ops = if row.has_key() { "" } else { ", ops(insert)" };
        text.line(format!("#[source(table = {:?}{ops})]", row.qualified()));
        text.line(format!("pub struct {}{} {{", pascal(&row.one), generics(row, "'a")));
        fields(&mut text, row, false);
        text.line("}");
    }
    text.finish()
}

/// Returns the transform to begin with: every row is published as it is.
pub fn transform(rows: &[RowType], naming: &Naming) -> String {
    let mut text = Text::default();
    let sources: Vec<_> = rows.iter().map(|row| pascal(&row.one)).collect();
    let mut used = sources.clone();
    used.extend(RowType::enums(rows).iter().map(|labels| pascal(&labels.name)));
    used.sort();
    text.line(format!("//! What others may see of {}.", super::listed(rows)));
    text.line("");
    text.line("use pelton_sdk::prelude::*;");
    text.line("");
    text.line("mod rows;");
    text.line("");
    text.line(if used.len() == 1 {
        format!("use rows::{};", used[0])
    } else {
        format!("use rows::{{{}}};", used.join(", "))
    });
    for row in rows {
        text.line("");
        text.line(format!(
            "/// What others see of `{}`. Rename, join or leave out what they should not.",
            row.qualified()
        ));
        text.line("#[derive(Public)]");
        text.line(format!("#[public(name = {:?}, version = \"1.0\")]", naming.schema(row)));
        text.line(format!("pub struct Public{}{} {{", pascal(&row.one), generics(row, "'a")));
        fields(&mut text, row, true);
        text.line("}");
    }
    let ty = naming.type_name(rows);
    let publishes: Vec<_> = sources.iter().map(|one| format!("Public{one}")).collect();
    text.line("");
    text.line("#[derive(Default)]");
    text.line(format!("pub struct {ty};"));
    text.line("");
    text.line(format!("#[transform(name = {:?}, publishes({}))]", naming.name, publishes.join(", ")));
    text.line(format!("impl {ty} {{"));
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            text.line("");
        }
        let (one, many) = (pascal(&row.one), super::identifier(snake(&row.many), KEYWORDS));
        text.line(format!(
            "    fn {many}(&self, change: Change<{one}{}>, out: &mut Out) -> Result<()> {{",
            generics(row, "'_")
        ));
        if row.has_key() {
            text.line(format!("        out.map(change, |row| Some(Public{one} {{"));
        } else {
            text.line("        // Rows without a key can't be told apart, so they are only ever added.");
            text.line("        let Change::Insert(row) = change else { return Ok(()) };");
            text.line(format!("        out.insert(&Public{one} {{"));
        }
        for column in &row.columns {
            let name = field(column);
            text.line(format!("            {name}: row.{name},"));
        }
        if row.has_key() {
            text.line("        }))");
        } else {
            text.line("        });");
            text.line("        Ok(())");
        }
        text.line("    }");
    }
    text.line("}");
    text.finish()
}
