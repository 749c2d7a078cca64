//! Connection URLs, read as libpq reads them: `postgresql://user:password@host:port/database?parameter=value`.
//!
//! A URL may come from a person's clipboard, so no error here quotes a part that could be a piece of a password: a
//! password with an unescaped `@`, `/` or `?` shifts everything behind it.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::connection::{PostgresConnection, Secret, SslMode};
use super::nearest::nearest;

/// What was wrong with a connection URL. Holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("a connection URL begins with `postgres://` or `postgresql://`")]
    Scheme,
    #[error("the connection URL holds a `%` that is not followed by two hexadecimal digits, or no UTF-8 behind it")]
    Encoding,
    #[error("the connection URL has an `@` where none may stand")]
    SecondAt,
    #[error("the connection URL names several hosts")]
    SeveralHosts,
    #[error("the address in square brackets in the connection URL is no IPv6 address")]
    Ipv6,
    #[error("the port in the connection URL is not a number from 1 to 65535")]
    Port,
    #[error("the connection URL has a parameter without `=`")]
    NoValue,
    #[error("unknown parameter `{name}` in the connection URL")]
    UnknownParameter { name: String },
    #[error("the connection URL gives `{name}` twice")]
    Twice { name: &'static str },
    #[error("unknown sslmode{}", shown(.0))]
    SslMode(BadSslMode),
    #[error("the connection has no host")]
    NoHost,
    #[error("the connection has no user")]
    NoUser,
    #[error("the connection has `{has}` without `{lacks}`")]
    HalfCertificate { has: &'static str, lacks: &'static str },
    #[error(
        "the connection has `sslrootcert=system` with `sslmode={mode}`, which would take any certificate of those roots for any host"
    )]
    SystemRoots { mode: &'static str },
}

/// A text that is none of libpq's sslmodes, or `allow`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown sslmode{}", shown(self))]
pub struct BadSslMode(pub String);

/// Quotes what looks like a mode; anything else may be a piece of a password.
fn shown(mode: &BadSslMode) -> String {
    match is_word(&mode.0) {
        true => format!(" `{}`", mode.0),
        false => String::new(),
    }
}

fn is_word(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-')
}

const MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

impl FromStr for SslMode {
    type Err = BadSslMode;

    fn from_str(text: &str) -> Result<SslMode, BadSslMode> {
        let mode = MODES.iter().find(|(name, _)| *name == text);
        mode.map(|(_, mode)| *mode).ok_or_else(|| BadSslMode(text.to_owned()))
    }
}

impl BadSslMode {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let near = nearest(&self.0, MODES.iter().map(|(name, _)| *name));
        Some(match (self.0.as_str(), near) {
            ("allow", _) => "`allow` is not supported; `prefer` takes TLS where the server has it".to_owned(),
            (_, Some(near)) => format!("did you mean `{near}`?"),
            _ => "one of `disable`, `prefer`, `require`, `verify-ca`, `verify-full`".to_owned(),
        })
    }
}

const PARAMETERS: &[&str] =
    &["host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey"];

impl UrlError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            UrlError::Scheme => "write `postgresql://user:password@host:5432/database`",
            UrlError::Encoding => "write a literal `%` as `%25`",
            UrlError::SecondAt => "in a user name or password write `@` as `%40` and `/` as `%2F`",
            UrlError::SeveralHosts => "name the primary alone",
            UrlError::Ipv6 => "write `[::1]:5432`; a `[` in a password is written `%5B`",
            UrlError::Port => "in a password write `/` as `%2F`, `:` as `%3A` and `@` as `%40`",
            UrlError::NoValue => "write `?sslmode=require&sslrootcert=ca.pem`; in a password write `?` as `%3F`",
            UrlError::UnknownParameter { name } => return Some(unknown_parameter_hint(name)),
            UrlError::Twice { .. } => "leave one of them out",
            UrlError::SslMode(bad) => return bad.hint(),
            UrlError::NoHost => "name the host, or the folder of a unix socket: `?host=/var/run/postgresql`",
            UrlError::NoUser => {
                "name the user: `postgresql://user@host/database`; the environment is not asked for one"
            }
            UrlError::SystemRoots { .. } => {
                "write `sslmode=verify-full`, or leave `sslmode` out; or leave `sslrootcert` out"
            }
            UrlError::HalfCertificate { .. } => "a client certificate needs both `sslcert` and `sslkey`",
        };
        Some(text.to_owned())
    }
}

fn unknown_parameter_hint(name: &str) -> String {
    match name {
        "application_name" | "connect_timeout" | "options" | "client_encoding" | "replication" => {
            format!("leave `{name}` out, Pelton sets it itself")
        }
        "ssl" => "write `sslmode=require`".to_owned(),
        "channel_binding" | "target_session_attrs" | "pgbouncer" => {
            format!("leave `{name}` out; replication needs the server itself, not a pooler")
        }
        _ => match nearest(name, PARAMETERS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", PARAMETERS.join(", ")),
        },
    }
}

/// What a URL or the fields of a manifest say of a connection, before defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: Option<String>,
    pub sslmode: Option<SslMode>,
    pub sslrootcert: Option<PathBuf>,
    pub sslcert: Option<PathBuf>,
    pub sslkey: Option<PathBuf>,
}

impl PostgresConnection {
    /// Reads a connection URL. Relative paths in it stay relative.
    ///
    /// # Errors
    /// [`UrlError`], which holds nothing secret.
    pub fn from_url(url: &str) -> Result<PostgresConnection, UrlError> {
        Parts::from_url(url)?.finish()
    }
}

impl Parts {
    /// Reads a connection URL as libpq's `conninfo_uri_parse_options` does.
    pub fn from_url(url: &str) -> Result<Parts, UrlError> {
        let rest = ["postgresql://", "postgres://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or(UrlError::Scheme)?;
        let mut parts = Parts::default();
        let rest = match rest.find(['@', '/']) {
            Some(at) if rest[at..].starts_with('@') => {
                let (user, password) = match rest[..at].split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (&rest[..at], None),
                };
                parts.user = given(user)?;
                parts.password = password.map(given).transpose()?.flatten().map(Secret::new);
                &rest[at + 1..]
            }
            _ => rest,
        };
        // Only the values of parameters could hold another `@` rightly, and nobody has one there.
        if rest.contains('@') {
            return Err(UrlError::SecondAt);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains(',') {
            return Err(UrlError::SeveralHosts);
        }
        parts.database = given(database)?;
        parts.host_and_port(host)?;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            parts.parameter(parameter)?;
        }
        Ok(parts)
    }

    fn host_and_port(&mut self, text: &str) -> Result<(), UrlError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (address, behind) = bracketed.split_once(']').ok_or(UrlError::Ipv6)?;
                let address = decode(address)?;
                // A zone such as `%eth0` is for the resolver to judge.
                let bare = address.split_once('%').map_or(address.as_str(), |(bare, _)| bare);
                bare.parse::<Ipv6Addr>().map_err(|_| UrlError::Ipv6)?;
                let port = match behind.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if behind.is_empty() => None,
                    None => return Err(UrlError::Ipv6),
                };
                (Some(address), port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (given(host)?, Some(port)),
                None => (given(text)?, None),
            },
        };
        self.host = host;
        self.port = match port {
            Some(port) if !port.is_empty() => Some(parse_port(port)?),
            _ => None,
        };
        Ok(())
    }

    fn parameter(&mut self, parameter: &str) -> Result<(), UrlError> {
        let (name, value) = parameter.split_once('=').ok_or(UrlError::NoValue)?;
        let Some(name) = PARAMETERS.iter().copied().find(|known| *known == name) else {
            return Err(match is_word(name) {
                true => UrlError::UnknownParameter { name: name.to_owned() },
                false => UrlError::NoValue,
            });
        };
        let Some(value) = given(value)? else { return Ok(()) };
        let fresh = match name {
            "host" => self.host.replace(value).is_none(),
            "port" => self.port.replace(parse_port(&value)?).is_none(),
            "user" => self.user.replace(value).is_none(),
            "password" => self.password.replace(Secret::new(value)).is_none(),
            "dbname" => self.database.replace(value).is_none(),
            "sslmode" => self.sslmode.replace(value.parse().map_err(UrlError::SslMode)?).is_none(),
            "sslrootcert" => self.sslrootcert.replace(value.into()).is_none(),
            "sslcert" => self.sslcert.replace(value.into()).is_none(),
            _ => self.sslkey.replace(value.into()).is_none(),
        };
        if fresh { Ok(()) } else { Err(UrlError::Twice { name }) }
    }

    /// Fills in libpq's defaults.
    pub fn finish(self) -> Result<PostgresConnection, UrlError> {
        let host = self.host.ok_or(UrlError::NoHost)?;
        let user = self.user.ok_or(UrlError::NoUser)?;
        match (&self.sslcert, &self.sslkey) {
            (Some(_), None) => return Err(UrlError::HalfCertificate { has: "sslcert", lacks: "sslkey" }),
            (None, Some(_)) => return Err(UrlError::HalfCertificate { has: "sslkey", lacks: "sslcert" }),
            _ => {}
        }
        // libpq's `sslrootcert=system` names the roots that we take anyway, and demands the full check: anybody can have
        // a certificate that those vouch for.
        let system = self.sslrootcert.as_deref().is_some_and(|path| path.as_os_str() == "system");
        let default_mode = if system { SslMode::VerifyFull } else { SslMode::default() };
        let sslmode = self.sslmode.unwrap_or(default_mode);
        if system && sslmode != SslMode::VerifyFull {
            let (mode, _) = MODES.iter().find(|(_, mode)| *mode == sslmode).expect("every mode has a name");
            return Err(UrlError::SystemRoots { mode });
        }
        Ok(PostgresConnection {
            host,
            port: self.port.unwrap_or(5432),
            database: self.database.unwrap_or_else(|| user.clone()),
            user,
            password: self.password,
            sslmode,
            sslrootcert: self.sslrootcert.filter(|_| !system),
            sslcert: self.sslcert,
            sslkey: self.sslkey,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0).ok_or(UrlError::Port)
}

/// Decodes a part; an empty one was not given.
fn given(text: &str) -> Result<Option<String>, UrlError> {
    Ok(Some(decode(text)?).filter(|text| !text.is_empty()))
}

fn decode(text: &str) -> Result<String, UrlError> {
    let bytes = text.as_bytes();
    let escaped = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if memchr::memchr_iter(b'%', bytes).any(|at| !escaped(at)) {
        return Err(UrlError::Encoding);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Encoding)?;
    if decoded.contains('\0') { Err(UrlError::Encoding) } else { Ok(decoded.into_owned()) }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
