//! ValidateVolumeCapabilities: does this volume exist, and can it do all that is asked of it.

use tonic::Code;
use workspacefs_agent_proto::v1;
use workspacefs_api::volume::{VolumeAttributes, VolumeId};
use workspacefs_csi_proto::csi::v1::validate_volume_capabilities_response::Confirmed;
use workspacefs_csi_proto::csi::v1::{ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse};
use workspacefs_runtime::chain;

use super::Controller;
use super::agent::AgentError;
use super::parameters::Parameters;
use super::seams::{Home, HomeError, Keeper, LookupError};
use crate::capability::Capability;
use crate::rpc;
use crate::share::ShareError;

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
    Lookup(LookupError),
    #[error(transparent)]
    Home(HomeError),
    #[error("cannot look for the volume")]
    Share(#[source] ShareError),
    #[error("cannot look for the volume")]
    Agent(#[source] AgentError),
}

impl Controller {
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
        let id = VolumeId::parse(&request.volume_id).map_err(|_| ValidateError::NoVolume)?;
        rpc::note(&request.volume_id, None);
        let found = self.file_systems.by_uid(id.file_system_uid()).await.map_err(ValidateError::Lookup)?;
        let home = Home::of(&found.ok_or(ValidateError::NoVolume)?).map_err(ValidateError::Home)?;
        let attributes = match &id {
            VolumeId::FileSystem { .. } => home.attributes.clone(),
            VolumeId::Volume { folder, .. } => {
                self.must_exist(&home, folder).await?;
                home.volume(folder).map_err(ValidateError::Home)?
            }
        };
        Ok(verdict(objection(&attributes, &request), request))
    }

    async fn must_exist(&self, home: &Home, folder: &str) -> Result<(), ValidateError> {
        match home.keeper {
            Keeper::Share => {
                let record = self.volumes.record(home, folder).await.map_err(ValidateError::Share)?;
                record.map(drop).ok_or(ValidateError::NoVolume)
            }
            Keeper::Agent => {
                let file_system_uid = home.attributes.file_system_uid.clone();
                let request = v1::GetClaimRequest { file_system_uid, name: folder.into() };
                match self.agents.get_claim(home.server(), request).await {
                    Ok(_) => Ok(()),
                    Err(AgentError::Refused { code: Code::NotFound, .. }) => Err(ValidateError::NoVolume),
                    Err(error) => Err(ValidateError::Agent(error)),
                }
            }
        }
    }
}

/// The answer of either driver: what speaks against it, or everything that was asked, confirmed.
pub fn verdict(
    objection: Option<String>,
    request: ValidateVolumeCapabilitiesRequest,
) -> ValidateVolumeCapabilitiesResponse {
    match objection {
        Some(message) => ValidateVolumeCapabilitiesResponse { confirmed: None, message },
        None => ValidateVolumeCapabilitiesResponse {
            confirmed: Some(Confirmed {
                volume_context: request.volume_context,
                volume_capabilities: request.volume_capabilities,
                parameters: request.parameters,
                mutable_parameters: Default::default(),
            }),
            message: String::new(),
        },
    }
}

/// What speaks against it; None if nothing does. Context and parameters need not be given, but must be this volume's if
/// they are.
fn objection(volume: &VolumeAttributes, request: &ValidateVolumeCapabilitiesRequest) -> Option<String> {
    if let Some(error) = request.volume_capabilities.iter().find_map(|asked| Capability::parse(asked).err()) {
        return Some(chain(&error));
    }
    if !request.mutable_parameters.is_empty() {
        return Some("mutable parameters are not supported".into());
    }
    if !request.parameters.is_empty() {
        match Parameters::parse(&request.parameters) {
            Err(error) => return Some(chain(&error)),
            Ok(named) if format!("{}/{}", named.namespace, named.file_system) != volume.file_system => {
                return Some(format!("the volume belongs to FileSystem {}", volume.file_system));
            }
            Ok(_) => {}
        }
    }
    if !request.volume_context.is_empty() {
        match VolumeAttributes::from_map(&request.volume_context) {
            Err(error) => return Some(chain(&error)),
            Ok(given) if given != *volume => {
                return Some("the volume context is not this volume's".into());
            }
            Ok(_) => {}
        }
    }
    None
}
