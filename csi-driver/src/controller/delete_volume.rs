//! DeleteVolume: the volume's folder goes into the share's trash, by one rename. Ids are hostile input: what is not
//! strictly an id of ours names nothing, and nothing is touched.

use workspacefs_api::volume::VolumeId;
use workspacefs_csi_proto::csi::v1::{DeleteVolumeRequest, DeleteVolumeResponse};

use super::Controller;
use super::seams::{Home, HomeError, LookupError};
use crate::op_guard::Busy;
use crate::rpc;
use crate::share::ShareError;

/// Why the volume was not deleted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DeleteVolumeError {
    #[error("volume id is missing")]
    NoId,
    #[error("this is a FileSystem's own volume: its files go only with the FileSystem")]
    FileSystemItself,
    #[error(transparent)]
    Busy(Busy),
    #[error(transparent)]
    Lookup(LookupError),
    /// Saying OK would leave files behind that nobody knows of.
    #[error(
        "the FileSystem with uid {uid} is gone, and with it the address of its share: \
         the volume's files are still there, in .workspacefs/volumes/{uid}/{folder} of the export"
    )]
    FileSystemGone { uid: String, folder: String },
    #[error(transparent)]
    Home(HomeError),
    #[error("cannot move the volume's folder into the trash")]
    Share(#[source] ShareError),
}

impl Controller {
    pub(super) async fn delete(
        &self,
        request: DeleteVolumeRequest,
    ) -> Result<DeleteVolumeResponse, DeleteVolumeError> {
        let id = request.volume_id;
        if id.is_empty() {
            return Err(DeleteVolumeError::NoId);
        }
        let (uid, folder) = match VolumeId::parse(&id) {
            Ok(VolumeId::Volume { uid, folder }) => (uid, folder),
            Ok(VolumeId::FileSystem { .. }) => return Err(DeleteVolumeError::FileSystemItself),
            Err(_) => {
                tracing::info!("not an id of ours: nothing to delete");
                return Ok(DeleteVolumeResponse {});
            }
        };
        rpc::note(&id, None);
        let _guard = self.guards.try_acquire(&id).map_err(DeleteVolumeError::Busy)?;
        let Some(fs) = self.file_systems.by_uid(&uid).await.map_err(DeleteVolumeError::Lookup)? else {
            return Err(DeleteVolumeError::FileSystemGone { uid, folder });
        };
        let home = Home::of(&fs).map_err(DeleteVolumeError::Home)?;
        self.volumes.trash(&home, &folder).await.map_err(DeleteVolumeError::Share)?;
        Ok(DeleteVolumeResponse {})
    }
}
