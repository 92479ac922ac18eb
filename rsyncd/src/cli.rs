//! The command line, and the process it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use prometheus_client::registry::Registry;
use workspacefs_runtime::{Readiness, http, logging, shutdown};

use crate::serve::{self, Exposed, Options};

/// The rsync daemon of one FileSystem.
#[derive(Debug, Parser)]
#[command(name = "rsyncd", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves one directory.
    Serve(Box<Serve>),
}

#[derive(Clone, Debug, Args)]
struct Serve {
    /// The mounted directory.
    #[arg(long)]
    root: PathBuf,
    /// The folder shared with `files`: its socket, and the secret of the port.
    #[arg(long, default_value = "/run/rsync")]
    run: PathBuf,
    /// Debian's program.
    #[arg(long, default_value = "/usr/bin/rsync")]
    rsync: PathBuf,
    /// Address of /metrics, /healthz and /readyz.
    #[arg(long, default_value = "[::]:8081")]
    metrics: SocketAddr,
    /// Permission bits of folders that are made above a destination, octal.
    #[arg(long, default_value = "0777", value_parser = parse_mode)]
    mode: String,
    /// Connections at once, through the gateway and past it each.
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Address of a port for whoever knows the secret, in clear text; none without it.
    #[arg(long, requires = "user")]
    expose: Option<SocketAddr>,
    /// The one user there: the workspace.
    #[arg(long, requires = "expose")]
    user: Option<String>,
    /// Seconds for which a secret is good.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    rotate_seconds: u64,
}

fn parse_mode(text: &str) -> Result<String, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.map(|_| text.to_owned()).ok_or_else(|| "a mode is octal, at most 7777".into())
}

/// Runs the program.
///
/// # Errors
/// It could not start, or ended.
pub fn run() -> anyhow::Result<()> {
    let Command::Serve(options) = Cli::parse().command;
    logging::init()?;
    // Before there is a second thread: all of them, and the daemons, are to have it.
    workspacefs_sys::ownership::keep().context("cannot have owners stay what they are")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(*options))
}

async fn serve(args: Serve) -> anyhow::Result<()> {
    let stop = shutdown::signal()?;
    let period = Duration::from_secs(args.rotate_seconds);
    let exposed = args.expose.zip(args.user).map(|(listen, user)| Exposed { listen, user, period });
    let options = Options {
        root: args.root,
        run: args.run,
        rsync: args.rsync,
        mode: args.mode,
        connections_max: args.connections,
        exposed,
    };
    let mut registry = Registry::with_prefix("workspacefs_rsync");
    let open = serve::Open::begin(options, &mut registry).await?;
    let health = http::serve(args.metrics, Arc::new(registry), Readiness::new(), stop.clone());
    tokio::select! {
        health = health => health.context("the port of metrics"),
        served = open.serve(stop) => served,
    }
}
