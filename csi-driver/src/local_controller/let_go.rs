//! The end of a LocalVolume that is being deleted: its node moves the files away, and then the finalizer is taken off. Where nobody
//! can carry that out any more it is taken off all the same.

use kube::ResourceExt;
use tokio::time::Instant;
use workspacefs_api::LocalVolume;

use super::LocalController;
use super::progress::{Removal, removal};
use super::seams::{ApiError, LocalStorages, LocalVolumes, NodeState, Nodes, Waited};

impl LocalController {
    /// Waits until a volume that is being deleted is gone, and says how far that is: Gone where nothing is left to wait for.
    pub(super) async fn gone(&self, volume: &LocalVolume, deadline: Instant) -> Result<Removal, ApiError> {
        if let_go_of_abandoned(&*self.storages, &*self.volumes, &*self.nodes, volume).await? {
            return Ok(Removal::Gone);
        }
        let removed = volume.clone();
        let until = Box::new(move |now: Option<&LocalVolume>| removal(&removed, now) != Removal::Working);
        let now = match self.volumes.wait(&volume.name_any(), until, deadline).await? {
            Waited::Came(now) => removal(volume, now.as_deref()),
            Waited::Late => Removal::Working,
        };
        if now != Removal::Done {
            return Ok(now);
        }
        self.volumes.release(volume).await?;
        Ok(Removal::Gone)
    }
}

/// Lets a volume go that is being deleted and that nobody can carry out any more, for its Node or its LocalStorage is gone: without
/// the LocalStorage no node has its disk mounted. False where somebody still can.
pub(super) async fn let_go_of_abandoned(
    storages: &dyn LocalStorages,
    volumes: &dyn LocalVolumes,
    nodes: &dyn Nodes,
    volume: &LocalVolume,
) -> Result<bool, ApiError> {
    let spec = &volume.spec;
    let gone = if nodes.state(&spec.node).await? == NodeState::Absent {
        "Node"
    } else {
        // One that was made again under that name is another.
        let storage = storages.by_name(&spec.storage).await?;
        match storage.is_some_and(|storage| storage.uid().as_ref() == Some(&spec.storage_uid)) {
            true => return Ok(false),
            false => "LocalStorage",
        }
    };
    tracing::warn!(
        node = spec.node,
        storage = spec.storage,
        volume = volume.name_any(),
        gone,
        "what the volume was on is gone, so nobody can move its files away: they stay on the disk"
    );
    volumes.release(volume).await?;
    Ok(true)
}
