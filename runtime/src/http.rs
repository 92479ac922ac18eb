//! The HTTP port of a process: `/healthz` (alive: the runtime still turns), `/readyz` (every [`Readiness`] gate is
//! open, else 503 and the names of the closed ones) and `/metrics` (OpenMetrics text). Plain HTTP: it tells nothing
//! that needs hiding.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Readiness;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    /// The server ended.
    #[error("the HTTP server ended")]
    Serve(#[source] std::io::Error),
}

/// Serves until `shutdown` is cancelled. Errors at once when `addr` is taken.
pub async fn serve(
    addr: SocketAddr,
    registry: Arc<Registry>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), HttpError> {
    let listener = TcpListener::bind(addr).await.map_err(|source| HttpError::Bind { addr, source })?;
    serve_on(listener, registry, readiness, shutdown).await
}

/// As [`serve`], on a listener of the caller's (whose port the kernel may have chosen).
pub async fn serve_on(
    listener: TcpListener,
    registry: Arc<Registry>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), HttpError> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(HttpError::Serve)
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
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(addr).await.is_err(), "nothing listens after shutdown");
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
