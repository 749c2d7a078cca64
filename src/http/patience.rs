//! A connection whose peer takes nothing for too long is given up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// How long a peer may take nothing of what is written. It comes back, and goes on where it was.
const PATIENCE: Duration = Duration::from_secs(30);
/// Has the kernel end a connection whose peer is gone while something is on its way. Keepalives find one that is gone while
/// nothing is.
pub fn limit(socket: &TcpStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(PATIENCE))?;
    Ok(())
}

/// Bytes, with a limit on how long writing may wait.
pub struct Patient<S> {
    inner: S,
    patience: Duration,
    /// While a write waits: until when.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Wraps a connection, of which no write has had to wait yet.
    pub fn new(inner: S) -> Patient<S> {
        Patient { inner, patience: PATIENCE, waiting: None }
    }

    /// Passes on what a write came to, unless it waits for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, came: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if came.is_ready() {
            self.waiting = None;
            return came;
        }
        let until = Instant::now() + self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(waiting.as_mut().poll(cx));
        let what = "the peer has read nothing for too long";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let came = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.judge(cx, came)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let came = Pin::new(&mut this.inner).poll_flush(cx);
        this.judge(cx, came)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let came = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.judge(cx, came)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_never_reads_is_given_up_and_a_slow_one_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let patience = Duration::from_millis(300);
        let mut ours = Patient { patience, ..Patient::new(ours) };
        let slow = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(patience / 3).await;
                theirs.read_exact(&mut [0; 4]).await.unwrap();
            }
            theirs
        });
        let began = Instant::now();
        ours.write_all(&[7; 20]).await.unwrap();
        assert!(began.elapsed() > patience, "{:?}", began.elapsed());
        let theirs = slow.await.unwrap();
        let began = Instant::now();
        let given_up = ours.write_all(&[7; 20]).await.unwrap_err();
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= patience, "{:?}", began.elapsed());
        drop(theirs);
    }
}
