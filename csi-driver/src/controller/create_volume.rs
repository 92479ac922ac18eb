//! CreateVolume: a fresh folder beside a FileSystem's own. On a managed FileSystem its size is enforced, taken from what is
//! left, and said. On an `nfs` share nothing enforces a size, so none is claimed: `capacity_bytes` is 0.

use workspacefs_agent_proto::v1;
use workspacefs_api::volume::VolumeId;
use workspacefs_csi_proto::csi::v1::{CreateVolumeRequest, CreateVolumeResponse, Volume};

use super::Controller;
use super::agent::AgentError;
use super::parameters::{Parameters, ParametersError};
use super::record::{folder_name, satisfies};
use super::request::{self, RequestError};
use super::seams::{Home, HomeError, Keeper, LookupError};
use crate::capability::{Capability, CapabilityError};
use crate::op_guard::Busy;
use crate::rpc;
use crate::share::{PosixOwner, ShareError, VolumeRecord};

/// Why no volume was made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CreateVolumeError {
    #[error(transparent)]
    Request(RequestError),
    #[error(transparent)]
    Capability(CapabilityError),
    #[error(transparent)]
    Parameters(ParametersError),
    #[error(transparent)]
    Lookup(LookupError),
    #[error("the StorageClass names FileSystem {name:?} in namespace {namespace:?}, and there is none")]
    NoFileSystem { namespace: String, name: String },
    #[error("FileSystem {0} is being deleted")]
    Deleting(String),
    #[error(transparent)]
    Home(HomeError),
    #[error(transparent)]
    Busy(Busy),
    #[error("volume {0:?} exists and was made for another size")]
    Incompatible(String),
    #[error("cannot make the volume's folder")]
    Share(#[source] ShareError),
    #[error("cannot make the volume")]
    Agent(#[source] AgentError),
}

/// A request whose fields make sense by themselves.
struct Wish {
    name: String,
    record: VolumeRecord,
    parameters: Parameters,
}

impl Controller {
    pub(super) async fn create(
        &self,
        request: CreateVolumeRequest,
    ) -> Result<CreateVolumeResponse, CreateVolumeError> {
        let wish = read(&request)?;
        let home = self.find_home(&wish.parameters).await?;
        let uid = home.attributes.file_system_uid.clone();
        let folder = folder_name(&wish.name);
        let id = VolumeId::Volume { uid, folder: folder.clone() }.to_string();
        rpc::note(&id, None);
        let attributes = home.volume(&folder).map_err(CreateVolumeError::Home)?;

        let _guard = self.guards.try_acquire(&id).map_err(CreateVolumeError::Busy)?;
        let (made, capacity_bytes) = match home.keeper {
            Keeper::Share => {
                let made = self.volumes.create(&home, &folder, &wish.record).await;
                (made.map_err(CreateVolumeError::Share)?, 0)
            }
            Keeper::Agent => {
                let size = self.ensure_claim(&home, folder, &wish.record).await?;
                (VolumeRecord { required_bytes: size, limit_bytes: size }, size)
            }
        };
        if !satisfies(&made, &wish.record) {
            return Err(CreateVolumeError::Incompatible(wish.name));
        }
        let volume = Volume {
            volume_id: id,
            capacity_bytes,
            volume_context: attributes.to_map().into_iter().collect(),
            content_source: None,
            // Reached from everywhere. The operator gives the PersistentVolume its node affinity once it is there; the node
            // group is in the context too, and checked at publish.
            accessible_topology: Vec::new(),
        };
        Ok(CreateVolumeResponse { volume: Some(volume) })
    }

    /// The size of the claim that there is now.
    async fn ensure_claim(
        &self,
        home: &Home,
        name: String,
        wish: &VolumeRecord,
    ) -> Result<i64, CreateVolumeError> {
        let owner = PosixOwner::from(&home.attributes.owner);
        let request = v1::EnsureClaimRequest {
            file_system_uid: home.attributes.file_system_uid.clone(),
            name,
            required_bytes: wish.required_bytes.unsigned_abs(),
            limit_bytes: wish.limit_bytes.unsigned_abs(),
            owner: Some(v1::Owner { uid: owner.uid, gid: owner.gid, mode: owner.mode }),
        };
        let claim = self.agents.ensure_claim(home.server(), request).await;
        let claim = claim.map_err(CreateVolumeError::Agent)?;
        Ok(claim.size_bytes.try_into().unwrap_or(i64::MAX))
    }

    async fn find_home(&self, parameters: &Parameters) -> Result<Home, CreateVolumeError> {
        let Parameters { namespace, file_system: name, .. } = parameters;
        let found = self.file_systems.by_name(namespace, name).await.map_err(CreateVolumeError::Lookup)?;
        let Some(fs) = found else {
            return Err(CreateVolumeError::NoFileSystem { namespace: namespace.clone(), name: name.clone() });
        };
        if fs.metadata.deletion_timestamp.is_some() {
            return Err(CreateVolumeError::Deleting(format!("{namespace}/{name}")));
        }
        Home::of(&fs).map_err(CreateVolumeError::Home)
    }
}

fn read(request: &CreateVolumeRequest) -> Result<Wish, CreateVolumeError> {
    let record = request::sizes(request).map_err(CreateVolumeError::Request)?;
    for asked in &request.volume_capabilities {
        Capability::parse(asked).map_err(CreateVolumeError::Capability)?;
    }
    let parameters = Parameters::parse(&request.parameters).map_err(CreateVolumeError::Parameters)?;
    parameters.permit().map_err(CreateVolumeError::Parameters)?;
    Ok(Wish { name: request.name.clone(), record, parameters })
}
