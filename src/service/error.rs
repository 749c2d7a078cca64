//! Why a service can't be read, and what to do about it.

use std::io;
use std::time::Duration;

use crate::eventstore::BadEvent;
use crate::postgres::ConnectError;

/// Why a service can't be read. No token is in it.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("cannot reach {url}")]
    Unreachable { url: String, source: io::Error },
    #[error("{url} did not answer within {after:?}")]
    TimedOut { url: String, after: Duration },
    #[error("cannot speak TLS with {url}")]
    Tls { url: String, source: io::Error },
    #[error("the certificate of {url} can't be trusted")]
    Certificate { url: String, source: io::Error },
    #[error("cannot use the certificates that {url} is checked against")]
    Roots { url: String, source: Box<ConnectError> },
    #[error("{url} broke off")]
    Lost { url: String, source: hyper::Error },
    #[error("{url} has nothing more to say: it is stopping, or was stopped")]
    Ended { url: String },
    #[error("{url} has not said anything for {after:?}")]
    Silent { url: String, after: Duration },
    #[error("{url} refuses the token")]
    Token { url: String, given: bool },
    #[error("{url} answers {status}: {said}")]
    Refused { url: String, status: u16, said: String, hint: Option<String> },
    #[error("{url} is stopped by an error of its own: {said}")]
    Failed { url: String, said: String },
    #[error("{url} is no `pelton sync --http`")]
    NotPelton { url: String },
    #[error("{url} sends a line that is longer than any row of Postgres")]
    LineTooLong { url: String },
    #[error("{url} no longer has what was to be read: {said}")]
    Gone { url: String, said: String, hint: Option<String> },
    #[error("{url} sends what can't be read")]
    Line { url: String, source: BadEvent },
    #[error("the token for {url} holds what no header can")]
    BadToken { url: String },
}

impl ServiceError {
    /// Returns true when it is tried again. A service that is being restarted, moved or overrun comes back; and certificates,
    /// proxies and versions are mended over there, with nobody here who would have to do anything.
    pub fn is_transient(&self) -> bool {
        match self {
            // What is not there yet may be published later; and something in front of a service may answer for it.
            ServiceError::Refused { status, .. } => {
                *status >= 500 || (300..400).contains(status) || [404, 405, 408, 409, 429].contains(status)
            }
            ServiceError::Token { .. } | ServiceError::BadToken { .. } | ServiceError::Gone { .. } => false,
            _ => true,
        }
    }

    /// Returns true when somebody has to mend it, here or there, before it passes.
    pub fn needs_somebody(&self) -> bool {
        match self {
            ServiceError::Tls { source, .. } => source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
            ServiceError::Certificate { .. }
            | ServiceError::Roots { .. }
            | ServiceError::NotPelton { .. }
            | ServiceError::LineTooLong { .. }
            | ServiceError::Line { .. } => true,
            error => !error.is_transient(),
        }
    }

    /// Returns true when others have what was asked for, and their turn ends.
    pub fn is_busy(&self) -> bool {
        matches!(self, ServiceError::Refused { status: 429, .. })
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            ServiceError::Unreachable { .. } | ServiceError::TimedOut { .. } => {
                "is the owner's `pelton sync --http` running, and does it listen on that address? It is tried again by itself"
            }
            ServiceError::Tls { .. } => {
                "is it `http://` perhaps? A service has TLS with `--http-cert` and `--http-key`"
            }
            ServiceError::Certificate { .. } => {
                "renew it there; or name the authority's certificate in `sslrootcert`, and the host as the certificate has it. It is \
                 tried again by itself"
            }
            ServiceError::Roots { source, .. } => return source.hint(),
            ServiceError::Token { given: true, .. } => {
                "write the token that the owner has (`--http-token-file`, PELTON_HTTP_TOKEN) into `syncServices`, or into \
                 PELTON_SYNC_SERVICE_<SLUG>_TOKEN, and restart `pelton sync`"
            }
            ServiceError::Token { given: false, .. } => {
                "it asks for one: write it into `token` of `syncServices`, or into PELTON_SYNC_SERVICE_<SLUG>_TOKEN, and \
                 restart `pelton sync`"
            }
            ServiceError::Refused { hint, .. } | ServiceError::Gone { hint, .. } => return hint.clone(),
            ServiceError::NotPelton { .. } | ServiceError::LineTooLong { .. } => {
                "is the address that of another program, or does a proxy answer for the service? It is tried again by itself"
            }
            ServiceError::Line { .. } => "run the same version of Pelton on both sides; it is tried again by itself",
            ServiceError::BadToken { .. } => "a token is made of visible ASCII characters: openssl rand -hex 32",
            ServiceError::Lost { .. }
            | ServiceError::Ended { .. }
            | ServiceError::Silent { .. }
            | ServiceError::Failed { .. } => return None,
        };
        Some(text.to_owned())
    }
}
