//! Why a server could not be reached or did not let us in, and what the operator should do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::ServerError;

/// What went wrong on the way to an open session. `server` is `user@host:port/database`.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the connection's {setting} holds a NUL byte, which Postgres can't take")]
    BadSetting { setting: &'static str },
    #[error("the host name `{host}` is not known")]
    UnknownHost { host: String, source: io::Error },
    #[error("cannot reach {server}")]
    Unreachable { server: String, source: io::Error },
    #[error("cannot reach {server}: no answer within {} s", after.as_secs_f32())]
    TimedOut { server: String, after: Duration },
    #[error("cannot use the {role} file {}", path.display())]
    CertificateFile { role: &'static str, path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("a client certificate needs both sslcert and sslkey, and {missing} is not set")]
    HalfClientCertificate { missing: &'static str },
    #[error("{server} does not speak TLS, but sslmode asks for it")]
    NoTls { server: String },
    #[error("the TLS handshake with {server} failed")]
    Tls { server: String, source: io::Error },
    #[error("the certificate of {server} is not trusted")]
    UntrustedCertificate { server: String, source: io::Error },
    #[error("the certificate of {server} is for another host")]
    WrongHost { server: String, source: io::Error },
    #[error("{server} asks for a password, and none is configured")]
    PasswordMissing { server: String },
    #[error("{server} refuses the password")]
    WrongPassword { server: String, source: ServerError },
    #[error("{server} does not let this role in")]
    NotAllowed { server: String, source: ServerError },
    #[error("{server} asks for an authentication method that is not supported ({method})")]
    UnsupportedAuthentication { server: String, method: String },
    /// The server proved not to know the password, or sent nonsense instead of a proof.
    #[error("{server} failed to prove its identity")]
    ServerNotGenuine { server: String, source: io::Error },
    #[error("the database of {server} does not exist")]
    NoSuchDatabase { server: String, source: ServerError },
    #[error("the role of {server} may not connect to this database")]
    NotPermitted { server: String, source: ServerError },
    #[error("the role of {server} may not replicate")]
    MayNotReplicate { server: String, source: ServerError },
    #[error("{server} has no connection to spare")]
    TooManyConnections { server: String, source: ServerError },
    #[error("{server} is starting up, shutting down or recovering")]
    StartingUp { server: String, source: ServerError },
    #[error("{server} refuses the connection")]
    Refused { server: String, source: ServerError },
    #[error("the connection to {server} was lost while it was being opened")]
    Lost { server: String, source: io::Error },
    #[error("{server} does not answer as a Postgres server does: {what}")]
    NotPostgres { server: String, what: String },
}

impl ConnectError {
    /// Sorts what a server said instead of letting us in.
    pub(crate) fn refused(server: &str, source: ServerError) -> ConnectError {
        let server = server.to_owned();
        match &*source.code {
            "28P01" => ConnectError::WrongPassword { server, source },
            "28000" => ConnectError::NotAllowed { server, source },
            "3D000" => ConnectError::NoSuchDatabase { server, source },
            "42501" => ConnectError::NotPermitted { server, source },
            "53300" => ConnectError::TooManyConnections { server, source },
            "57P03" | "57P01" | "57P02" => ConnectError::StartingUp { server, source },
            _ => ConnectError::Refused { server, source },
        }
    }

    /// Returns true when trying again later may work without anybody changing the configuration.
    pub fn is_transient(&self) -> bool {
        match self {
            // A name server may be away for a moment, and a replaced server gets its name late.
            ConnectError::UnknownHost { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::TooManyConnections { .. }
            | ConnectError::StartingUp { .. }
            | ConnectError::Lost { .. } => true,
            ConnectError::Refused { source, .. } => source.is_transient(),
            ConnectError::Tls { source, .. } => is_loss(source),
            _ => false,
        }
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            ConnectError::BadSetting { setting } => format!("remove the NUL byte from {setting}"),
            ConnectError::UnknownHost { .. } => "check the host for a typing error, and the machine's DNS".to_owned(),
            ConnectError::Unreachable { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: check host and port, that the server runs, and its listen_addresses"
                        .to_owned()
                }
                io::ErrorKind::NotFound => {
                    "there is no such socket: check the folder (the server's unix_socket_directories) and the port"
                        .to_owned()
                }
                io::ErrorKind::PermissionDenied => "this user may not open the server's socket".to_owned(),
                _ => "check host, port and the network in between".to_owned(),
            },
            ConnectError::TimedOut { .. } => {
                "check host and port; a firewall in between may drop the packets".to_owned()
            }
            ConnectError::CertificateFile { path, .. } => {
                format!("{} must be a readable PEM file", path.display())
            }
            ConnectError::HalfClientCertificate { missing } => format!("set {missing} too, or neither of the two"),
            ConnectError::NoTls { .. } => {
                "turn on ssl at the server, or set sslmode=disable if the network is trusted".to_owned()
            }
            ConnectError::Tls { .. } => {
                "check that this is a Postgres server with TLS 1.2 or newer, and which client certificate it wants"
                    .to_owned()
            }
            ConnectError::UntrustedCertificate { .. } => {
                "name the file of the authority that signed it in sslrootcert".to_owned()
            }
            ConnectError::WrongHost { .. } => {
                "connect by a name that stands in the certificate's subjectAltName, or set sslmode=verify-ca".to_owned()
            }
            ConnectError::PasswordMissing { .. } => "set the connection's password".to_owned(),
            ConnectError::WrongPassword { .. } => {
                "check user and password; ALTER ROLE … PASSWORD sets a new one".to_owned()
            }
            ConnectError::NotAllowed { source, .. } if source.message.contains("pg_hba.conf") => {
                "add a line for this role, database and address to the server's pg_hba.conf and reload it; a stream \
                 needs the database's own line, `replication` stands for physical replication alone"
                    .to_owned()
            }
            ConnectError::NotAllowed { .. } => {
                "check that the role exists and may log in (ALTER ROLE … LOGIN)".to_owned()
            }
            ConnectError::UnsupportedAuthentication { .. } => {
                "have pg_hba.conf ask for scram-sha-256 or a client certificate".to_owned()
            }
            ConnectError::ServerNotGenuine { .. } => {
                "make sure that this is the right server, not one that poses as it; a proxy in between may be the cause"
                    .to_owned()
            }
            ConnectError::NoSuchDatabase { .. } => "check the database's name, or CREATE DATABASE it".to_owned(),
            ConnectError::NotPermitted { .. } => "GRANT CONNECT ON DATABASE … TO the role".to_owned(),
            ConnectError::MayNotReplicate { .. } => {
                "ALTER ROLE … REPLICATION (on Amazon RDS: GRANT rds_replication TO the role)".to_owned()
            }
            ConnectError::TooManyConnections { .. } => {
                "raise max_connections (or the role's or the database's CONNECTION LIMIT), or close other sessions"
                    .to_owned()
            }
            ConnectError::StartingUp { .. } | ConnectError::Lost { .. } => {
                "try again in a moment; the server's log tells more".to_owned()
            }
            // Poolers refuse startup options, and can't carry replication at all.
            ConnectError::Refused { source, .. } if &*source.code == "08P01" => {
                "connect to Postgres itself rather than to a connection pooler".to_owned()
            }
            ConnectError::Refused { source, .. } => return source.hint.as_deref().map(str::to_owned),
            ConnectError::NotPostgres { .. } => "check host and port".to_owned(),
        };
        Some(text)
    }
}

/// Returns true for errors that mean that the other side went away.
pub(crate) fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof | TimedOut | NotConnected)
}
