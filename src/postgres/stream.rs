//! One way to open the bytes to a server: TCP or a unix socket, with TLS over it where the connection asks for it.
//!
//! What holds for every connection is set here once: a limit on how long connecting may take, no Nagle delay, and
//! keepalives, so that a peer that vanished without a word is noticed within a minute.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ConnectError, tls};
use crate::manifest::{PostgresConnection, SslMode};

/// How long connecting, TLS included, may take for one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An idle connection is probed after 30 s, then every 10 s; three silent probes end it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// Keepalives are not sent while something that was sent is not acknowledged; this ends a connection on which nothing
/// has been for so long.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// The startup code that asks whether the server speaks TLS, with its length.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// An open connection, as bytes.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Returns the socket, where it is one of TCP to a server on this machine.
    pub(crate) fn loopback(&self) -> Option<&TcpStream> {
        let socket = match self {
            Stream::Tcp(socket) => socket,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::Unix(_) => return None,
        };
        socket.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()).then_some(socket)
    }
}

/// Opens the byte stream to a server, upgraded to TLS as `sslmode` says; nothing of Postgres's startup is sent yet.
///
/// # Errors
/// Those of [`ConnectError`] that concern names, sockets, certificates and TLS.
pub(crate) async fn open(to: &PostgresConnection) -> Result<Stream, ConnectError> {
    check_settings(to)?;
    if to.host.starts_with('/') {
        // As with libpq, sslmode says nothing about a socket of this machine.
        let path = format!("{}/.s.PGSQL.{}", to.host.trim_end_matches('/'), to.port);
        let connecting = within(to, async { UnixStream::connect(path).await.map_err(|e| unreachable(to, e)) });
        return connecting.await.map(Stream::Unix);
    }
    let addresses = resolve(to).await?;
    let mut last = None;
    for address in addresses {
        match within(to, open_at(to, address)).await {
            // A server that answers in the wrong way answers alike at its other addresses.
            Err(error @ (ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. })) => last = Some(error),
            result => return result,
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::UnknownHost {
        host: to.host.clone(),
        source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
    }))
}

/// Refuses what would end a name early in the startup message: everything there is terminated by a NUL.
fn check_settings(to: &PostgresConnection) -> Result<(), ConnectError> {
    let password = to.password.as_ref().map(|p| p.reveal()).unwrap_or_default();
    let settings = [("host", &*to.host), ("user", &*to.user), ("database", &*to.database), ("password", password)];
    match settings.iter().find(|(_, value)| value.contains('\0')) {
        Some((setting, _)) => Err(ConnectError::BadSetting { setting }),
        None => Ok(()),
    }
}

async fn resolve(to: &PostgresConnection) -> Result<Vec<SocketAddr>, ConnectError> {
    // A URL writes an IPv6 address in brackets.
    let host = to.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&to.host);
    let looking_up = async { tokio::net::lookup_host((host, to.port)).await.map(Iterator::collect) };
    match tokio::time::timeout(CONNECT_TIMEOUT, looking_up).await {
        Ok(found) => found.map_err(|source| ConnectError::UnknownHost { host: to.host.clone(), source }),
        Err(_) => Err(ConnectError::TimedOut { server: to.to_string(), after: CONNECT_TIMEOUT }),
    }
}

async fn within<T>(
    to: &PostgresConnection,
    opening: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::TimedOut { server: to.to_string(), after: CONNECT_TIMEOUT }),
    }
}

fn unreachable(to: &PostgresConnection, source: io::Error) -> ConnectError {
    ConnectError::Unreachable { server: to.to_string(), source }
}

async fn open_at(to: &PostgresConnection, address: SocketAddr) -> Result<Stream, ConnectError> {
    let tcp = open_tcp(address).await.map_err(|e| unreachable(to, e))?;
    if to.sslmode == SslMode::Disable {
        return Ok(Stream::Tcp(tcp));
    }
    match upgrade(to, tcp).await? {
        Upgraded::Tls(stream) => Ok(Stream::Tls(stream)),
        Upgraded::Refused(tcp) if to.sslmode == SslMode::Prefer => Ok(Stream::Tcp(tcp)),
        Upgraded::Refused(_) => Err(ConnectError::NoTls { server: to.to_string() }),
        Upgraded::Failed(source) if to.sslmode == SslMode::Prefer => {
            tracing::debug!(server = %to, error = %source, "TLS failed, going on without it as sslmode=prefer says");
            open_tcp(address).await.map(Stream::Tcp).map_err(|e| unreachable(to, e))
        }
        Upgraded::Failed(source) => Err(tls::handshake_error(to, source)),
    }
}

/// Opens a socket with what holds for every connection.
pub(crate) async fn open_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    keep_alive(&socket)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&socket).set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Has a peer noticed that vanished without a word.
pub(crate) fn keep_alive(socket: &impl AsFd) -> io::Result<()> {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

enum Upgraded {
    Tls(Box<TlsStream<TcpStream>>),
    /// The server said that it does not speak TLS; the connection may go on without.
    Refused(TcpStream),
    Failed(io::Error),
}

async fn upgrade(to: &PostgresConnection, mut tcp: TcpStream) -> Result<Upgraded, ConnectError> {
    let config = tls::client_config(to)?;
    let lost = |source| ConnectError::Lost { server: to.to_string(), source };
    tcp.write_all(&SSL_REQUEST).await.map_err(lost)?;
    // Exactly one byte: what an intruder appended to the answer would be read as part of the handshake, and fail.
    match tcp.read_u8().await.map_err(lost)? {
        b'S' => match TlsConnector::from(config).connect(tls::server_name(to), tcp).await {
            Ok(stream) => Ok(Upgraded::Tls(Box::new(stream))),
            Err(error) => Ok(Upgraded::Failed(error)),
        },
        b'N' => Ok(Upgraded::Refused(tcp)),
        // Only a server that could not even fork says this, and nobody has proved to be that server: its text is not
        // shown.
        b'E' => Err(lost(io::Error::new(io::ErrorKind::ConnectionReset, "an error in answer to the request for TLS"))),
        other => Err(ConnectError::NotPostgres {
            server: to.to_string(),
            what: format!("it answers the request for TLS with byte {other:#04x}"),
        }),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
