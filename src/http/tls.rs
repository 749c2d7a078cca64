//! TLS of the service: its certificate and key, read anew when their files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::{HttpError, LOOK_AGAIN};

/// A certificate with its key.
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    now: Mutex<Now>,
}

struct Now {
    config: Arc<ServerConfig>,
    changed: Option<SystemTime>,
    looked: Instant,
}

impl Certificate {
    /// Reads both.
    pub fn load(cert: &Path, key: &Path) -> Result<Certificate, HttpError> {
        let now = Now { config: config(cert, key)?, changed: changed(cert, key), looked: Instant::now() };
        Ok(Certificate { cert: cert.to_owned(), key: key.to_owned(), now: Mutex::new(now) })
    }

    /// Returns what takes the next connection. Renewed files are taken up within a minute; until they fit together, the
    /// former ones hold.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut now = self.now.lock().expect("nobody panics while holding it");
        if now.looked.elapsed() >= LOOK_AGAIN {
            now.looked = Instant::now();
            let changed = changed(&self.cert, &self.key);
            if changed != now.changed {
                match config(&self.cert, &self.key) {
                    Ok(config) => {
                        tracing::info!("took up the renewed certificate of the HTTP service");
                        (now.config, now.changed) = (config, changed);
                    }
                    Err(error) => tracing::warn!("the renewed certificate is not taken up: {error}"),
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&now.config))
    }
}

/// Returns when the later of both was written.
fn changed(cert: &Path, key: &Path) -> Option<SystemTime> {
    let of = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    of(cert).max(of(key))
}

fn config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, HttpError> {
    let unusable = |path: &Path, error: String| HttpError::Certificate { path: path.to_owned(), error };
    let chain = CertificateDer::pem_file_iter(cert).and_then(|chain| chain.collect::<Result<Vec<_>, _>>());
    let chain = chain.map_err(|error| unusable(cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(cert, "it holds no certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3");
    let config = builder.with_no_client_auth().with_single_cert(chain, private);
    let mut config = config.map_err(|error| unusable(cert, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
