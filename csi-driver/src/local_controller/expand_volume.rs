//! ControllerExpandVolume: the LocalVolume asks for more, and its node raises the limit. What cannot be had is not asked for any
//! longer: the object's size is put back to what there is.

use tokio::time::Instant;
use workspacefs_api::local_attributes::LocalVolumeId;
use workspacefs_api::{LocalVolume, LocalVolumeReason};
use workspacefs_csi_proto::csi::v1::{ControllerExpandVolumeRequest, ControllerExpandVolumeResponse};

use super::LocalController;
use super::capability::{self, LocalCapabilityError};
use super::progress::{Progress, Refusal, growth, progress};
use super::seams::{ApiError, Waited};
use super::size::{self, RangeError};
use crate::controller::record::{RangeError as Contradiction, record};
use crate::op_guard::Busy;
use crate::rpc;
use crate::share::VolumeRecord;

/// How often the object may have changed between reading and writing it.
const ATTEMPTS: usize = 4;

/// Why the volume did not grow.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExpandVolumeError {
    #[error("volume id is missing")]
    NoId,
    #[error("capacity range is missing")]
    NoRange,
    #[error(transparent)]
    Contradiction(Contradiction),
    #[error(transparent)]
    Range(RangeError),
    #[error(transparent)]
    Capability(LocalCapabilityError),
    #[error(
        "this is a workspace's share of a LocalStorage: how much it may hold is the LocalStorage's spec.perWorkspaceQuota, which \
         an administrator sets"
    )]
    Share,
    #[error("no such volume")]
    NoVolume,
    #[error("the volume is being deleted")]
    Leaving,
    #[error("the volume is not made yet")]
    NotMade,
    #[error("the volume is not on the disk that is in node {0:?} now")]
    Lost(String),
    #[error(transparent)]
    Busy(Busy),
    #[error(transparent)]
    Api(ApiError),
    #[error("node {node:?} cannot give the volume {asked} bytes: {}", .refusal.message)]
    Refused { node: String, asked: i64, refusal: Refusal },
    #[error("node {0:?} has not answered yet")]
    Late(String),
}

use ExpandVolumeError as E;

/// What one attempt came to.
enum Step {
    Done(i64),
    /// The object was changed by somebody else in between.
    Again,
}

impl LocalController {
    pub(super) async fn expand(
        &self,
        request: ControllerExpandVolumeRequest,
    ) -> Result<ControllerExpandVolumeResponse, ExpandVolumeError> {
        let deadline = Instant::now() + self.patience;
        if request.volume_id.is_empty() {
            return Err(E::NoId);
        }
        let range = request.capacity_range.as_ref().ok_or(E::NoRange)?;
        let asked = record(Some(range)).map_err(E::Contradiction)?;
        if asked == VolumeRecord::default() {
            return Err(E::NoRange);
        }
        if let Some(one) = &request.volume_capability {
            capability::check(one).map_err(E::Capability)?;
        }
        let (storage, name) = match LocalVolumeId::parse(&request.volume_id) {
            Ok(LocalVolumeId::Volume { storage, volume }) => (storage, volume),
            Ok(LocalVolumeId::Share { .. }) => return Err(E::Share),
            Err(_) => return Err(E::NoVolume),
        };
        rpc::note(&request.volume_id, None);
        let _guard = self.guards.try_acquire(&request.volume_id).map_err(E::Busy)?;
        for _ in 0..ATTEMPTS {
            let found = self.volumes.get(&name).await.map_err(E::Api)?;
            let volume = found.filter(|volume| volume.spec.storage_uid == storage).ok_or(E::NoVolume)?;
            if let Step::Done(size) = self.grow(&name, volume, &asked, deadline).await? {
                // A limit on the disk is the whole size.
                return Ok(ControllerExpandVolumeResponse {
                    capacity_bytes: size,
                    node_expansion_required: false,
                });
            }
        }
        Err(E::Api(ApiError::Overtaken))
    }

    async fn grow(
        &self,
        name: &str,
        volume: LocalVolume,
        asked: &VolumeRecord,
        deadline: Instant,
    ) -> Result<Step, ExpandVolumeError> {
        let node = volume.spec.node.clone();
        let size = match progress(Some(&volume)) {
            Progress::Made(size) => size,
            Progress::Working | Progress::Refused(_) => return Err(E::NotMade),
            Progress::Lost => return Err(E::Lost(node)),
            Progress::Leaving => return Err(E::Leaving),
            Progress::Gone => return Err(E::NoVolume),
        };
        let target = size::grown(size, asked).map_err(E::Range)?;
        if volume.spec.size_bytes != target {
            // Also back to what there is, where an earlier call has asked for more than this one.
            match self.volumes.resize(&volume, target).await {
                Ok(_) => {}
                Err(ApiError::Overtaken) => return Ok(Step::Again),
                Err(error) => return Err(E::Api(error)),
            }
        }
        if target == size {
            return Ok(Step::Done(size));
        }
        let until = Box::new(move |now: Option<&LocalVolume>| growth(now, target) != Progress::Working);
        let now = match self.volumes.wait(name, until, deadline).await.map_err(E::Api)? {
            Waited::Came(now) => now,
            Waited::Late => return Err(E::Late(node)),
        };
        match growth(now.as_deref(), target) {
            Progress::Made(size) => Ok(Step::Done(size)),
            Progress::Refused(refusal) => {
                if !self.put_back(now.as_deref(), size, refusal.reason).await? {
                    return Ok(Step::Again);
                }
                Err(E::Refused { node, asked: target, refusal })
            }
            Progress::Working => Err(E::Late(node)),
            Progress::Lost => Err(E::Lost(node)),
            Progress::Leaving => Err(E::Leaving),
            Progress::Gone => Err(E::NoVolume),
        }
    }

    /// Takes back a wish that cannot be had; false if the node has changed its mind meanwhile. One that the node itself tries
    /// again stays.
    async fn put_back(
        &self,
        now: Option<&LocalVolume>,
        size: i64,
        reason: LocalVolumeReason,
    ) -> Result<bool, ExpandVolumeError> {
        let Some(now) = now.filter(|_| is_final(reason)) else { return Ok(true) };
        match self.volumes.resize(now, size).await {
            Ok(_) => Ok(true),
            Err(ApiError::Overtaken) => Ok(false),
            Err(error) => Err(E::Api(error)),
        }
    }
}

/// Whether the node does not try again by itself.
pub(super) fn is_final(reason: LocalVolumeReason) -> bool {
    match reason {
        LocalVolumeReason::NoSpace | LocalVolumeReason::NoQuota => true,
        LocalVolumeReason::NotReady | LocalVolumeReason::Failed => false,
    }
}
