//! The statements, as text.
//!
//! Every name is qualified and quoted, operators too: the session's search_path is `pg_catalog`, where `citext = citext`
//! would quietly mean `text = text`. Every parameter is cast to its column's type without the modifier: the type's own
//! input function reads the text, and the assignment then applies the modifier as it would to any value (`::varchar(3)`
//! cuts off what is too long, an assignment refuses it).
//!
//! Statements for many rows take one `text[]` a column and `unnest` them side by side. An array of the column's type
//! would not do for columns that are arrays themselves: unnest takes two-dimensional arrays apart to the last element.

use super::copy::Format;
use super::shape::{Shape, ShapeColumn};

/// Columns that an update leaves alone, ascending.
pub(super) type Unchanged = Box<[u16]>;

/// What the old row of a table without a key says of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Known {
    Value,
    Null,
    Nothing,
}

/// What a statement does. Its parameters are listed with each case; "the columns" are in the shape's order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    /// The columns.
    Insert,
    /// The columns; an existing row of that key is replaced.
    Upsert,
    /// The columns; an existing row of that key stays.
    InsertMissing,
    /// The columns that are not unchanged; the key is always among them.
    Patch(Unchanged),
    /// The key columns.
    Delete,
    /// The new key columns, the old ones. Deletes the row that stands where another one moves to: always, or only if
    /// there is one that moves.
    MakeRoom { only_if_moved: bool },
    /// The columns that are not unchanged, then the old key columns.
    Move(Unchanged),
    /// The columns that are not unchanged, then those of the old row that hold a value. One matching row is updated.
    UpdateWhole(Unchanged, Box<[Known]>),
    /// The columns of the old row that hold a value. One matching row is deleted.
    DeleteWhole(Box<[Known]>),
    /// No parameters.
    Copy(Format),
}

/// How many rows a statement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Arity {
    One,
    /// Arrays; no key occurs twice.
    Many,
    /// Arrays; of rows whose keys are equal the last one counts.
    ManyLastWins,
}

impl Verb {
    /// Returns the columns that are parameters in the order of the parameters, apart from those of an old row or key.
    pub(super) fn columns(&self, shape: &Shape) -> Vec<usize> {
        match self {
            Verb::Insert | Verb::Upsert | Verb::InsertMissing | Verb::Copy(_) => (0..shape.columns.len()).collect(),
            Verb::Patch(unchanged) | Verb::Move(unchanged) | Verb::UpdateWhole(unchanged, _) => {
                (0..shape.columns.len()).filter(|&i| unchanged.binary_search(&(i as u16)).is_err()).collect()
            }
            Verb::Delete | Verb::MakeRoom { .. } => shape.key.clone(),
            Verb::DeleteWhole(_) => Vec::new(),
        }
    }

    /// Returns false for a patch that would set nothing.
    pub(super) fn has_effect(&self, shape: &Shape) -> bool {
        let sets = |i: &usize| shape.key_position(*i).is_none() || sets_key(&shape.columns[*i]);
        !matches!(self, Verb::Patch(_)) || self.columns(shape).iter().any(sets)
    }

    /// Writes the statement.
    pub(super) fn sql(&self, shape: &Shape, arity: Arity) -> String {
        let table = &shape.table;
        let columns = self.columns(shape);
        let names = |columns: &[usize]| join(", ", columns.iter().map(|&i| shape.columns[i].quoted.clone()));
        let overriding = if shape.overriding { " OVERRIDING SYSTEM VALUE" } else { "" };
        match self {
            Verb::Copy(format) => {
                let format = if *format == Format::Binary { " (FORMAT binary)" } else { "" };
                format!("COPY {table} ({}) FROM STDIN{format}", names(&columns))
            }
            Verb::Insert | Verb::Upsert | Verb::InsertMissing => {
                let rows = match arity {
                    Arity::One => {
                        format!("VALUES ({})", join(", ", columns.iter().map(|&i| parameter(shape, i, i + 1))))
                    }
                    _ => {
                        let source = Source::new(shape, &columns, arity);
                        let values = join(", ", columns.iter().map(|&i| source.value(shape, i)));
                        // In the order of the arrays: other unique constraints are checked row by row.
                        let order = if arity == Arity::Many { " ORDER BY u.o" } else { "" };
                        format!("SELECT {values} FROM {}{order}", source.from)
                    }
                };
                let conflict = match self {
                    Verb::Insert => String::new(),
                    Verb::InsertMissing => format!(" ON CONFLICT ({}) DO NOTHING", names(&shape.key)),
                    _ => on_conflict(shape),
                };
                format!("INSERT INTO {table} ({}){overriding} {rows}{conflict}", names(&columns))
            }
            Verb::Patch(_) => {
                let set = |i: &usize| shape.key_position(*i).is_none() || sets_key(&shape.columns[*i]);
                let place = |i: usize| columns.iter().position(|&c| c == i).expect("the key is never unchanged") + 1;
                match arity {
                    Arity::One => {
                        let set = columns
                            .iter()
                            .filter(|i| set(i))
                            .map(|&i| format!("{} = {}", shape.columns[i].quoted, parameter(shape, i, place(i))));
                        let on =
                            shape.key.iter().map(|&k| equals(&shape.columns[k], "t.", &parameter(shape, k, place(k))));
                        format!("UPDATE {table} AS t SET {} WHERE {}", join(", ", set), join(" AND ", on))
                    }
                    _ => {
                        let source = Source::new(shape, &columns, arity);
                        let set = columns
                            .iter()
                            .filter(|i| set(i))
                            .map(|&i| format!("{} = {}", shape.columns[i].quoted, source.value(shape, i)));
                        let set = join(", ", set);
                        let on = shape.key.iter().map(|&k| equals(&shape.columns[k], "t.", &source.value(shape, k)));
                        format!("UPDATE {table} AS t SET {set} FROM {} WHERE {}", source.from, join(" AND ", on))
                    }
                }
            }
            Verb::Delete => match arity {
                Arity::One => format!("DELETE FROM {table} AS t WHERE {}", key_equals(shape, "t.", 1)),
                _ => {
                    let source = Source::new(shape, &columns, Arity::Many);
                    let on = shape.key.iter().map(|&k| equals(&shape.columns[k], "t.", &source.value(shape, k)));
                    let on = join(" AND ", on);
                    format!("DELETE FROM {table} AS t USING {} WHERE {on}", source.from)
                }
            },
            Verb::MakeRoom { only_if_moved } => {
                let width = shape.key.len();
                let same = shape.key.iter().enumerate().map(|(n, &k)| {
                    let column = &shape.columns[k];
                    let (operator, collate) = (column.equals.as_deref().unwrap_or("="), collate(column));
                    let (new, old) = (parameter(shape, k, n + 1), parameter(shape, k, width + n + 1));
                    format!("{new}{collate} {operator} {old}")
                });
                let same = join(" AND ", same);
                let moved = if *only_if_moved {
                    format!(" AND EXISTS (SELECT FROM {table} AS o WHERE {})", key_equals(shape, "o.", width + 1))
                } else {
                    String::new()
                };
                format!("DELETE FROM {table} AS t WHERE {} AND NOT ({same}){moved}", key_equals(shape, "t.", 1))
            }
            Verb::Move(_) => {
                let set = set_all(shape, &columns);
                format!("UPDATE {table} AS t SET {set} WHERE {}", key_equals(shape, "t.", columns.len() + 1))
            }
            Verb::UpdateWhole(_, known) => {
                let set = set_all(shape, &columns);
                let one = one_row(shape, known, columns.len() + 1);
                format!("UPDATE {table} SET {set} WHERE {one}")
            }
            Verb::DeleteWhole(known) => format!("DELETE FROM {table} WHERE {}", one_row(shape, known, 1)),
        }
    }
}

/// Writes `TRUNCATE` of tables that are truncated together, since foreign keys between them would refuse one alone.
pub(super) fn truncate<'a>(shapes: impl IntoIterator<Item = &'a Shape>) -> String {
    // ONLY spares the children of an inheriting table, which are tables of their own; a partitioned one has all its rows
    // in its partitions.
    let one = |shape: &Shape| format!("{}{}", if shape.partitioned { "" } else { "ONLY " }, shape.table);
    format!("TRUNCATE {}", join(", ", shapes.into_iter().map(one)))
}

/// The rows of a statement for many: `u` with one text column `c<index>` for each column, and `o`, the row's number.
struct Source {
    from: String,
    typed: bool,
}

impl Source {
    fn new(shape: &Shape, columns: &[usize], arity: Arity) -> Source {
        let arrays = join(", ", (1..=columns.len()).map(|n| format!("pg_catalog.unnest(${n}::pg_catalog.text[])")));
        let names = join(", ", columns.iter().map(|i| format!("c{i}")));
        let unnest = format!("ROWS FROM ({arrays}) WITH ORDINALITY AS u({names}, o)");
        if arity != Arity::ManyLastWins {
            return Source { from: unnest, typed: false };
        }
        // Which keys are equal is for the column's collation to say, as it is for the unique index.
        let value = |&i: &usize| {
            let column = &shape.columns[i];
            let collate = if shape.key_position(i).is_some() { collate(column) } else { String::new() };
            format!("u.c{i}::{}{collate} AS c{i}", column.cast)
        };
        let values = join(", ", columns.iter().map(value));
        let key = join(", ", shape.key.iter().map(|k| format!("v.c{k}")));
        let from = format!(
            "(SELECT DISTINCT ON ({key}) v.* FROM (SELECT {values}, u.o FROM {unnest}) AS v ORDER BY {key}, v.o DESC) AS u"
        );
        Source { from, typed: true }
    }

    fn value(&self, shape: &Shape, column: usize) -> String {
        if self.typed { format!("u.c{column}") } else { format!("u.c{column}::{}", shape.columns[column].cast) }
    }
}

fn join(separator: &str, parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

fn parameter(shape: &Shape, column: usize, number: usize) -> String {
    format!("${number}::{}", shape.columns[column].cast)
}

fn equals(column: &ShapeColumn, prefix: &str, value: &str) -> String {
    format!("{prefix}{} {} {value}", column.quoted, column.equals.as_deref().unwrap_or("="))
}

/// Says by which collation a value is compared that no column stands beside; a column brings its own.
fn collate(column: &ShapeColumn) -> String {
    column.collation.as_ref().map(|collation| format!(" COLLATE {collation}")).unwrap_or_default()
}

fn key_equals(shape: &Shape, prefix: &str, first: usize) -> String {
    let one = |(n, &k): (usize, &usize)| equals(&shape.columns[k], prefix, &parameter(shape, k, first + n));
    join(" AND ", shape.key.iter().enumerate().map(one))
}

fn set_all(shape: &Shape, columns: &[usize]) -> String {
    let one = |(n, &i): (usize, &usize)| format!("{} = {}", shape.columns[i].quoted, parameter(shape, i, n + 1));
    join(", ", columns.iter().enumerate().map(one))
}

/// True for a key column whose equal values may look different: its bytes are written too.
fn sets_key(column: &ShapeColumn) -> bool {
    !column.form.equality_is_identity()
}

fn on_conflict(shape: &Shape) -> String {
    let target = join(", ", shape.key.iter().map(|&k| shape.columns[k].quoted.clone()));
    let set = (0..shape.columns.len())
        .filter(|&i| shape.key_position(i).is_none() || sets_key(&shape.columns[i]))
        .map(|i| format!("{0} = EXCLUDED.{0}", shape.columns[i].quoted));
    let set = join(", ", set);
    match set.is_empty() {
        true => format!(" ON CONFLICT ({target}) DO NOTHING"),
        false => format!(" ON CONFLICT ({target}) DO UPDATE SET {set}"),
    }
}

/// Finds one row by all its columns: by `=` where an index may help, and by its text where equal values may differ
/// (1.0 and 1.00 are two rows) or the type has no equality (json).
fn one_row(shape: &Shape, known: &[Known], first: usize) -> String {
    let mut number = first;
    let mut conditions = Vec::new();
    for (column, known) in shape.columns.iter().zip(known) {
        match known {
            Known::Nothing => {}
            Known::Null => conditions.push(format!("{} IS NULL", column.quoted)),
            Known::Value => {
                let value = format!("${number}::{}", column.cast);
                if column.equals.is_some() {
                    conditions.push(equals(column, "", &value));
                }
                if column.equals.is_none() || !column.form.equality_is_identity() {
                    let text = |value: &str| format!("({value})::pg_catalog.text COLLATE pg_catalog.\"C\"");
                    conditions.push(format!("{} OPERATOR(pg_catalog.=) {}", text(&column.quoted), text(&value)));
                }
                number += 1;
            }
        }
    }
    // A row's place alone is unique only within one partition.
    let place = if shape.partitioned { "(tableoid, ctid)" } else { "ctid" };
    let select = if shape.partitioned { "tableoid, ctid" } else { "ctid" };
    let conditions = conditions.join(" AND ");
    format!("{place} = (SELECT {select} FROM {} WHERE {conditions} LIMIT 1)", shape.table)
}
