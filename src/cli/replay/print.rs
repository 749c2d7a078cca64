//! What `pelton replay` says: for people coloured on a terminal and plain elsewhere, for scripts as lines of JSON.

use serde_json::{Map, Value, json};

use super::piece::{Origin, Piece, operation};
use super::side::{Counts, Side};
use crate::cli::words::{DIM, GREEN, RED, coloured, counted};
use crate::fixture::{Cell, Field, Outcome, to_json};
use crate::rehearse::{ColumnDiffers, Differing, Keys, Made};
use crate::wasm::GuestError;

/// What was replayed, and what differed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub transactions: u64,
    pub changes: u64,
    /// Of these both have a row, or something else.
    pub changed: u64,
    pub only_before: u64,
    pub only_after: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.transactions += other.transactions;
        self.changes += other.changes;
        self.changed += other.changed;
        self.only_before += other.only_before;
        self.only_after += other.only_after;
    }
}

impl Totals {
    pub fn count(&mut self, differing: &Differing) {
        match (&differing.before, &differing.after) {
            (Some(_), None) => self.only_before += 1,
            (None, _) => self.only_after += 1,
            _ => self.changed += 1,
        }
    }

    pub fn differences(&self) -> u64 {
        self.changed + self.only_before + self.only_after
    }
}

/// Prints what is compared with what, as `diff` does.
pub fn head(before: &Side, after: &Side) {
    for (sign, colour, side) in [("---", RED, before), ("+++", GREEN, after)] {
        let descriptor = side.component().descriptor();
        let digest = hex::encode(&side.component().digest()[..6]);
        let line = format!("{sign} {} ({} {}, {digest})", side.name, descriptor.name, descriptor.version);
        println!("{}", coloured(colour, &line));
    }
}

/// Prints one thing that differs.
pub fn differing(piece: &Piece, differing: &Differing, keys: &Keys, as_json: bool) {
    if as_json {
        println!("{}", differing_json(piece, differing, keys));
        return;
    }
    println!("{}", source(piece, differing.change));
    for line in describe(differing, keys) {
        println!("  {line}");
    }
}

/// Prints one thing that came; `first` of its transaction.
pub fn made(piece: &Piece, made: &Made, first: bool, as_json: bool) {
    if as_json {
        let mut line = source_json(piece, made.change);
        line.insert("made".to_owned(), to_json(&made.outcome));
        println!("{}", Value::Object(line));
        return;
    }
    if first {
        println!("{}", piece.transaction());
    }
    let text = format!("  {}", made.outcome);
    match made.outcome {
        Outcome::Row(_) => println!("{text}"),
        Outcome::Rejected { .. } | Outcome::Failed(_) => println!("{}", coloured(RED, &text)),
    }
}

/// Prints what a transform said when it failed.
pub fn said(of: Option<&str>, error: &GuestError) {
    let who = of.unwrap_or("the transform");
    println!("  {}", coloured(DIM, &format!("{who} said: {error}")));
}

/// Returns the lines that show one difference, without the change that it came of.
fn describe(differing: &Differing, keys: &Keys) -> Vec<String> {
    let mut lines = Vec::new();
    let both = |sign: &str, outcome: &Option<Outcome>| outcome.as_ref().map(|outcome| format!("{sign} {outcome}"));
    if differing.columns.is_empty() {
        lines.extend(both("-", &differing.before).map(|line| coloured(RED, &line)));
        lines.extend(both("+", &differing.after).map(|line| coloured(GREEN, &line)));
        return lines;
    }
    if let Some(Outcome::Row(row)) = &differing.after {
        let key = keys.key(row);
        let key: Vec<String> = key.iter().map(|field| format!("{}={}", field.column, field.value)).collect();
        let title = differing.after.as_ref().map(Outcome::title).unwrap_or_default();
        lines.push(if key.is_empty() { title } else { format!("{title} {}", key.join(" ")) });
    }
    for column in &differing.columns {
        let name = format!("{}{}", if column.is_old { "old " } else { "" }, column.column);
        let one = |sign: &str, value: &Option<Cell>| match value {
            Some(value) => format!("{sign} {name}={value}"),
            None => format!("{sign} has no column {name}"),
        };
        lines.push(coloured(RED, &one("-", &column.before)));
        lines.push(coloured(GREEN, &one("+", &column.after)));
    }
    lines
}

/// Says in one line which change it is.
fn source(piece: &Piece, change: u32) -> String {
    let place = piece.place(change);
    let Some((one, relation)) = piece.change(change) else { return place };
    let mut line = format!("{place}: {} {}", operation(one.op), relation.display_name());
    let key: Vec<String> = piece
        .key(change)
        .into_iter()
        .map(|(column, value)| format!("{column}={}", value.map_or("NULL".to_owned(), |value| format!("{value:?}"))))
        .collect();
    if !key.is_empty() {
        line += &format!(" ({})", key.join(", "));
    }
    line
}

fn source_json(piece: &Piece, change: u32) -> Map<String, Value> {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    match &piece.origin {
        Origin::Fixture { file, number, at, places } => {
            let at = places.get(change as usize).unwrap_or(at);
            put("fixture", json!(&**file));
            put("line", json!(at.line));
            put("transaction", json!(number));
            put("change", json!(change + 1));
        }
        Origin::Events(positions) => {
            if let Some((position, name)) = positions.get(change as usize) {
                put("publicSchema", json!(&**name));
                put("position", json!(position.to_string()));
            }
        }
        Origin::Recorded(lsn) => {
            put("commitLsn", json!(lsn.to_string()));
            put("change", json!(change + 1));
        }
    }
    if let Some((one, relation)) = piece.change(change) {
        put("operation", json!(operation(one.op)));
        put("table", json!(relation.display_name()));
        put(
            "key",
            piece.key(change).into_iter().map(|(column, value)| (column, json!(value))).collect::<Map<_, _>>().into(),
        );
    }
    line
}

fn differing_json(piece: &Piece, differing: &Differing, keys: &Keys) -> Value {
    let mut line = source_json(piece, differing.change);
    let row = [&differing.after, &differing.before].into_iter().flatten().find_map(|outcome| match outcome {
        Outcome::Row(row) => Some(row),
        _ => None,
    });
    let cell = |cell: &Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Unchanged => json!({ "unchanged": true }),
        Cell::Text(text) => json!(text),
    };
    let field = |field: &&Field| (field.column.clone(), cell(&field.value));
    let key = row.map(|row| keys.key(row).iter().map(field).collect::<Map<_, _>>());
    let column = |one: &ColumnDiffers| {
        let mut column = Map::new();
        column.insert("column".to_owned(), json!(one.column));
        if one.is_old {
            column.insert("of".to_owned(), json!("old"));
        }
        for (name, value) in [("before", &one.before), ("after", &one.after)] {
            column.extend(value.as_ref().map(|value| (name.to_owned(), cell(value))));
        }
        Value::Object(column)
    };
    let more = json!({
        "row": row.map(|row| &row.public_schema),
        "rowKey": key,
        "before": differing.before.as_ref().map(to_json),
        "after": differing.after.as_ref().map(to_json),
        "columns": differing.columns.iter().map(column).collect::<Vec<_>>(),
    });
    line.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(line)
}

/// Says how far it is.
pub fn progress(totals: &Totals, compares: bool) -> String {
    let read = format!("{}, {}", counted(totals.transactions, "transaction"), counted(totals.changes, "change"));
    match compares {
        true => format!("{read}, {} so far", counted(totals.differences(), "difference")),
        false => format!("{read} so far"),
    }
}

/// Prints the counts.
pub fn summary(totals: &Totals, sides: &[(&str, Counts)], shown: u64, interrupted: bool) {
    if let (Some(more @ 1..), 2) = (totals.differences().checked_sub(shown), sides.len()) {
        println!("… and {}; --limit shows more", counted(more, "difference"));
    }
    let read = format!("{}, {}", counted(totals.transactions, "transaction"), counted(totals.changes, "change"));
    let made = |(name, counts): &(&str, Counts)| {
        let mut text = counted(counts.rows, "row");
        for (count, word) in [(counts.rejected, "rejected"), (counts.failed, "failed")] {
            if count > 0 {
                text += &format!(", {count} {word}");
            }
        }
        if sides.len() == 1 { text } else { format!("{text} of {name}") }
    };
    let made: Vec<String> = sides.iter().map(made).collect();
    let ended = if interrupted { "Interrupted after" } else { "Replayed" };
    println!("{ended} {read}: {}.", made.join("; "));
    let [(before, _), (after, _)] = sides else { return };
    let Totals { changed, only_before, only_after, .. } = totals;
    match totals.differences() {
        0 if totals.transactions == 0 => {
            println!("{}", coloured(RED, "Nothing was replayed, so nothing was compared."))
        }
        0 if sides.iter().any(|(_, counts)| counts.failed > 0) => {
            println!("{}", coloured(RED, "Both make the same rows, and fail alike."));
        }
        0 => println!("{}", coloured(GREEN, "Both make the same rows.")),
        _ => {
            let line = format!("{changed} changed, {only_before} only of {before}, {only_after} only of {after}.");
            println!("{}", coloured(RED, &line));
        }
    }
}

/// Returns the counts for scripts.
pub fn summary_json(totals: &Totals, sides: &[(&str, Counts)], interrupted: bool) -> Value {
    let made = |(name, counts): &(&str, Counts)| json!({ "component": name, "rows": counts.rows, "rejected": counts.rejected, "failed": counts.failed });
    let mut summary = json!({
        "transactions": totals.transactions,
        "changes": totals.changes,
        "components": sides.iter().map(made).collect::<Vec<_>>(),
        "interrupted": interrupted,
    });
    if sides.len() == 2 {
        summary["changed"] = json!(totals.changed);
        summary["onlyBefore"] = json!(totals.only_before);
        summary["onlyAfter"] = json!(totals.only_after);
    }
    json!({ "summary": summary })
}
