//! DeleteVolume: the volume's folder goes into the trash where the FileSystem's reclaimPolicy is Delete, and else into the
//! archive, by one rename. Ids are hostile input: what is not strictly an id of ours names nothing, and nothing is touched.

use k8s_openapi::jiff::Timestamp;
use tonic::Code;
use workspacefs_agent_proto::v1::{self, Disposal};
use workspacefs_api::ReclaimPolicy;
use workspacefs_api::volume::VolumeId;
use workspacefs_csi_proto::csi::v1::{DeleteVolumeRequest, DeleteVolumeResponse};

use super::Controller;
use super::agent::AgentError;
use super::seams::{Home, HomeError, Keeper, LookupError};
use crate::op_guard::Busy;
use crate::rpc;
use crate::share::{Leaving, ShareError};

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
        "the FileSystem with uid {uid} is gone, and with it the address of its server: the volume's files are still there, \
         in .workspacefs/volumes/{uid}/{folder} of its export, or in claims/{uid}/{folder} of the embedded server"
    )]
    FileSystemGone { uid: String, folder: String },
    #[error(transparent)]
    Home(HomeError),
    #[error("cannot move the volume's folder away")]
    Share(#[source] ShareError),
    #[error("cannot delete the volume")]
    Agent(#[source] AgentError),
}

/// What a volume's id means to DeleteVolume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Doomed {
    /// Nothing of ours: there is nothing to delete.
    Nothing,
    /// A FileSystem's own volume: not deleted this way.
    FileSystemItself,
    /// The folder that CreateVolume made for that FileSystem.
    Folder {
        /// The FileSystem's uid.
        uid: String,
        /// The folder's name.
        folder: String,
    },
}

impl Doomed {
    /// Decides by the id alone, before anybody is asked.
    pub fn by(id: &str) -> Self {
        match VolumeId::parse(id) {
            Ok(VolumeId::Volume { uid, folder }) => Self::Folder { uid, folder },
            Ok(VolumeId::FileSystem { .. }) => Self::FileSystemItself,
            Err(_) => Self::Nothing,
        }
    }
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
        let (uid, folder) = match Doomed::by(&id) {
            Doomed::Folder { uid, folder } => (uid, folder),
            Doomed::FileSystemItself => return Err(DeleteVolumeError::FileSystemItself),
            Doomed::Nothing => {
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
        match home.keeper {
            Keeper::Share => {
                let leaving = leaving(&home, &folder, Timestamp::now());
                self.volumes.remove(&home, &folder, leaving).await.map_err(DeleteVolumeError::Share)?;
            }
            Keeper::Agent => self.remove_claim(&home, uid, folder).await?,
        }
        Ok(DeleteVolumeResponse {})
    }

    async fn remove_claim(&self, home: &Home, uid: String, name: String) -> Result<(), DeleteVolumeError> {
        let disposal = match home.reclaim {
            ReclaimPolicy::Delete => Disposal::Trash,
            ReclaimPolicy::Archive | ReclaimPolicy::Retain => Disposal::Archive,
        };
        let request = v1::RemoveClaimRequest { file_system_uid: uid, name, disposal: disposal.into() };
        match self.agents.remove_claim(home.server(), request).await {
            Ok(_) => Ok(()),
            // What the agent does not know is not there.
            Err(AgentError::Refused { code: Code::NotFound, .. }) => Ok(()),
            Err(error) => Err(DeleteVolumeError::Agent(error)),
        }
    }
}

/// Where a volume's folder goes on its share. A FileSystem with Retain has classes that retain too: a volume is deleted there
/// only by an administrator's class, or since before the policy changed. Its files stay all the same.
fn leaving(home: &Home, folder: &str, now: Timestamp) -> Leaving {
    match home.reclaim {
        ReclaimPolicy::Archive | ReclaimPolicy::Retain => {
            Leaving::Archive(format!("{}.{folder}.{}", home.readable_name(), stamp(now)))
        }
        ReclaimPolicy::Delete => Leaving::Trash(folder.into()),
    }
}

/// `20260801T120000Z`.
pub(super) fn stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use workspacefs_api::volume::{Folder, MAX_FOLDER_BYTES, VolumeAttributes};

    use super::*;

    fn home(reclaim: ReclaimPolicy, name: &str) -> Home {
        let attributes = VolumeAttributes {
            file_system: name.into(),
            file_system_uid: "0f8fad5b-d9cb-469f-a165-70867728950e".into(),
            server: "nfs".into(),
            export: "/e".into(),
            folder: Folder::Own(Default::default()),
            version: None,
            port: None,
            owner: Default::default(),
            node_group: None,
        };
        Home { attributes, mount_options: Vec::new(), keeper: Keeper::Share, reclaim }
    }

    #[test]
    fn the_archive_has_names_that_people_can_read_and_that_fit() {
        let archived = |name: &str, folder: &str| match leaving(
            &home(ReclaimPolicy::Archive, name),
            folder,
            Timestamp::UNIX_EPOCH,
        ) {
            Leaving::Archive(name) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(archived("team-a/data", "pvc-1"), "team-a.data.pvc-1.19700101T000000Z");
        let longest =
            archived(&format!("{}/{}", "n".repeat(63), "f".repeat(63)), &"v".repeat(MAX_FOLDER_BYTES));
        assert!(longest.len() <= 255, "{}", longest.len());
        let to = |policy| leaving(&home(policy, "team-a/data"), "pvc-1", Timestamp::UNIX_EPOCH);
        assert_eq!(to(ReclaimPolicy::Delete), Leaving::Trash("pvc-1".into()));
        assert_eq!(to(ReclaimPolicy::Retain), to(ReclaimPolicy::Archive));
    }
}
