//! ValidateVolumeCapabilities: does this volume exist, and can it do all that is asked of it.

use workspacefs_api::LocalVolume;
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_csi_proto::csi::v1::{ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse};
use workspacefs_runtime::chain;

use super::LocalController;
use super::capability;
use super::parameters::LocalParameters;
use super::seams::ApiError;
use crate::controller::validate::verdict;
use crate::rpc;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ValidateError {
    #[error("volume id is missing")]
    NoId,
    #[error("volume capabilities are missing")]
    NoCapabilities,
    #[error("no such volume")]
    NoVolume,
    #[error(transparent)]
    Api(ApiError),
}

impl LocalController {
    pub(super) async fn validate(
        &self,
        request: ValidateVolumeCapabilitiesRequest,
    ) -> Result<ValidateVolumeCapabilitiesResponse, ValidateError> {
        if request.volume_id.is_empty() {
            return Err(ValidateError::NoId);
        }
        if request.volume_capabilities.is_empty() {
            return Err(ValidateError::NoCapabilities);
        }
        let (storage, name) = match LocalVolumeId::parse(&request.volume_id) {
            Ok(LocalVolumeId::Volume { storage, volume }) => (storage, volume),
            Ok(LocalVolumeId::Share { .. }) => {
                let message =
                    "a workspace's share of a LocalStorage is the operator's: nothing is confirmed of it";
                return Ok(verdict(Some(message.into()), request));
            }
            Err(_) => return Err(ValidateError::NoVolume),
        };
        rpc::note(&request.volume_id, None);
        let found = self.volumes.get(&name).await.map_err(ValidateError::Api)?;
        let is_it =
            |one: &LocalVolume| one.spec.storage_uid == storage && one.metadata.deletion_timestamp.is_none();
        let volume = found.filter(is_it).ok_or(ValidateError::NoVolume)?;
        Ok(verdict(objection(&volume, &request), request))
    }
}

/// What speaks against it; None if nothing does. Context and parameters need not be given, but must be this volume's if
/// they are.
fn objection(volume: &LocalVolume, request: &ValidateVolumeCapabilitiesRequest) -> Option<String> {
    if let Some(error) = request.volume_capabilities.iter().find_map(|asked| capability::check(asked).err()) {
        return Some(chain(&error));
    }
    if !request.mutable_parameters.is_empty() {
        return Some("mutable parameters are not supported".into());
    }
    let spec = &volume.spec;
    if !request.parameters.is_empty() {
        match LocalParameters::parse(&request.parameters) {
            Err(error) => return Some(chain(&error)),
            Ok(named) if named.storage != spec.storage => {
                return Some(format!("the volume belongs to LocalStorage {}", spec.storage));
            }
            Ok(_) => {}
        }
    }
    if !request.volume_context.is_empty() {
        match LocalVolumeAttributes::from_map(&request.volume_context) {
            Err(error) => return Some(chain(&error)),
            // The node group is for messages; it is the LocalStorage's.
            Ok(given)
                if given.storage != spec.storage
                    || given.namespace != spec.namespace
                    || given.node.as_ref() != Some(&spec.node) =>
            {
                return Some("the volume context is not this volume's".into());
            }
            Ok(_) => {}
        }
    }
    None
}
