//! The two long-running processes: what each is made of, how it starts and how it ends.
//!
//! Both run on one thread. Nothing in them waits for a server: that is what the shares' helper processes are for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tonic::service::Routes;
use workspacefs_csi_proto::csi::v1::controller_server::ControllerServer;
use workspacefs_csi_proto::csi::v1::identity_server::IdentityServer;
use workspacefs_runtime::{CancellationToken, Readiness, http, logging, shutdown};
use workspacefs_sys::tree::MountApi;

use crate::cli::{ControllerArgs, NodeArgs};
use crate::controller::Controller;
use crate::controller::lookup::ApiFileSystems;
use crate::controller::store::ShareVolumes;
use crate::identity::IdentityService;
use crate::rpc::RpcLayer;
use crate::server;
use crate::share::{HelperProgram, Keep, Shares, SharesConfig};
use crate::socket::PrivateSocket;

/// How long an RPC of the controller waits for a server. The provisioner's own patience is 10 s unless it is told
/// otherwise; its second call then finds the first one's work done.
const CONTROLLER_PATIENCE: Duration = Duration::from_secs(20);
/// What the end of a process adds to the time an RPC may take.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);
/// A share that the controller has not used for so long is let go.
const CONTROLLER_IDLE: Duration = Duration::from_secs(300);

/// Sets up logging and a runtime of one thread, and runs a process to its end in it.
///
/// # Errors
/// The process's own, or that there is no logging or runtime.
pub fn run(process: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    logging::init()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let result = runtime.block_on(process);
    if let Err(error) = &result {
        tracing::error!(cause = format!("{error:#}"), "ending");
    }
    // What still blocks in a thread (a name being resolved) must not hold the end up.
    runtime.shutdown_background();
    result
}

/// What both processes have.
struct Base {
    shutdown: CancellationToken,
    readiness: Readiness,
    registry: Registry,
    rpcs: RpcLayer,
}

impl Base {
    fn new() -> anyhow::Result<Self> {
        let shutdown = shutdown::signal().context("cannot listen for signals")?;
        let mut registry = Registry::with_prefix("workspacefs");
        registry.register(
            "build",
            "What runs here",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let rpcs = RpcLayer::new(&mut registry);
        Ok(Self {
            shutdown,
            readiness: Readiness::new(),
            registry,
            rpcs,
        })
    }

    async fn serve_http(
        registry: Registry,
        addr: SocketAddr,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        Ok(http::serve(addr, Arc::new(registry), readiness, shutdown).await?)
    }
}

/// The controller.
///
/// # Errors
/// No way to the API server, or a socket or port that cannot be listened on.
pub async fn controller(args: ControllerArgs) -> anyhow::Result<()> {
    let Base {
        shutdown,
        readiness,
        registry,
        rpcs,
    } = Base::new()?;
    let client = kube::Client::try_default()
        .await
        .context("no configuration for the API server")?;
    let shares = Shares::new(SharesConfig {
        helper: HelperProgram::default(),
        keep: Keep::Detached,
        api: MountApi::detect(false)?,
        idle: CONTROLLER_IDLE,
    })?;
    let volumes = ShareVolumes::new(shares.clone(), CONTROLLER_PATIENCE);
    let service = Controller::new(ApiFileSystems::new(client), volumes);
    let routes =
        Routes::new(IdentityServer::new(IdentityService)).add_service(ControllerServer::new(service));
    let socket = PrivateSocket::bind(args.endpoint.path())?;
    let drain = CONTROLLER_PATIENCE + DRAIN_MARGIN;
    tokio::try_join!(
        Base::serve_http(registry, args.http, readiness, shutdown.clone()),
        async { Ok(server::serve(socket, routes, rpcs, shutdown.clone(), drain).await?) },
        let_go_of_idle_shares(&shares, &shutdown),
    )?;
    Ok(())
}

async fn let_go_of_idle_shares(shares: &Shares, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(CONTROLLER_IDLE);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        for (share, error) in shares.sweep(|_| false, CONTROLLER_PATIENCE).await {
            tracing::warn!(%share, %error, "an idle share stays mounted");
        }
    }
    Ok(())
}

/// The node plugin.
///
/// # Errors
/// As for the controller, and kubelet's refusal to register the driver.
pub async fn node(args: NodeArgs) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet: {args:?}")
}
