//! TLS as libpq's `sslmode` means it.
//!
//! | sslmode | encrypted | chain checked | name checked |
//! |---|---|---|---|
//! | `prefer` | where the server has it | no | no |
//! | `require` | yes | only with an `sslrootcert` (as libpq) | no |
//! | `verify-ca` | yes | yes | no |
//! | `verify-full` | yes | yes | yes |
//!
//! The authorities are those of `sslrootcert`, or the web's own where it is left out or `system`. The server's proof
//! that it holds the certificate's key is checked in every mode.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::ConnectError;
use crate::manifest::{PostgresConnection, SslMode};

/// How much of a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

fn check_of(to: &PostgresConnection) -> Check {
    match to.sslmode {
        SslMode::Disable | SslMode::Prefer => Check::Nothing,
        SslMode::Require if to.sslrootcert.is_some() => Check::Chain,
        SslMode::Require => Check::Nothing,
        SslMode::VerifyCa => Check::Chain,
        SslMode::VerifyFull => Check::ChainAndName,
    }
}

/// Builds what rustls needs for this connection; reads the certificate files anew, so that renewed ones are taken up.
///
/// # Errors
/// [`ConnectError::CertificateFile`] and [`ConnectError::HalfClientCertificate`].
pub(super) fn client_config(to: &PostgresConnection) -> Result<Arc<ClientConfig>, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(check_of(to), to.sslrootcert.as_deref(), &provider)?;
    let builder = builder(provider, verifier);
    let config = match (&to.sslcert, &to.sslkey) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates("client certificate", cert)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable("client key", key, e))?;
            builder.with_client_auth_cert(chain, private).map_err(|e| unusable("client certificate", cert, e))?
        }
        (Some(_), None) => return Err(ConnectError::HalfClientCertificate { missing: "sslkey" }),
        (None, Some(_)) => return Err(ConnectError::HalfClientCertificate { missing: "sslcert" }),
    };
    Ok(Arc::new(config))
}

/// Builds what rustls needs for a server that is no Postgres, whose certificate must be for its name, and signed by an
/// authority in a file, or by one of the web's own.
///
/// # Errors
/// [`ConnectError::CertificateFile`].
pub(crate) fn verifying_client(sslrootcert: Option<&Path>) -> Result<Arc<ClientConfig>, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(Check::ChainAndName, sslrootcert, &provider)?;
    Ok(Arc::new(builder(provider, verifier).with_no_client_auth()))
}

fn builder(provider: Arc<CryptoProvider>, verifier: Verifier) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
}

/// Returns the name that the certificate must bear, which is also sent to the server (SNI).
pub(super) fn server_name(to: &PostgresConnection) -> ServerName<'static> {
    let host = to.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    // A host that is no DNS name can be in no certificate; an address that is in none either stands in for it, so that
    // the modes that don't look at names work and `verify-full` refuses.
    ServerName::try_from(host).unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

/// Says what a failed handshake was about.
pub(super) fn handshake_error(to: &PostgresConnection, source: io::Error) -> ConnectError {
    let server = to.to_string();
    match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ConnectError::WrongHost { server, source },
        Some(rustls::Error::InvalidCertificate(_)) => ConnectError::UntrustedCertificate { server, source },
        _ => ConnectError::Tls { server, source },
    }
}

fn unusable(role: &'static str, path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> ConnectError {
    ConnectError::CertificateFile { role, path: path.to_owned(), source: source.into() }
}

fn certificates(role: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read = CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>());
    let found = read.map_err(|e| unusable(role, path, e))?;
    if found.is_empty() { Err(unusable(role, path, "it holds no certificate")) } else { Ok(found) }
}

/// Checks a server's certificate as far as the mode asks for it, and its signature always.
#[derive(Debug)]
struct Verifier {
    check: Check,
    /// `None` where nothing is checked.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of `sslrootcert`.
    trusted: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(check: Check, roots: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Verifier, ConnectError> {
        let algorithms = provider.signature_verification_algorithms;
        let file = roots.filter(|path| *path != Path::new("system"));
        if check == Check::Nothing {
            return Ok(Verifier { check, chain: None, trusted: Vec::new(), algorithms });
        }
        let mut roots = RootCertStore::empty();
        let trusted = match file {
            Some(path) => {
                let trusted = certificates("root certificate", path)?;
                for certificate in &trusted {
                    roots.add(certificate.clone()).map_err(|e| unusable("root certificate", path, e))?;
                }
                trusted
            }
            None => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                Vec::new()
            }
        };
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .expect("there is a root, and no revocation list");
        Ok(Verifier { check, chain: Some(chain), trusted, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let error = match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        match &error {
            // webpki looks at the name last, so this error says that the chain is good.
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) if self.check == Check::Chain => Ok(ServerCertVerified::assertion()),
            // `openssl req -x509`, which the manual shows for a server of one's own, makes a certificate that is its own
            // authority; webpki refuses such a one as a server's. Where the user trusts exactly this certificate it is
            // good, as it is to libpq: its dates have been checked before, its key is by the handshake.
            rustls::Error::InvalidCertificate(reason)
                if is_own_authority(reason) && self.trusted.iter().any(|trusted| trusted == end_entity) =>
            {
                match self.check {
                    Check::ChainAndName => {
                        let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                        rustls::client::verify_server_name(&parsed, name)?;
                        Ok(ServerCertVerified::assertion())
                    }
                    _ => Ok(ServerCertVerified::assertion()),
                }
            }
            _ => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// webpki's `CaUsedAsEndEntity`, which rustls hands on under a type of a crate that we don't name.
fn is_own_authority(reason: &CertificateError) -> bool {
    matches!(reason, CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity")
}
