//! NodeUnpublishVolume: unmount, remove the folder, forget the record. Works the same whether the volume is there, half
//! gone or was never there, and whether its server lives: no path on a share is looked at.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use workspacefs_csi_proto::csi::v1::NodeUnpublishVolumeRequest;

use super::Node;
use super::arguments::{self, ArgumentError};
use super::publish::guard_key;
use super::target::{Target, TargetError};
use super::targets::Targets;
use crate::op_guard::Busy;
use crate::rpc;

/// An unpublish failed; it can be repeated.
#[derive(Debug, Error)]
pub enum UnpublishError {
    /// The request is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// Another call works at this target.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The record stays, and with it the claim on the share or disk.
    #[error("cannot remove the target's record")]
    Record(#[source] io::Error),
}

impl Node {
    /// See the module.
    ///
    /// # Errors
    /// [`UnpublishError`].
    pub(super) async fn unpublish(&self, request: NodeUnpublishVolumeRequest) -> Result<(), UnpublishError> {
        rpc::note(&request.volume_id, Some(&request.target_path));
        let volume_id = arguments::volume_id(&request.volume_id)?;
        let target = arguments::target(&request.target_path)?;
        let _guard = self.0.guards.try_acquire(&guard_key(&target))?;
        self.0.failures.forget(&volume_id);
        match self.0.targets.at(&target) {
            // What is there is another volume: the one that was asked about is not, and that is what was asked for.
            Some(record) if record.volume_id != volume_id => Ok(()),
            _ => self.take_away(&target),
        }
    }

    /// Takes away whatever a publish made at `target`.
    pub(super) fn take_away(&self, target: &Target) -> Result<(), UnpublishError> {
        let taken = self.0.targets.take_away(target);
        if self.0.targets.at(target).is_none() {
            self.0.config.nests.caches.use_only(target.path(), Vec::new());
        }
        self.0.usages.forget(target.path());
        self.0.figures.forget(target.path());
        self.0.released.notify_one();
        taken
    }
}

impl<P: Clone + DeserializeOwned + Serialize> Targets<P> {
    /// Takes away whatever a publish made at `target`, in the reverse order.
    ///
    /// # Errors
    /// [`UnpublishError`].
    pub(crate) fn take_away(&self, target: &Target) -> Result<(), UnpublishError> {
        target.unmount()?;
        // The record goes even if the folder cannot: nothing of the share or disk is held any more.
        let removed = target.remove();
        self.end(target).map_err(UnpublishError::Record)?;
        Ok(removed?)
    }
}
