//! The claim of an FsCache and its volume, brought into the wished state, and taken away.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
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
use crate::pair;

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
        let wish = |uid: Option<&str>| claims::volume(cache, target, &self.node_group_label, uid);
        let volume = pair::keep_volume(&self.volumes(), wish, volume, &claim).await?;
        let (wish, metadata) = (|| claims::claim(cache), || claims::claim_metadata(cache));
        let claim = pair::keep_claim(&self.claims(cache), wish, metadata, &cache.uid, claim).await?;
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
