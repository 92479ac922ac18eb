//! ValidateVolumeCapabilities: does this volume exist, and can it do all that is asked of it.

use workspacefs_api::volume::{Folder, VolumeAttributes, VolumeId};
use workspacefs_csi_proto::csi::v1::validate_volume_capabilities_response::Confirmed;
use workspacefs_csi_proto::csi::v1::{ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse};

use super::Controller;
use super::parameters::Parameters;
use super::seams::{Home, HomeError, LookupError};
use crate::capability::Capability;
use crate::rpc;
use crate::share::ShareError;
use crate::status::chain;

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
        if let VolumeId::Volume { folder, .. } = &id {
            let record = self.volumes.record(&home, folder).await.map_err(ValidateError::Share)?;
            record.ok_or(ValidateError::NoVolume)?;
        }
        Ok(verdict(id, home, request))
    }
}

fn verdict(
    id: VolumeId,
    home: Home,
    request: ValidateVolumeCapabilitiesRequest,
) -> ValidateVolumeCapabilitiesResponse {
    match objection(id, home, &request) {
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
fn objection(id: VolumeId, home: Home, request: &ValidateVolumeCapabilitiesRequest) -> Option<String> {
    if let Some(error) = request.volume_capabilities.iter().find_map(|asked| Capability::parse(asked).err()) {
        return Some(chain(&error));
    }
    if !request.mutable_parameters.is_empty() {
        return Some("mutable parameters are not supported".into());
    }
    if !request.parameters.is_empty() {
        match Parameters::parse(&request.parameters) {
            Err(error) => return Some(chain(&error)),
            Ok(named)
                if format!("{}/{}", named.namespace, named.file_system) != home.attributes.file_system =>
            {
                return Some(format!("the volume belongs to FileSystem {}", home.attributes.file_system));
            }
            Ok(_) => {}
        }
    }
    let attributes = match id {
        VolumeId::FileSystem { .. } => home.attributes,
        VolumeId::Volume { folder, .. } => {
            VolumeAttributes { folder: Folder::Volume(folder), ..home.attributes }
        }
    };
    if !request.volume_context.is_empty() {
        match VolumeAttributes::from_map(&request.volume_context) {
            Err(error) => return Some(chain(&error)),
            Ok(given) if given != attributes => {
                return Some("the volume context is not this volume's".into());
            }
            Ok(_) => {}
        }
    }
    None
}
