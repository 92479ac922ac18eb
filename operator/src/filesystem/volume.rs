//! The PersistentVolume of a FileSystem, brought into the wished state.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::FileSystems;
use super::children::request_of;
use super::objects::{self, Identity};
use super::own::covers;
use super::plan::Wanted;
use crate::child::{self, Child};
use crate::error::PassError;
use workspacefs_api::quantity;

impl FileSystems {
    /// The volume as the cache knows it, else as the API server does: a foreign one has no label, so no cache.
    pub(super) async fn find_volume(&self, fs: &Identity) -> Result<Child<PersistentVolume>, PassError> {
        let name = fs.volume_name();
        let object = match self.caches.volume(&name) {
            Some(object) => Some(object),
            None => {
                let found = self.volumes().get_opt(&name).await;
                found.map_err(PassError::api("read the PersistentVolume"))?.map(Arc::new)
            }
        };
        Ok(Child::volume(fs, object))
    }

    /// Makes the volume, or brings it up to date.
    pub(super) async fn ensure_volume(
        &self,
        fs: &Identity,
        wanted: &Wanted,
        volume: Child<PersistentVolume>,
        claim: &Child<PersistentVolumeClaim>,
    ) -> Result<Child<PersistentVolume>, PassError> {
        let claim_uid = claim.ours().and_then(|claim| claim.uid());
        match volume {
            Child::Absent => {
                let mut wish = objects::volume(fs, wanted, &self.node_group_label, claim_uid.as_deref());
                // A claim asks for no less than it once did; a smaller volume it would not be bound to.
                if let Some(request) = claim.ours().and_then(|claim| request_of(claim))
                    && quantity::milli(&request.0) > quantity::milli(&wanted.capacity_or_placeholder().0)
                {
                    wish["spec"]["capacity"]["storage"] = json!(request);
                }
                child::create(&self.volumes(), wish, "make the PersistentVolume").await
            }
            Child::Ours(volume) => {
                let volume = match self.update_volume(&volume, fs, wanted).await? {
                    Child::Ours(volume) => volume,
                    other => return Ok(other),
                };
                if Child::remembers_another(&volume, claim) {
                    return child::free(&self.volumes(), &volume)
                        .await
                        .map(|volume| Child::Ours(Arc::new(volume)));
                }
                Ok(Child::Ours(volume))
            }
            other => Ok(other),
        }
    }

    async fn update_volume(
        &self,
        volume: &Arc<PersistentVolume>,
        fs: &Identity,
        wanted: &Wanted,
    ) -> Result<Child<PersistentVolume>, PassError> {
        let mut wish = objects::volume(fs, wanted, &self.node_group_label, None);
        let actual =
            serde_json::to_value(volume.as_ref()).map_err(PassError::json("read the PersistentVolume"))?;
        // The source of a volume is immutable, and so is our backend: one made by an older release stays as it was.
        wish["spec"]["csi"] = actual["spec"]["csi"].clone();
        if wanted.enforced {
            // A size that is a limit is raised by Kubernetes: the claim asks, and the resizer has the driver carry it out.
            wish["spec"]["capacity"] = actual["spec"]["capacity"].clone();
        }
        if covers(&actual, &wish) {
            return Ok(Child::Ours(volume.clone()));
        }
        child::update(&self.volumes(), volume.as_ref(), wish, "update the PersistentVolume").await
    }

    /// Deletes the volume object. The files stay: its reclaim policy is Retain.
    pub(super) async fn delete_volume(&self, volume: &PersistentVolume) -> Result<(), PassError> {
        child::delete(&self.volumes(), volume, "delete the PersistentVolume").await
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }
}
