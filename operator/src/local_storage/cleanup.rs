//! The end of a LocalStorage. First its label goes off the nodes, and its StorageClass, so that no further pod and no further
//! claim begins. When no pod uses it any more, and no claim has a volume on its disks, its claims go, then its volumes, then the finalizer. Files stay on the nodes. The API server is asked what there is, not
//! the caches: what they have not heard of yet would be left behind for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, ResourceExt};
use workspacefs_api::LocalStorageStatus;
use workspacefs_api::local_storage::LOCAL_STORAGE_UID_LABEL;

use super::findings::{Summary, in_use, terminating};
use super::objects::Identity;
use super::status::Report;
use super::volumes::{self, Volume};
use super::{LocalStorages, shares};
use crate::conditions::Finding;
use crate::error::PassError;
use crate::filesystem::users;
use crate::reconciler::Next;

/// Pods are not watched, so they are asked for again this often, and only meanwhile.
const ASK_PODS_AGAIN: Duration = Duration::from_secs(10);
/// Claims and volumes are watched; this is for a watch that missed something.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl LocalStorages {
    /// One pass over a LocalStorage that is being deleted.
    pub(super) async fn take_away(
        &self,
        storage: &Identity,
        meta: &ObjectMeta,
        old: LocalStorageStatus,
    ) -> Result<Next, PassError> {
        let labelled = ListParams::default().labels(&storage.ready_label());
        let nodes: Api<Node> = Api::all(self.client.clone());
        let nodes = nodes.list(&labelled).await.map_err(PassError::api("list the nodes with its label"))?;
        let nodes: Vec<Arc<Node>> = nodes.items.into_iter().map(Arc::new).collect();
        self.keep_labels(storage, &nodes, &[]).await?;
        self.classes().remove(&storage.class_name()).await?;

        let (volumes, claims) = self.all_of(storage).await?;
        let mut pods = Vec::new();
        for namespace in claims.keys() {
            let names = self.pods_using(storage, namespace).await?;
            pods.extend(names.iter().map(|name| format!("{namespace}/{name}")));
        }
        if let Some(in_use) = in_use(&pods, &self.volumes_on(storage).await?) {
            self.say(storage, meta, old, in_use.into()).await?;
            return Ok(Next::Waiting(ASK_PODS_AGAIN));
        }
        for claim in claims.values().filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
            self.take_claim_away(storage, claim).await?;
        }
        if volumes.is_empty() && claims.is_empty() {
            self.told_pods.forget(&storage.uid);
            self.told_lost.forget(&storage.uid);
            return Ok(Next::Done(None));
        }
        let claims = claims.keys().map(|namespace| format!("claim {namespace}/{}", storage.name));
        let waits_for: Vec<String> =
            claims.chain(volumes.iter().map(|volume| format!("volume {}", volume.name_any()))).collect();
        let waits = format!("waits for {} to go", users::named(&waits_for));
        self.say(storage, meta, old, vec![terminating(waits)]).await?;
        Ok(Next::Waiting(LOOK_AGAIN))
    }

    /// The volumes that claims have on its disks, as messages call them. The CSI controller lets each go when its node has moved
    /// the files away, or is gone.
    async fn volumes_on(&self, storage: &Identity) -> Result<Vec<String>, PassError> {
        let api: Api<Volume> = Api::all(self.client.clone());
        let all = api.list(&ListParams::default()).await.map_err(PassError::api("list the LocalVolumes"))?;
        let its = all.items.iter().filter(|volume| volumes::is_of(volume, &storage.uid));
        let mut names: Vec<String> = its.map(volumes::name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Its volumes and its claims, those too that lost their label. Volumes that no claim of ours holds are deleted.
    async fn all_of(
        &self,
        storage: &Identity,
    ) -> Result<(Vec<PersistentVolume>, BTreeMap<String, Arc<PersistentVolumeClaim>>), PassError> {
        let ours = ListParams::default().labels(&format!("{LOCAL_STORAGE_UID_LABEL}={}", storage.uid));
        let claims: Api<PersistentVolumeClaim> = Api::all(self.client.clone());
        let claims = claims.list(&ours).await.map_err(PassError::api("list its claims"))?;
        let is_its =
            |claim: &PersistentVolumeClaim| claim.name_any() == storage.name && storage.made_claim(claim);
        let mut claims =
            shares::by_namespace(claims.items.into_iter().filter(|claim| is_its(claim)).map(Arc::new));
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let volumes = volumes.list(&ours).await.map_err(PassError::api("list its volumes"))?;
        for volume in &volumes.items {
            claims.extend(shares::by_namespace(self.keep_held(storage, volume).await?));
        }
        Ok((volumes.items, claims))
    }

    /// Writes findings; whatever else was known stays as it was.
    pub(super) async fn say(
        &self,
        storage: &Identity,
        meta: &ObjectMeta,
        old: LocalStorageStatus,
        findings: Vec<Finding>,
    ) -> Result<(), PassError> {
        let summary = Summary::as_before(&old);
        self.status.write(storage, Report { meta, old, summary, findings }).await.map(drop)
    }
}
