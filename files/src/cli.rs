//! The command line, and the process it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::{Args, Parser, Subcommand};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use workspacefs_buckets::Allowed;
use workspacefs_files_proto::{PublicKey, Verifier};
use workspacefs_runtime::{Readiness, http, logging, shutdown};
use workspacefs_sys::allocator;

use crate::app::{App, Settings, router};
use crate::metrics::Metrics;
use crate::pool::BLOCKING_THREADS;
use crate::root::{Owner, Root};
use crate::tls::Identity;
use crate::{openapi, server, sweep};

/// The file API of one FileSystem.
#[derive(Debug, Parser)]
#[command(name = "files", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the files of one directory.
    Serve(Box<Serve>),
    /// Prints the OpenAPI document.
    Openapi,
}

#[derive(Clone, Debug, Args)]
struct Serve {
    /// The mounted directory.
    #[arg(long)]
    root: PathBuf,
    /// The FileSystem's uid: assertions for another are refused.
    #[arg(long)]
    file_system: String,
    /// Ed25519 public key of the gateway, 32 bytes in base64; several while one replaces another.
    #[arg(long, required = true)]
    public_key: Vec<PublicKey>,
    /// Certificate, PEM.
    #[arg(long)]
    tls_cert: PathBuf,
    /// Its key, PEM.
    #[arg(long)]
    tls_key: PathBuf,
    /// Address of the API.
    #[arg(long, default_value = "[::]:8443")]
    listen: SocketAddr,
    /// Address of /metrics, /healthz and /readyz.
    #[arg(long, default_value = "[::]:8080")]
    metrics: SocketAddr,
    /// Who gets new files: UID:GID.
    #[arg(long, default_value = "0:0", value_parser = parse_owner)]
    owner: (u32, u32),
    /// Permission bits of new folders, octal; new files have the same without execution.
    #[arg(long, default_value = "0777", value_parser = parse_mode)]
    mode: u32,
    /// How long the trash keeps what was deleted.
    #[arg(long, default_value_t = 30)]
    trash_days: u32,
    /// How long an unfinished upload may rest.
    #[arg(long, default_value_t = 7)]
    upload_days: u32,
    /// Addresses inside the cluster that imports may connect to all the same: CIDR or host name.
    #[arg(long)]
    allow_endpoint: Vec<Allowed>,
    /// The folder shared with the rsync daemon of this pod; none: there is no daemon.
    #[arg(long)]
    rsync: Option<PathBuf>,
}

fn parse_owner(text: &str) -> Result<(u32, u32), String> {
    let owner = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    owner.ok_or_else(|| "an owner is UID:GID".into())
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| "a mode is octal, at most 7777".into())
}

/// Runs the program.
///
/// # Errors
/// It could not start, or ended.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Openapi => print!("{}", openapi::text()),
        Command::Serve(options) => {
            logging::init()?;
            allocator::give_back_large_blocks();
            // Few workers: they only move bytes. What waits for the storage server has threads of its own.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 4))
                .max_blocking_threads(BLOCKING_THREADS)
                .enable_all()
                .build()?;
            let result = runtime.block_on(serve(*options));
            // A thread that hangs on a dead server is not waited for.
            runtime.shutdown_background();
            result?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    let shutdown = shutdown::signal()?;
    let mut registry = Registry::with_prefix("workspacefs_files");
    let metrics = Metrics::register(&mut registry);
    let (uid, gid) = options.owner;
    let owner = Owner { uid, gid, mode: options.mode };
    let root = Root::open(&options.root, owner)
        .map_err(|error| anyhow!(error))
        .with_context(|| format!("cannot serve {}", options.root.display()))?;
    let identity = Identity::read(options.tls_cert, options.tls_key)?;
    let verifier = Verifier::new(options.public_key, options.file_system);
    let settings = Settings {
        trash_days: options.trash_days,
        upload_days: options.upload_days,
        allow_endpoints: options.allow_endpoint,
        rsync: options.rsync,
    };
    let app = App::new(Arc::new(root), verifier, settings, metrics.clone());
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    tracing::info!(address = %options.listen, "serving");
    let health = http::serve(options.metrics, Arc::new(registry), Readiness::new(), shutdown.clone());
    tokio::spawn(sweep::run(Arc::clone(&app), shutdown.clone()));
    tokio::spawn(identity.clone().keep(shutdown.clone()));
    let api = server::serve(listener, identity, router(&app), metrics, shutdown.clone());
    let api = async {
        api.await;
        Ok(())
    };
    tokio::try_join!(async { health.await.map_err(anyhow::Error::from) }, api)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_as_the_contract_has_it() {
        let key = workspacefs_files_proto::Signer::from_pem(
            &workspacefs_files_proto::Signer::generate_pem().unwrap(),
        )
        .unwrap()
        .public_key()
        .to_base64();
        let line = format!(
            "files serve --root /data --file-system uid --public-key {key} --public-key {key} --tls-cert c --tls-key k \
             --listen 127.0.0.1:1 --metrics 127.0.0.1:2 --owner 1000:100 --mode 0770 --trash-days 3 --upload-days 2 \
             --allow-endpoint 10.0.0.0/8 --allow-endpoint minio"
        );
        let Command::Serve(options) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not serve");
        };
        assert_eq!((options.owner, options.mode, options.public_key.len()), ((1000, 100), 0o770, 2));
        assert_eq!(options.allow_endpoint.len(), 2);
        let bad = line.replace("minio", "http://minio");
        assert!(Cli::try_parse_from(bad.split_whitespace()).unwrap_err().to_string().contains("host"));
        let bad = line.replace("1000:100", "root");
        assert!(Cli::try_parse_from(bad.split_whitespace()).unwrap_err().to_string().contains("UID:GID"));
    }
}
