//! Whether an address leads to Postgres itself or to a pooler in front of it.
//!
//! A pooler either refuses a replication connection or drops its mode in silence; what passes it (PgBouncer from 1.23
//! on) still shares its servers among clients in transaction mode, where a lock that belongs to a session is lost. So two
//! things are tried: a replication connection that is asked who it is, and whether two sessions of ours are served by one
//! process. Host names that only poolers have say which one it is, and what the direct address is.

use crate::manifest::PostgresConnection;
use crate::postgres::replication::{self, ReplicationError};
use crate::postgres::{self, ConnectError, ServerError, Session};

/// What shows that there is a pooler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The replication connection was refused as only a pooler refuses it.
    Refused,
    /// The mode was dropped: the server took a replication command for SQL.
    ModeDropped,
    /// Two sessions, or two statements of one, were served by other processes than a session has.
    SharedProcess,
    /// By the host's name alone: the server wasn't asked, or answered as Postgres does.
    HostName,
}

/// The kinds of pooled addresses that are known by their names.
struct Known {
    fits: fn(&str, u16) -> bool,
    name: &'static str,
    instead: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        fits: |host, port| host.ends_with(".pooler.supabase.com") && port == 6543,
        name: "Supabase's pooler in transaction mode",
        instead: "take the direct host db.<project>.supabase.co, port 5432 (IPv6, or the IPv4 add-on), with the plain role name",
    },
    Known {
        fits: |host, _| host.ends_with(".pooler.supabase.com"),
        name: "Supabase's pooler",
        instead: "take the direct host db.<project>.supabase.co, port 5432 (IPv6, or the IPv4 add-on), with the plain role name",
    },
    Known {
        fits: |host, port| host.ends_with(".supabase.co") && port == 6543,
        name: "Supabase's PgBouncer",
        instead: "take port 5432 of the same host",
    },
    Known {
        fits: |host, _| host.ends_with(".neon.tech") && first_label(host).ends_with("-pooler"),
        name: "Neon's pooler",
        instead: "take `-pooler` out of the host's name",
    },
    Known {
        fits: |host, port| host.ends_with(".postgres.database.azure.com") && port == 6432,
        name: "Azure's PgBouncer",
        instead: "take port 5432 of the same host",
    },
    Known {
        fits: |host, port| host.ends_with(".db.postgresbridge.com") && port == 5431,
        name: "Crunchy Bridge's PgBouncer",
        instead: "take port 5432 of the same host",
    },
    Known {
        fits: |host, _| {
            (host.ends_with(".rds.amazonaws.com") || host.ends_with(".rds.amazonaws.com.cn"))
                && host.contains(".proxy-")
        },
        name: "RDS Proxy",
        instead: "take the instance's or the cluster's own endpoint",
    },
];

fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

/// Returns the pooler that an address is known for: its name, and what to take instead.
pub fn by_name(connection: &PostgresConnection) -> Option<(&'static str, &'static str)> {
    let host = connection.host.to_ascii_lowercase();
    let known = KNOWN.iter().find(|known| (known.fits)(host.trim_end_matches('.'), connection.port))?;
    Some((known.name, known.instead))
}

/// Judges how a server took a replication connection.
pub fn judge(identified: &Result<(), ServerError>) -> Option<Sign> {
    let refused = identified.as_ref().err()?;
    let says = |text: &str| refused.message.contains(text);
    // A server takes it as SQL when nobody told it of the mode.
    if says("IDENTIFY_SYSTEM") || (&*refused.code == "42601") {
        return Some(Sign::ModeDropped);
    }
    let refuses =
        &*refused.code == "08P01" || says("nsupported startup parameter") || says("streaming replication mode");
    refuses.then_some(Sign::Refused)
}

/// Asks a server over a replication connection who it is.
///
/// What says nothing of a pooler (no right, no free sender, a lost connection) counts as nothing found: rules of their
/// own look at those.
pub async fn probe(connection: &PostgresConnection, application_name: &str) -> Option<Sign> {
    let identified = match replication::identify(connection, application_name).await {
        Ok(_) => Ok(()),
        Err(ReplicationError::Refused { source }) => Err(source),
        Err(ReplicationError::Connect(ConnectError::Refused { source, .. })) => Err(source),
        Err(_) => return None,
    };
    judge(&identified)
}

/// Finds out whether one process serves several sessions, or one session is served by several.
pub async fn shares(connection: &PostgresConnection, client: &tokio_postgres::Client, session: &Session) -> bool {
    let Ok(other) = postgres::connect(connection, session).await else { return false };
    let mut seen = Vec::new();
    for client in [client, &other, client, &other] {
        match process(client).await {
            Some(pid) => seen.push(pid),
            None => return false,
        }
    }
    is_shared(&seen)
}

/// `seen` are the processes that served two sessions in turn.
fn is_shared(seen: &[String]) -> bool {
    matches!(seen, [a, b, c, d] if a == b || a != c || b != d)
}

/// By the simple protocol: a prepared statement would fail for another reason.
async fn process(client: &tokio_postgres::Client) -> Option<String> {
    let answer = client.simple_query("SELECT pg_catalog.pg_backend_pid()").await.ok()?;
    answer.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::target::tests::nowhere;

    #[test]
    fn poolers_are_known_by_their_addresses() {
        let check = |host: &str, port: u16, expected: Option<&str>| {
            let connection = PostgresConnection { host: host.to_owned(), port, ..nowhere() };
            assert_eq!(by_name(&connection).map(|(name, _)| name), expected, "{host}:{port}");
        };
        check("aws-0-eu-central-1.pooler.supabase.com", 6543, Some("Supabase's pooler in transaction mode"));
        check("aws-0-eu-central-1.pooler.supabase.com", 5432, Some("Supabase's pooler"));
        check("db.abc.supabase.co", 6543, Some("Supabase's PgBouncer"));
        check("db.abc.supabase.co", 5432, None);
        check("ep-cool-1-pooler.eu.aws.neon.tech", 5432, Some("Neon's pooler"));
        check("ep-cool-1.eu.aws.neon.tech", 5432, None);
        check("s.postgres.database.azure.com", 6432, Some("Azure's PgBouncer"));
        check("s.postgres.database.azure.com", 5432, None);
        check("p.x.db.postgresbridge.com", 5431, Some("Crunchy Bridge's PgBouncer"));
        check("p.proxy-abc.eu-west-1.rds.amazonaws.com", 5432, Some("RDS Proxy"));
        check("p.abc.eu-west-1.rds.amazonaws.com", 5432, None);
        check("localhost", 6432, None);
    }

    #[test]
    fn what_a_pooler_says_is_told_from_what_a_server_says() {
        let check = |code: &str, message: &str, expected| {
            assert_eq!(judge(&Err(ServerError::new(code, message, None, None))), expected, "{message}");
        };
        assert_eq!(judge(&Ok(())), None);
        check("08P01", "unsupported startup parameter: replication", Some(Sign::Refused));
        check("42601", "syntax error at or near \"IDENTIFY_SYSTEM\"", Some(Sign::ModeDropped));
        let rds = "Feature not supported: RDS Proxy currently doesn't support streaming replication mode";
        check("0A000", rds, Some(Sign::Refused));
        check("53300", "number of requested standby connections exceeds max_wal_senders (currently 10)", None);
    }

    #[test]
    fn sessions_of_a_server_have_a_process_each() {
        let check = |seen: [&str; 4]| is_shared(&seen.map(str::to_owned));
        assert!(!check(["1", "2", "1", "2"]));
        assert!(check(["1", "1", "1", "1"]));
        assert!(check(["1", "2", "3", "2"]));
    }
}
