//! The operator's process: arguments, logs, HTTP port, signals. Everything else is in the library.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use workspacefs_operator::cli::{Args, Command};
use workspacefs_operator::probe::Target;
use workspacefs_operator::{
    Replica, config::Config, isolation_probe, lease::LeaseTimes, metrics::Metrics, retire, run,
};
use workspacefs_runtime::{CancellationToken, Readiness, http, logging, shutdown};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    logging::init()?;
    match &args.command {
        None => operate(&args).await,
        Some(Command::Retire { timeout_seconds }) => {
            let (client, replica) = replica(&args).await?;
            retire::retire(client, replica, Duration::from_secs(*timeout_seconds)).await?;
            Ok(())
        }
        Some(Command::IsolationProbe { server, http }) => probe(server.clone(), *http).await,
    }
}

async fn operate(args: &Args) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let (client, replica) = replica(args).await?;
    let (mut registry, readiness, stop) =
        (Registry::with_prefix("workspacefs"), Readiness::new(), shutdown::signal()?);
    let metrics = Metrics::register(&mut registry);
    let ready = readiness.gate("the API server's first answer");
    // Served until the very end: a shutdown can be watched.
    let served = http::serve(args.http, Arc::new(registry), readiness, CancellationToken::new());
    tokio::select! {
        served = served => served.context("the HTTP port"),
        ended = run(client, config, replica, metrics, ready, stop) => ended.context("the operator"),
    }
}

async fn replica(args: &Args) -> anyhow::Result<(kube::Client, Replica)> {
    let identity = args.identity().context("this replica has no name")?;
    let client = kube::Client::try_default().await.context("cannot find the API server")?;
    let namespace = client.default_namespace().to_string();
    Ok((client, Replica { identity, namespace, times: LeaseTimes::default() }))
}

async fn probe(server: Target, http: SocketAddr) -> anyhow::Result<()> {
    let stop = shutdown::signal()?;
    let listener = TcpListener::bind(http).await.with_context(|| format!("cannot listen on {http}"))?;
    isolation_probe::run(server, listener, isolation_probe::INTERVAL, stop).await.context("the HTTP port")
}
