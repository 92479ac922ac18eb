//! The Controller service of the driver `local.csi.workspacefs.io`: volumes of claims on the disks of nodes. It touches no disk:
//! it writes what is wished into an object of kind LocalVolume, and answers once that node's plugin has carried it out and said
//! so in the object's status.
//!
//! One file per RPC; `status` decides the codes, `seams` says what it stands on, `objects` is the real one of that. `place`,
//! `size` and `progress` decide without asking anybody. `let_go` is the end of every volume. [`leftovers`] is no RPC: it lets go of
//! what was given up.

pub mod capability;
pub mod create_volume;
pub mod delete_volume;
pub mod expand_volume;
pub mod get_capacity;
pub mod leftovers;
mod let_go;
pub mod names;
pub mod objects;
pub mod parameters;
pub mod place;
pub mod progress;
pub mod seams;
pub mod size;
mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use workspacefs_csi_proto::csi::v1;
use workspacefs_csi_proto::csi::v1::controller_service_capability::rpc::Type as RpcType;

use crate::controller::capabilities;
use crate::op_guard::OpGuards;
use seams::{LocalStorages, LocalVolumes, Nodes};

/// The Controller service. Clones share their guards.
#[derive(Clone)]
pub struct LocalController {
    storages: Arc<dyn LocalStorages>,
    volumes: Arc<dyn LocalVolumes>,
    nodes: Arc<dyn Nodes>,
    /// By a volume's id, and in CreateVolume by its label too: which node it is to be on is not known there at first.
    guards: OpGuards,
    patience: Duration,
}

impl LocalController {
    /// A service that waits for a node no longer than `patience`.
    pub fn new(
        storages: impl LocalStorages,
        volumes: impl LocalVolumes,
        nodes: impl Nodes,
        patience: Duration,
    ) -> Self {
        Self {
            storages: Arc::new(storages),
            volumes: Arc::new(volumes),
            nodes: Arc::new(nodes),
            guards: OpGuards::new(),
            patience,
        }
    }
}

#[tonic::async_trait]
impl v1::controller_server::Controller for LocalController {
    async fn create_volume(
        &self,
        request: Request<v1::CreateVolumeRequest>,
    ) -> Result<Response<v1::CreateVolumeResponse>, Status> {
        Ok(Response::new(self.create(request.into_inner()).await?))
    }

    async fn delete_volume(
        &self,
        request: Request<v1::DeleteVolumeRequest>,
    ) -> Result<Response<v1::DeleteVolumeResponse>, Status> {
        Ok(Response::new(self.delete(request.into_inner()).await?))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<v1::ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<v1::ValidateVolumeCapabilitiesResponse>, Status> {
        Ok(Response::new(self.validate(request.into_inner()).await?))
    }

    async fn controller_expand_volume(
        &self,
        request: Request<v1::ControllerExpandVolumeRequest>,
    ) -> Result<Response<v1::ControllerExpandVolumeResponse>, Status> {
        Ok(Response::new(self.expand(request.into_inner()).await?))
    }

    async fn get_capacity(
        &self,
        request: Request<v1::GetCapacityRequest>,
    ) -> Result<Response<v1::GetCapacityResponse>, Status> {
        Ok(Response::new(self.capacity(request.into_inner()).await?))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<v1::ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<v1::ControllerGetCapabilitiesResponse>, Status> {
        // Nothing is attached: the disk is its node's own.
        Ok(Response::new(capabilities([
            RpcType::CreateDeleteVolume,
            RpcType::GetCapacity,
            RpcType::ExpandVolume,
            RpcType::SingleNodeMultiWriter,
        ])))
    }
}
