//! Who prepares a database, from where, and what that database is.

use tokio_postgres::Client;

use super::facts::Facts;
use super::provider::Provider;
use crate::postgres::QueryError;

/// The database that is being prepared.
#[derive(Clone, Debug)]
pub struct Here {
    pub database: String,
    pub version: u32,
    pub version_text: String,
    pub provider: Provider,
    /// Whom it is prepared for.
    pub role: String,
    /// That role was there before.
    pub role_exists: bool,
    /// Who prepares it.
    pub me: String,
    pub superuser: bool,
    /// Makes roles: a superuser, CREATEROLE, or what a provider has in its place.
    pub administrator: bool,
    /// What the server sees of our address; nothing over a socket.
    pub address: Option<String>,
    /// The server offers TLS.
    pub tls: bool,
}

const ME: &str = "\
    SELECT current_user::text, r.rolsuper, \
           r.rolsuper OR r.rolcreaterole OR EXISTS (SELECT FROM pg_catalog.pg_roles a \
               WHERE a.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin', 'neon_superuser') \
               AND pg_catalog.pg_has_role(current_user, a.oid, 'member')), \
           pg_catalog.host(pg_catalog.inet_client_addr()), pg_catalog.current_setting('ssl') = 'on' \
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// Asks who we are; the rest is in `facts`.
///
/// # Errors
/// [`QueryError`].
pub async fn here(client: &Client, facts: &Facts) -> Result<Here, QueryError> {
    let failed = |error| QueryError::new("ask the server who we are", error);
    let row = client.query_one(ME, &[]).await.map_err(failed)?;
    Ok(Here {
        database: facts.server.database.clone(),
        version: facts.server.version,
        version_text: facts.server.version_text.clone(),
        provider: facts.provider,
        role: facts.role.name.clone(),
        role_exists: facts.role.exists(),
        me: row.get(0),
        superuser: row.get(1),
        administrator: row.get(2),
        address: row.get(3),
        tls: row.get(4),
    })
}
