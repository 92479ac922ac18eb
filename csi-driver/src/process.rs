//! The two long-running processes: what each is made of, how it starts and how it ends.
//!
//! Each serves both drivers, on a socket each, and runs on one thread. Nothing in them waits for a server: that is what the
//! shares' helper processes are for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::{FutureExt, TryStreamExt};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tonic::service::Routes;
use workspacefs_api::{DRIVER, LOCAL_DRIVER};
use workspacefs_csi_proto::csi::v1::controller_server::ControllerServer;
use workspacefs_csi_proto::csi::v1::identity_server::IdentityServer;
use workspacefs_csi_proto::csi::v1::node_server::NodeServer;
use workspacefs_csi_proto::pluginregistration::v1::registration_server::RegistrationServer;
use workspacefs_runtime::{CancellationToken, Readiness, http, logging, shutdown};
use workspacefs_sys::tree::MountApi;

use crate::authority::LocalAuthority;
use crate::cache::report::Report;
use crate::cache::{Caches, CopyFigures, Dedicated, Ground};
use crate::cli::{ControllerArgs, NodeArgs};
use crate::controller::Controller;
use crate::controller::agent::TlsAgents;
use crate::controller::lookup::ApiFileSystems;
use crate::controller::removal::Removals;
use crate::controller::seams::FileSystems;
use crate::controller::store::ShareVolumes;
use crate::controller::upkeep::{self, Upkeep};
use crate::helper_process::HelperProgram;
use crate::identity::IdentityService;
use crate::local::disks::{Disks, DisksConfig};
use crate::local::keep::Keep;
use crate::local::service::{LocalConfig, LocalNode};
use crate::local::storages::Storages;
use crate::local_cache::LocalCache;
use crate::local_cache::figures::CacheFigures;
use crate::local_cache::hands::RealHands;
use crate::local_cache::keep::Keeper;
use crate::local_controller::objects::ApiObjects;
use crate::local_controller::{LocalController, leftovers};
use crate::node::{NestConfig, Node, NodeConfig, NodeLabels};
use crate::registration::{self, Refused, RegistrationService};
use crate::rpc::RpcLayer;
use crate::server;
use crate::share::{self, Shares, SharesConfig};
use crate::socket::PrivateSocket;

/// How long an RPC of the controller waits for a server. The provisioner's own patience is 10 s unless it is told
/// otherwise; its second call then finds the first one's work done.
const CONTROLLER_PATIENCE: Duration = Duration::from_secs(20);
/// The controller's name in Events, where the environment does not tell the pod's.
const CONTROLLER_NAME: &str = "workspacefs-controller";
/// What the end of a process adds to the time an RPC may take.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);
/// A share that the controller has not used for so long is let go: sooner than the upkeep comes back to it, so that those on
/// which nobody makes volumes have no helper process most of the time.
const CONTROLLER_IDLE: Duration = Duration::from_secs(60);
/// On a node the share of the last pod is let go much sooner, yet not between two pods of one rollout.
const NODE_IDLE: Duration = Duration::from_secs(10);

/// Sets up logging and a runtime of one thread, and runs a process to its end in it.
///
/// # Errors
/// The process's own, or that there is no logging or runtime.
pub fn run(process: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    logging::init()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
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
    registry: Arc<Registry>,
    rpcs: RpcLayer,
}

impl Base {
    fn new() -> anyhow::Result<Self> {
        Ok(Self::with(|_| ())?.0)
    }

    /// The same, with metrics of one's own.
    fn with<T>(more: impl FnOnce(&mut Registry) -> T) -> anyhow::Result<(Self, T)> {
        let shutdown = shutdown::signal().context("cannot listen for signals")?;
        let mut registry = Registry::with_prefix("workspacefs");
        registry.register("build", "What runs here", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let rpcs = RpcLayer::new(&mut registry);
        let more = more(&mut registry);
        Ok((Self { shutdown, readiness: Readiness::new(), registry: Arc::new(registry), rpcs }, more))
    }

    async fn serve_http(&self, addr: SocketAddr) -> anyhow::Result<()> {
        let (registry, readiness) = (self.registry.clone(), self.readiness.clone());
        Ok(http::serve(addr, registry, readiness, self.shutdown.clone()).await?)
    }
}

async fn serve(
    socket: PrivateSocket,
    routes: Routes,
    rpcs: RpcLayer,
    shutdown: CancellationToken,
    drain: Duration,
) -> anyhow::Result<()> {
    Ok(server::serve(socket, routes, rpcs, shutdown, drain).await?)
}

/// The controller.
///
/// # Errors
/// No way to the API server, or a socket or port that cannot be listened on.
pub async fn controller(args: ControllerArgs) -> anyhow::Result<()> {
    let base = Base::new()?;
    let client = kube::Client::try_default().await.context("no configuration for the API server")?;
    let shares = Shares::new(SharesConfig {
        helper: HelperProgram::own("share-helper"),
        keep: share::Keep::Detached,
        api: MountApi::detect(false)?,
        idle: CONTROLLER_IDLE,
    })?;
    let volumes = ShareVolumes::new(shares.clone(), CONTROLLER_PATIENCE);
    let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| CONTROLLER_NAME.into());
    let removals = Removals::new(client.clone(), volumes.clone(), &instance);
    let upkeep = Upkeep::new(client.clone(), removals.store(), volumes.clone(), settings(&args));
    let file_systems = ApiFileSystems::with_names(client.clone(), removals.store());
    let service = Controller::new(file_systems, volumes, TlsAgents::new(args.agent_tls.clone()));
    let routes =
        Routes::new(IdentityServer::new(IdentityService::Shared)).add_service(ControllerServer::new(service));
    let socket = PrivateSocket::bind(args.endpoint.path())?;
    let drain = CONTROLLER_PATIENCE + DRAIN_MARGIN;
    let local = async {
        match args.no_local_storage {
            true => Ok(()),
            false => local_controller(&base, &args, client).await,
        }
    };
    tokio::try_join!(
        base.serve_http(args.http),
        serve(socket, routes, base.rpcs.clone(), base.shutdown.clone(), drain),
        let_go_of_idle_shares(&shares, &base.shutdown).map(Ok),
        removals.run(base.shutdown.clone()).map(Ok),
        upkeep.run(base.shutdown.clone()).map(Ok),
        local,
    )?;
    Ok(())
}

/// The driver of local disks, as far as it is one per cluster.
async fn local_controller(base: &Base, args: &ControllerArgs, client: kube::Client) -> anyhow::Result<()> {
    let storages = Storages::fixed(None);
    let objects = ApiObjects::new(client.clone(), storages.clone());
    let service =
        LocalController::new(objects.clone(), objects.clone(), objects.clone(), CONTROLLER_PATIENCE);
    let routes =
        Routes::new(IdentityServer::new(IdentityService::Local)).add_service(ControllerServer::new(service));
    let socket = PrivateSocket::bind(args.local_endpoint.path())?;
    let shutdown = base.shutdown.clone();
    tokio::try_join!(
        serve(socket, routes, base.rpcs.clone(), shutdown.clone(), CONTROLLER_PATIENCE + DRAIN_MARGIN),
        storages.follow(client.clone(), shutdown.clone()).map(Ok),
        leftovers::run(client, objects.clone(), objects.clone(), objects, shutdown).map(Ok),
    )?;
    Ok(())
}

fn settings(args: &ControllerArgs) -> upkeep::Settings {
    upkeep::Settings {
        interval: Duration::from_secs(args.look_interval_seconds),
        trash_keep: Duration::from_secs(args.trash_keep_seconds),
        trash_entries_per_second: args.trash_entries_per_second,
    }
}

async fn let_go_of_idle_shares(shares: &Shares, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(CONTROLLER_IDLE);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        for (share, error) in shares.sweep(|_| false, CONTROLLER_PATIENCE).await {
            tracing::warn!(%share, %error, "an idle share stays mounted");
        }
    }
}

/// The node plugin: both drivers.
///
/// # Errors
/// As for the controller, and kubelet's refusal to register a driver.
pub async fn node(args: NodeArgs) -> anyhow::Result<()> {
    let keeps_cache = args.local_cache && !args.no_local_storage && !args.no_kubernetes;
    let (base, (figures, cache_figures)) = Base::with(|registry| {
        let cache = if keeps_cache { CacheFigures::new(registry) } else { CacheFigures::default() };
        (CopyFigures::new(registry), cache)
    })?;
    let shutdown = base.shutdown.clone();
    let client = match args.no_kubernetes {
        true => None,
        false => Some(kube::Client::try_default().await.context("no configuration for the API server")?),
    };
    let labels = NodeLabels::remembered(&labels_file(&args));
    let has_local = client.is_some() && !args.no_local_storage;
    let disks = if has_local { Some(disks(&args)?) } else { None };
    let ground = Ground {
        group_label: args.node_group_label.clone(),
        labels: labels.clone(),
        dedicated: Dedicated::default(),
        // Where there is no local storage it is known that there is none.
        storages: Storages::fixed((!has_local).then(BTreeMap::new)),
        local_cache: if keeps_cache { LocalCache::new() } else { LocalCache::off() },
    };
    let caches = Caches::new(&args.node_name);
    let nests = NestConfig { caches: caches.clone(), ground: ground.clone(), disks: disks.clone(), figures };
    let node = node_service(&args, labels.clone(), client.clone(), nests)?;
    let endpoint = match &args.endpoint {
        Some(endpoint) => endpoint.path().to_path_buf(),
        None => plugin_folder(&args, DRIVER).join("csi.sock"),
    };
    let driver = Driver {
        name: DRIVER,
        endpoint,
        routes: Routes::new(IdentityServer::new(IdentityService::Shared))
            .add_service(NodeServer::new(node.clone())),
    };
    let local = async {
        match (&client, disks) {
            (Some(client), Some(disks)) => {
                let (ground, caches, node) = (ground.clone(), caches.clone(), node.clone());
                let local = Local { ground, caches, disks, cache_figures, node };
                local.run(&base, &args, client.clone()).await
            }
            _ => Ok(()),
        }
    };
    let caches = async {
        if let Some(client) = client.as_ref().filter(|_| args.fs_caches) {
            follow_caches(&node, &caches, &ground, client, &shutdown).await;
        }
    };
    let labels = async {
        if let Some(client) = client.clone() {
            node.follow_labels(client, labels_file(&args), shutdown.clone()).await;
        }
    };
    tokio::try_join!(
        base.serve_http(args.http),
        drive(&base, &args, driver),
        node.background(shutdown.clone()).map(Ok),
        labels.map(Ok),
        caches.map(Ok),
        local,
    )?;
    Ok(())
}

/// Keeps what is known of FsCaches current, and tells what of them is used here.
async fn follow_caches(
    node: &Node,
    caches: &Caches,
    ground: &Ground,
    client: &kube::Client,
    shutdown: &CancellationToken,
) {
    let report = Report { caches: caches.clone(), ground: ground.clone(), client: client.clone() };
    tokio::join!(
        caches.follow(client.clone(), shutdown.clone()),
        ground.dedicated.follow(client.clone(), caches, shutdown.clone()),
        report.run(|| node.is_unclear(), shutdown.clone()),
    );
}

/// This node's disks, before the first look.
fn disks(args: &NodeArgs) -> anyhow::Result<Disks> {
    Ok(Disks::new(DisksConfig {
        helper: HelperProgram::own("disk-helper"),
        mounts: plugin_folder(args, LOCAL_DRIVER).join("disks"),
        staging: args.state_dir.join("local-staging"),
        api: MountApi::detect(args.legacy_mounts)?,
    })?)
}

/// The driver of local disks.
struct Local {
    ground: Ground,
    caches: Caches,
    disks: Disks,
    /// Of the node's FS-Cache; nobody sees them where this node keeps none.
    cache_figures: CacheFigures,
    /// The shared driver's, in whose volumes copies on these disks are shown.
    node: Node,
}

impl Local {
    async fn run(self, base: &Base, args: &NodeArgs, client: kube::Client) -> anyhow::Result<()> {
        let Ground { labels, storages, local_cache, .. } = self.ground;
        let local = LocalNode::new(LocalConfig {
            node_name: args.node_name.clone(),
            rpc_deadline: Duration::from_secs(args.rpc_deadline_seconds),
            group_label: args.node_group_label.clone(),
            labels: labels.clone(),
            storages: storages.clone(),
            disks: self.disks.clone(),
            records: args.state_dir.join("local-targets"),
            caches: self.caches,
        })
        .with_context(|| format!("cannot read the records in {}", args.state_dir.display()))?;
        let driver = Driver {
            name: LOCAL_DRIVER,
            endpoint: plugin_folder(args, LOCAL_DRIVER).join("csi.sock"),
            routes: Routes::new(IdentityServer::new(IdentityService::Local))
                .add_service(NodeServer::new(local.clone())),
        };
        let hands = RealHands::new(self.disks.clone());
        let cache_keeper = Keeper::new(hands, local_cache.clone(), self.cache_figures);
        let keep = Keep {
            node: args.node_name.clone(),
            group_label: args.node_group_label.clone(),
            labels,
            storages: storages.clone(),
            disks: self.disks,
            client: client.clone(),
            local_cache,
            cache_keeper: Arc::new(tokio::sync::Mutex::new(cache_keeper)),
        };
        let in_use = |uid: &str| local.uses(uid) || self.node.uses_disk(uid);
        let shutdown = base.shutdown.clone();
        tokio::try_join!(
            drive(base, args, driver),
            storages.follow(client, shutdown.clone()).map(Ok),
            keep.run(in_use, shutdown.clone()).map(Ok),
        )?;
        Ok(())
    }
}

/// A driver of this node.
struct Driver {
    name: &'static str,
    endpoint: PathBuf,
    routes: Routes,
}

/// Serves a driver, and makes it known to kubelet where there is one.
async fn drive(base: &Base, args: &NodeArgs, driver: Driver) -> anyhow::Result<()> {
    let drain = Duration::from_secs(args.rpc_deadline_seconds) + DRAIN_MARGIN;
    // It listens from here on: kubelet may ask as soon as it finds the registration.
    let socket = PrivateSocket::bind(&driver.endpoint)?;
    let registration = async {
        match args.no_kubernetes {
            true => Ok(()),
            false => register(base, &args.kubelet_dir, driver.name, &driver.endpoint, drain).await,
        }
    };
    tokio::try_join!(
        serve(socket, driver.routes, base.rpcs.clone(), base.shutdown.clone(), drain),
        registration,
    )?;
    Ok(())
}

fn plugin_folder(args: &NodeArgs, driver: &str) -> PathBuf {
    args.kubelet_dir.join("plugins").join(driver)
}

fn labels_file(args: &NodeArgs) -> PathBuf {
    args.state_dir.join("labels.json")
}

fn node_service(
    args: &NodeArgs,
    labels: NodeLabels,
    client: Option<kube::Client>,
    nests: NestConfig,
) -> anyhow::Result<Node> {
    let shares = Shares::new(SharesConfig {
        helper: HelperProgram::own("share-helper"),
        keep: share::Keep::Attached {
            mounts: plugin_folder(args, DRIVER).join("shares"),
            state: args.state_dir.clone(),
        },
        api: MountApi::detect(args.legacy_mounts)?,
        idle: NODE_IDLE,
    })?;
    let file_systems = client.map(|client| Arc::new(ApiFileSystems::new(client)) as Arc<dyn FileSystems>);
    Node::new(NodeConfig {
        node_name: args.node_name.clone(),
        rpc_deadline: Duration::from_secs(args.rpc_deadline_seconds),
        node_group_label: args.node_group_label.clone(),
        labels,
        file_systems,
        shares,
        records: args.state_dir.join("targets"),
        nests,
    })
    .with_context(|| format!("cannot read the records in {}", args.state_dir.display()))
}

/// Makes the driver known to kubelet, and keeps it known.
async fn register(
    base: &Base,
    kubelet_dir: &Path,
    driver: &'static str,
    endpoint: &Path,
    drain: Duration,
) -> anyhow::Result<()> {
    let registered = base.readiness.gate("kubelet's registration");
    let (service, refused) = RegistrationService::new(driver, endpoint, registered);
    let socket = PrivateSocket::bind(&registration::socket_path(kubelet_dir, driver))?;
    let routes = Routes::new(RegistrationServer::new(service));
    let path = socket.path().to_path_buf();
    let incoming = socket.incoming().map_ok(LocalAuthority::new);
    let (rpcs, shutdown) = (base.rpcs.clone(), base.shutdown.clone());
    let served = async { Ok(server::serve_on(path, incoming, routes, rpcs, shutdown, drain).await?) };
    unless_refused(served, refused, &base.shutdown).await
}

/// Serves to the end. If kubelet refuses the driver, that is the end, and the error.
async fn unless_refused(
    served: impl Future<Output = anyhow::Result<()>>,
    refused: oneshot::Receiver<Refused>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = &mut served => ended,
        Ok(refused) = refused => {
            shutdown.cancel();
            served.await?;
            Err(refused.into())
        }
    }
}
