//! What the demo prints: talk to stderr, rows and the verdict to stdout.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::compare::{Difference, Outcome};
use super::flows::Flow;
use super::{DemoError, Result};

/// Wider values are cut.
const VALUE_WIDTH_MAX: usize = 28;

/// Tells the user what happens.
pub(super) fn talk(text: String) {
    eprintln!("{text}");
}

/// Prints ten orders beside what they became.
pub(super) async fn ten_orders(source: &Client, destination: &Client, flows: &[Flow]) -> Result<()> {
    let flow = flows.iter().find(|flow| flow.name == "orders").expect("the demo always has orders");
    // Five of the oldest, which were copied, and five of the newest, which were streamed.
    let sql = "SELECT id, customer_name, email, amount, currency, is_test FROM ( \
                 (SELECT * FROM orders ORDER BY id LIMIT 5) UNION ALL (SELECT * FROM orders ORDER BY id DESC LIMIT 5) \
               ) AS ten ORDER BY id";
    let before = rows(source, sql).await?;
    let mut table = vec![joined(&before.names, &["→".to_owned()], &names(flow.shown))];
    for row in &before.rows {
        let sql = format!("SELECT {} FROM {} WHERE id = {}", flow.shown, flow.table, row[0]);
        let after = rows(destination, &sql).await?;
        let after = after.rows.into_iter().next().unwrap_or_else(|| vec!["not published".to_owned()]);
        table.push(joined(row, &["→".to_owned()], &after));
    }
    println!("Ten orders of the source → what they became at the destination:\n\n{}", aligned(&table));
    Ok(())
}

/// Prints the verdict on every flow.
pub(super) fn outcomes(outcomes: &[Outcome]) {
    println!("Source and destination, compared in SQL:\n");
    let rows = outcomes.iter().map(|outcome| {
        let verdict = if outcome.is_equal() { "equal" } else { "DIFFERS" };
        vec![outcome.flow.clone(), grouped(outcome.rows_expected), grouped(outcome.rows_found), verdict.to_owned()]
    });
    let head = ["flow", "rows expected", "rows found", "verdict"].map(str::to_owned).to_vec();
    println!("{}", aligned(&[head].into_iter().chain(rows).collect::<Vec<_>>()));
    for outcome in outcomes {
        for difference in &outcome.differences {
            let (what, key) = match difference {
                Difference::Missing(key) => ("missing", key),
                Difference::Surplus(key) => ("surplus", key),
                Difference::Unequal(key) => ("unequal", key),
            };
            println!("  {} {key}: {what} at the destination", outcome.flow);
        }
    }
}

struct Rows {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

async fn rows(client: &Client, sql: &str) -> Result<Rows> {
    let fail = |source| DemoError::Sql { act: "read rows to show", source };
    let mut found = Rows { names: Vec::new(), rows: Vec::new() };
    for message in client.simple_query(sql).await.map_err(fail)? {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                found.names = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                found.rows.push((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect());
            }
            _ => {}
        }
    }
    Ok(found)
}

fn names(columns: &str) -> Vec<String> {
    columns.split(", ").map(str::to_owned).collect()
}

fn joined(left: &[String], middle: &[String], right: &[String]) -> Vec<String> {
    [left, middle, right].concat()
}

/// Lays a table out in columns, numbers to the right. The first row is its head.
fn aligned(table: &[Vec<String>]) -> String {
    let cells = table.iter().map(|row| row.iter().map(|value| one_line(value)).collect::<Vec<_>>()).collect::<Vec<_>>();
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    // What ends a row early is a remark: it runs over the columns that the row doesn't have.
    let remark = |row: &[String], column| column + 1 == row.len() && row.len() < columns;
    let width = |column| {
        let measured = cells.iter().filter(|row| !remark(row, column));
        measured.map(|row| cell(row, column).chars().count()).max().unwrap_or(0)
    };
    let is_number = |text: &str| text.parse::<f64>().is_ok() || text.replace(',', "").parse::<f64>().is_ok();
    let right = |column| {
        cells
            .iter()
            .skip(1)
            .all(|row| remark(row, column) || cell(row, column).is_empty() || is_number(&cell(row, column)))
    };
    let mut text = String::new();
    for row in &cells {
        let mut line = String::from(" ");
        for column in 0..columns {
            let (value, width) = (cell(row, column), width(column));
            line += &if right(column) && !remark(row, column) {
                format!(" {value:>width$}")
            } else {
                format!(" {value:<width$}")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Shows control characters as escapes, and cuts what is too wide.
fn one_line(value: &str) -> String {
    let plain = value.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] });
    let plain = plain.collect::<String>();
    match plain.char_indices().nth(VALUE_WIDTH_MAX) {
        Some(_) => plain.chars().take(VALUE_WIDTH_MAX - 1).chain(['…']).collect(),
        None => plain,
    }
}

/// Groups digits by three: 12,345.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints a number of bytes in the greatest unit that leaves a whole number.
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{} B", grouped(number)),
        10_000..10_000_000 => format!("{} kB", grouped(number / 1_000)),
        _ => format!("{} MB", grouped(number / 1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_numbers_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([7, 12_345, 12_345_678].map(bytes), ["7 B", "12 kB", "12 MB"]);
    }

    #[test]
    fn aligns_columns() {
        let row = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        let table = [row("id|name|→|id|by"), row("1|Zoë|→|1|x"), row("20|a\nb|→|not published")];
        assert_eq!(aligned(&table), "  id name → id by\n   1 Zoë  →  1 x\n  20 a\\nb → not published\n");
        assert_eq!(one_line(&"x".repeat(40)).chars().count(), VALUE_WIDTH_MAX);
    }
}
