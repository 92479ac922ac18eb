//! The HTTP port: how far it is, and that the process lives. Plain HTTP: it tells nothing that needs hiding.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use workspacefs_api::mover::Progress;

use crate::meter::Meter;

/// How often it is looked how far it is.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Answers `GET /progress` and `GET /healthz` for ever.
///
/// # Errors
/// What the kernel says of the listener.
pub async fn serve(listener: TcpListener, meter: Meter) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/progress", get(progress).with_state(meter.clone()));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served,
        () = sample(&meter) => Ok(()),
    }
}

async fn progress(State(meter): State<Meter>) -> Json<Progress> {
    Json(meter.progress())
}

async fn sample(meter: &Meter) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    loop {
        ticks.tick().await;
        meter.sample();
    }
}
