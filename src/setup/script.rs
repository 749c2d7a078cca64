//! Statements as a script that a person reviews and psql runs.

use std::fmt::Write;

use super::Statement;

/// Writes a script for one database; `title` says for which, and what for.
///
/// Each statement has its comment. Those that may run in a transaction do so together, so that they take effect as one
/// or not at all; the others come first, since what they change, a setting, is wanted before the rest makes sense.
pub fn script<'a>(title: &str, statements: impl IntoIterator<Item = &'a Statement>) -> String {
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for statement in statements {
        let list = if statement.transactional { &mut together } else { &mut alone };
        // What two rules ask for is done once.
        if !list.contains(&statement) {
            list.push(statement);
        }
    }
    let mut out = String::new();
    comment(&mut out, title);
    out.push_str("\\set ON_ERROR_STOP on\n");
    alone.iter().for_each(|statement| one(&mut out, statement));
    if !together.is_empty() {
        out.push_str("\nBEGIN;\n");
        together.iter().for_each(|statement| one(&mut out, statement));
        out.push_str("\nCOMMIT;\n");
    }
    out
}

fn one(out: &mut String, statement: &Statement) {
    out.push('\n');
    comment(out, &statement.comment);
    match &statement.printed {
        // A command of psql's own has no semicolon.
        Some(printed) if printed.starts_with('\\') => writeln!(out, "{printed}"),
        Some(printed) => writeln!(out, "{printed};"),
        None => writeln!(out, "{};", statement.sql),
    }
    .expect("writing to a String");
}

/// Every line of it, so that no name in it can end the comment.
fn comment(out: &mut String, text: &str) {
    for line in text.split(['\n', '\r']) {
        writeln!(out, "-- {line}").expect("writing to a String");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_a_transaction_comes_before_it_and_nothing_comes_twice() {
        let grant = Statement::new("reading\nDROP TABLE x", "GRANT SELECT ON t TO r").by_admin();
        let level = Statement::new("decoding", "ALTER SYSTEM SET wal_level = 'logical'").outside_a_transaction();
        let password = Statement::new("logging in", "ALTER ROLE r PASSWORD 'secret'").printed_as("\\password r");
        assert_eq!(
            script("source shop", [&grant, &level, &password, &grant]),
            "-- source shop\n\\set ON_ERROR_STOP on\n\n-- decoding\nALTER SYSTEM SET wal_level = 'logical';\n\nBEGIN;\n\n\
             -- reading\n-- DROP TABLE x\nGRANT SELECT ON t TO r;\n\n-- logging in\n\\password r\n\nCOMMIT;\n"
        );
        assert!(!format!("{password:?}").contains("secret"));
    }
}
