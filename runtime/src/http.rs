//! The HTTP port of a process: `/healthz` (alive: the runtime still turns), `/readyz` (every [`Readiness`] gate is
//! open, else 503 and the names of the closed ones) and `/metrics` (OpenMetrics text). Plain HTTP: it tells nothing
//! that needs hiding. Anybody may reach it, so connections are few, have one request each, and end soon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Readiness;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at once; who comes later waits.
const CONNECTIONS: usize = 128;
/// So long one may take, from the first byte of the question to the last one of the answer.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// After a connection that could not be taken: there may be no descriptor for the next one either.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the HTTP port does not serve.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the kernel says.
        #[source]
        source: std::io::Error,
    },
}

/// Serves until `shutdown` is cancelled. Errors at once when `addr` is taken.
pub async fn serve(
    addr: SocketAddr,
    registry: Arc<Registry>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), HttpError> {
    let listener = TcpListener::bind(addr).await.map_err(|source| HttpError::Bind { addr, source })?;
    serve_on(listener, registry, readiness, shutdown).await;
    Ok(())
}

/// As [`serve`], on a listener of the caller's (whose port the kernel may have chosen).
pub async fn serve_on(
    listener: TcpListener,
    registry: Arc<Registry>,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry));
    shutdown.run_until_cancelled(accept(listener, router)).await;
}

async fn accept(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = tokio::time::timeout(CONNECTION_MAX, answer(stream, router.clone()));
                tokio::spawn(async move {
                    let _ = answered.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.closed() {
        closed if closed.is_empty() => "ok\n".into_response(),
        closed => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", closed.join(", "))).into_response()
        }
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn fetch(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served_until_shutdown() {
        let mut registry = Registry::with_prefix("workspacefs");
        let counter = Counter::<u64>::default();
        registry.register("things", "Things counted", counter.clone());
        counter.inc();
        let readiness = Readiness::new();
        let gate = readiness.gate("kubelet");
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(serve_on(listener, Arc::new(registry), readiness, shutdown.clone()));

        assert!(fetch(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
        let waiting = fetch(addr, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("waiting for: kubelet"), "{waiting}");
        gate.open();
        assert!(fetch(addr, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = fetch(addr, "/metrics").await;
        assert!(metrics.contains(OPENMETRICS) && metrics.contains("workspacefs_things_total 1"), "{metrics}");

        shutdown.cancel();
        server.await.unwrap();
        assert!(TcpStream::connect(addr).await.is_err(), "nothing listens after shutdown");
    }

    #[tokio::test]
    async fn who_connects_and_asks_nothing_keeps_nobody_out_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (readiness, shutdown) = (Readiness::new(), CancellationToken::new());
        let _ends = shutdown.clone().drop_guard();
        tokio::spawn(serve_on(listener, Arc::default(), readiness, shutdown));
        let mut idle = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            idle.push(TcpStream::connect(addr).await.unwrap());
        }
        // Those before it had their time, one half after the other.
        let answer = tokio::time::timeout(4 * CONNECTION_MAX, fetch(addr, "/healthz")).await;
        assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
        let ended = tokio::time::timeout(CONNECTION_MAX, idle[0].read_u8()).await;
        assert!(ended.unwrap().is_err(), "its connection is closed");
    }

    #[tokio::test]
    async fn a_taken_address_is_an_error_that_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = taken.local_addr().unwrap();
        let error =
            serve(addr, Arc::default(), Readiness::new(), CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    }
}
