//! Startup and authentication of a replication connection.
//!
//! The proofs (SCRAM, MD5) come from postgres-protocol, which ordinary sessions use too: a password that works for one
//! works for the other, also one that SASLprep changes.

use std::io;

use pgwire_replication::protocol::framing::{write_password_message, write_startup_message};
use pgwire_replication::protocol::messages::{auth, parse_auth_request};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};

use super::wire::{Wire, WireError};
use crate::manifest::{PostgresConnection, Secret};
use crate::postgres::connect::{STARTUP_TIMEOUT, Session};
use crate::postgres::{ConnectError, ServerError, stream};

/// 3.0, which every server from 14 to 18 speaks.
const PROTOCOL: i32 = 196_608;

/// A server may ask for this many rounds of hashing; 4,096 is usual. More would be a way to keep us busy.
const SCRAM_ITERATIONS_MAX: u32 = 10_000_000;

/// Opens a walsender session of the connection's database, under the same pinned settings as every other session.
pub(super) async fn open(to: &PostgresConnection, session: &Session) -> Result<Wire, ConnectError> {
    let mut wire = Wire::new(stream::open(to).await?);
    match tokio::time::timeout(STARTUP_TIMEOUT, start(&mut wire, to, session)).await {
        Ok(started) => started.map(|()| wire),
        Err(_) => Err(ConnectError::TimedOut { server: to.to_string(), after: STARTUP_TIMEOUT }),
    }
}

async fn start(wire: &mut Wire, to: &PostgresConnection, session: &Session) -> Result<(), ConnectError> {
    let server = to.to_string();
    let failed = |error: WireError| match error {
        WireError::Io(source) => ConnectError::Lost { server: server.clone(), source },
        WireError::Server(source) => ConnectError::refused(&server, source),
        WireError::Odd(what) => ConnectError::NotPostgres { server: server.clone(), what },
    };
    // Here a warning is what PostgreSQL 18 says of a missing publication, and there are no triggers to quote rows.
    let options = format!("{} -c client_min_messages=warning", session.options());
    let application_name = session.application_name.replace('\0', "");
    let parameters = [
        ("user", to.user.as_str()),
        ("database", &to.database),
        ("replication", "database"),
        ("client_encoding", "UTF8"),
        ("application_name", &application_name),
        ("options", &options),
    ];
    let sent = write_startup_message(&mut wire.stream, PROTOCOL, &parameters).await;
    sent.map_err(|e| failed(e.into()))?;
    loop {
        let (tag, payload) = wire.frame().await.map_err(failed)?;
        match tag {
            b'R' => {
                let (method, data) = parse_auth_request(&payload).map_err(|e| failed(e.into()))?;
                if method != auth::OK {
                    authenticate(wire, to, method, data).await?;
                }
            }
            // BackendKeyData, NegotiateProtocolVersion
            b'K' | b'v' => {}
            b'Z' => return Ok(()),
            b'E' => {
                let source = ServerError::parse(&payload);
                // The right to the database is refused with the same code, by another routine; texts are translated.
                if &*source.code == "42501" && payload.split(|b| *b == 0).any(|field| field == b"RInitPostgres") {
                    return Err(ConnectError::MayNotReplicate { server, source });
                }
                return Err(ConnectError::refused(&server, source));
            }
            other => return Err(failed(WireError::Odd(format!("a frame of type {other:#04x} during startup")))),
        }
    }
}

async fn authenticate(wire: &mut Wire, to: &PostgresConnection, method: i32, data: &[u8]) -> Result<(), ConnectError> {
    let server = to.to_string();
    let password = || to.password.as_ref().ok_or_else(|| ConnectError::PasswordMissing { server: server.clone() });
    let lost = |error: pgwire_replication::PgWireError| ConnectError::Lost {
        server: server.clone(),
        source: io::Error::other(error),
    };
    match method {
        auth::CLEARTEXT_PASSWORD => {
            let answer = [password()?.reveal().as_bytes(), b"\0"].concat();
            write_password_message(&mut wire.stream, &answer).await.map_err(lost)
        }
        auth::MD5_PASSWORD => {
            let salt = data.try_into().map_err(|_| ConnectError::NotPostgres {
                server: server.clone(),
                what: "it asks for an MD5 password without a salt".to_owned(),
            })?;
            let hash = md5_hash(to.user.as_bytes(), password()?.reveal().as_bytes(), salt);
            write_password_message(&mut wire.stream, format!("{hash}\0").as_bytes()).await.map_err(lost)
        }
        auth::SASL if data.split(|b| *b == 0).any(|name| name == SCRAM_SHA_256.as_bytes()) => {
            scram(wire, &server, password()?).await
        }
        other => Err(ConnectError::UnsupportedAuthentication { method: method_name(other), server }),
    }
}

fn method_name(method: i32) -> String {
    match method {
        2 => "Kerberos".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        auth::SASL => "a SASL mechanism other than SCRAM-SHA-256".to_owned(),
        other => format!("method {other}"),
    }
}

async fn scram(wire: &mut Wire, server: &str, password: &Secret) -> Result<(), ConnectError> {
    let not_genuine = |source| ConnectError::ServerNotGenuine { server: server.to_owned(), source };
    let failed = |error| match error {
        WireError::Io(source) => ConnectError::Lost { server: server.to_owned(), source },
        WireError::Server(source) => ConnectError::refused(server, source),
        WireError::Odd(what) => ConnectError::NotPostgres { server: server.to_owned(), what },
    };
    let mut scram = ScramSha256::new(password.reveal().as_bytes(), ChannelBinding::unsupported());
    let first = scram.message();
    let initial = [SCRAM_SHA_256.as_bytes(), b"\0", &(first.len() as u32).to_be_bytes(), first].concat();
    write_password_message(&mut wire.stream, &initial).await.map_err(|e| failed(e.into()))?;

    let challenge = sasl_answer(wire, auth::SASL_CONTINUE).await.map_err(failed)?;
    if iterations(&challenge).is_none_or(|rounds| rounds > SCRAM_ITERATIONS_MAX) {
        return Err(not_genuine(io::Error::new(io::ErrorKind::InvalidData, "its SCRAM challenge has no sane cost")));
    }
    scram.update(&challenge).map_err(not_genuine)?;
    write_password_message(&mut wire.stream, scram.message()).await.map_err(|e| failed(e.into()))?;

    let proof = sasl_answer(wire, auth::SASL_FINAL).await.map_err(failed)?;
    scram.finish(&proof).map_err(not_genuine)
}

/// Reads `i=` of a SCRAM server-first-message.
fn iterations(challenge: &[u8]) -> Option<u32> {
    let field = challenge.split(|b| *b == b',').find_map(|field| field.strip_prefix(b"i="))?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

async fn sasl_answer(wire: &mut Wire, wanted: i32) -> Result<Vec<u8>, WireError> {
    match wire.frame().await? {
        (b'R', payload) => match parse_auth_request(&payload)? {
            (method, data) if method == wanted => Ok(data.to_vec()),
            (method, _) => Err(WireError::Odd(format!("it answers authentication with step {method}"))),
        },
        (b'E', payload) => Err(WireError::Server(ServerError::parse(&payload))),
        (other, _) => Err(WireError::Odd(format!("a frame of type {other:#04x} during authentication"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_cost_of_a_challenge() {
        assert_eq!(iterations(b"r=abc,s=def,i=4096"), Some(4096));
        assert_eq!(iterations(b"r=abc,s=def"), None);
        assert_eq!(iterations(b"i=99999999999"), None);
    }
}
