//! NodePublishVolume: guard, "is it done?", volume, decision, record, copies, folder, view, attach. Whatever fails undoes
//! what was done before it, since a failed publish may never be repeated; whatever is killed in between is repaired by the next call at the
//! target.

use std::os::fd::AsFd;

use thiserror::Error;
use tokio::time::Instant;
use workspacefs_api::cache_attributes::CacheVolumeId;
use workspacefs_api::volume::AttributesError;
use workspacefs_csi_proto::csi::v1::NodePublishVolumeRequest;
use workspacefs_sys::SysError;

use super::Node;
use super::arguments::{ArgumentError, Publish};
use super::figures::Whose;
use super::labels::NodeGroupError;
use super::nest::NestError;
use super::target::{State, Target, TargetError};
use super::targets::{BeginError, Begun, OnShare, Record};
use super::volume::{self, Copies, Volume, VolumeError};
use crate::cache::claim::Unready;
use crate::op_guard::Busy;
use crate::rpc;
use crate::share::{FolderRequest, Part, ShareError, ShareSpec, ViewRequest};

/// A publish failed, and nothing of it is left.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The request is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// Another call works at this target.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// It names no volume that can be mounted.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// This node may not mount it.
    #[error(transparent)]
    NodeGroup(#[from] NodeGroupError),
    /// What is published here already stands against it.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The share, or the folder on it.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The claim of an FsCache whose PersistentVolume we did not make.
    #[error("the PersistentVolume's attributes are not acceptable")]
    Attributes(#[source] AttributesError),
    /// It is of another namespace than the pod.
    #[error("the volume is workspace {0:?}'s, and the pod is not of that namespace")]
    OtherNamespace(String),
    /// It has nothing to show here now.
    #[error(transparent)]
    NoCopy(#[from] Unready),
    /// Its copy cannot be had.
    #[error("the FsCache's copy cannot be mounted")]
    Copy(#[source] NestError),
    /// The last step.
    #[error("cannot attach the volume at its target")]
    Attach(#[source] SysError),
}

impl Node {
    /// See the module.
    ///
    /// # Errors
    /// [`PublishError`], at the latest at the RPC's deadline.
    pub(super) async fn publish(&self, request: NodePublishVolumeRequest) -> Result<(), PublishError> {
        rpc::note(&request.volume_id, Some(&request.target_path));
        let deadline = Instant::now() + self.0.config.rpc_deadline;
        let asked = Publish::parse(request)?;
        let _guard = self.0.guards.try_acquire(&guard_key(&asked.target))?;
        let here = match asked.target.state()? {
            State::Mounted if self.0.usages.is_stale(asked.target.path()) => State::Stale,
            state => state,
        };
        // Before anybody is asked for leave: what is mounted stays so, whatever became of its FileSystem, of this node's
        // group and of the API server since, and kubelet asks again when it starts.
        if self.0.targets.is_done(&asked.target, here, &asked.volume_id, &asked.fingerprint) {
            return Ok(());
        }
        if let Ok(id) = CacheVolumeId::parse(&asked.volume_id) {
            return self.publish_copy(asked, &id, here, deadline).await;
        }
        let file_systems = self.0.config.file_systems.as_ref();
        let options = &asked.capability.mount_options;
        let volume = volume::find(&asked.volume_id, &asked.context, options, file_systems).await?;
        let attributes = &volume.attributes;
        self.0.config.labels.check(
            &self.0.config.node_group_label,
            attributes.node_group.as_deref(),
            &attributes.file_system,
            volume.is_own,
        )?;
        let may_be_cached = volume.copies == Copies::Shown;
        let share = ShareSpec::new(&volume.attributes, &volume.options);
        let share = self.0.config.nests.ground.local_cache.share(share, may_be_cached);
        let place = OnShare {
            share: Some(share.clone()),
            whose: Some(Whose::of(&asked.volume_id, &volume)),
            copies: Vec::new(),
        };
        let record = record(&asked, place);
        if self.0.targets.begin(here, record)? == Begun::Done {
            return Ok(());
        }
        let undo = Undo { node: self.clone(), target: Some(asked.target) };
        self.mount(&undo, &share, &volume, asked.read_only, deadline).await?;
        undo.keep();
        self.0.failures.forget(&asked.volume_id);
        Ok(())
    }

    async fn mount(
        &self,
        undo: &Undo,
        share: &ShareSpec,
        volume: &Volume,
        read_only: bool,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        let Some(target) = &undo.target else {
            return Ok(());
        };
        // Only where the record and the mount table disagree is there anything to take off.
        target.unmount()?;
        self.0.usages.forget(target.path());
        let chosen = self.choose(target, volume, read_only);
        let folder = target.make()?;
        let request = ViewRequest {
            folder: FolderRequest::new(&volume.attributes),
            part: match &volume.copies {
                Copies::Fill(cache) => Part::Fill(cache.clone()),
                Copies::Shown | Copies::Off => Part::Folder(volume.mount_from.as_str().into()),
            },
            read_only,
            hide: self.hides_copies(volume),
        };
        let view = self.view(target, share, request, chosen, deadline).await?;
        view.attach(folder.as_fd()).map_err(PublishError::Attach)?;
        self.count_copies(self.0.targets.at(target));
        Ok(())
    }
}

/// Unless it is kept: takes the target's mounts, folder and record away again, on every way out of a publish, a panic
/// included.
pub(super) struct Undo {
    pub node: Node,
    pub target: Option<Target>,
}

impl Undo {
    pub fn keep(mut self) {
        self.target = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(target) = self.target.take()
            && let Err(error) = self.node.take_away(&target)
        {
            // The publish's own error goes to the caller; this one is for whoever looks for left-overs.
            tracing::warn!(target_path = %target.path().display(), %error, "a failed publish could not be undone");
        }
    }
}

/// One call at a time per target: two pods that share a claim are published at once, and must not wait for each other.
pub(crate) fn guard_key(target: &Target) -> String {
    target.path().to_string_lossy().into_owned()
}

pub(super) fn record(asked: &Publish, place: OnShare) -> Record {
    Record {
        target: asked.target.path().to_path_buf(),
        volume_id: asked.volume_id.clone(),
        fingerprint: asked.fingerprint.clone(),
        mode: asked.capability.mode.into(),
        place,
    }
}
