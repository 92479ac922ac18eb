//! The Node service: volumes are private views of folders on shares, mounted at kubelet's targets. One file per RPC;
//! `status` decides the codes; `target` and `targets` know what is mounted where, `volume` which folder is meant,
//! `nest` which copies of FsCaches are shown in it, `labels` which node group this is, `usage` and `figures` how full
//! things are.
//!
//! Nothing here waits for a server: that is `share`'s helper processes' part, and each RPC has a deadline. The server
//! runs an RPC to its end even when its caller hangs up, so the guard of a target is held exactly as long as something
//! works there, and never beyond the deadline.

pub(crate) mod arguments;
mod claim;
pub mod decision;
pub mod figures;
mod health;
mod labels;
mod nest;
pub(crate) mod publish;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod target;
pub mod targets;
pub(crate) mod unpublish;
mod usage;
pub(crate) mod volume;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};
use workspacefs_csi_proto::csi::v1;
use workspacefs_csi_proto::csi::v1::node_service_capability::rpc::Type as RpcType;
use workspacefs_csi_proto::csi::v1::node_service_capability::{Rpc, Type};
use workspacefs_runtime::CancellationToken;

use crate::controller::seams::FileSystems;
use crate::op_guard::OpGuards;
use crate::share::Shares;
use figures::StatusFigures;
use health::Failures;
use nest::Silent;
use targets::Targets;
use usage::Usages;

pub use labels::{NodeGroupError, NodeLabels};
pub use nest::NestConfig;

/// How long a share that nobody uses may take to be unmounted before it is tried again.
const UNMOUNT_PATIENCE: Duration = Duration::from_secs(10);
/// How often unmounting is tried again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// What the node service is made of.
pub struct NodeConfig {
    /// Name of the Node object.
    pub node_name: String,
    /// How long an RPC may wait for a server.
    pub rpc_deadline: Duration,
    /// Label of a Node that names its node group.
    pub node_group_label: String,
    /// The node's own labels.
    pub labels: NodeLabels,
    /// Where inline volumes' FileSystems, and what is known of their usage, are looked up; None without an API server.
    pub file_systems: Option<Arc<dyn FileSystems>>,
    /// After its last volume is gone, a share stays mounted for as long as the shares' `idle` says.
    pub shares: Shares,
    /// `<state dir>/targets`.
    pub records: PathBuf,
    /// Copies of FsCaches.
    pub nests: NestConfig,
}

/// The Node service. Clones are the same service.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    shares: Shares,
    targets: Targets,
    usages: Usages,
    figures: StatusFigures,
    guards: OpGuards,
    failures: Failures,
    silent: Silent,
    /// A volume was unpublished: its share may be idle now.
    released: Notify,
    config: NodeConfig,
}

impl Node {
    /// Sets the service up and finds what an earlier process published.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn new(config: NodeConfig) -> std::io::Result<Self> {
        let node = Self(Arc::new(Inner {
            shares: config.shares.clone(),
            targets: Targets::open(config.records.clone())?,
            usages: Usages::new(config.shares.clone()),
            figures: StatusFigures::new(config.file_systems.clone()),
            guards: OpGuards::new(),
            failures: Failures::default(),
            silent: Silent::default(),
            released: Notify::new(),
            config,
        }));
        node.remember_uses();
        Ok(node)
    }

    /// What goes on beside the RPCs, until `shutdown`: looking how full volumes are, and unmounting shares that nobody
    /// uses.
    pub async fn background(&self, shutdown: CancellationToken) {
        tokio::join!(
            self.0.usages.run(&self.0.targets, shutdown.clone()),
            self.unmount_idle_shares(shutdown),
        );
    }

    /// Follows the node's own labels until `shutdown`. `file` keeps them for a start without the API server.
    pub async fn follow_labels(&self, client: Client, file: PathBuf, shutdown: CancellationToken) {
        let config = &self.0.config;
        config.labels.follow(client, &config.node_name, file, shutdown).await;
    }

    /// Unmounts the shares that nobody uses now. What could not be unmounted stays for the next time.
    pub async fn sweep(&self) {
        let in_use = |key: &_| self.0.targets.any(|place| place.holds_share(key));
        for (share, error) in self.0.shares.sweep(in_use, UNMOUNT_PATIENCE).await {
            tracing::warn!(%share, %error, "a share that nobody uses stays mounted for now");
        }
    }

    async fn unmount_idle_shares(&self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let work = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = self.0.released.notified() => tokio::time::sleep(self.0.shares.idle()).await,
                }
                self.sweep().await;
            }
        };
        let _: Option<std::convert::Infallible> = shutdown.run_until_cancelled(work).await;
    }
}

/// What both drivers can do on a node.
pub(crate) fn capabilities() -> v1::NodeGetCapabilitiesResponse {
    let capability =
        |rpc: RpcType| v1::NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: rpc.into() })) };
    let rpcs = [RpcType::GetVolumeStats, RpcType::SingleNodeMultiWriter, RpcType::GetVolumeHealth];
    v1::NodeGetCapabilitiesResponse { capabilities: rpcs.map(capability).to_vec() }
}

#[tonic::async_trait]
impl v1::node_server::Node for Node {
    async fn node_publish_volume(
        &self,
        request: Request<v1::NodePublishVolumeRequest>,
    ) -> Result<Response<v1::NodePublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let volume_id = request.volume_id.clone();
        self.publish(request).await.inspect_err(|error| {
            if status::is_volumes_fault(error) {
                self.0.failures.remember(&volume_id, error);
            }
        })?;
        Ok(Response::new(v1::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<v1::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<v1::NodeUnpublishVolumeResponse>, Status> {
        self.unpublish(request.into_inner()).await?;
        Ok(Response::new(v1::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<v1::NodeGetVolumeStatsRequest>,
    ) -> Result<Response<v1::NodeGetVolumeStatsResponse>, Status> {
        Ok(Response::new(self.stats(request.into_inner()).await?))
    }

    async fn node_get_volume_health(
        &self,
        request: Request<v1::NodeGetVolumeHealthRequest>,
    ) -> Result<Response<v1::NodeGetVolumeHealthResponse>, Status> {
        Ok(Response::new(self.health(&request.into_inner())?))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<v1::NodeGetCapabilitiesRequest>,
    ) -> Result<Response<v1::NodeGetCapabilitiesResponse>, Status> {
        Ok(Response::new(capabilities()))
    }

    async fn node_get_info(
        &self,
        _: Request<v1::NodeGetInfoRequest>,
    ) -> Result<Response<v1::NodeGetInfoResponse>, Status> {
        Ok(Response::new(v1::NodeGetInfoResponse {
            node_id: self.0.config.node_name.clone(),
            // No limit, and no topology: a share is reached from everywhere, and a node's group may change. The operator
            // sets the node affinity of PersistentVolumes, also of those that the controller made; publish checks the group.
            ..Default::default()
        }))
    }
}
