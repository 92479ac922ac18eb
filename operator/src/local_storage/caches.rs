//! What the watches keep: nodes, workspaces, our own volumes, claims and classes, the volumes of claims, and pods that wait for a
//! node. A pass that finds all well asks the API server nothing.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

use super::objects::{Identity, Workspace};
use super::volumes::{self, Volume};
use crate::error::PassError;

/// The caches.
#[derive(Clone)]
pub struct Caches {
    /// Every node.
    pub nodes: Store<Node>,
    /// The namespaces that are workspaces.
    pub workspaces: Store<PartialObjectMeta<Namespace>>,
    /// Volumes with our label.
    pub volumes: Store<PersistentVolume>,
    /// Claims with our label.
    pub claims: Store<PersistentVolumeClaim>,
    /// Classes with our label.
    pub classes: Store<StorageClass>,
    /// Every LocalVolume.
    pub local_volumes: Store<Volume>,
    /// Pods that are placed nowhere yet, with nothing but the volumes that they name.
    pub waiting: Store<Pod>,
}

impl Caches {
    /// Waits for the first lists.
    pub async fn filled(&self) -> Result<(), PassError> {
        self.nodes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.workspaces.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.volumes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.claims.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.classes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.local_volumes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.waiting.wait_until_ready().await.map_err(|_| PassError::WatchEnded)
    }

    /// Whether there is a node of that name.
    pub fn has_node(&self, name: &str) -> bool {
        self.nodes.get(&ObjectRef::new(name)).is_some()
    }

    /// The workspace of that name. None also for one that is ending: nothing can be made in it any more.
    pub fn workspace(&self, name: &str) -> Option<Workspace> {
        let namespace = self.workspaces.get(&ObjectRef::new(name))?;
        let stays = namespace.metadata.deletion_timestamp.is_none();
        namespace.uid().filter(|_| stays).map(|uid| Workspace { name: name.into(), uid })
    }

    /// A volume by name.
    pub fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.volumes.get(&ObjectRef::new(name))
    }

    /// A claim by namespace and name.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.claims.get(&ObjectRef::new(name).within(namespace))
    }

    /// All volumes that were made for a LocalStorage, by name.
    pub fn volumes_of(&self, storage: &Identity) -> Vec<Arc<PersistentVolume>> {
        let mut volumes = self.volumes.state_filter(|volume| storage.made_volume(volume));
        volumes.sort_unstable_by_key(|volume| volume.name_any());
        volumes
    }

    /// The volumes that claims have on its disks.
    pub fn local_volumes_of(&self, storage: &Identity) -> Vec<Arc<Volume>> {
        self.local_volumes.state_filter(|volume| volumes::is_of(volume, &storage.uid))
    }

    /// All claims that were made for a LocalStorage, by namespace.
    pub fn claims_of(&self, storage: &Identity) -> Vec<Arc<PersistentVolumeClaim>> {
        let mut claims =
            self.claims.state_filter(|claim| claim.name_any() == storage.name && storage.made_claim(claim));
        claims.sort_unstable_by_key(|claim| claim.namespace());
        claims
    }
}
