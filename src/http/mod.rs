//! `pelton sync --http`: the event stores of manifests, for other manifests to read.
//!
//! ```text
//! mod         listens, and takes connections until it is asked to stop
//!   access    who may ask
//!   tls       the service's certificate
//!   patience  a peer that does not read is given up
//!   route     which request is answered by what
//!     tell      /status, /public-schemas, /streams, /data-store/cursors
//!     read      /read: a page of whole transactions, as ReJot has it
//!     stream    /stream: events as they are published
//!       turns   who may have one
//!     gone      what retention has removed
//!     consumers what consumers elsewhere say of themselves
//!   store     event stores and sessions there
//!   cursor    how readers say where they are
//!   answer    JSON, lines, refusals
//! ```
//!
//! Nothing here is needed by the line itself: what is told is what the event stores have, so it is durable, and the same
//! after a restart. The reader's part is `service`.
//!
//! Bounds: connections, streams, sessions at a store, sizes of heads and bodies, and the time that anything but a stream
//! may take.

mod access;
mod answer;
mod consumers;
mod cursor;
mod gone;
mod patience;
mod read;
mod route;
mod store;
mod stream;
mod tell;
mod tls;
mod turns;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::manifest::{Manifest, Secret};
use crate::postgres;

use access::Access;
use patience::Patient;
use store::Store;
use tls::Certificate;
use turns::Turns;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
/// Streams at a time, unless it is told otherwise: each has a session at its event store.
pub const STREAMS: u16 = 32;
/// Questions at a time about how far consumers are: each has a session at their destination.
const CURSORS_MAX: usize = 4;
/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long the head of a request, or a TLS handshake, may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long answers that are on their way may take once it is asked to stop.
const GRACE: Duration = Duration::from_secs(3);
/// How often it is looked whether the certificate was renewed.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A token that could be guessed is none.
const TOKEN_CHARACTERS_MIN: usize = 16;

/// How a service is to be reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// A host name or an address, and a port; 0 stands for any that is free.
    pub host: String,
    pub port: u16,
    /// Any of them is taken. Without one, only this machine may ask.
    pub tokens: Vec<Secret>,
    /// A certificate and its key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// How many streams are open at a time; at least 1.
    pub streams: u16,
}

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {address}")]
    Listen { address: String, source: io::Error },
    #[error("{address} can be reached from elsewhere, and there is no token that would tell who may read")]
    Open { address: String },
    #[error("a token of fewer than {TOKEN_CHARACTERS_MIN} characters can be guessed")]
    ShortToken,
    #[error("a token holds a character that no header can")]
    BadToken,
    #[error("cannot use {}: {error}", path.display())]
    Certificate { path: PathBuf, error: String },
    #[error("there is nothing to serve: no manifest has an event store")]
    NoEventStore,
}

impl HttpError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            HttpError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                "another program listens there: name another port with --http 127.0.0.1:PORT"
            }
            HttpError::Listen { .. } => "name an address of this machine, for example --http 127.0.0.1:3000",
            HttpError::Open { .. } => {
                "write one into a file (openssl rand -hex 32 > token) and name it with --http-token-file, or set \
                 PELTON_HTTP_TOKEN; or listen on 127.0.0.1"
            }
            HttpError::ShortToken | HttpError::BadToken => "make one: openssl rand -hex 32",
            HttpError::Certificate { .. } => {
                "--http-cert takes a certificate with those that signed it, --http-key its private key, both PEM"
            }
            HttpError::NoEventStore => {
                "what is served is what event stores have: add `eventStores` to the manifest, or leave --http out"
            }
        };
        Some(text.to_owned())
    }
}

/// What all requests share.
struct Shared {
    manifests: Vec<Manifest>,
    stores: Vec<Store>,
    access: Access,
    turns: Turns,
    cursors: Semaphore,
    started: Instant,
}

/// A service that listens, and answers once it runs.
pub struct Http {
    listener: TcpListener,
    address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    shared: Arc<Shared>,
}

/// Listens.
///
/// # Errors
/// [`HttpError`]: the address is taken, or it would be open to everybody.
pub async fn listen(options: &Options, manifests: &[Manifest]) -> Result<Http, HttpError> {
    for token in &options.tokens {
        if token.reveal().len() < TOKEN_CHARACTERS_MIN {
            return Err(HttpError::ShortToken);
        }
        if !token.reveal().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(HttpError::BadToken);
        }
    }
    let stores = Store::all(manifests);
    if stores.is_empty() {
        return Err(HttpError::NoEventStore);
    }
    let certificate = match &options.tls {
        Some((cert, key)) => Some(Arc::new(Certificate::load(cert, key)?)),
        None => None,
    };
    let asked = format!("{}:{}", options.host, options.port);
    let failed = |source| HttpError::Listen { address: asked.clone(), source };
    let host = options.host.trim_start_matches('[').trim_end_matches(']');
    let listener = TcpListener::bind((host, options.port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() {
        if options.tokens.is_empty() {
            return Err(HttpError::Open { address: address.to_string() });
        }
        if certificate.is_none() {
            tracing::warn!(
                %address,
                hint = "--http-cert and --http-key give the service TLS; or let a proxy have it",
                "tokens and rows travel without encryption"
            );
        }
    }
    let shared = Shared {
        manifests: manifests.to_vec(),
        stores,
        access: Access::new(&options.tokens),
        turns: Turns::new(options.streams.max(1).into()),
        cursors: Semaphore::new(CURSORS_MAX),
        started: Instant::now(),
    };
    Ok(Http { listener, address, certificate, shared: Arc::new(shared) })
}

impl Http {
    /// Returns where it listens.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.certificate.is_some() { "https" } else { "http" }, self.address)
    }

    /// Answers until it is asked to stop; then ends streams, and lets other answers end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("it is never closed");
                (self.listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                accepted = accepted => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let socket = match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Too many files are open, or the peer is gone already.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = connection(socket, self.certificate.clone(), Arc::clone(&self.shared), stop.clone());
            connections.spawn(async move {
                connection.await;
                drop(permit);
            });
        }
        drop(self.listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, ended).await;
    }
}

async fn connection(
    socket: TcpStream,
    certificate: Option<Arc<Certificate>>,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    let ready = postgres::keep_alive(&socket).and_then(|()| patience::limit(&socket));
    if ready.and_then(|()| socket.set_nodelay(true)).is_err() {
        return;
    }
    let socket = Patient::new(socket);
    let Some(certificate) = certificate else { return answer_all(socket, shared, stop).await };
    match tokio::time::timeout(HEAD_TIMEOUT, certificate.acceptor().accept(socket)).await {
        Ok(Ok(socket)) => answer_all(socket, shared, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Answers one request after the other.
async fn answer_all(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let stopping = stop.clone();
    let service = service_fn(move |request| {
        let (shared, stop) = (Arc::clone(&shared), stopping.clone());
        async move { Ok::<_, Infallible>(route::request(shared, stop, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
