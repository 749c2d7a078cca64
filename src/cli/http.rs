//! What `pelton sync` is told of its HTTP service, and the tokens that it finds.

use std::path::{Path, PathBuf};

use super::report::Failure;
use crate::http::{self, Http, HttpError, Options};
use crate::manifest::{DEFAULT_PORT, Environment, Manifest, Secret, System};

/// Flags of `pelton sync`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "HTTP service")]
#[group(skip)]
pub struct Args {
    /// Serve the manifests' event stores to other manifests, at this address, for example 127.0.0.1:3000
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["api_port", "hostname"])]
    http: Option<String>,

    /// The port of the HTTP service, as ReJot names it [default: 3000]
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,

    /// The host of the HTTP service, as ReJot names it [default: localhost]
    #[arg(long, value_name = "HOST")]
    hostname: Option<String>,

    /// The file with the token that readers send, or with several, one a line; PELTON_HTTP_TOKEN may hold one in its place
    #[arg(long, value_name = "FILE", env = "PELTON_HTTP_TOKEN_FILE")]
    http_token_file: Option<PathBuf>,

    /// How many streams the HTTP service has open at a time; each has a session at its event store, and others take turns
    #[arg(long, value_name = "N", default_value_t = http::STREAMS, value_parser = clap::value_parser!(u16).range(1..))]
    http_streams: u16,

    /// The certificate of the HTTP service, with those that signed it (PEM); renewed files are taken up
    #[arg(long, value_name = "FILE", requires = "http_key")]
    http_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "http_cert")]
    http_key: Option<PathBuf>,
}

impl Args {
    /// Begins to listen, where that is asked for.
    ///
    /// # Errors
    /// The address is none, or can't be had; a token can't be read; it would be open to everybody.
    pub async fn listen(&self, manifests: &[Manifest]) -> Result<Option<Http>, Failure> {
        let Some((host, port)) = self.address()? else {
            if self.http_cert.is_some() {
                let hint = "add --http 127.0.0.1:3000".to_owned();
                return Err(Failure::new("--http-cert is for an HTTP service, and none is asked for", Some(hint)));
            }
            return Ok(None);
        };
        let tls = self.http_cert.clone().zip(self.http_key.clone());
        let options = Options { host, port, tokens: self.tokens()?, tls, streams: self.http_streams };
        let http = http::listen(&options, manifests).await;
        let http = http.map_err(|error: HttpError| Failure::of(&error, error.hint()))?;
        tracing::info!(url = http.url(), "serving the event stores");
        Ok(Some(http))
    }

    fn address(&self) -> Result<Option<(String, u16)>, Failure> {
        let Some(text) = &self.http else {
            let asked = self.api_port.is_some() || self.hostname.is_some();
            let host = self.hostname.clone().unwrap_or_else(|| "localhost".to_owned());
            return Ok(asked.then(|| (host, self.api_port.unwrap_or(DEFAULT_PORT))));
        };
        address(text).map(Some).ok_or_else(|| {
            let hint = "write a host and a port, for example --http 127.0.0.1:3000".to_owned();
            Failure::new(format!("--http `{text}` is no address to listen on"), Some(hint))
        })
    }

    fn tokens(&self) -> Result<Vec<Secret>, Failure> {
        if let Some(file) = &self.http_token_file {
            return tokens_of(file);
        }
        match std::env::var("PELTON_HTTP_TOKEN") {
            Ok(token) if !token.trim().is_empty() => Ok(vec![Secret::new(token.trim())]),
            Err(std::env::VarError::NotPresent) => Ok(Vec::new()),
            // Whoever sets it wants a token, and none would be open to everybody here.
            _ => {
                let hint = "set it to what `openssl rand -hex 32` prints, or unset it".to_owned();
                Err(Failure::new("PELTON_HTTP_TOKEN is set and holds no token", Some(hint)))
            }
        }
    }
}

fn tokens_of(file: &Path) -> Result<Vec<Secret>, Failure> {
    let hint = || Some("write a token into it: openssl rand -hex 32".to_owned());
    let text = System.secret_file(file);
    let text =
        text.map_err(|error| Failure::new(format!("cannot read the token in {}: {error}", file.display()), hint()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tokens: Vec<Secret> = lines.map(Secret::new).collect();
    match tokens.is_empty() {
        // Whoever names a file wants a token, and none would be open to everybody here.
        true => Err(Failure::new(format!("{} holds no token", file.display()), hint())),
        false => Ok(tokens),
    }
}

/// Reads `host:port`, `[::1]:port`, `:port` or a port alone.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse().ok()?;
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    match host {
        "" => Some(("127.0.0.1".to_owned(), port)),
        _ if is_ipv6 || !host.contains([':', '/', ' ']) => Some((host.to_owned(), port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            assert_eq!(address(text), expected.map(|(host, port)| (host.to_owned(), port)), "{text}");
        };
        check("127.0.0.1:3000", Some(("127.0.0.1", 3000)));
        check("[::1]:3000", Some(("[::1]", 3000)));
        check("3000", Some(("127.0.0.1", 3000)));
        check(":3000", Some(("127.0.0.1", 3000)));
        for wrong in ["", "localhost", "::1:3000", "http://localhost:3000", "a:99999", "pelton.yaml"] {
            check(wrong, None);
        }
    }
}
