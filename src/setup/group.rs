//! Shared ownership, on request: a group owns the published tables, and the role is in it, so that it can look after the
//! publication by itself. It is the widest of the ways, for it makes the role an owner.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::here::Here;
use super::item::{Item, Severity, Statement};
use super::sql;
use super::target::Target;
use crate::postgres::catalog::TableName;
use crate::postgres::quote::ident_for_people;
use crate::postgres::{QueryError, quote_ident};

/// Returns what makes `group` the owner of `tables`.
///
/// # Errors
/// [`QueryError`].
pub async fn items(
    client: &Client,
    here: &Here,
    target: &Target,
    group: &str,
    tables: BTreeSet<TableName>,
) -> Result<Vec<Item>, QueryError> {
    let failed = |error| QueryError::new("ask who owns the tables", error);
    let place = target.within(format_args!("group {}", ident_for_people(group)));
    let why = "the owner of all published tables may look after the publication";
    let amiss = |what: String, statement: Statement| {
        Item::amiss(Severity::Error, "replication-group", &place, what, why).sql(statement.by_admin())
    };
    let (quoted, role) = (quote_ident(group), quote_ident(&here.role));
    let mut items = Vec::new();
    let exists =
        client.query_opt("SELECT FROM pg_catalog.pg_roles WHERE rolname = $1", &[&group]).await.map_err(failed)?;
    if exists.is_none() {
        let make = format!("CREATE ROLE {quoted} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE");
        let make = sql::when(&sql::no_role(group), &[make]);
        items.push(amiss("does not exist".to_owned(), Statement::new("the group", make)));
    }
    let sql = "SELECT n.nspname::text, c.relname::text, o.rolname::text, \
                      g.oid IS NOT NULL AND pg_catalog.has_schema_privilege(g.oid, n.oid, 'CREATE') \
                      AND pg_catalog.has_schema_privilege(g.oid, n.oid, 'USAGE') \
               FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w (schema, name) \
               JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema \
               JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name \
               JOIN pg_catalog.pg_roles o ON o.oid = c.relowner \
               LEFT JOIN pg_catalog.pg_roles g ON g.rolname = $3 ORDER BY 1, 2";
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let rows = client.query(sql, &[&schemas, &names, &group]).await.map_err(failed)?;
    let mut members: Vec<String> = vec![here.role.clone()];
    let mut schemas: Vec<String> = Vec::new();
    let mut foreign: Vec<TableName> = Vec::new();
    for row in &rows {
        let (schema, name, owner, may): (String, String, String, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if !may && !schemas.contains(&schema) {
            schemas.push(schema.clone());
        }
        if owner != group {
            members.push(owner);
            foreign.push(TableName::new(schema, name));
        }
    }
    members.sort();
    members.dedup();
    let sql = "SELECT m.rolname::text FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles g ON g.oid = a.roleid \
               JOIN pg_catalog.pg_roles m ON m.oid = a.member WHERE g.rolname = $1";
    let present: Vec<String> =
        client.query(sql, &[&group]).await.map_err(failed)?.iter().map(|row| row.get(0)).collect();
    for member in members.iter().filter(|member| !present.contains(member)) {
        let shown = ident_for_people(member);
        let grant = format!("GRANT {quoted} TO {}", quote_ident(member));
        items.push(amiss(format!("{shown} is not in it"), Statement::new(format!("{shown} in the group"), grant)));
    }
    for schema in &schemas {
        let shown = ident_for_people(schema);
        let grant = format!("GRANT USAGE, CREATE ON SCHEMA {} TO {quoted}", quote_ident(schema));
        let statement = Statement::new(format!("the right to own tables in schema {shown}"), grant);
        items.push(amiss(format!("may not own tables in schema {shown}"), statement));
    }
    for table in &foreign {
        let alter = format!("ALTER TABLE ONLY {} OWNER TO {quoted}", table.quoted());
        items.push(amiss(
            format!("does not own {table}"),
            Statement::new(format!("{table} belongs to the group"), alter),
        ));
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = $1 \
               AND pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CREATE'))";
    if !client.query_one(sql, &[&here.role]).await.map_err(failed)?.get::<_, bool>(0) {
        let grant = format!("GRANT CREATE ON DATABASE {} TO {role}", quote_ident(&here.database));
        let what = format!("{} may not make publications", ident_for_people(&here.role));
        items.push(amiss(what, Statement::new("the right to make publications", grant)));
    }
    if items.is_empty() {
        items.push(Item::right("replication-group", &place, format!("owns the {} published tables", rows.len())));
    }
    Ok(items)
}
