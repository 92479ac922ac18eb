//! HTTPS: connections, their number and their patience. A caller who neither sends nor takes anything loses its connection.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::tls::Identity;

/// Connections at once; the gateway shares few among many callers.
const CONNECTIONS: usize = 512;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// For the head of a request, and between two requests.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// How long a caller may take nothing of an answer.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Also the longest head of a request.
const BUFFER_BYTES: usize = 128 * 1024;
/// What runs may end by itself.
const DRAIN_MAX: Duration = Duration::from_secs(20);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is told to stop, then lets what runs end.
pub async fn serve(
    listener: TcpListener,
    identity: Identity,
    router: Router,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        // Without a place nobody is let in; the kernel keeps them waiting.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = shutdown.cancelled() => break,
            (place, stream) = accepted => (place, stream),
        };
        match (place, stream) {
            (Ok(place), Ok((stream, peer))) => {
                let connection = Connection {
                    acceptor: identity.acceptor(),
                    router: router.clone(),
                    metrics: metrics.clone(),
                    shutdown: shutdown.clone(),
                };
                tasks.spawn(connection.run(stream, peer, place));
            }
            // Too many descriptors, or the caller is gone already.
            _ => sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(DRAIN_MAX, tasks.wait()).await.is_err() {
        tracing::info!(left = tasks.len(), "some requests did not end in time");
    }
}

struct Connection {
    acceptor: TlsAcceptor,
    router: Router,
    metrics: Metrics,
    shutdown: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        // Small answers do not wait for more.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, self.acceptor.accept(stream)).await;
        let Ok(Ok(stream)) = handshake else {
            tracing::debug!(%peer, "no TLS connection came about");
            return;
        };
        self.metrics.connections.inc();
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(self.router))
            // What becomes a way to the rsync daemon goes on without this connection's place.
            .with_upgrades();
        let mut served = std::pin::pin!(served);
        let result = tokio::select! {
            result = served.as_mut() => result,
            () = self.shutdown.cancelled() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        self.metrics.connections.dec();
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

/// A stream whose writes fail once none of them got on for [`STALL_MAX`]. Reading has its own limits where it is known what is
/// waited for.
struct Patient<S> {
    stream: S,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    waits: bool,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
        Self::with(stream, STALL_MAX)
    }

    fn with(stream: S, limit: Duration) -> Self {
        Self { stream, limit, timer: Box::pin(sleep(limit)), waits: false }
    }

    fn judge<T>(&mut self, result: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waits = false;
            return result;
        }
        if !self.waits {
            self.waits = true;
            let until = Instant::now() + self.limit;
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller takes nothing of the answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.judge(result, context)
    }

    /// Without this, what is sent would be copied to where nobody counts it.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.judge(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(result, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(result, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_takes_nothing_loses_the_connection_and_a_slow_one_does_not() {
        let limit = Duration::from_secs(60);
        let (ours, mut theirs) = tokio::io::duplex(10);
        let mut ours = Patient::with(ours, limit);
        let writer = tokio::spawn(async move { ours.write_all(&[0; 100]).await });
        for _ in 0..8 {
            sleep(limit - Duration::from_secs(1)).await;
            theirs.read_exact(&mut [0; 10]).await.unwrap();
        }
        assert!(!writer.is_finished());
        let error = writer.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
