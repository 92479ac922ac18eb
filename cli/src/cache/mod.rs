//! `wfs cache`: FsCaches, over the API server of a kubeconfig.

mod refresh;
mod status;
mod verdict;

use anyhow::{Context, Result};
use clap::Subcommand;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::exit::Exit;

/// Works with FsCaches, over the API server that the kubeconfig names
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Refresh(refresh::Args),
    Status(status::Args),
}

/// Where the API server is, and as whom it is asked.
#[derive(clap::Args)]
struct Cluster {
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// Does what is asked for.
pub fn run(args: &Args) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start")?;
    match &args.command {
        Command::Refresh(args) => runtime.block_on(refresh::run(args)),
        Command::Status(args) => runtime.block_on(status::run(args)),
    }
}

impl Cluster {
    /// A client, and the namespace. The kubeconfig is found as kubectl finds it: by KUBECONFIG, else in the home directory; in a
    /// pod without one the pod's own account.
    async fn connect(&self) -> Result<(Client, String)> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = if self.context.is_some() || Kubeconfig::read().is_ok() {
            Config::from_kubeconfig(&options).await.context("cannot use the kubeconfig")?
        } else {
            Config::infer().await.context("there is no kubeconfig, and this is no pod")?
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok((Client::try_from(config).context("cannot use the kubeconfig")?, namespace))
    }
}
