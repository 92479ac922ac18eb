//! The PersistentVolume of a FileSystem, brought into the wished state.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::children::{Child, request_of};
use super::objects::{self, Identity};
use super::own::covers;
use super::plan::Wanted;
use super::{FileSystems, refusal};
use crate::FIELD_MANAGER;
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
                self.create_volume(wish).await
            }
            Child::Ours(volume) => {
                let volume = match self.update_volume(&volume, fs, wanted).await? {
                    Child::Ours(volume) => volume,
                    other => return Ok(other),
                };
                if Child::remembers_another(&volume, claim) {
                    return self.free_volume(&volume).await.map(|volume| Child::Ours(Arc::new(volume)));
                }
                Ok(Child::Ours(volume))
            }
            other => Ok(other),
        }
    }

    async fn create_volume(&self, wish: serde_json::Value) -> Result<Child<PersistentVolume>, PassError> {
        // Created, not applied: applying would take over a foreign volume that has just appeared under this name.
        let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let typed = serde_json::from_value(wish);
        let typed = typed.map_err(PassError::json("write the PersistentVolume"))?;
        match self.volumes().create(&by_us, &typed).await {
            Ok(volume) => Ok(Child::Ours(Arc::new(volume))),
            Err(error) => match refusal(&error) {
                Some(why) => Ok(Child::Refused(why)),
                None => Err(PassError::api("make the PersistentVolume")(error)),
            },
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
        wish["metadata"]["uid"] = actual["metadata"]["uid"].clone();
        let by_us = PatchParams::apply(FIELD_MANAGER).force();
        match self.volumes().patch(&fs.volume_name(), &by_us, &Patch::Apply(&wish)).await {
            Ok(volume) => Ok(Child::Ours(Arc::new(volume))),
            Err(error) => match refusal(&error) {
                Some(why) => Ok(Child::Refused(why)),
                None => Err(PassError::api("update the PersistentVolume")(error)),
            },
        }
    }

    /// Makes a volume forget the claim that it was bound to, so that Kubernetes binds the next one of that name. Its files
    /// are not concerned. Only if nothing changed since it was read: the binder writes here too.
    async fn free_volume(&self, volume: &PersistentVolume) -> Result<PersistentVolume, PassError> {
        let patch = json!({
            "metadata": {"resourceVersion": volume.metadata.resource_version, "uid": volume.metadata.uid},
            "spec": {"claimRef": {"uid": null, "resourceVersion": null}},
        });
        let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let freed = self.volumes().patch(&volume.name_any(), &by_us, &Patch::Merge(&patch)).await;
        freed.map_err(PassError::api("free the PersistentVolume"))
    }

    /// Deletes the volume object. The files stay: its reclaim policy is Retain.
    pub(super) async fn delete_volume(&self, volume: &PersistentVolume) -> Result<(), PassError> {
        match self.volumes().delete(&volume.name_any(), &exactly(volume.uid())).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            deleted => deleted.map(drop).map_err(PassError::api("delete the PersistentVolume")),
        }
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }
}

/// Deletes only the object that was seen, not another of its name.
pub(super) fn exactly(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    }
}
