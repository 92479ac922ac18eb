//! The CSI Node service of the local driver. One file per RPC that does more than answer; `status` decides the codes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status};
use workspacefs_api::local_volume::LOCAL_TOPOLOGY_KEY;
use workspacefs_csi_proto::csi::v1;

use super::disks::Disks;
use super::protocol::{Place, Volume};
use super::storages::Storages;
use crate::cache::Caches;
use crate::node::targets::Targets;
use crate::node::{self, NodeLabels};
use crate::op_guard::OpGuards;

/// What the service is made of.
pub struct LocalConfig {
    /// Name of the Node object.
    pub node_name: String,
    /// How long an RPC may wait for a disk.
    pub rpc_deadline: Duration,
    /// Label of a Node that names its node group.
    pub group_label: String,
    /// The node's own labels.
    pub labels: NodeLabels,
    /// The LocalStorages.
    pub storages: Storages,
    /// The node's disks.
    pub disks: Disks,
    /// `<state dir>/local-targets`.
    pub records: PathBuf,
    /// The FsCaches, some of whose copies may lie in the workspaces' shares.
    pub caches: Caches,
}

/// The service. Clones are the same service.
#[derive(Clone)]
pub struct LocalNode(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub config: LocalConfig,
    pub targets: Targets<OnDisk>,
    pub guards: OpGuards,
}

/// What a published volume shows, told apart in its record by the names of its fields.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(super) enum OnDisk {
    /// A workspace's share.
    Share {
        /// The LocalStorage's uid.
        storage_uid: String,
        /// The namespace's uid.
        namespace_uid: String,
    },
    /// A claim's volume.
    Volume {
        /// The LocalStorage's uid.
        storage_uid: String,
        /// The LocalVolume's name.
        local_volume: String,
    },
}

impl OnDisk {
    /// The LocalStorage's uid.
    pub fn storage_uid(&self) -> &str {
        match self {
            Self::Share { storage_uid, .. } | Self::Volume { storage_uid, .. } => storage_uid,
        }
    }

    /// As the disk's helper knows it.
    pub fn place(&self) -> Place {
        match self.clone() {
            Self::Share { namespace_uid, .. } => Place::Share(namespace_uid),
            Self::Volume { storage_uid, local_volume } => {
                Place::Volume(Volume { storage_uid, name: local_volume })
            }
        }
    }
}

impl LocalNode {
    /// Sets the service up and finds what an earlier process published.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn new(config: LocalConfig) -> std::io::Result<Self> {
        let targets = Targets::open(config.records.clone())?;
        Ok(Self(Arc::new(Inner { targets, guards: OpGuards::new(), config })))
    }

    /// Whether any volume is on the LocalStorage with that uid, or may be.
    pub fn uses(&self, storage_uid: &str) -> bool {
        self.0.targets.any(|place| place.storage_uid() == storage_uid)
    }
}

#[tonic::async_trait]
impl v1::node_server::Node for LocalNode {
    async fn node_publish_volume(
        &self,
        request: Request<v1::NodePublishVolumeRequest>,
    ) -> Result<Response<v1::NodePublishVolumeResponse>, Status> {
        self.publish(request.into_inner()).await?;
        Ok(Response::new(v1::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<v1::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<v1::NodeUnpublishVolumeResponse>, Status> {
        self.unpublish(&request.into_inner())?;
        Ok(Response::new(v1::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<v1::NodeGetVolumeStatsRequest>,
    ) -> Result<Response<v1::NodeGetVolumeStatsResponse>, Status> {
        Ok(Response::new(self.stats(&request.into_inner()).await?))
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
        Ok(Response::new(node::capabilities()))
    }

    async fn node_get_info(
        &self,
        _: Request<v1::NodeGetInfoRequest>,
    ) -> Result<Response<v1::NodeGetInfoResponse>, Status> {
        // A claim's volume is on one node's disk. The shares' PersistentVolumes are bound by a label of the operator's, which
        // says where their LocalStorage is ready.
        let node_id = self.0.config.node_name.clone();
        let segments = [(LOCAL_TOPOLOGY_KEY.to_string(), node_id.clone())].into();
        let accessible_topology = Some(v1::Topology { segments });
        Ok(Response::new(v1::NodeGetInfoResponse { node_id, accessible_topology, ..Default::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::targets::Record;

    #[test]
    fn a_record_of_either_kind_is_read_again_and_so_is_one_from_before_there_were_volumes() {
        let record = |place: &str| {
            format!(r#"{{"target":"/t","volumeId":"v","fingerprint":"f","mode":1,"storageUid":"s",{place}}}"#)
        };
        let share = OnDisk::Share { storage_uid: "s".into(), namespace_uid: "n".into() };
        let volume = OnDisk::Volume { storage_uid: "s".into(), local_volume: "l".into() };
        for (text, place) in
            [(record(r#""namespaceUid":"n""#), share), (record(r#""localVolume":"l""#), volume)]
        {
            let read: Record<OnDisk> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.place, place);
            let again: Record<OnDisk> = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
            assert_eq!(again, read);
        }
        assert!(serde_json::from_str::<Record<OnDisk>>(&record(r#""other":"x""#)).is_err());
    }
}
