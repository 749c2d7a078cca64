//! Python: classes with annotated fields.

use super::model::{Column, RowType};
use super::words::{pascal, screaming, snake};
use super::{Naming, Text, comment_lines, quoted};
use crate::change::Kind;

const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    // Types that annotations in the same class mean.
    "bool", "bytes", "float", "int", "str",
];

fn field(column: &Column) -> String {
    super::identifier(snake(&column.field), KEYWORDS)
}

/// The names of the SDK that a column's annotation uses, and the annotation.
fn annotation(column: &Column, public: bool) -> (Vec<&'static str>, String) {
    let mut uses = Vec::new();
    let mut named = |name: &'static str| {
        uses.push(name);
        name.to_owned()
    };
    let plain = match (&column.labels, &column.kind) {
        (Some(labels), _) => pascal(&labels.name),
        (_, Kind::Bool) => "bool".to_owned(),
        (_, Kind::Int16) => named("SmallInt"),
        (_, Kind::Int32) => named("Integer"),
        (_, Kind::Int64) => "int".to_owned(),
        (_, Kind::Float32) => named("Real"),
        (_, Kind::Float64) => "float".to_owned(),
        (_, Kind::Bytea) => "bytes".to_owned(),
        (_, Kind::Text | Kind::Enumeration | Kind::Other(_)) => "str".to_owned(),
        (_, Kind::Numeric) => named("Decimal"),
        (_, Kind::Uuid) => named("Uuid"),
        (_, Kind::Json) => named("Json"),
        (_, Kind::Jsonb) => named("Jsonb"),
        (_, Kind::Date) => named("Date"),
        (_, Kind::Time) => named("Time"),
        (_, Kind::Timetz) => named("Timetz"),
        (_, Kind::Timestamp) => named("Timestamp"),
        (_, Kind::Timestamptz) => named("Timestamptz"),
        (_, Kind::Interval) => named("Interval"),
        (_, Kind::Array(_)) => named("Array"),
    };
    let name = (field(column) != column.name).then(|| format!("name={}", quoted(&column.name)));
    let kind = column.public_type().filter(|_| public).map(|kind| format!("kind={}", quoted(&kind)));
    let options: Vec<_> = name.into_iter().chain(kind).collect();
    let mut text = plain;
    if !options.is_empty() {
        text = format!("Annotated[{text}, {}({})]", named("Column"), options.join(", "));
    }
    if column.nullable {
        text += " | None";
    }
    if column.toasted {
        text = format!("{}[{text}]", named("Toasted"));
    }
    if column.key {
        text = format!("{}[{text}]", named("Key"));
    }
    (uses, text)
}

fn imports(rows: &[RowType], public: bool, more: &[&'static str]) -> (bool, String) {
    let annotations = || rows.iter().flat_map(|row| &row.columns).map(|column| annotation(column, public));
    let mut names: Vec<_> = annotations().flat_map(|(uses, _)| uses).chain(more.iter().copied()).collect();
    names.sort_by_key(|name| (name.starts_with(char::is_lowercase), *name));
    names.dedup();
    let annotated = annotations().any(|(_, text)| text.contains("Annotated["));
    let line = format!("from pelton_sdk import {}", names.join(", "));
    (
        annotated,
        if line.len() <= 120 { line } else { format!("from pelton_sdk import (\n    {},\n)", names.join(",\n    ")) },
    )
}

fn fields(text: &mut Text, row: &RowType, public: bool) {
    for column in &row.columns {
        if !public {
            for line in comment_lines(column.comment.as_deref()) {
                text.line(format!("    #: {line}"));
            }
        }
        text.line(format!("    {}: {}", field(column), annotation(column, public).1));
    }
}

fn docstring(lines: &[String]) -> String {
    // A quote before the closing ones would be taken for one of them.
    let safe = |line: &String| if line.ends_with('"') { format!("{line} ") } else { line.clone() };
    match lines {
        [line] => format!("    \"\"\"{}\"\"\"", safe(line)),
        lines => format!("    \"\"\"{}\n    \"\"\"", lines.iter().map(safe).collect::<Vec<_>>().join("\n    ")),
    }
}

/// Returns the generated file.
pub fn rows(rows: &[RowType], header: &[String]) -> String {
    let mut text = Text::default();
    for line in header {
        text.line(format!("# {line}").trim_end());
    }
    text.line("");
    let enums = RowType::enums(rows);
    let more: &[&str] = if rows.iter().all(RowType::has_key) { &["source"] } else { &["Op", "source"] };
    let (annotated, sdk) = imports(rows, false, more);
    if !enums.is_empty() {
        text.line("import enum");
    }
    if annotated {
        text.line("from typing import Annotated");
    }
    if annotated || !enums.is_empty() {
        text.line("");
    }
    text.line(sdk);
    for labels in enums {
        text.line("");
        text.line("");
        text.line(format!("class {}(enum.Enum):", pascal(&labels.name)));
        for (label, words) in &labels.labels {
            text.line(format!("    {} = {}", screaming(words), quoted(label)));
        }
    }
    for row in rows {
        text.line("");
        text.line("");
        let ops = if row.has_key() { "" } else { ", ops=[Op.INSERT]" };
        text.line(format!("@source({}{ops})", quoted(&row.qualified())));
        text.line(format!("class {}:", pascal(&row.one)));
        text.line(docstring(&super::doc_of(row)));
        text.line("");
        fields(&mut text, row, false);
    }
    text.finish()
}

/// Returns the transform to begin with: every row is published as it is.
pub fn transform(rows: &[RowType], naming: &Naming) -> String {
    let mut text = Text::default();
    let mut more = vec!["Change", "Out", "public", "transform"];
    if rows.iter().any(|row| !row.has_key()) {
        more.push("Insert");
    }
    let (annotated, sdk) = imports(rows, true, &more);
    let mut names: Vec<_> = rows.iter().map(|row| pascal(&row.one)).collect();
    names.extend(RowType::enums(rows).iter().map(|labels| pascal(&labels.name)));
    names.sort();
    text.line(format!("\"\"\"What others may see of {}.\"\"\"", super::listed(rows)));
    text.line("");
    if annotated {
        text.line("from typing import Annotated");
        text.line("");
    }
    text.line(sdk);
    text.line("");
    text.line(format!("from rows import {}", names.join(", ")));
    for row in rows {
        text.line("");
        text.line("");
        text.line(format!("@public({}, \"1.0\")", quoted(&naming.schema(row))));
        text.line(format!("class Public{}:", pascal(&row.one)));
        let doc =
            format!("What others see of ``{}``. Rename, join or leave out what they should not.", row.qualified());
        text.line(docstring(&[doc]));
        text.line("");
        fields(&mut text, row, true);
    }
    let publishes: Vec<_> = rows.iter().map(|row| format!("Public{}", pascal(&row.one))).collect();
    text.line("");
    text.line("");
    text.line(format!("@transform(name={}, publishes=[{}])", quoted(&naming.name), publishes.join(", ")));
    text.line(format!("class {}:", naming.type_name(rows)));
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            text.line("");
        }
        let (one, many) = (pascal(&row.one), super::identifier(snake(&row.many), KEYWORDS));
        text.line(format!("    def {many}(self, change: Change[{one}], out: Out) -> None:"));
        if row.has_key() {
            text.line(format!("        out.map(change, Public{one}, published_{})", snake(&row.one)));
        } else {
            text.line("        # Rows without a key can't be told apart, so they are only ever added.");
            text.line("        if isinstance(change, Insert):");
            text.line(format!("            out.insert(published_{}(change.new))", snake(&row.one)));
        }
    }
    for row in rows {
        let one = pascal(&row.one);
        text.line("");
        text.line("");
        text.line(format!("def published_{}(row: {one}) -> Public{one}:", snake(&row.one)));
        text.line(format!("    return Public{one}("));
        for column in &row.columns {
            let name = field(column);
            text.line(format!("        {name}=row.{name},"));
        }
        text.line("    )");
    }
    text.finish()
}
