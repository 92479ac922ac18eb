//! The ports: TLS, HTTP/1.1 and HTTP/2, and what keeps slow or greedy clients from being everybody's trouble: limits of
//! connections, of headers, of the time for a handshake and for a header, and of idleness.

pub mod tls;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use workspacefs_runtime::CancellationToken;

use crate::caller::Door;
use crate::gateway::Peer;
use crate::metrics::Metrics;

/// What a port lets happen.
#[derive(Clone, Copy, Debug)]
pub struct ListenLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Bytes of all headers of a request.
    pub header_bytes_max: usize,
    /// For the TLS handshake.
    pub handshake_time_max: Duration,
    /// From the first byte of a request to the end of its headers; also between two requests of HTTP/1.1.
    pub header_time_max: Duration,
    /// Without any request.
    pub idle_time_max: Duration,
    /// For what runs, when the process is asked to end.
    pub drain_time_max: Duration,
}

impl Default for ListenLimits {
    /// Tokens of 16 KiB fit into the headers several times.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections_max: 4096,
            header_bytes_max: 64 << 10,
            handshake_time_max: seconds(10),
            header_time_max: seconds(30),
            idle_time_max: seconds(120),
            drain_time_max: seconds(20),
        }
    }
}

const HEADERS_MAX: usize = 100;
const STREAMS_MAX: u32 = 128;
const PING_EVERY: Duration = Duration::from_secs(20);
/// For an idle connection to say goodbye.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port.
pub struct Port {
    /// Bound already.
    pub listener: TcpListener,
    /// How connections begin.
    pub tls: Arc<ServerConfig>,
    /// Who comes this way.
    pub door: Door,
    /// What it lets happen.
    pub limits: ListenLimits,
}

impl Port {
    /// Serves until `stop`, and then for a while what runs.
    pub async fn serve(self, router: Router, metrics: Metrics, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        let running = TaskTracker::new();
        if let Ok(address) = self.listener.local_addr() {
            tracing::info!(%address, door = self.door.as_str(), "listening");
        }
        loop {
            let accept = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, self.listener.accept().await)
            };
            let Some((slot, accepted)) = stop.run_until_cancelled(accept).await else { break };
            match accepted {
                Ok((stream, _)) => {
                    let connection = Connection {
                        tls: self.tls.clone(),
                        limits: self.limits,
                        router: router.clone(),
                        peer: Peer { door: self.door.clone(), hang_up: CancellationToken::new() },
                        stop: stop.clone(),
                    };
                    let counted = metrics.connection();
                    running.spawn(async move {
                        connection.serve(stream).await;
                        drop((slot, counted));
                    });
                }
                Err(error) => {
                    // Out of descriptors, mostly: those that are open must end first.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        running.close();
        if timeout(self.limits.drain_time_max, running.wait()).await.is_err() {
            tracing::warn!(open = running.len(), "connections are cut: they took too long to end");
        }
    }
}

struct Connection {
    tls: Arc<ServerConfig>,
    limits: ListenLimits,
    router: Router,
    peer: Peer,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let limits = self.limits;
        let handshake = async {
            stream.set_nodelay(true)?;
            TlsAcceptor::from(self.tls).accept(stream).await
        };
        // Failed handshakes are scanners and impatient browsers: nothing to say.
        let Ok(Ok(stream)) = timeout(limits.handshake_time_max, handshake).await else { return };
        let activity = Arc::new(Activity::new());
        let (router, peer, busy) = (self.router, self.peer.clone(), activity.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            let (router, busy) = (router.clone(), busy.begin());
            async move {
                let response = router.oneshot(request).await?;
                Ok::<_, Infallible>(response.map(|body| Held { body, _busy: busy }))
            }
        });
        let builder = builder(&limits);
        // One that becomes something else goes on without this: it is held to its own limits.
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let mut looks = tokio::time::interval(limits.idle_time_max / 4);
        let mut farewell = None;
        loop {
            let until = farewell.unwrap_or_else(|| Instant::now() + limits.idle_time_max);
            tokio::select! {
                // Its errors are the client's; what was worth telling was told by the requests.
                _ = connection.as_mut() => return,
                () = self.peer.hang_up.cancelled() => return,
                () = self.stop.cancelled(), if farewell.is_none() => {
                    farewell = Some(Instant::now() + limits.drain_time_max);
                    connection.as_mut().graceful_shutdown();
                }
                _ = looks.tick(), if farewell.is_none() => {
                    if activity.idle() > limits.idle_time_max {
                        farewell = Some(Instant::now() + FAREWELL_TIME_MAX);
                        connection.as_mut().graceful_shutdown();
                    }
                }
                () = tokio::time::sleep_until(until), if farewell.is_some() => return,
            }
        }
    }
}

fn builder(limits: &ListenLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time_max)
        .max_headers(HEADERS_MAX)
        .max_buf_size(limits.header_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX);
    builder
}

/// Whether a connection has requests, and since when it has none.
struct Activity {
    begun: Instant,
    running: AtomicUsize,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { begun: Instant::now(), running: AtomicUsize::new(0), last_ms: AtomicU64::new(0) }
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn idle(&self) -> Duration {
        if self.running.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(now, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose connection is busy as long as it lives.
struct Held {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
