//! TypeScript and JavaScript: tables as `table("…", { column: pg.… })`.

use super::model::{Column, RowType};
use super::words::{camel, pascal};
use super::{Naming, Text, comment_lines, quoted};
use crate::change::Kind;

const KEYWORDS: &[&str] = &[
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
    // What the generated files import.
    "changes",
    "defineTransform",
    "message",
    "on",
    "pg",
    "publicSchema",
    "table",
    "transform",
];

fn table_name(row: &RowType) -> String {
    super::identifier(camel(&row.many), KEYWORDS)
}

fn public_name(row: &RowType) -> String {
    format!("public{}", pascal(&row.many))
}

/// A property's name, quoted where it must be.
fn property(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_plain = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && name != "__proto__";
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// `row.name` or `row["name"]`
fn access(row: &str, name: &str) -> String {
    let property = property(name);
    if property.starts_with('"') { format!("{row}[{property}]") } else { format!("{row}.{property}") }
}

fn plain_type(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "pg.boolean".to_owned(),
        Kind::Int16 => "pg.smallint".to_owned(),
        Kind::Int32 => "pg.integer".to_owned(),
        Kind::Int64 => "pg.bigint".to_owned(),
        Kind::Float32 => "pg.real".to_owned(),
        Kind::Float64 => "pg.double".to_owned(),
        Kind::Text | Kind::Enumeration => "pg.text".to_owned(),
        Kind::Time => "pg.time".to_owned(),
        Kind::Timetz => "pg.timetz".to_owned(),
        Kind::Timestamp => "pg.timestamp".to_owned(),
        Kind::Timestamptz => "pg.timestamptz".to_owned(),
        Kind::Array(element) => {
            let of = Kind::of_name(element).unwrap_or_else(|| Kind::Other(element.clone()));
            format!("pg.array({})", plain_type(&of))
        }
        Kind::Other(name) => format!("pg.other({})", quoted(name)),
        named @ (Kind::Numeric | Kind::Bytea | Kind::Uuid | Kind::Json | Kind::Jsonb | Kind::Date | Kind::Interval) => {
            format!("pg.{named}")
        }
    }
}

fn type_of(column: &Column, public: bool) -> String {
    let mut text = match (&column.labels, &column.kind) {
        (Some(labels), _) => labels_name(labels),
        // A type of the database's own may not exist at the destination; its text does.
        (_, Kind::Array(_) | Kind::Other(_)) if public => match column.public_type() {
            Some(name) => match name.strip_suffix("[]") {
                Some(element) => plain_type(&Kind::Array(element.into())),
                None => format!("pg.other({})", quoted(&name)),
            },
            None => "pg.text".to_owned(),
        },
        (_, kind) => plain_type(kind),
    };
    for (is, method) in [(column.key, ".key()"), (column.nullable, ".nullable()"), (column.toasted, ".toasted()")] {
        if is {
            text += method;
        }
    }
    text
}

fn labels_name(labels: &super::model::Labels) -> String {
    super::identifier(camel(&labels.name), KEYWORDS)
}

/// Returns the generated file.
pub fn rows(rows: &[RowType], header: &[String]) -> String {
    let mut text = Text::default();
    for line in header {
        text.line(format!("// {line}").trim_end());
    }
    text.line("");
    text.line("import { pg, table } from \"@pelton/sdk\";");
    for labels in RowType::enums(rows) {
        let all: Vec<_> = labels.labels.iter().map(|(label, _)| quoted(label)).collect();
        text.line("");
        text.line(format!("export const {} = pg.enumeration({});", labels_name(labels), all.join(", ")));
    }
    for row in rows {
        text.line("");
        let doc = super::doc_of(row);
        if let [line] = &doc[..] {
            text.line(format!("/** {line} */"));
        } else {
            text.line("/**");
            doc.iter().for_each(|line| text.line(format!(" * {line}")));
            text.line(" */");
        }
        text.line(format!("export const {} = table({}, {{", table_name(row), quoted(&row.qualified())));
        for column in &row.columns {
            for line in comment_lines(column.comment.as_deref()) {
                text.line(format!("  /** {} */", line));
            }
            text.line(format!("  {}: {},", property(&column.name), type_of(column, false)));
        }
        text.line(if row.has_key() { "});" } else { "}, { ops: [\"insert\"] });" });
    }
    text.finish()
}

fn schemas(text: &mut Text, rows: &[RowType], naming: &Naming) {
    for row in rows {
        text.line("");
        text.line(format!(
            "/** What others see of `{}`. Rename, join or leave out what they should not. */",
            row.qualified()
        ));
        text.line(format!(
            "export const {} = publicSchema({}, \"1.0\", {{",
            public_name(row),
            quoted(&naming.schema(row))
        ));
        for column in &row.columns {
            text.line(format!("  {}: {},", property(&column.name), type_of(column, true)));
        }
        text.line("});");
    }
}

fn body(text: &mut Text, row: &RowType, indent: &str) {
    let copied = |text: &mut Text, source: &str, indent: &str| {
        for column in &row.columns {
            text.line(format!("{indent}  {}: {},", property(&column.name), access(source, &column.name)));
        }
    };
    if row.has_key() {
        text.line(format!("{indent}out.map(change, {}, (row) => ({{", public_name(row)));
        copied(text, "row", indent);
        text.line(format!("{indent}}}));"));
    } else {
        text.line(format!("{indent}// Rows without a key can't be told apart, so they are only ever added."));
        text.line(format!("{indent}if (change.op !== \"insert\") return;"));
        text.line(format!("{indent}out.insert({}, {{", public_name(row)));
        copied(text, "change.new", indent);
        text.line(format!("{indent}}});"));
    }
}

fn imports(text: &mut Text, rows: &[RowType], from_sdk: &str, ending: &str) {
    let mut names: Vec<_> = rows.iter().map(table_name).collect();
    names.extend(RowType::enums(rows).into_iter().map(labels_name));
    names.sort();
    text.line(format!("// What others may see of {}.", super::listed(rows)));
    text.line("");
    text.line(format!("import {{ {from_sdk} }} from \"@pelton/sdk\";"));
    text.line("");
    text.line(format!("import {{ {} }} from \"./rows.{ending}\";", names.join(", ")));
}

/// Returns the transform to begin with, in TypeScript.
pub fn typed_transform(rows: &[RowType], naming: &Naming) -> String {
    let mut text = Text::default();
    imports(&mut text, rows, "type Change, type Out, changes, pg, publicSchema, transform", "ts");
    schemas(&mut text, rows, naming);
    let publishes: Vec<_> = rows.iter().map(public_name).collect();
    text.line("");
    text.line(format!("@transform({{ name: {}, publishes: [{}] }})", quoted(&naming.name), publishes.join(", ")));
    text.line(format!("export default class {} {{", naming.type_name(rows)));
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            text.line("");
        }
        let name = table_name(row);
        text.line(format!("  @changes({name})"));
        text.line(format!("  {}(change: Change<typeof {name}>, out: Out) {{", camel(&row.many)));
        body(&mut text, row, "    ");
        text.line("  }");
    }
    text.line("}");
    text.finish()
}

/// Returns the transform to begin with, in JavaScript.
pub fn plain_transform(rows: &[RowType], naming: &Naming) -> String {
    let mut text = Text::default();
    imports(&mut text, rows, "defineTransform, on, pg, publicSchema", "js");
    schemas(&mut text, rows, naming);
    let mut tables = Vec::new();
    for row in rows {
        let function = format!("{}Changed", camel(&row.many));
        text.line("");
        text.line(format!("function {function}(change, out) {{"));
        body(&mut text, row, "  ");
        text.line("}");
        tables.push(format!("on({}, {function})", table_name(row)));
    }
    let publishes: Vec<_> = rows.iter().map(public_name).collect();
    text.line("");
    text.line("export default defineTransform({");
    text.line(format!("  name: {},", quoted(&naming.name)));
    text.line(format!("  publishes: [{}],", publishes.join(", ")));
    text.line(format!("  tables: [{}],", tables.join(", ")));
    text.line("});");
    text.finish()
}
