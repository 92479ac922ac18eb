//! ControllerExpandVolume: only where a size is enforced. A claim on a managed FileSystem grows. A managed FileSystem's own
//! volume is as large as its `spec.backend.managed.capacity`, which its administrator sets: growing its claim up to that is
//! told as done once the server enforces it. On an `nfs` share there is nothing to grow.

use workspacefs_agent_proto::v1;
use workspacefs_api::volume::VolumeId;
use workspacefs_api::{FileSystem, quantity};
use workspacefs_csi_proto::csi::v1::{ControllerExpandVolumeRequest, ControllerExpandVolumeResponse};

use super::Controller;
use super::agent::AgentError;
use super::record::{RangeError, record};
use super::seams::{Home, HomeError, Keeper, LookupError};
use crate::capability::{Capability, CapabilityError};
use crate::op_guard::Busy;
use crate::rpc;
use crate::share::VolumeRecord;

/// Why the volume did not grow.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExpandVolumeError {
    #[error("volume id is missing")]
    NoId,
    #[error("capacity range is missing")]
    NoRange,
    #[error(transparent)]
    Range(RangeError),
    #[error(transparent)]
    Capability(CapabilityError),
    #[error("no such volume")]
    NoVolume,
    #[error(transparent)]
    Busy(Busy),
    #[error(transparent)]
    Lookup(LookupError),
    #[error(transparent)]
    Home(HomeError),
    #[error(
        "the volume is a folder of an NFS share, and nothing enforces a size there, so there is nothing to grow: \
         the space is the share's"
    )]
    NothingEnforced,
    #[error(
        "{asked} bytes were asked for, and FileSystem {name} has spec.backend.managed.capacity {capacity} bytes: \
         an administrator must raise that first"
    )]
    AboveCapacity { name: String, asked: i64, capacity: u64 },
    #[error(
        "{asked} bytes were asked for, and the server enforces {enforced} bytes: see the FileSystem's conditions"
    )]
    NotEnforcedYet { asked: i64, enforced: u64 },
    #[error("the volume has {size} bytes, more than the limit of {limit} bytes, and never shrinks")]
    AboveLimit { size: u64, limit: i64 },
    #[error("cannot grow the volume")]
    Agent(#[source] AgentError),
}

impl Controller {
    pub(super) async fn expand(
        &self,
        request: ControllerExpandVolumeRequest,
    ) -> Result<ControllerExpandVolumeResponse, ExpandVolumeError> {
        if request.volume_id.is_empty() {
            return Err(ExpandVolumeError::NoId);
        }
        let range = request.capacity_range.as_ref().ok_or(ExpandVolumeError::NoRange)?;
        let wish = record(Some(range)).map_err(ExpandVolumeError::Range)?;
        if wish == VolumeRecord::default() {
            return Err(ExpandVolumeError::NoRange);
        }
        if let Some(asked) = &request.volume_capability {
            Capability::parse(asked).map_err(ExpandVolumeError::Capability)?;
        }
        let id = VolumeId::parse(&request.volume_id).map_err(|_| ExpandVolumeError::NoVolume)?;
        rpc::note(&request.volume_id, None);
        let _guard = self.guards.try_acquire(&request.volume_id).map_err(ExpandVolumeError::Busy)?;
        let found =
            self.file_systems.by_uid(id.file_system_uid()).await.map_err(ExpandVolumeError::Lookup)?;
        let fs = found.ok_or(ExpandVolumeError::NoVolume)?;
        let home = Home::of(&fs).map_err(ExpandVolumeError::Home)?;
        let size = match (home.keeper, id) {
            (Keeper::Share, _) => return Err(ExpandVolumeError::NothingEnforced),
            (Keeper::Agent, VolumeId::Volume { uid, folder }) => {
                self.grow_claim(&home, uid, folder, &wish).await?
            }
            (Keeper::Agent, VolumeId::FileSystem { uid }) => {
                self.confirm_capacity(&fs, &home, &uid, &wish).await?
            }
        };
        Ok(ControllerExpandVolumeResponse {
            capacity_bytes: size.try_into().unwrap_or(i64::MAX),
            // A quota on the server is the whole size.
            node_expansion_required: false,
        })
    }

    async fn grow_claim(
        &self,
        home: &Home,
        file_system_uid: String,
        name: String,
        wish: &VolumeRecord,
    ) -> Result<u64, ExpandVolumeError> {
        let request = v1::GrowClaimRequest {
            file_system_uid,
            name,
            required_bytes: wish.required_bytes.unsigned_abs(),
            limit_bytes: wish.limit_bytes.unsigned_abs(),
        };
        let claim = self.agents.grow_claim(home.server(), request).await;
        let size = claim.map_err(ExpandVolumeError::Agent)?.size_bytes;
        // The agent promises as much. A size that is not what was asked for must never be told as a success.
        match size < wish.required_bytes.unsigned_abs() {
            true => Err(ExpandVolumeError::NotEnforcedYet { asked: wish.required_bytes, enforced: size }),
            false => within_limit(size, wish),
        }
    }

    /// What of a FileSystem's own size may be told as there.
    async fn confirm_capacity(
        &self,
        fs: &FileSystem,
        home: &Home,
        uid: &str,
        wish: &VolumeRecord,
    ) -> Result<u64, ExpandVolumeError> {
        let asked = wish.required_bytes;
        let managed = fs.spec.backend.managed.as_ref();
        let capacity = managed.and_then(|managed| quantity::bytes(&managed.capacity.0)).unwrap_or(0);
        if asked.unsigned_abs() > capacity {
            let name = home.attributes.file_system.clone();
            return Err(ExpandVolumeError::AboveCapacity { name, asked, capacity });
        }
        // Asked of the server itself: a status can be older than a change.
        let all = self.agents.list_file_systems(home.server()).await.map_err(ExpandVolumeError::Agent)?;
        let there = all.into_iter().find(|there| there.uid == uid).ok_or(ExpandVolumeError::NoVolume)?;
        let enforced = there.capacity_bytes;
        if asked.unsigned_abs() > enforced {
            return Err(ExpandVolumeError::NotEnforcedYet { asked, enforced });
        }
        // What was asked for, where something was: the claim's own size is what its author wished.
        match asked {
            0 => within_limit(enforced, wish),
            asked => Ok(asked.unsigned_abs()),
        }
    }
}

fn within_limit(size: u64, wish: &VolumeRecord) -> Result<u64, ExpandVolumeError> {
    match wish.limit_bytes {
        limit if limit != 0 && size > limit.unsigned_abs() => {
            Err(ExpandVolumeError::AboveLimit { size, limit })
        }
        _ => Ok(size),
    }
}
