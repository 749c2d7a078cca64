//! Comparing what two databases hold.

use std::fmt::Write;

use super::database::{Database, Row};

/// How many differing rows are shown.
const SHOWN_MAX: usize = 10;

/// Asserts that two queries return the same rows, as Postgres prints them, each in its own ORDER BY or in any order
/// (the rows are sorted as texts); shows the first rows that only one side has.
#[track_caller]
pub fn assert_same<'a>(
    left: &'a Database,
    left_sql: &'a str,
    right: &'a Database,
    right_sql: &'a str,
) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        if let Some(difference) = difference_of(left, left_sql, right, right_sql).await {
            panic!("at {caller}: rows differ\n- {left_sql}\n+ {right_sql}\n{difference}");
        }
    }
}

/// Describes how the rows of two queries differ, in whatever order they come; `None` if they do not.
pub async fn difference_of(left: &Database, left_sql: &str, right: &Database, right_sql: &str) -> Option<String> {
    difference(left.rows(left_sql).await, right.rows(right_sql).await)
}

/// Describes the rows that only one side has, `None` if there are none.
fn difference(mut left: Vec<Row>, mut right: Vec<Row>) -> Option<String> {
    left.sort();
    right.sort();
    if left == right {
        return None;
    }
    let counts = format!("{} rows against {}", left.len(), right.len());
    let (mut only, mut l, mut r) = (Vec::new(), 0, 0);
    while l < left.len() || r < right.len() {
        match (left.get(l), right.get(r)) {
            (Some(a), Some(b)) if a == b => (l, r) = (l + 1, r + 1),
            (Some(a), b) if b.is_none_or(|b| a < b) => {
                only.push(('-', a));
                l += 1;
            }
            (_, Some(b)) => {
                only.push(('+', b));
                r += 1;
            }
            (_, None) => unreachable!("the left side alone is taken above"),
        }
    }
    let mut text = format!("{counts}, {} on one side only:\n", only.len());
    for (side, row) in only.iter().take(SHOWN_MAX) {
        let values = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect::<Vec<_>>();
        writeln!(text, "{side} {}", values.join(" | ")).expect("writing to a String");
    }
    if only.len() > SHOWN_MAX {
        writeln!(text, "  … and {} more", only.len() - SHOWN_MAX).expect("writing to a String");
    }
    Some(text)
}

#[test]
fn shows_rows_that_only_one_side_has() {
    let rows = |text: &str| text.split(' ').map(|row| row.split(',').map(|v| Some(v.to_owned())).collect()).collect();
    assert_eq!(difference(rows("1,a 2,b"), rows("2,b 1,a")), None);
    assert_eq!(
        difference(rows("1,a 2,b 3,c"), rows("1,a 2,x 3,c 4,d")).unwrap(),
        "3 rows against 4, 3 on one side only:\n- 2 | b\n+ 2 | x\n+ 4 | d\n"
    );
    assert_eq!(difference(vec![vec![None]], vec![]).unwrap(), "1 rows against 0, 1 on one side only:\n- NULL\n");
}
