//! What each workspace has of a LocalStorage: its volume and its claim, brought into the wished state; and what those have
//! that are not listed any more, taken away once no pod uses it. Files stay on the nodes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, ResourceExt};
use workspacefs_api::LocalStorageSpec;

use super::LocalStorages;
use super::findings::{Share, State};
use super::objects::{self, Identity, Workspace, claim_of, volume_of};
use super::plan::Wanted;
use crate::child::{self, Child, namespace_is_ending};
use crate::error::PassError;
use crate::events::Happened;
use crate::filesystem::children::request_of;
use crate::filesystem::users;
use crate::pair;

/// All shares, and the first failure: one workspace's trouble holds no other up.
pub(super) struct Kept {
    pub shares: Vec<Share>,
    pub result: Result<(), PassError>,
}

impl LocalStorages {
    /// Makes what is listed, and takes away what is not.
    pub(super) async fn keep_shares(
        &self,
        storage: &Identity,
        spec: &LocalStorageSpec,
        wanted: &Wanted,
    ) -> Kept {
        let mut kept = Kept { shares: Vec::new(), result: Ok(()) };
        let mut current = HashSet::new();
        for name in &spec.workspaces {
            let Some(workspace) = self.caches.workspace(name) else {
                kept.shares.push(Share { namespace: name.clone(), state: State::NoWorkspace });
                continue;
            };
            current.insert(storage.volume_name(&workspace));
            match self.keep_share(storage, &workspace, wanted).await {
                Ok(state) => kept.shares.push(Share { namespace: name.clone(), state }),
                Err(error) if namespace_is_ending(&error) => {
                    kept.shares.push(Share { namespace: name.clone(), state: State::NoWorkspace });
                }
                Err(error) => {
                    kept.shares.push(Share { namespace: name.clone(), state: State::Binding });
                    kept.result = kept.result.and(Err(error));
                }
            }
        }
        self.take_others_away(storage, spec, &current, &mut kept).await;
        kept
    }

    async fn keep_share(
        &self,
        storage: &Identity,
        workspace: &Workspace,
        wanted: &Wanted,
    ) -> Result<State, PassError> {
        let mut claim = self.find_claim(storage, workspace).await?;
        let mut volume = self.find_volume(storage, workspace).await?;
        // The claim is looked at first: our volume must not come to be under the nose of a foreign claim of that name,
        // which would be bound to it.
        if !matches!(claim, Child::Foreign) && !matches!(volume, Child::Foreign) {
            let had_one = volume.ours().is_some_and(|volume| Child::remembers_another(volume, &claim));
            volume = self.ensure_volume(storage, workspace, wanted, volume, &claim).await?;
            let was_absent = matches!(claim, Child::Absent);
            claim = self.ensure_claim(storage, workspace, wanted, claim).await?;
            if let (true, true, Child::Ours(made)) = (had_one, was_absent, &claim) {
                let note = format!(
                    "claim {} of {} was gone and has been made again; files are untouched",
                    storage.name, workspace.name
                );
                let happened = Happened { warning: false, reason: "ClaimMadeAgain", note };
                self.status.tell(storage, Some(super::status::of_claim(made)), &happened).await;
            }
        }
        Ok(State::of(&volume, &claim))
    }

    async fn find_claim(
        &self,
        storage: &Identity,
        workspace: &Workspace,
    ) -> Result<Child<PersistentVolumeClaim>, PassError> {
        let object = self.any_claim(&workspace.name, &storage.name).await?;
        let its = storage.volume_name(workspace);
        Ok(Child::of(object, |claim| storage.made_claim(claim) && volume_of(claim) == Some(&its)))
    }

    /// The claim as the cache knows it, else as the API server does: a foreign one has no label, so no cache.
    async fn any_claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<PersistentVolumeClaim>>, PassError> {
        if let Some(claim) = self.caches.claim(namespace, name) {
            return Ok(Some(claim));
        }
        let found = self.claims(namespace).get_opt(name).await;
        Ok(found.map_err(PassError::api("read the PersistentVolumeClaim"))?.map(Arc::new))
    }

    /// The same of the volume.
    async fn find_volume(
        &self,
        storage: &Identity,
        workspace: &Workspace,
    ) -> Result<Child<PersistentVolume>, PassError> {
        let name = storage.volume_name(workspace);
        let object = match self.caches.volume(&name) {
            Some(object) => Some(object),
            None => {
                let found = self.volumes().get_opt(&name).await;
                found.map_err(PassError::api("read the PersistentVolume"))?.map(Arc::new)
            }
        };
        Ok(Child::of(object, |volume| storage.made_volume(volume)))
    }

    async fn ensure_volume(
        &self,
        storage: &Identity,
        workspace: &Workspace,
        wanted: &Wanted,
        volume: Child<PersistentVolume>,
        claim: &Child<PersistentVolumeClaim>,
    ) -> Result<Child<PersistentVolume>, PassError> {
        let size = wanted.size_for(claim.ours().and_then(|claim| request_of(claim)));
        let wish = |claim_uid: Option<&str>| objects::volume(storage, workspace, wanted, &size, claim_uid);
        pair::keep_volume(&self.volumes(), wish, volume, claim).await
    }

    async fn ensure_claim(
        &self,
        storage: &Identity,
        workspace: &Workspace,
        wanted: &Wanted,
        claim: Child<PersistentVolumeClaim>,
    ) -> Result<Child<PersistentVolumeClaim>, PassError> {
        let wish = || objects::claim(storage, workspace, wanted);
        let metadata = || objects::claim_metadata(storage, workspace);
        pair::keep_claim(&self.claims(&workspace.name), wish, metadata, &storage.uid, claim).await
    }

    /// Of all but the listed workspaces. What a listed namespace has that is none any more stays as long as its claim:
    /// taking its label off removes nothing.
    async fn take_others_away(
        &self,
        storage: &Identity,
        spec: &LocalStorageSpec,
        current: &HashSet<String>,
        kept: &mut Kept,
    ) {
        let mut claims = by_namespace(self.caches.claims_of(storage));
        for volume in self.caches.volumes_of(storage) {
            if current.contains(&volume.name_any()) {
                continue;
            }
            match self.keep_held(storage, &volume).await {
                Ok(holder) => claims.extend(by_namespace(holder)),
                Err(error) => take_first(&mut kept.result, error),
            }
        }
        for (namespace, claim) in claims {
            if spec.workspaces.contains(&namespace) || claim.metadata.deletion_timestamp.is_some() {
                continue;
            }
            match self.take_claim_away(storage, &claim).await {
                Ok(pods) if pods.is_empty() => {}
                Ok(pods) => kept.shares.push(Share { namespace, state: State::StillUsed(pods) }),
                Err(error) => take_first(&mut kept.result, error),
            }
        }
    }

    /// Deletes a claim of ours, unless pods use it: those are returned.
    pub(super) async fn take_claim_away(
        &self,
        storage: &Identity,
        claim: &PersistentVolumeClaim,
    ) -> Result<Vec<String>, PassError> {
        let namespace = claim.namespace().unwrap_or_default();
        let pods = self.pods_using(storage, &namespace).await?;
        if pods.is_empty() {
            child::delete(&self.claims(&namespace), claim, "delete the PersistentVolumeClaim").await?;
        }
        Ok(pods)
    }

    /// The claim of ours that holds a volume. Without one the volume is deleted. The files stay: its reclaim policy is Retain.
    pub(super) async fn keep_held(
        &self,
        storage: &Identity,
        volume: &PersistentVolume,
    ) -> Result<Option<Arc<PersistentVolumeClaim>>, PassError> {
        let holder = match claim_of(volume) {
            Some((namespace, name)) => self.any_claim(namespace, name).await?,
            None => None,
        };
        let holds = |claim: &PersistentVolumeClaim| {
            storage.made_claim(claim) && volume_of(claim) == volume.metadata.name.as_deref()
        };
        let holder = holder.filter(|claim| holds(claim));
        if holder.is_none() && volume.metadata.deletion_timestamp.is_none() {
            child::delete(&self.volumes(), volume, "delete the PersistentVolume").await?;
        }
        Ok(holder)
    }

    /// The pods of a namespace that use its claim, by name.
    pub(super) async fn pods_using(
        &self,
        storage: &Identity,
        namespace: &str,
    ) -> Result<Vec<String>, PassError> {
        let named = users::Named { inline: None, claim: Some(&storage.name) };
        users::in_namespace(&self.client, namespace, named).await
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    pub(super) fn claims(&self, namespace: &str) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// Claims by their namespaces: each has but one of that name.
pub(super) fn by_namespace(
    claims: impl IntoIterator<Item = Arc<PersistentVolumeClaim>>,
) -> BTreeMap<String, Arc<PersistentVolumeClaim>> {
    claims.into_iter().map(|claim| (claim.namespace().unwrap_or_default(), claim)).collect()
}

fn take_first(result: &mut Result<(), PassError>, error: PassError) {
    if result.is_ok() {
        *result = Err(error);
    }
}
