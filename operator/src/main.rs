//! The operator's process: arguments, logs, HTTP port, signals. Everything else is in the library.

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use prometheus_client::registry::Registry;
use workspacefs_operator::{Replica, cli::Args, config::Config, lease::LeaseTimes, metrics::Metrics, run};
use workspacefs_runtime::{CancellationToken, Readiness, http, logging, shutdown};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    logging::init()?;
    let config = Config::load(&args.config)?;
    let identity = args.identity().context("this replica has no name")?;
    let client = kube::Client::try_default().await.context("cannot find the API server")?;
    let namespace = client.default_namespace().to_string();
    let replica = Replica { identity, namespace, times: LeaseTimes::default() };

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
