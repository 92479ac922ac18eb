//! DeleteVolume: asks for the deletion of the LocalVolume and waits until its node has moved the files into the disk's trash;
//! then the object goes. Ids are hostile input: what is not strictly an id of ours names nothing, and nobody is asked about it.

use tokio::time::Instant;
use workspacefs_api::LocalVolume;
use workspacefs_api::local_attributes::LocalVolumeId;
use workspacefs_csi_proto::csi::v1::{DeleteVolumeRequest, DeleteVolumeResponse};

use super::LocalController;
use super::progress::{Refusal, Removal, is_marked};
use super::seams::ApiError;
use crate::op_guard::Busy;
use crate::rpc;

/// Why the volume was not deleted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DeleteVolumeError {
    #[error("volume id is missing")]
    NoId,
    #[error(
        "this is a workspace's share of a LocalStorage: the operator makes and removes it, and its files stay on the disks"
    )]
    Share,
    #[error(transparent)]
    Busy(Busy),
    #[error(transparent)]
    Api(ApiError),
    #[error("node {node:?} cannot move the files away yet: {}", .refusal.message)]
    Refused { node: String, refusal: Refusal },
    #[error(
        "node {0:?} has not moved the files away yet. If it is gone for good, delete its Node: then its volumes are let go"
    )]
    Late(String),
}

use DeleteVolumeError as E;

impl LocalController {
    pub(super) async fn delete(
        &self,
        request: DeleteVolumeRequest,
    ) -> Result<DeleteVolumeResponse, DeleteVolumeError> {
        let deadline = Instant::now() + self.patience;
        let id = request.volume_id;
        if id.is_empty() {
            return Err(E::NoId);
        }
        let (storage, name) = match LocalVolumeId::parse(&id) {
            Ok(LocalVolumeId::Volume { storage, volume }) => (storage, volume),
            Ok(LocalVolumeId::Share { .. }) => return Err(E::Share),
            Err(_) => {
                tracing::info!("not an id of ours: nothing to delete");
                return Ok(DeleteVolumeResponse {});
            }
        };
        rpc::note(&id, None);
        let _guard = self.guards.try_acquire(&id).map_err(E::Busy)?;
        let found = self.volumes.get(&name).await.map_err(E::Api)?;
        match found {
            // Of another LocalStorage it is another volume.
            Some(volume) if volume.spec.storage_uid == storage => self.remove(&volume, deadline).await?,
            Some(_) | None => tracing::info!("there is no such volume: nothing to delete"),
        }
        Ok(DeleteVolumeResponse {})
    }

    async fn remove(&self, volume: &LocalVolume, deadline: Instant) -> Result<(), DeleteVolumeError> {
        // One that somebody else has deleted lacks the mark: its files are to go only now.
        if volume.metadata.deletion_timestamp.is_none() || !is_marked(&volume.metadata) {
            self.volumes.delete(volume).await.map_err(E::Api)?;
        }
        let node = || volume.spec.node.clone();
        match self.gone(volume, deadline).await.map_err(E::Api)? {
            Removal::Done | Removal::Gone => Ok(()),
            Removal::Refused(refusal) => Err(E::Refused { node: node(), refusal }),
            Removal::Working => Err(E::Late(node())),
        }
    }
}
