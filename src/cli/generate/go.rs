//! Go: structs with tags.

use super::model::{Column, RowType};
use super::words::{camel, pascal};
use super::{Naming, Text, comment_lines, quoted};
use crate::change::Kind;

/// Words that Go's linters want in capitals.
const INITIALISMS: &[&str] = &["api", "html", "http", "id", "ip", "json", "sql", "uri", "url", "uuid", "xml"];

fn exported(words: &[String]) -> String {
    let spelt = |word: &String| match INITIALISMS.contains(&word.as_str()) {
        true => word.to_ascii_uppercase(),
        false => pascal(std::slice::from_ref(word)),
    };
    words.iter().map(spelt).collect()
}

fn type_of(column: &Column) -> String {
    let plain = match (&column.labels, &column.kind) {
        (Some(labels), _) => exported(&labels.name),
        (_, Kind::Bool) => "bool".to_owned(),
        (_, Kind::Int16) => "int16".to_owned(),
        (_, Kind::Int32) => "int32".to_owned(),
        (_, Kind::Int64) => "int64".to_owned(),
        (_, Kind::Float32) => "float32".to_owned(),
        (_, Kind::Float64) => "float64".to_owned(),
        (_, Kind::Bytea) => "[]byte".to_owned(),
        (_, Kind::Text | Kind::Enumeration | Kind::Other(_)) => "string".to_owned(),
        (_, Kind::Numeric) => "pelton.Decimal".to_owned(),
        (_, Kind::Uuid) => "pelton.UUID".to_owned(),
        (_, Kind::Json) => "pelton.JSON".to_owned(),
        (_, Kind::Jsonb) => "pelton.JSONB".to_owned(),
        (_, Kind::Date) => "pelton.Date".to_owned(),
        (_, Kind::Time) => "pelton.Time".to_owned(),
        (_, Kind::Timetz) => "pelton.Timetz".to_owned(),
        (_, Kind::Timestamp) => "pelton.Timestamp".to_owned(),
        (_, Kind::Timestamptz) => "pelton.Timestamptz".to_owned(),
        (_, Kind::Interval) => "pelton.Interval".to_owned(),
        (_, Kind::Array(_)) => "pelton.Array".to_owned(),
    };
    let plain = if column.nullable { format!("*{plain}") } else { plain };
    if column.toasted { format!("pelton.Toasted[{plain}]") } else { plain }
}

fn tag(column: &Column, public: bool) -> String {
    let mut tag = column.name.clone();
    if column.key {
        tag += ",key";
    }
    if let Some(kind) = column.public_type().filter(|_| public) {
        tag += &format!(",kind={kind}");
    }
    format!("`pelton:{}`", quoted(&tag))
}

/// A struct's fields, in columns as gofmt has them: each block between comments on its own.
fn fields(text: &mut Text, row: &RowType, public: bool) {
    let mut block: Vec<[String; 3]> = Vec::new();
    let flush = |text: &mut Text, block: &mut Vec<[String; 3]>| {
        let width = |at: usize| block.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let (name, ty) = (width(0), width(1));
        for [field, of, tag] in block.drain(..) {
            text.line(format!("\t{field:name$} {of:ty$} {tag}"));
        }
    };
    for column in &row.columns {
        let comment: Vec<_> = if public { vec![] } else { comment_lines(column.comment.as_deref()).collect() };
        if !comment.is_empty() {
            flush(text, &mut block);
            comment.iter().for_each(|line| text.line(format!("\t// {line}")));
        }
        block.push([exported(&column.field), type_of(column), tag(column, public)]);
    }
    flush(text, &mut block);
}

/// Returns the generated file.
pub fn rows(rows: &[RowType], header: &[String]) -> String {
    let mut text = Text::default();
    for line in header {
        text.line(format!("// {line}").trim_end());
    }
    text.line("");
    text.line("package main");
    let mut types = Text::default();
    for labels in RowType::enums(rows) {
        let name = exported(&labels.name);
        types.line("");
        types.line(format!("type {name} string"));
        types.line("");
        types.line("const (");
        let width = labels.labels.iter().map(|(_, words)| exported(words).len()).max().unwrap_or(0) + name.len();
        for (label, words) in &labels.labels {
            types.line(format!("\t{:width$} {name} = {}", name.clone() + &exported(words), quoted(label)));
        }
        types.line(")");
        types.line("");
        types.line(format!("// Labels returns all labels of {name}."));
        let all: Vec<_> = labels.labels.iter().map(|(label, _)| quoted(label)).collect();
        types.line(format!("func ({name}) Labels() []string {{ return []string{{{}}} }}", all.join(", ")));
    }
    for row in rows {
        let name = exported(&row.one);
        types.line("");
        let doc = super::doc_of(row);
        types.line(format!("// {name} is a row of {}.", row.qualified()));
        if doc.len() > 1 || row.comment.is_some() {
            types.line("//");
            doc.iter().for_each(|line| types.line(format!("// {line}").trim_end()));
        }
        types.line(format!("type {name} struct {{"));
        fields(&mut types, row, false);
        types.line("}");
    }
    let types = types.finish();
    if rows.iter().flat_map(|row| &row.columns).any(|column| type_of(column).contains("pelton.")) {
        text.line("");
        text.line("import pelton \"github.com/pelton-dev/pelton/guest-sdk/go\"");
    }
    text.finish() + &types
}

/// Returns the transform to begin with: every row is published as it is.
pub fn transform(rows: &[RowType], naming: &Naming) -> String {
    let mut text = Text::default();
    text.line(format!("// What others may see of {}.", super::listed(rows)));
    text.line("package main");
    text.line("");
    text.line("import pelton \"github.com/pelton-dev/pelton/guest-sdk/go\"");
    for row in rows {
        let name = exported(&row.one);
        text.line("");
        text.line(format!(
            "// Public{name} is what others see of {}. Rename, join or leave out what they should not.",
            row.qualified()
        ));
        text.line(format!("type Public{name} struct {{"));
        fields(&mut text, row, true);
        text.line("}");
    }
    for row in rows {
        let (one, function) = (exported(&row.one), format!("{}Changed", camel(&row.many)));
        text.line("");
        text.line(format!("func {function}(change pelton.Change[{one}], out *pelton.Out) error {{"));
        if row.has_key() {
            text.line(format!("\treturn pelton.Map(out, change, func(row *{one}) (*Public{one}, error) {{"));
            text.line(format!("\t\treturn {}, nil", copied(row, "row", "\t\t")));
            text.line("\t})");
        } else {
            text.line("\t// Rows without a key can't be told apart, so they are only ever added.");
            text.line("\tif row := change.New; row != nil {");
            text.line(format!("\t\tpelton.Insert(out, {})", copied(row, "row", "\t\t")));
            text.line("\t}");
            text.line("\treturn nil");
        }
        text.line("}");
    }
    let table = |row: &RowType| {
        let ops = if row.has_key() { "" } else { ".Ops(pelton.OpInsert)" };
        format!("pelton.Table({}, {}Changed){ops}", quoted(&row.qualified()), camel(&row.many))
    };
    let public = |row: &RowType| {
        format!("pelton.Public[Public{}]({}, \"1.0\")", exported(&row.one), quoted(&naming.schema(row)))
    };
    text.line("");
    text.line("var transform = pelton.Transform{");
    text.line(format!("\tName:      {},", quoted(&naming.name)));
    text.line("\tVersion:   \"1.0.0\",");
    text.line("\tPublishes: []*pelton.PublicSchema{");
    rows.iter().for_each(|row| text.line(format!("\t\t{},", public(row))));
    text.line("\t},");
    text.line("\tTables: []pelton.Handler{");
    rows.iter().for_each(|row| text.line(format!("\t\t{},", table(row))));
    text.line("\t},");
    text.line("}");
    text.line("");
    text.line("func init() { pelton.Export(&transform) }");
    text.line("");
    text.line("func main() {}");
    text.finish()
}

/// `&PublicOrder{…}` with every field of a source row, in columns as gofmt has them.
fn copied(row: &RowType, from: &str, indent: &str) -> String {
    let width = row.columns.iter().map(|column| exported(&column.field).len()).max().unwrap_or(0) + 1;
    let mut text = format!("&Public{}{{\n", exported(&row.one));
    for column in &row.columns {
        let name = exported(&column.field);
        text += &format!("{indent}\t{:width$} {from}.{name},\n", format!("{name}:"));
    }
    text + indent + "}"
}
