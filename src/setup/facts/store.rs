//! The schema where Pelton keeps what is its own: the role's rights to it, and what was made in it.

use tokio_postgres::Client;

use super::RoleFacts;
use crate::datastore::{self, EVENTS, History, ORDINARY};
use crate::postgres::QueryError;

/// `rejot_data_store` at a destination, `rejot_events` at an event store, and the role's rights to it.
#[derive(Clone, Debug, Default)]
pub struct StoreFacts {
    pub schema: &'static str,
    pub exists: bool,
    pub usage: bool,
    pub create: bool,
    /// Tables in it that the role may not read and write.
    pub lacking: Vec<String>,
    /// Tables in it that it may not alter, with their owners: it is no owner of them.
    pub foreign: Vec<(String, String)>,
    /// What was applied of its migrations; `None` where whoever looks may not see it.
    pub history: Option<History>,
}

const STORE: &str = "\
    SELECT pg_catalog.has_schema_privilege($1::oid, n.oid, 'USAGE'), \
           pg_catalog.has_schema_privilege($1::oid, n.oid, 'CREATE'), \
           ARRAY(SELECT c.relname::text FROM pg_catalog.pg_class c \
                 WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT ( \
                     pg_catalog.has_table_privilege($1::oid, c.oid, 'SELECT') \
                     AND pg_catalog.has_table_privilege($1::oid, c.oid, 'INSERT') \
                     AND pg_catalog.has_table_privilege($1::oid, c.oid, 'UPDATE') \
                     AND pg_catalog.has_table_privilege($1::oid, c.oid, 'DELETE')) ORDER BY 1) \
    FROM pg_catalog.pg_namespace n WHERE n.nspname = $2::text";

const FOREIGN: &str = "\
    SELECT c.relname::text, o.rolname::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles o ON o.oid = c.relowner \
    WHERE n.nspname = $2::text AND c.relkind IN ('r', 'p') \
      AND ($1::oid = 0 OR NOT pg_catalog.pg_has_role($1::oid, c.relowner, 'USAGE')) ORDER BY 1";

pub async fn look(client: &Client, schema: &'static str, role: &RoleFacts) -> Result<StoreFacts, QueryError> {
    let failed = |error| QueryError::new(format!("look at the schema {schema}"), error);
    let Some(row) = client.query_opt(STORE, &[&role.oid, &schema]).await.map_err(failed)? else {
        return Ok(StoreFacts { schema, ..StoreFacts::default() });
    };
    let (usage, create, lacking) = (row.get(0), row.get(1), row.get(2));
    let foreign = client.query(FOREIGN, &[&role.oid, &schema]).await.map_err(failed)?;
    let foreign = foreign.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(StoreFacts { schema, exists: true, usage, create, lacking, foreign, history: None })
}

/// Returns what was applied of a schema's migrations, as far as whoever looks may see it: it may fail, so not inside a
/// transaction.
pub async fn history(client: &Client, schema: &str) -> Option<History> {
    let set = [&ORDINARY, &EVENTS].into_iter().find(|set| set.schema == schema)?;
    datastore::history(client, set).await.ok()
}
