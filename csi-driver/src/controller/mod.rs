//! The Controller service: volumes as folders beside those of FileSystems, on shares (`store`) or on the embedded NFS server
//! (`agent`). One file per RPC; `status` decides the codes, `seams` says what it stands on. `removal` and `upkeep`
//! are no RPCs: the one moves the own folder of an `nfs` FileSystem away that is deleted, the other looks after the shares.

pub mod agent;
pub mod create_volume;
pub mod delete_volume;
pub mod expand_volume;
pub mod get_capacity;
pub mod lookup;
pub mod parameters;
pub mod record;
pub mod removal;
pub mod request;
pub mod seams;
mod status;
pub mod store;
pub mod upkeep;
pub mod validate;

use std::sync::Arc;

use tonic::{Request, Response, Status};
use workspacefs_csi_proto::csi::v1;
use workspacefs_csi_proto::csi::v1::controller_service_capability::rpc::Type as RpcType;
use workspacefs_csi_proto::csi::v1::controller_service_capability::{Rpc, Type};

use crate::op_guard::OpGuards;
use seams::{Agents, FileSystems, Volumes};
pub(crate) use status::request_code;

/// The Controller service. Clones share their guards.
#[derive(Clone)]
pub struct Controller {
    file_systems: Arc<dyn FileSystems>,
    volumes: Arc<dyn Volumes>,
    agents: Arc<dyn Agents>,
    guards: OpGuards,
}

impl Controller {
    /// A service on these FileSystems, shares and agents.
    pub fn new(file_systems: impl FileSystems, volumes: impl Volumes, agents: impl Agents) -> Self {
        Self {
            file_systems: Arc::new(file_systems),
            volumes: Arc::new(volumes),
            agents: Arc::new(agents),
            guards: OpGuards::new(),
        }
    }
}

#[tonic::async_trait]
impl v1::controller_server::Controller for Controller {
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
        Ok(Response::new(capabilities([
            RpcType::CreateDeleteVolume,
            RpcType::GetCapacity,
            RpcType::ExpandVolume,
            RpcType::SingleNodeMultiWriter,
        ])))
    }
}

/// The answer that says what a Controller service can do.
pub(crate) fn capabilities<const N: usize>(rpcs: [RpcType; N]) -> v1::ControllerGetCapabilitiesResponse {
    let capability = |rpc: RpcType| v1::ControllerServiceCapability {
        r#type: Some(Type::Rpc(Rpc { r#type: rpc.into() })),
    };
    v1::ControllerGetCapabilitiesResponse { capabilities: rpcs.map(capability).to_vec() }
}
