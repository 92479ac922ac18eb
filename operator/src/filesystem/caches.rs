//! What the watches keep of our own volumes, claims and classes, so that a pass that finds all well asks the API server
//! nothing.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::error::PassError;
use crate::local_storage;

/// The caches.
#[derive(Clone)]
pub struct Caches {
    /// Volumes with our label.
    pub volumes: Store<PersistentVolume>,
    /// Claims with our label.
    pub claims: Store<PersistentVolumeClaim>,
    /// Classes with our label.
    pub classes: Store<StorageClass>,
    /// Every LocalStorage; None where those are switched off.
    pub storages: Option<Store<local_storage::Guarded>>,
}

impl Caches {
    /// Waits for the first lists.
    pub async fn filled(&self) -> Result<(), PassError> {
        self.volumes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        self.claims.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        if let Some(storages) = &self.storages {
            storages.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        }
        self.classes.wait_until_ready().await.map_err(|_| PassError::WatchEnded)
    }

    /// A volume by name.
    pub fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.volumes.get(&ObjectRef::new(name))
    }

    /// Every LocalStorage; None where those are switched off.
    pub fn storages(&self) -> Option<Vec<Arc<local_storage::Guarded>>> {
        self.storages.as_ref().map(Store::state)
    }

    /// A claim by namespace and name.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.claims.get(&ObjectRef::new(name).within(namespace))
    }
}
