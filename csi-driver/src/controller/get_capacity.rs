//! GetCapacity: how large a further volume of a FileSystem can be. On a managed one that is what is left of it. On an `nfs`
//! share nothing bounds a volume but the share itself: what can be written to it now. Without parameters no volume can be
//! made, so there is room for none.

use workspacefs_csi_proto::csi::v1::{GetCapacityRequest, GetCapacityResponse};

use super::Controller;
use super::agent::AgentError;
use super::parameters::{Parameters, ParametersError};
use super::seams::{Home, HomeError, Keeper, LookupError};
use crate::capability::Capability;
use crate::share::ShareError;

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GetCapacityError {
    #[error(transparent)]
    Parameters(ParametersError),
    #[error(transparent)]
    Lookup(LookupError),
    #[error("the parameters name FileSystem {name:?} in namespace {namespace:?}, and there is none")]
    NoFileSystem { namespace: String, name: String },
    #[error(transparent)]
    Home(HomeError),
    #[error("cannot ask for what is left")]
    Agent(#[source] AgentError),
    #[error("the embedded NFS server does not know FileSystem {0}")]
    Unknown(String),
    #[error("cannot ask for what is left")]
    Share(#[source] ShareError),
}

impl Controller {
    pub(super) async fn capacity(
        &self,
        request: GetCapacityRequest,
    ) -> Result<GetCapacityResponse, GetCapacityError> {
        let nothing = GetCapacityResponse::default();
        // What CreateVolume would refuse has no room anywhere; nor has a topology, since none is advertised.
        let impossible = request.volume_capabilities.iter().any(|asked| Capability::parse(asked).is_err());
        if request.parameters.is_empty() || impossible || request.accessible_topology.is_some() {
            return Ok(nothing);
        }
        let parameters = Parameters::parse(&request.parameters).map_err(GetCapacityError::Parameters)?;
        let Parameters { namespace, file_system: name, .. } = parameters;
        let found = self.file_systems.by_name(&namespace, &name).await.map_err(GetCapacityError::Lookup)?;
        let fs = found.ok_or(GetCapacityError::NoFileSystem { namespace, name })?;
        if fs.metadata.deletion_timestamp.is_some() {
            return Ok(nothing);
        }
        let home = Home::of(&fs).map_err(GetCapacityError::Home)?;
        match home.keeper {
            Keeper::Share => {
                let bytes = self.volumes.bytes_available(&home).await.map_err(GetCapacityError::Share)?;
                // No largest volume: any size is accepted, and none enforced.
                Ok(GetCapacityResponse { available_capacity: number(bytes), ..nothing })
            }
            Keeper::Agent => {
                let left = number(self.left(&home).await?);
                Ok(GetCapacityResponse {
                    available_capacity: left,
                    maximum_volume_size: Some(left),
                    ..nothing
                })
            }
        }
    }

    async fn left(&self, home: &Home) -> Result<u64, GetCapacityError> {
        let all = self.agents.list_file_systems(home.server()).await.map_err(GetCapacityError::Agent)?;
        let uid = &home.attributes.file_system_uid;
        let there = all.into_iter().find(|there| there.uid == *uid);
        let there = there.ok_or_else(|| GetCapacityError::Unknown(home.attributes.file_system.clone()))?;
        Ok(there.bytes_left)
    }
}

fn number(bytes: u64) -> i64 {
    bytes.try_into().unwrap_or(i64::MAX)
}
