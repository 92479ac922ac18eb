//! The gateway's process: arguments, logs, signals. Everything else is in the library.

use anyhow::Context;
use clap::Parser;
use workspacefs_dashboard::cli::{Cli, Command};
use workspacefs_dashboard::run;
use workspacefs_runtime::{logging, shutdown};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Serve(args) = Cli::parse().command;
    logging::init()?;
    let stop = shutdown::signal()?;
    let client = kube::Client::try_default().await.context("cannot find the API server")?;
    run::serve(*args, client, stop).await
}
