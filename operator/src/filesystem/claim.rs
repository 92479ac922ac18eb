//! The claim of a FileSystem, brought into the wished state; and the claim of another driver that a FileSystem uses.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::FileSystems;
use super::children::{claim_phase, request_of};
use super::objects::{self, Identity};
use super::own::covers;
use super::plan::Wanted;
use crate::FIELD_MANAGER;
use crate::child::{self, Child, refusal};
use crate::error::PassError;
use workspacefs_api::quantity;

impl FileSystems {
    /// The claim as the cache knows it, else as the API server does: a foreign one has no label, so no cache.
    pub(super) async fn find_claim(&self, fs: &Identity) -> Result<Child<PersistentVolumeClaim>, PassError> {
        let object = match self.caches.claim(&fs.namespace, &fs.name) {
            Some(object) => Some(object),
            None => self.read_claim(&fs.namespace, &fs.name).await?.map(Arc::new),
        };
        Ok(Child::claim(fs, object))
    }

    /// A claim, asked of the API server.
    pub(super) async fn read_claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PersistentVolumeClaim>, PassError> {
        self.claims(namespace).get_opt(name).await.map_err(PassError::api("read the PersistentVolumeClaim"))
    }

    /// The volume that a claim names, whosever it is.
    pub(super) async fn volume_of(
        &self,
        claim: Option<&PersistentVolumeClaim>,
    ) -> Result<Option<PersistentVolume>, PassError> {
        let name = claim.and_then(|claim| claim.spec.as_ref()?.volume_name.as_deref());
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        volumes.get_opt(name).await.map_err(PassError::api("read the PersistentVolume"))
    }

    /// Makes the claim, or brings it up to date. Says whether it was made.
    pub(super) async fn ensure_claim(
        &self,
        fs: &Identity,
        wanted: &Wanted,
        claim: Child<PersistentVolumeClaim>,
    ) -> Result<(Child<PersistentVolumeClaim>, bool), PassError> {
        match claim {
            Child::Absent => self.create_claim(fs, wanted).await,
            Child::Ours(claim) => Ok((self.update_claim(&claim, fs).await?, false)),
            other => Ok((other, false)),
        }
    }

    async fn create_claim(
        &self,
        fs: &Identity,
        wanted: &Wanted,
    ) -> Result<(Child<PersistentVolumeClaim>, bool), PassError> {
        let wish = objects::claim(fs, wanted);
        let made = child::create(&self.claims(&fs.namespace), wish, "make the PersistentVolumeClaim").await?;
        let is_new = made.ours().is_some();
        Ok((made, is_new))
    }

    /// Labels and owner only: the rest of a claim is immutable.
    async fn update_claim(
        &self,
        claim: &Arc<PersistentVolumeClaim>,
        fs: &Identity,
    ) -> Result<Child<PersistentVolumeClaim>, PassError> {
        let wish = objects::claim_metadata(fs);
        let actual = serde_json::to_value(claim.as_ref())
            .map_err(PassError::json("read the PersistentVolumeClaim"))?;
        if covers(&actual["metadata"]["labels"], &wish["metadata"]["labels"]) && is_owned(claim, &fs.uid) {
            return Ok(Child::Ours(claim.clone()));
        }
        let claims = self.claims(&fs.namespace);
        child::update(&claims, claim.as_ref(), wish, "update the PersistentVolumeClaim").await
    }

    /// Has the claim ask for `size`, if it asks for less: Kubernetes then raises its volume. Never for less than it does.
    /// Says what the API server said where it refused (a quota of the namespace may).
    pub(super) async fn grow_claim(
        &self,
        claim: &PersistentVolumeClaim,
        size: &Quantity,
    ) -> Result<Option<String>, PassError> {
        let asks = request_of(claim).and_then(|asks| quantity::milli(&asks.0));
        // A claim that is not bound cannot grow.
        if claim_phase(claim) != "Bound" || asks >= quantity::milli(&size.0) {
            return Ok(None);
        }
        let namespace = claim.namespace().unwrap_or_default();
        let patch = json!({
            "metadata": {"uid": claim.metadata.uid},
            "spec": {"resources": {"requests": {"storage": size}}},
        });
        let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        match self.claims(&namespace).patch(&claim.name_any(), &by_us, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(None),
            Err(error) => match refusal(&error) {
                Some(why) => Ok(Some(why)),
                None => Err(PassError::api("have the PersistentVolumeClaim grow")(error)),
            },
        }
    }

    /// Deletes the claim. Files are not concerned.
    pub(super) async fn delete_claim(&self, claim: &PersistentVolumeClaim) -> Result<(), PassError> {
        let namespace = claim.namespace().unwrap_or_default();
        child::delete(&self.claims(&namespace), claim, "delete the PersistentVolumeClaim").await
    }

    fn claims(&self, namespace: &str) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn is_owned(claim: &PersistentVolumeClaim, uid: &str) -> bool {
    claim.owner_references().iter().any(|owner| owner.uid == uid)
}
