//! C: lists of fields for the macros of pelton.h.

use super::model::{Column, RowType};
use super::words::{screaming, snake};
use super::{Naming, Text, comment_lines, quoted};
use crate::change::Kind;

const KEYWORDS: &[&str] = &[
    "alignas",
    "alignof",
    "auto",
    "bool",
    "break",
    "case",
    "char",
    "const",
    "constexpr",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "false",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "nullptr",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "true",
    "typedef",
    "typeof",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
];

fn name_of(words: &[String]) -> String {
    super::identifier(snake(words), KEYWORDS)
}

fn type_of(column: &Column) -> &'static str {
    match &column.kind {
        Kind::Bool => "boolean",
        Kind::Int16 => "smallint",
        Kind::Int32 => "integer",
        Kind::Int64 => "bigint",
        Kind::Float32 => "real",
        Kind::Float64 => "double_precision",
        Kind::Numeric => "numeric",
        Kind::Text | Kind::Other(_) => "text",
        Kind::Bytea => "bytea",
        Kind::Uuid => "uuid",
        Kind::Json => "json",
        Kind::Jsonb => "jsonb",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Timetz => "timetz",
        Kind::Timestamp => "timestamp",
        Kind::Timestamptz => "timestamptz",
        Kind::Interval => "interval",
        Kind::Enumeration => "enumeration",
        Kind::Array(_) => "array",
    }
}

fn role(column: &Column) -> &'static str {
    match (column.key, column.nullable, column.toasted) {
        (true, ..) => "key",
        (_, false, false) => "plain",
        (_, true, false) => "nullable",
        (_, false, true) => "toasted",
        (_, true, true) => "toasted_nullable",
    }
}

/// A list of fields, a backslash at each line's end but the last's.
fn list(text: &mut Text, name: &str, row: &RowType, public: bool) {
    let mut lines = vec![format!("#define {name}(X)")];
    for column in &row.columns {
        if !public {
            let comment: Vec<_> = comment_lines(column.comment.as_deref()).collect();
            if !comment.is_empty() {
                lines.push(format!("    /* {} */", comment.join(" ")));
            }
        }
        let field = name_of(&column.field);
        let mut options = String::new();
        if field != column.name {
            options += &format!(", .name = {}", quoted(&column.name));
        }
        if let Some(kind) = column.public_type().filter(|_| public) {
            options += &format!(", .kind = {}", quoted(&kind));
        }
        lines.push(format!("    X({}, {}, {field}{options})", role(column), type_of(column)));
    }
    let (last, others) = lines.split_last().expect("it has a first line");
    others.iter().for_each(|line| text.line(format!("{line} \\")));
    text.line(last);
}

/// Returns the generated file.
pub fn rows(rows: &[RowType], header: &[String]) -> String {
    let mut text = Text::default();
    let (last, others) = header.split_last().expect("a header");
    for (at, line) in others.iter().enumerate() {
        text.line(format!("{} {line}", if at == 0 { "/*" } else { " *" }).trim_end());
    }
    text.line(format!(" * {last} */"));
    text.line("#ifndef ROWS_H");
    text.line("#define ROWS_H");
    text.line("");
    text.line("#include <pelton.h>");
    for labels in RowType::enums(rows) {
        let name = name_of(&labels.name);
        text.line("");
        text.line(format!("#define {}_LABELS(enumeration, X) \\", screaming(&labels.name)));
        let lines: Vec<_> = labels
            .labels
            .iter()
            .map(|(label, words)| format!("    X(enumeration, {}, {})", snake(words), quoted(label)))
            .collect();
        text.line(lines.join(" \\\n"));
        text.line(format!("PELTON_ENUM({name}, {}_LABELS)", screaming(&labels.name)));
    }
    for row in rows {
        text.line("");
        let doc = super::doc_of(row);
        text.line(format!("/* {} */", doc.join("\n * ")));
        list(&mut text, &screaming(&row.one), row, false);
        let ops = if row.has_key() { "" } else { ", .ops = PELTON_INSERTS" };
        text.line(format!(
            "PELTON_SOURCE({}, {}, {}{ops})",
            name_of(&row.one),
            quoted(&row.qualified()),
            screaming(&row.one)
        ));
    }
    text.line("");
    text.line("#endif");
    text.finish()
}

/// Returns the transform to begin with: every row is published as it is.
pub fn transform(rows: &[RowType], naming: &Naming) -> String {
    let mut text = Text::default();
    text.line(format!("/* What others may see of {}. */", super::listed(rows)));
    text.line("");
    text.line("#include \"rows.h\"");
    let (mut tables, mut schemas) = (Vec::new(), Vec::new());
    for row in rows {
        let one = name_of(&row.one);
        let public = format!("public_{}", snake(&row.one));
        text.line("");
        text.line(format!(
            "/* What others see of {}. Rename, join or leave out what they should not. */",
            row.qualified()
        ));
        list(
            &mut text,
            &screaming(&["public".to_owned()].into_iter().chain(row.one.clone()).collect::<Vec<_>>()),
            row,
            true,
        );
        text.line(format!(
            "PELTON_PUBLIC({public}, {}, 1, 0, {})",
            quoted(&naming.schema(row)),
            public.to_ascii_uppercase()
        ));
        text.line("");
        text.line(format!("static pelton_result {public}_of(const {one} *row, {public} *to) {{"));
        text.line(format!("    *to = ({public}){{"));
        for column in &row.columns {
            let field = name_of(&column.field);
            text.line(format!("        .{field} = row->{field},"));
        }
        text.line("    };");
        text.line("    return PELTON_OK;");
        text.line("}");
        let function = format!("{}_changed", snake(&row.many));
        if row.has_key() {
            text.line(format!("PELTON_MAP({function}, {one}, {public}, {public}_of)"));
        } else {
            text.line("");
            text.line("/* Rows without a key can't be told apart, so they are only ever added. */");
            text.line(format!("static pelton_result {function}(const {one}_change *change, pelton_out *out) {{"));
            text.line("    if (change->op != PELTON_INSERT) return PELTON_OK;");
            text.line(format!("    {public} row;"));
            text.line(format!("    PELTON_TRY({public}_of(change->new_row, &row));"));
            text.line(format!("    {public}_insert(out, &row);"));
            text.line("    return PELTON_OK;");
            text.line("}");
        }
        text.line(format!("PELTON_TABLE({one}, {function})"));
        tables.push(format!("&{function}_table"));
        schemas.push(format!("{public}_schema"));
    }
    text.line("");
    text.line(format!("PELTON_TRANSFORM(.name = {}, .version = \"1.0.0\",", quoted(&naming.name)));
    text.line(format!("                 .tables = {{{}}},", tables.join(", ")));
    text.line(format!("                 .publishes = {{{}}})", schemas.join(", ")));
    text.finish()
}
