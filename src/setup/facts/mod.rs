//! What a server says of itself, as far as the role that asks may see it.
//!
//! Nothing is judged and nothing is changed here. What a role may not see is `None`, never guessed. A server that is too
//! old to be read from is asked for its version alone: it lacks the catalogs that the rest needs.

mod as_wished;
mod destination;
mod source;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

pub use as_wished::differing;
pub use destination::{Checkpoint, DestinationFacts, TableState, checkpoints};
pub use source::{OwnedSchema, Reader, SourceFacts, TableRights};
pub use store::StoreFacts;

use super::pooler;
use super::provider::{self, Provider, Signs};
use super::target::{Side, Target};
use crate::postgres::{QueryError, Session};

/// The schemas where Pelton keeps what is its own.
pub const DATA_STORE: &str = "rejot_data_store";
pub const EVENT_STORE: &str = "rejot_events";

/// The oldest version with `messages` in pgoutput.
pub const VERSION_MIN: u32 = 14;

/// The settings that rules look at.
const SETTINGS: &[&str] = &[
    "wal_level",
    "effective_wal_level",
    "max_replication_slots",
    "max_wal_senders",
    "max_slot_wal_keep_size",
    "idle_replication_slot_timeout",
    "transaction_read_only",
    "default_transaction_read_only",
];

/// What a server says of itself.
#[derive(Debug, Default)]
pub struct Facts {
    pub server: ServerFacts,
    pub provider: Provider,
    /// The role that Pelton is to run as.
    pub role: RoleFacts,
    /// What shows that there is a pooler in between.
    pub pooler: Option<pooler::Sign>,
    /// Of a source.
    pub source: Option<SourceFacts>,
    /// Of a destination.
    pub destination: Option<DestinationFacts>,
    /// Of a destination or an event store: the schema where Pelton keeps what is its own.
    pub store: Option<StoreFacts>,
}

#[derive(Clone, Debug, Default)]
pub struct ServerFacts {
    /// The major version.
    pub version: u32,
    /// In full, as `server_version` prints it.
    pub version_text: String,
    pub database: String,
    pub encoding: String,
    /// A standby.
    pub in_recovery: bool,
    /// Of every slot and every sender that is taken.
    pub slots: u32,
    pub senders: u32,
    /// As the server's configuration has them, in their base units; those that the server does not know are not here.
    pub settings: BTreeMap<String, String>,
    /// As they will be after a restart, as far as the configuration may be read.
    pub next: BTreeMap<String, String>,
    /// Those that were changed and wait for a restart.
    pub pending: BTreeSet<String>,
}

/// A role, and what it may do in this database.
#[derive(Clone, Debug, Default)]
pub struct RoleFacts {
    pub name: String,
    /// 0 where there is no such role; in Postgres's own functions that stands for PUBLIC.
    pub oid: u32,
    pub superuser: bool,
    /// By its attribute.
    pub replication: bool,
    /// A member of Amazon's `rds_replication`.
    pub rds_replication: bool,
    pub bypass_rls: bool,
    pub can_login: bool,
    pub connect: bool,
    /// CREATE on the database.
    pub create: bool,
    /// `SUPERUSER`, `CREATEDB`, …: what Pelton has no use for.
    pub excess: Vec<&'static str>,
    /// As it will hold for the role's sessions, in milliseconds.
    pub sender_timeout_ms: Option<u64>,
}

impl RoleFacts {
    /// Returns false for a role that the server does not know.
    pub fn exists(&self) -> bool {
        self.oid != 0
    }
}

impl ServerFacts {
    /// Returns a setting as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.settings.get(name)?.parse().ok()
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.settings.get(name).is_some_and(|value| value == "on")
    }
}

/// Looks at a server, in whatever transaction is open: nothing that is asked makes it fail.
///
/// # Errors
/// [`QueryError`]: the connection was lost, or the server refused what every role may ask.
pub async fn look(client: &Client, target: &Target) -> Result<Facts, QueryError> {
    let failed = |error| QueryError::new("look into the server's settings", error);
    let role_name = match &target.role {
        Some(role) => role.clone(),
        None => client.query_one("SELECT current_user::text", &[]).await.map_err(failed)?.get(0),
    };
    let server = server(client).await.map_err(failed)?;
    let signs = signs(client, &target.connection.host).await.map_err(failed)?;
    let mut facts = Facts { server, provider: provider::recognise(&signs), ..Facts::default() };
    if facts.server.version < VERSION_MIN {
        facts.role.name = role_name;
        return Ok(facts);
    }
    facts.role = role(client, &role_name, target.role.is_none()).await.map_err(failed)?;
    match &target.side {
        Side::Source(wanted) => {
            facts.source = Some(source::look(client, wanted, &facts.role, &facts.server).await?);
        }
        Side::Destination(wanted) => {
            facts.store = Some(store::look(client, DATA_STORE, &facts.role).await?);
            facts.destination = Some(destination::look(client, wanted, &facts.role).await?);
        }
        Side::EventStore { .. } => facts.store = Some(store::look(client, EVENT_STORE, &facts.role).await?),
    }
    Ok(facts)
}

/// Looks at a server as [`look`] does, and at what takes time or sessions of its own: whether there is a pooler in
/// between, how fast a source writes its log (it is watched for a second), how far the flows at a destination are.
///
/// # Errors
/// As [`look`].
pub async fn inspect(client: &Client, target: &Target) -> Result<Facts, QueryError> {
    let mut facts = look(client, target).await?;
    let connection = &target.connection;
    match &target.side {
        Side::Source(_) => {
            let name = "pelton doctor";
            let Some(source) = &mut facts.source else { return Ok(facts) };
            let pooler = async {
                match pooler::probe(connection, name).await {
                    Some(sign) => Some(sign),
                    None if pooler::shares(connection, client, &Session::source(name)).await => {
                        Some(pooler::Sign::SharedProcess)
                    }
                    None => pooler::by_name(connection).map(|_| pooler::Sign::HostName),
                }
            };
            (facts.pooler, ()) = tokio::join!(pooler, source::watch(client, source));
        }
        Side::Destination(wanted) => {
            let Some(destination) = &mut facts.destination else { return Ok(facts) };
            let session = Session::destination("pelton doctor");
            let is_shared = pooler::shares(connection, client, &session).await;
            facts.pooler = is_shared.then_some(pooler::Sign::SharedProcess);
            destination.checkpoints = checkpoints(client, wanted).await;
        }
        Side::EventStore { .. } => {}
    }
    if let Some(store) = &mut facts.store {
        store.history = store::history(client, store.schema).await;
    }
    Ok(facts)
}

async fn server(client: &Client) -> Result<ServerFacts, tokio_postgres::Error> {
    // Base units, as `pg_settings` has them; what is not there has no row.
    let settings = client
        .query(
            "SELECT name::text, setting::text, pending_restart FROM pg_catalog.pg_settings WHERE name = ANY ($1::text[])",
            &[&SETTINGS],
        )
        .await?;
    let sql = "\
        SELECT pg_catalog.current_setting('server_version_num')::int4, pg_catalog.current_setting('server_version'), \
               pg_catalog.current_database()::text, \
               (SELECT pg_catalog.pg_encoding_to_char(encoding)::text FROM pg_catalog.pg_database \
                 WHERE datname = pg_catalog.current_database()), \
               pg_catalog.pg_is_in_recovery(), \
               (SELECT pg_catalog.count(*)::int4 FROM pg_catalog.pg_replication_slots), \
               (SELECT pg_catalog.count(*)::int4 FROM pg_catalog.pg_stat_replication), \
               pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')";
    let row = client.query_one(sql, &[]).await?;
    let count = |at: usize| u32::try_from(row.get::<_, i32>(at)).unwrap_or(0);
    let next = match row.get(7) {
        // The last one counts.
        true => client.query(NEXT, &[&SETTINGS]).await?,
        false => Vec::new(),
    };
    let pending = settings.iter().filter(|row| row.get(2));
    Ok(ServerFacts {
        version: count(0) / 10_000,
        version_text: row.get(1),
        database: row.get(2),
        encoding: row.get(3),
        in_recovery: row.get(4),
        slots: count(5),
        senders: count(6),
        settings: settings.iter().map(|row| (row.get(0), row.get(1))).collect(),
        next: next.iter().map(|row| (row.get(0), row.get(1))).collect(),
        pending: pending.map(|row| row.get(0)).collect(),
    })
}

const NEXT: &str = "SELECT name::text, setting::text FROM pg_catalog.pg_file_settings \
                    WHERE name = ANY ($1::text[]) AND setting IS NOT NULL ORDER BY seqno";

/// Placeholders are not in `pg_settings`, and read as empty once they were reset.
async fn signs(client: &Client, host: &str) -> Result<Signs, tokio_postgres::Error> {
    let [settings, functions, roles] = Signs::wanted();
    let sql = "\
        SELECT ARRAY(SELECT s FROM pg_catalog.unnest($1::text[]) s WHERE pg_catalog.current_setting(s, true) <> ''), \
               ARRAY(SELECT proname::text FROM pg_catalog.pg_proc WHERE proname = ANY ($2::text[])), \
               ARRAY(SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY ($3::text[]))";
    let row = client.query_one(sql, &[&settings, &functions, &roles]).await?;
    Ok(Signs { host: host.to_owned(), settings: row.get(0), functions: row.get(1), roles: row.get(2) })
}

async fn role(client: &Client, name: &str, is_ours: bool) -> Result<RoleFacts, tokio_postgres::Error> {
    // What holds for a session of the role in this database: both, the role, the database, all.
    let sql = "\
        SELECT r.oid, r.rolsuper, r.rolreplication, r.rolbypassrls, r.rolcanlogin, \
               pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT'), \
               pg_catalog.has_database_privilege(r.oid, d.oid, 'CREATE'), \
               EXISTS (SELECT FROM pg_catalog.pg_roles g WHERE g.rolname = 'rds_replication' \
                       AND pg_catalog.pg_has_role(r.oid, g.oid, 'MEMBER')), \
               (SELECT pg_catalog.split_part(c, '=', 2) FROM pg_catalog.pg_db_role_setting s, \
                       pg_catalog.unnest(s.setconfig) c \
                 WHERE c LIKE 'wal\\_sender\\_timeout=%' AND s.setrole IN (0, r.oid) AND s.setdatabase IN (0, d.oid) \
                 ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1), \
               (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'), \
               r.rolcreatedb, r.rolcreaterole \
        FROM pg_catalog.pg_roles r, pg_catalog.pg_database d \
        WHERE r.rolname = $1::text AND d.datname = pg_catalog.current_database()";
    let Some(row) = client.query_opt(sql, &[&name]).await? else {
        return Ok(RoleFacts { name: name.to_owned(), ..RoleFacts::default() });
    };
    let (own, session): (Option<String>, Option<String>) = (row.get(8), row.get(9));
    let excess = [(1, "SUPERUSER"), (10, "CREATEDB"), (11, "CREATEROLE")];
    let timeout = if is_ours { session } else { own.or(session) };
    Ok(RoleFacts {
        name: name.to_owned(),
        oid: row.get(0),
        superuser: row.get(1),
        replication: row.get(2),
        bypass_rls: row.get(3),
        can_login: row.get(4),
        connect: row.get(5),
        create: row.get(6),
        rds_replication: row.get(7),
        excess: excess.iter().filter(|(at, _)| row.get(*at)).map(|(_, name)| *name).collect(),
        sender_timeout_ms: timeout.as_deref().and_then(milliseconds),
    })
}

/// Reads a time as it stands in a configuration; without a unit it is in milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_a_configuration_has_them() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(milliseconds(text), expected, "{text}");
        check("0", Some(0));
        check("60000", Some(60_000));
        check("5min", Some(300_000));
        check("30 s", Some(30_000));
        check("soon", None);
    }
}
