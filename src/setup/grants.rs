//! What the role may do in the database: at a source read, at a destination write, and nothing else.
//!
//! Only what is missing is granted, table by table. Whole schemas get default privileges too, for each role that makes
//! tables there: `GRANT … ON ALL TABLES` knows today's tables alone.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::here::Here;
use super::item::{Item, Severity, Statement};
use super::wish::{DestinationWish, Job, Scope, SourceWish};
use crate::postgres::catalog::TableName;
use crate::postgres::quote::ident_for_people;
use crate::postgres::{QueryError, quote_ident};

/// Returns the right to connect.
///
/// # Errors
/// [`QueryError`].
pub async fn connect(client: &Client, here: &Here, job: &Job) -> Result<Item, QueryError> {
    let sql = "SELECT coalesce((SELECT pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT') \
                                FROM pg_catalog.pg_roles r WHERE r.rolname = $1), \
               EXISTS (SELECT FROM pg_catalog.pg_database d, pg_catalog.aclexplode(coalesce(d.datacl, \
                       pg_catalog.acldefault('d', d.datdba))) a \
                       WHERE d.datname = pg_catalog.current_database() AND a.grantee = 0 AND a.privilege_type = 'CONNECT'))";
    let may = client.query_one(sql, &[&here.role]).await.map_err(asking)?.get::<_, bool>(0);
    let place = place(here, job);
    Ok(if may {
        Item::right("database-connect", place, format!("may connect to {}", ident_for_people(&here.database)))
    } else {
        let what = format!("may not connect to {}", ident_for_people(&here.database));
        let grant = format!("GRANT CONNECT ON DATABASE {} TO {}", quote_ident(&here.database), quote_ident(&here.role));
        Item::amiss(Severity::Error, "database-connect", place, what, "Pelton has to connect to it")
            .sql(Statement::new("the right to connect", grant).by_admin())
    })
}

/// Returns USAGE and SELECT for the published tables, and default privileges where whole schemas are published.
///
/// # Errors
/// [`QueryError`].
pub async fn source(
    client: &Client,
    here: &Here,
    job: &Job,
    source: &SourceWish,
    tables: &[TableName],
) -> Result<Vec<Item>, QueryError> {
    let mut schemas: Vec<String> = tables.iter().map(|table| table.schema.clone()).collect();
    if let Scope::Schemas(named) = &source.scope {
        schemas.extend(named.iter().cloned());
    }
    schemas.sort();
    schemas.dedup();
    let mut items = usage(client, here, job, &schemas, "USAGE").await?;
    items.extend(on_tables(client, here, job, tables, &["SELECT"]).await?);
    if !matches!(source.scope, Scope::Listed(_)) {
        items.extend(defaults(client, here, job, &schemas).await?);
    }
    Ok(items)
}

/// Returns what a destination's role needs on the tables that it writes.
///
/// # Errors
/// [`QueryError`].
pub async fn destination(
    client: &Client,
    here: &Here,
    job: &Job,
    destination: &DestinationWish,
) -> Result<Vec<Item>, QueryError> {
    let names: Vec<TableName> = destination.tables.iter().map(|(table, _)| table.clone()).collect();
    let exist = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'f')";
    let rows = client.query(exist, &[]).await.map_err(asking)?;
    let there: Vec<TableName> =
        rows.iter().map(|row| TableName::new(row.get::<_, String>(0), row.get::<_, String>(1))).collect();
    let schemas = |wanted: &dyn Fn(&TableName, bool) -> bool| {
        let mut schemas: Vec<String> = destination
            .tables
            .iter()
            .filter(|(table, make)| wanted(table, *make))
            .map(|(table, _)| table.schema.clone())
            .collect();
        schemas.sort();
        schemas.dedup();
        schemas
    };
    let mut items = usage(client, here, job, &schemas(&|_, _| true), "USAGE").await?;
    // Whoever makes a table owns it.
    items.extend(usage(client, here, job, &schemas(&|table, make| make && !there.contains(table)), "CREATE").await?);
    let present: Vec<TableName> = names.into_iter().filter(|table| there.contains(table)).collect();
    let rights = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"];
    items.extend(on_tables(client, here, job, &present, &rights).await?);
    Ok(items)
}

/// Returns the schema of Pelton's own, which belongs to the role.
///
/// # Errors
/// [`QueryError`].
pub async fn own_schema(client: &Client, here: &Here, job: &Job, schema: &str) -> Result<Item, QueryError> {
    let sql = "SELECT n.nspowner::regrole::text, r.oid IS NOT NULL AND pg_catalog.pg_has_role(r.oid, n.nspowner, 'usage'), \
                      r.oid IS NOT NULL AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') \
                      AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r' \
                          AND NOT (pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT') \
                               AND pg_catalog.has_table_privilege(r.oid, c.oid, 'INSERT') \
                               AND pg_catalog.has_table_privilege(r.oid, c.oid, 'UPDATE') \
                               AND pg_catalog.has_table_privilege(r.oid, c.oid, 'DELETE'))) \
               FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $2 WHERE n.nspname = $1";
    let place = place(here, job);
    let (name, role) = (quote_ident(schema), quote_ident(&here.role));
    let Some(row) = client.query_opt(sql, &[&schema, &here.role]).await.map_err(asking)? else {
        let what = format!("there is no schema {schema}");
        let why = "Pelton keeps its checkpoints there, and makes it only where its role has CREATE on the database";
        // AUTHORIZATION takes membership in the role, which a creator of roles gives itself and gives back.
        let join = match here.superuser || here.me == here.role {
            true => (String::new(), String::new()),
            false => (format!("GRANT {role} TO CURRENT_USER; "), format!(" REVOKE {role} FROM CURRENT_USER;")),
        };
        let make = format!("{}CREATE SCHEMA IF NOT EXISTS {name} AUTHORIZATION {role};{}", join.0, join.1);
        let statement =
            Statement::new(format!("the schema {schema}, which belongs to the role"), super::sql::steps(&make));
        return Ok(Item::amiss(Severity::Error, "data-store", place, what, why).sql(statement.by_admin()));
    };
    let (owner, owns, writes): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    if owns {
        return Ok(Item::right("data-store", place, format!("schema {schema} belongs to the role")));
    }
    if writes {
        return Ok(Item::right("data-store", place, format!("may write to schema {schema}, which belongs to {owner}")));
    }
    let what = format!("may not write to schema {schema}, which belongs to {owner}");
    let grant = format!(
        "GRANT USAGE, CREATE ON SCHEMA {name} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}; \
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {name} TO {role}"
    );
    let why = "Pelton keeps its checkpoints there";
    Ok(Item::amiss(Severity::Error, "data-store", place, what, why)
        .sql(Statement::new(format!("the right to write to schema {schema}"), grant).by_admin()))
}

async fn usage(
    client: &Client,
    here: &Here,
    job: &Job,
    schemas: &[String],
    right: &str,
) -> Result<Vec<Item>, QueryError> {
    let sql = "SELECT n.nspname::text, r.oid IS NOT NULL AND pg_catalog.has_schema_privilege(r.oid, n.oid, $3) \
               FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $2 \
               WHERE n.nspname = ANY ($1) ORDER BY 1";
    let rows = client.query(sql, &[&schemas, &here.role, &right]).await.map_err(asking)?;
    let items = rows.iter().map(|row| {
        let (schema, may): (String, bool) = (row.get(0), row.get(1));
        let place = place(here, job);
        let shown = ident_for_people(&schema);
        if may {
            return Item::right("schema-usage", place, format!("has {right} on schema {shown}"));
        }
        let grant = format!("GRANT {right} ON SCHEMA {} TO {}", quote_ident(&schema), quote_ident(&here.role));
        let why =
            if right == "USAGE" { "without it none of its tables can be named" } else { "tables are to be made there" };
        Item::amiss(Severity::Error, "schema-usage", place, format!("has no {right} on schema {shown}"), why)
            .sql(Statement::new(format!("{right} on schema {shown}"), grant).by_admin())
    });
    Ok(items.collect())
}

/// One item for each schema: a source may have thousands of tables.
async fn on_tables(
    client: &Client,
    here: &Here,
    job: &Job,
    tables: &[TableName],
    rights: &[&str],
) -> Result<Vec<Item>, QueryError> {
    let sql = "SELECT n.nspname::text, c.relname::text, \
                      ARRAY(SELECT p FROM pg_catalog.unnest($4::text[]) p \
                            WHERE r.oid IS NULL OR NOT pg_catalog.has_table_privilege(r.oid, c.oid, p)) \
               FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w (schema, name) \
               JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema \
               JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name \
               LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $3 ORDER BY 1, 2";
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let rows = client.query(sql, &[&schemas, &names, &here.role, &rights]).await.map_err(asking)?;
    // For each schema the number of its tables, and those that lack the same rights.
    let mut by_schema: BTreeMap<String, (usize, BTreeMap<_, Vec<_>>)> = BTreeMap::new();
    for row in &rows {
        let (schema, name, missing): (String, String, Vec<String>) = (row.get(0), row.get(1), row.get(2));
        let (count, lacking) = by_schema.entry(schema.clone()).or_default();
        *count += 1;
        if !missing.is_empty() {
            lacking.entry(missing).or_default().push(TableName::new(schema, name));
        }
    }
    let mut items = Vec::new();
    for (schema, (count, lacking)) in by_schema {
        let (place, schema) = (place(here, job), ident_for_people(&schema));
        if lacking.is_empty() {
            let what = format!("has {} on the {count} tables of schema {schema}", rights.join(", "));
            items.push(Item::right("table-select", &place, what));
        }
        for (missing, tables) in lacking {
            let missing = missing.join(", ");
            let shown = tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let quoted = tables.iter().map(TableName::quoted).collect::<Vec<_>>().join(", ");
            let grant = format!("GRANT {missing} ON TABLE {quoted} TO {}", quote_ident(&here.role));
            let what = format!("has no {missing} on {shown}");
            let why = "rows that exist are copied by it, and destinations are written with it";
            items.push(
                Item::amiss(Severity::Error, "table-select", &place, what, why)
                    .sql(Statement::new(format!("{missing} on {shown}"), grant).by_admin()),
            );
        }
    }
    Ok(items)
}

/// Default privileges of everybody who makes tables in a schema: who owns some there, or the schema, or the database.
async fn defaults(client: &Client, here: &Here, job: &Job, schemas: &[String]) -> Result<Vec<Item>, QueryError> {
    let sql = "\
        SELECT n.nspname::text, o.rolname::text, \
               EXISTS (SELECT FROM pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a \
                       JOIN pg_catalog.pg_roles r ON r.oid = a.grantee \
                       WHERE d.defaclnamespace = n.oid AND d.defaclrole = o.oid AND d.defaclobjtype = 'r' \
                         AND r.rolname = $2 AND a.privilege_type = 'SELECT') \
        FROM pg_catalog.pg_namespace n \
        CROSS JOIN LATERAL ( \
            SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') \
            UNION SELECT n.nspowner \
            UNION SELECT d.datdba FROM pg_catalog.pg_database d, pg_catalog.pg_roles b \
                  WHERE d.datname = pg_catalog.current_database() \
                    AND b.oid = n.nspowner AND b.rolname = 'pg_database_owner') AS w (oid) \
        JOIN pg_catalog.pg_roles o ON o.oid = w.oid AND o.rolname <> 'pg_database_owner' AND o.rolname <> $2 \
        WHERE n.nspname = ANY ($1) ORDER BY 1, 2";
    let rows = client.query(sql, &[&schemas, &here.role]).await.map_err(asking)?;
    let items = rows.iter().map(|row| {
        let (schema, owner, may): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let shown =
            format!("tables that {} will make in schema {}", ident_for_people(&owner), ident_for_people(&schema));
        let place = place(here, job);
        if may {
            return Item::right("default-privileges", place, format!("will have SELECT on {shown}"));
        }
        let alter = format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT SELECT ON TABLES TO {}",
            quote_ident(&owner),
            quote_ident(&schema),
            quote_ident(&here.role)
        );
        let why = "a table that is made later could not be copied";
        Item::amiss(Severity::Warning, "default-privileges", place, format!("will have no SELECT on {shown}"), why)
            .sql(Statement::new(format!("SELECT on {shown}"), alter).by_admin())
    });
    Ok(items.collect())
}

fn place(here: &Here, job: &Job) -> String {
    format!("{}, role {}", job.place, ident_for_people(&here.role))
}

fn asking(error: tokio_postgres::Error) -> QueryError {
    QueryError::new("look up the role's privileges", error)
}
