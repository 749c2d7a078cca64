//! What the database says of itself and of whoever prepares it.

use tokio_postgres::Client;

use super::provider::{self, Provider, Signs};
use super::wish::Job;
use crate::postgres::QueryError;

/// The database that is being prepared.
#[derive(Clone, Debug)]
pub struct Here {
    /// The major version.
    pub version: u32,
    pub version_text: String,
    pub database: String,
    /// Who prepares it.
    pub me: String,
    pub superuser: bool,
    /// Makes roles: a superuser, CREATEROLE, or what a provider has in its place.
    pub administrator: bool,
    /// A standby, where nothing can be made.
    pub standby: bool,
    pub provider: Provider,
    /// What the server sees of our address; nothing over a socket.
    pub address: Option<String>,
    /// The server offers TLS.
    pub tls: bool,
    /// Whom it is prepared for.
    pub role: String,
    /// That role is there already.
    pub role_exists: bool,
}

const HERE: &str = "\
    SELECT pg_catalog.current_setting('server_version_num')::int4, pg_catalog.current_setting('server_version'), \
           pg_catalog.current_database()::text, current_user::text, r.rolsuper, \
           r.rolsuper OR r.rolcreaterole OR EXISTS (SELECT FROM pg_catalog.pg_roles a \
               WHERE a.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin', 'neon_superuser') \
               AND pg_catalog.pg_has_role(current_user, a.oid, 'member')), \
           pg_catalog.pg_is_in_recovery(), \
           ARRAY(SELECT s FROM pg_catalog.unnest($2::text[]) s WHERE coalesce(pg_catalog.current_setting(s, true), '') <> ''), \
           ARRAY(SELECT f FROM pg_catalog.unnest($3::text[]) f WHERE EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = f)), \
           ARRAY(SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY ($4::text[])), \
           pg_catalog.host(pg_catalog.inet_client_addr()), pg_catalog.current_setting('ssl') = 'on', \
           coalesce($1::text, current_user::text), \
           EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = coalesce($1::text, current_user::text)) \
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// Asks.
///
/// # Errors
/// [`QueryError`].
pub async fn here(client: &Client, job: &Job) -> Result<Here, QueryError> {
    let failed = |error| QueryError::new("ask the server who we are", error);
    let wanted = job.role.as_ref().map(|role| role.name.clone());
    let [settings, functions, roles] = Signs::wanted();
    let row = client.query_one(HERE, &[&wanted, &settings, &functions, &roles]).await.map_err(failed)?;
    let host = job.connection.host.clone();
    let signs = Signs { host, settings: row.get(7), functions: row.get(8), roles: row.get(9) };
    Ok(Here {
        version: u32::try_from(row.get::<_, i32>(0) / 10_000).unwrap_or(0),
        version_text: row.get(1),
        database: row.get(2),
        me: row.get(3),
        superuser: row.get(4),
        administrator: row.get(5),
        standby: row.get(6),
        provider: provider::recognise(&signs),
        address: row.get(10),
        tls: row.get(11),
        role: row.get(12),
        role_exists: row.get(13),
    })
}
