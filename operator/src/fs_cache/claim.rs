//! The claim of an FsCache and its volume, brought into the wished state, and taken away.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::to_value;
use workspacefs_api::Exposure;
use workspacefs_api::fs_cache::FS_CACHE_UID_LABEL;

use super::FsCaches;
use super::claims;
use super::findings;
use super::objects::Identity;
use super::setting::Target;
use crate::child::{self, Child, namespace_is_ending};
use crate::conditions::Finding;
use crate::error::PassError;
use crate::filesystem::own::covers;

/// What there is of them.
type Pair = (Child<PersistentVolume>, Child<PersistentVolumeClaim>);

impl FsCaches {
    /// Makes claim and volume, or takes them away, as the exposure says. What keeps pods from using the claim; None where
    /// nothing does, or where there is to be none.
    pub(super) async fn keep_claim(
        &self,
        cache: &Identity,
        exposure: Exposure,
        target: &Target,
    ) -> Result<Option<Finding>, PassError> {
        if exposure != Exposure::Claim {
            let (volume, claim) = self.caches.claim_of(cache);
            if volume.is_some() || claim.is_some() {
                self.remove_claim(cache).await?;
            }
            return Ok(None);
        }
        match self.ensure_both(cache, target).await {
            Ok((volume, claim)) => Ok(findings::claim(cache, &volume, &claim)),
            // Nothing moves before the end of a namespace; then the objects go too.
            Err(error) if namespace_is_ending(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ensure_both(&self, cache: &Identity, target: &Target) -> Result<Pair, PassError> {
        let (volume, claim) = self.find_both(cache).await?;
        // The claim is looked at first: our volume must not come to be under the nose of a foreign claim of that name,
        // which would be bound to it.
        if matches!(claim, Child::Foreign) || matches!(volume, Child::Foreign) {
            return Ok((volume, claim));
        }
        let volume = self.ensure_volume(cache, target, volume, &claim).await?;
        let claim = self.ensure_claim(cache, claim).await?;
        Ok((volume, claim))
    }

    /// As the caches know them, else as the API server does: foreign ones have no label, so no cache.
    async fn find_both(&self, cache: &Identity) -> Result<Pair, PassError> {
        let (mut volume, mut claim) = self.caches.claim_of(cache);
        if claim.is_none() {
            let found = self.claims(cache).get_opt(&cache.name).await;
            claim = found.map_err(PassError::api("read the PersistentVolumeClaim"))?.map(Arc::new);
        }
        if volume.is_none() {
            let found = self.volumes().get_opt(&cache.volume_name()).await;
            volume = found.map_err(PassError::api("read the PersistentVolume"))?.map(Arc::new);
        }
        Ok((
            Child::of(volume, |volume| cache.made_volume(volume)),
            Child::of(claim, |claim| cache.made_claim(claim)),
        ))
    }

    async fn ensure_volume(
        &self,
        cache: &Identity,
        target: &Target,
        volume: Child<PersistentVolume>,
        claim: &Child<PersistentVolumeClaim>,
    ) -> Result<Child<PersistentVolume>, PassError> {
        let wish = |uid: Option<&str>| claims::volume(cache, target, &self.node_group_label, uid);
        let seen = match volume {
            Child::Absent => {
                let uid = claim.ours().and_then(|claim| claim.uid());
                return child::create(&self.volumes(), wish(uid.as_deref()), "make the PersistentVolume")
                    .await;
            }
            Child::Ours(seen) => seen,
            other => return Ok(other),
        };
        let mut wish = wish(None);
        let actual = to_value(seen.as_ref()).map_err(PassError::json("read the PersistentVolume"))?;
        // Both are immutable: a volume made by an older release stays as it was.
        for field in ["csi", "nodeAffinity"] {
            wish["spec"][field] = actual["spec"][field].clone();
        }
        let mut volume = seen;
        if !covers(&actual, &wish) {
            let api = self.volumes();
            let updated = child::update(&api, volume.as_ref(), wish, "update the PersistentVolume").await?;
            volume = match updated {
                Child::Ours(volume) => volume,
                other => return Ok(other),
            };
        }
        if Child::remembers_another(&volume, claim) {
            volume = Arc::new(child::free(&self.volumes(), &volume).await?);
        }
        Ok(Child::Ours(volume))
    }

    async fn ensure_claim(
        &self,
        cache: &Identity,
        claim: Child<PersistentVolumeClaim>,
    ) -> Result<Child<PersistentVolumeClaim>, PassError> {
        let api = self.claims(cache);
        let seen = match claim {
            Child::Absent => {
                return child::create(&api, claims::claim(cache), "make the PersistentVolumeClaim").await;
            }
            Child::Ours(seen) => seen,
            other => return Ok(other),
        };
        let wish = claims::claim_metadata(cache);
        let actual = to_value(seen.as_ref()).map_err(PassError::json("read the PersistentVolumeClaim"))?;
        let owned = seen.owner_references().iter().any(|owner| owner.uid == cache.uid);
        if owned && covers(&actual["metadata"]["labels"], &wish["metadata"]["labels"]) {
            return Ok(Child::Ours(seen));
        }
        child::update(&api, seen.as_ref(), wish, "update the PersistentVolumeClaim").await
    }

    /// Takes claim and volume away, the claim first: it goes when no pod has it any more, and the volume after it. What is
    /// still there, for a person. The API server is asked what there is, not the caches: what they have not heard of yet
    /// would be left behind for ever.
    pub(super) async fn remove_claim(&self, cache: &Identity) -> Result<Option<String>, PassError> {
        let found = self.claims(cache).get_opt(&cache.name).await;
        let claim = found.map_err(PassError::api("read the PersistentVolumeClaim"))?;
        if let Some(claim) = claim.filter(|claim| cache.made_claim(claim)) {
            if claim.metadata.deletion_timestamp.is_none() {
                child::delete(&self.claims(cache), &claim, "delete the PersistentVolumeClaim").await?;
            }
            return Ok(Some(format!(
                "waits for claim {} to go, which it does with the last pod that uses it",
                cache.name
            )));
        }
        let ours = ListParams::default().labels(&format!("{FS_CACHE_UID_LABEL}={}", cache.uid));
        let volumes = self.volumes().list(&ours).await.map_err(PassError::api("list its volumes"))?;
        let mut waits = None;
        for volume in &volumes.items {
            if volume.metadata.deletion_timestamp.is_none() {
                child::delete(&self.volumes(), volume, "delete the PersistentVolume").await?;
            }
            waits = Some(format!("waits for volume {} to go", volume.name_any()));
        }
        Ok(waits)
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    fn claims(&self, cache: &Identity) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &cache.namespace)
    }
}
