//! The bytes to a service: TCP, with TLS over it where its address says so; and HTTP/1.1 over that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ServiceError;
use crate::manifest::SyncService;
use crate::postgres;

/// How long connecting, TLS included, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one address is waited for before the next one is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens a connection for requests, one at a time.
pub(super) async fn open(service: &SyncService) -> Result<SendRequest<Full<Bytes>>, ServiceError> {
    let url = || service.url.to_string();
    let opening = async {
        let stream = open_stream(service).await?;
        let shaken = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await;
        shaken.map_err(|source| ServiceError::Lost { url: url(), source })
    };
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await;
    let (sender, connection) = opened.map_err(|_| ServiceError::TimedOut { url: url(), after: CONNECT_TIMEOUT })??;
    tokio::spawn(async move {
        // Whoever waits for an answer gets the error too, and tells it.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn open_stream(service: &SyncService) -> Result<Stream, ServiceError> {
    let url = || service.url.to_string();
    let unreachable = |source| ServiceError::Unreachable { url: url(), source };
    let addresses = tokio::net::lookup_host((&*service.url.host, service.url.port)).await.map_err(unreachable)?;
    let tcp = open_first(addresses.collect()).await.map_err(unreachable)?;
    if !service.url.tls {
        return Ok(Stream::Tcp(tcp));
    }
    let config = postgres::verifying_client(service.sslrootcert.as_deref());
    let config = config.map_err(|source| ServiceError::Roots { url: url(), source: Box::new(source) })?;
    let name = ServerName::try_from(service.url.host.clone());
    let name = name.map_err(|error| unreachable(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    match TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(source) => Err(match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => ServiceError::Certificate { url: url(), source },
            _ => ServiceError::Tls { url: url(), source },
        }),
    }
}

/// Opens the first address that answers: one that says nothing holds up the next one for a moment only.
async fn open_first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        trying.extend(left.next().map(postgres::open_tcp));
        if trying.is_empty() {
            return Err(last);
        }
        let more = left.len() > 0;
        tokio::select! {
            Some(opened) = trying.next() => match opened {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if more => {}
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn an_address_that_refuses_or_says_nothing_holds_up_no_other_one() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        // Bound, and nobody listens.
        let refuses = TcpSocket::new_v4().unwrap();
        refuses.bind(any).unwrap();
        let refusing = refuses.local_addr().unwrap();
        // Nobody accepts, and there is no room for more.
        let full = TcpSocket::new_v4().unwrap();
        full.bind(any).unwrap();
        let full = full.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut filling = Vec::new();
        while let Ok(stream) = tokio::time::timeout(NEXT_ADDRESS, TcpStream::connect(silent)).await {
            filling.push(stream);
        }
        let good = tokio::net::TcpListener::bind(any).await.unwrap();
        let good = good.local_addr().map(|address| (good, address)).unwrap();
        for addresses in [vec![refusing, good.1], vec![silent, good.1], vec![refusing, silent, good.1]] {
            let began = std::time::Instant::now();
            let opened = open_first(addresses.clone()).await.unwrap();
            assert_eq!(opened.peer_addr().unwrap(), good.1, "{addresses:?}");
            assert!(began.elapsed() < Duration::from_secs(2), "{addresses:?}: {:?}", began.elapsed());
        }
        assert_eq!(open_first(vec![refusing]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(open_first(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
