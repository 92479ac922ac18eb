//! What the watches keep: FsCaches, what they are between, nodes, and our Jobs with their pods. A pass that finds all
//! well asks the API server nothing.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use workspacefs_api::fs_cache::FS_CACHE_UID_LABEL;
use workspacefs_api::{FileSystem, FsCache, LocalStorage};

use super::Guarded;
use super::objects::Identity;
use super::setting::{Around, Setting};
use crate::conditions::Finding;
use crate::error::PassError;
use crate::{filesystem, local_storage};

/// The caches.
#[derive(Clone)]
pub struct Caches {
    /// Every FsCache.
    pub fs_caches: Store<Guarded>,
    /// Every FileSystem.
    pub file_systems: Store<filesystem::Guarded>,
    /// Every LocalStorage; None where those are switched off.
    pub storages: Option<Store<local_storage::Guarded>>,
    /// Every node.
    pub nodes: Store<Node>,
    /// Jobs with our label.
    pub jobs: Store<Job>,
    /// Pods with our label.
    pub pods: Store<Pod>,
    /// PersistentVolumes with our label.
    pub volumes: Store<PersistentVolume>,
    /// Claims with our label.
    pub claims: Store<PersistentVolumeClaim>,
}

impl Caches {
    /// Waits for the first lists.
    pub async fn filled(&self) -> Result<(), PassError> {
        self.fs_caches.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.file_systems.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        if let Some(storages) = &self.storages {
            storages.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        }
        self.nodes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.jobs.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.volumes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.claims.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.pods.wait_until_ready().await.map_err(|_| PassError::WatchEnded)
    }

    /// Whether there is a node of that name.
    pub fn has_node(&self, name: &str) -> bool {
        self.nodes.get(&ObjectRef::new(name)).is_some()
    }

    /// What an FsCache is between.
    ///
    /// # Errors
    /// What keeps it from being a cache.
    pub fn setting(&self, cache: &FsCache, nodes: &[Arc<Node>]) -> Result<Setting, Finding> {
        self.around(cache, nodes, Setting::of)
    }

    /// The same for one that is being deleted: only its target matters.
    ///
    /// # Errors
    /// That is gone, or not for it.
    pub fn target_of(&self, cache: &FsCache, nodes: &[Arc<Node>]) -> Result<Setting, Finding> {
        self.around(cache, nodes, Setting::on_target)
    }

    /// The node group whose pods see an FsCache. None: it is none for anybody.
    pub fn group_of(&self, cache: &FsCache) -> Option<String> {
        self.setting(cache, &[]).ok().map(|setting| setting.target.group().to_string())
    }

    fn around<T>(
        &self,
        cache: &FsCache,
        nodes: &[Arc<Node>],
        look: impl FnOnce(&FsCache, &Around<'_>) -> T,
    ) -> T {
        let namespace = cache.namespace().unwrap_or_default();
        let file_system = |name: &Option<String>| {
            let found = self.file_systems.get(&ObjectRef::new(name.as_deref()?).within(&namespace))?;
            found.0.as_ref().ok().cloned()
        };
        let spec = &cache.spec;
        let source: Option<FileSystem> = file_system(&spec.source.file_system);
        let target: Option<FileSystem> = file_system(&spec.target.file_system);
        let storage: Option<LocalStorage> = spec.target.local_storage.as_ref().and_then(|name| {
            let found = self.storages.as_ref()?.get(&ObjectRef::new(name))?;
            found.0.as_ref().ok().cloned()
        });
        let (source, file_system, storage) = (source.as_ref(), target.as_ref(), storage.as_ref());
        look(cache, &Around { source, file_system, storage, nodes })
    }

    /// All that can be read of the FsCaches of a namespace.
    pub fn others(&self, namespace: &str) -> Vec<FsCache> {
        let of_namespace =
            self.fs_caches.state_filter(|object| object.namespace().as_deref() == Some(namespace));
        of_namespace.iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect()
    }

    /// What there is under the names of its volume and its claim, as far as it bears our label.
    pub fn claim_of(
        &self,
        cache: &Identity,
    ) -> (Option<Arc<PersistentVolume>>, Option<Arc<PersistentVolumeClaim>>) {
        let claim = ObjectRef::new(&cache.name).within(&cache.namespace);
        (self.volumes.get(&ObjectRef::new(&cache.volume_name())), self.claims.get(&claim))
    }

    /// The Jobs and pods that bear the label of an FsCache.
    pub fn at_work(&self, cache: &Identity) -> (Vec<Arc<Job>>, Vec<Arc<Pod>>) {
        (self.jobs.state_filter(|job| is_of(job, cache)), self.pods.state_filter(|pod| is_of(pod, cache)))
    }
}

fn is_of(object: &impl Resource, cache: &Identity) -> bool {
    object.namespace().as_deref() == Some(&cache.namespace)
        && object.labels().get(FS_CACHE_UID_LABEL) == Some(&cache.uid)
}
