//! GetCapacity: how large a volume of a LocalStorage can be made, on a node or on all. The nodes have said so in its status;
//! external-provisioner asks for each node every few seconds, so a watch answers, not the API server.

use workspacefs_csi_proto::csi::v1::{GetCapacityRequest, GetCapacityResponse};
use workspacefs_storage::sizes::BLOCK;

use super::LocalController;
use super::capability;
use super::parameters::{LocalParameters, LocalParametersError};
use super::place::{node_of, room};
use super::seams::ApiError;

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GetCapacityError {
    #[error(transparent)]
    Parameters(LocalParametersError),
    #[error(transparent)]
    Api(ApiError),
}

impl LocalController {
    pub(super) async fn capacity(
        &self,
        request: GetCapacityRequest,
    ) -> Result<GetCapacityResponse, GetCapacityError> {
        // What CreateVolume would refuse has no room anywhere. Without parameters no volume can be made.
        let impossible = request.volume_capabilities.iter().any(|asked| capability::check(asked).is_err());
        if request.parameters.is_empty() || impossible {
            return Ok(answer(&[]));
        }
        let parameters = LocalParameters::parse(&request.parameters).map_err(GetCapacityError::Parameters)?;
        let storage = self.storages.seen(&parameters.storage).await.map_err(GetCapacityError::Api)?;
        let storage = storage.filter(|storage| storage.metadata.deletion_timestamp.is_none());
        let Some(status) = storage.as_ref().and_then(|storage| storage.status.as_ref()) else {
            return Ok(answer(&[]));
        };
        let only = request.accessible_topology.as_ref().filter(|term| !term.segments.is_empty());
        let asked =
            status.nodes.iter().filter(|entry| only.is_none_or(|term| node_of(term) == Some(&entry.node)));
        Ok(answer(&asked.map(room).collect::<Vec<_>>()))
    }
}

/// For nodes with so much room each: a volume lies on one of them.
fn answer(rooms: &[i64]) -> GetCapacityResponse {
    GetCapacityResponse {
        available_capacity: rooms.iter().fold(0, |sum, room| sum.saturating_add(*room)),
        maximum_volume_size: Some(rooms.iter().copied().max().unwrap_or(0)),
        minimum_volume_size: Some(BLOCK as i64),
    }
}
