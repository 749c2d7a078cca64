//! An author's SELECT for many changes at a time.
//!
//! The changes come as one array a column. For each of them the statement runs as it stands, with the change's values in the
//! place of its placeholders; to answer from the change, what it calls by the table's name is the changed row. What it
//! gives is printed as one text, in which every value is as Postgres prints it.

use crate::postgres::quote_ident;
use crate::sql::{Placeholder, TableRef, Template};

/// A column of the changed table, with its type as it stands in a cast.
#[derive(Clone, Debug)]
pub(super) struct InputColumn {
    pub name: String,
    pub cast: String,
    /// Statements that do not need it are not given it.
    pub is_taken: bool,
}

/// What a statement for many changes is made of.
pub(super) struct ForMany<'a> {
    pub template: &'a Template,
    pub table: TableRef<'a>,
    pub columns: &'a [InputColumn],
    /// The columns that it gives, each of which is taken by its name: what a joined table gets one day shifts none of them.
    pub gives: &'a [String],
    /// It is shown the changed rows.
    pub from_change: bool,
    /// For no changes, instead of parameters: to be explained, not to be run.
    pub empty: bool,
}

/// Returns the statement over arrays: `$1` counts the changes, `$2` and so on are those columns that are taken.
pub(super) fn for_many(of: &ForMany<'_>, column_of: impl Fn(&Placeholder) -> Option<String>) -> String {
    let ForMany { template, table, columns, gives, from_change, empty } = *of;
    let array = |number: usize, of: &str| match empty {
        true => format!("pg_catalog.unnest('{{}}'::pg_catalog.{of}[])"),
        false => format!("pg_catalog.unnest(${number}::pg_catalog.{of}[])"),
    };
    let mut arrays = vec![array(1, "int4")];
    let (mut names, mut typed) = (vec!["n".to_owned()], vec!["n".to_owned()]);
    let mut shown = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let InputColumn { name, cast, is_taken } = column;
        let name = quote_ident(name);
        if !is_taken {
            shown.push(format!("NULL::{cast} AS {name}"));
            continue;
        }
        arrays.push(array(arrays.len() + 1, "text"));
        names.push(format!("c{at}"));
        typed.push(format!("c{at}::{cast} AS c{at}"));
        shown.push(format!("pelton_change.c{at} AS {name}"));
    }
    let with = |placeholder: &Placeholder| {
        let wanted = column_of(placeholder);
        let at = columns.iter().position(|column| Some(&column.name) == wanted.as_ref());
        at.map_or_else(|| "NULL".to_owned(), |at| format!("(pelton_change.c{at})"))
    };
    let author = match from_change {
        true => template.render_unqualified(table, with),
        false => template.render(with),
    };
    // What stands at the end may be a comment.
    let author = match from_change {
        true => format!(
            "WITH {} AS (SELECT {}) SELECT * FROM (\n{author}\n) AS pelton_author",
            quote_ident(table.name),
            shown.join(", ")
        ),
        false => author,
    };
    let row = gives.iter().map(|name| format!("pelton_row.{}", quote_ident(name))).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT pelton_change.n, ROW({row})::pg_catalog.text FROM (SELECT {} FROM ROWS FROM ({}) \
         AS pelton_array({})) AS pelton_change CROSS JOIN LATERAL (\n{author}\n) AS pelton_row",
        typed.join(", "),
        arrays.join(", "),
        names.join(", "),
    )
}

/// Returns the author's statement alone, to ask what it gives: `$1` and so on are its placeholders, as text.
pub(super) fn alone(
    template: &Template,
    columns: &[InputColumn],
    column_of: impl Fn(&Placeholder) -> Option<String>,
) -> String {
    template.render(numbered(template, columns, &column_of))
}

/// Returns what stands for a placeholder there.
pub(super) fn numbered(
    template: &Template,
    columns: &[InputColumn],
    column_of: &impl Fn(&Placeholder) -> Option<String>,
) -> impl Fn(&Placeholder) -> String {
    let placeholders = template.placeholders();
    move |placeholder| {
        let number = 1 + placeholders.iter().position(|known| known == placeholder).unwrap_or_default();
        let wanted = column_of(placeholder);
        let column = columns.iter().find(|column| Some(&column.name) == wanted.as_ref());
        format!("(${number}::pg_catalog.text::{})", column.map_or("pg_catalog.text", |column| &column.cast))
    }
}
