//! Statements that can be run twice where Postgres has no `IF NOT EXISTS` for them.

use crate::postgres::quote_literal;

/// Returns a block that runs `statements` if `condition`, both of them SQL.
pub fn when(condition: &str, statements: &[String]) -> String {
    let body: String = statements.iter().map(|statement| format!("    {statement};\n")).collect();
    block(&format!("BEGIN\n  IF {condition} THEN\n{body}  END IF;\nEND"))
}

/// Returns a block of statements, each with its semicolon.
pub fn steps(statements: &str) -> String {
    block(&format!("BEGIN {statements} END"))
}

/// Puts a body between dollar quotes that it does not have itself, however odd the names in it are.
fn block(body: &str) -> String {
    let tag = (0..).map(|n| format!("$pelton{n}$")).find(|tag| !body.contains(tag.as_str()));
    let tag = tag.expect("a text holds finitely many tags");
    format!("DO {tag} {body} {tag}")
}

/// Returns the condition that there is no role of that name.
pub fn no_role(name: &str) -> String {
    format!("NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {})", quote_literal(name))
}

/// Returns the condition that there is no publication of that name.
pub fn no_publication(name: &str) -> String {
    format!("NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = {})", quote_literal(name))
}

/// Returns a query for the row that says that a publication names a table.
pub fn member(publication: &str, quoted_table: &str) -> String {
    format!(
        "SELECT FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname \
         = {} AND r.prrelid = {}::pg_catalog.regclass",
        quote_literal(publication),
        quote_literal(quoted_table)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_block() {
        let sql = when("true", &["CREATE ROLE \"$pelton0$; DROP TABLE x; --\"".to_owned()]);
        assert!(sql.starts_with("DO $pelton1$ BEGIN") && sql.ends_with("END $pelton1$"), "{sql}");
    }
}
