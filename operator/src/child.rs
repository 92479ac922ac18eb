//! An object that is made for one of ours (a volume, a claim, a class): whose it is, and how it is made, changed and taken
//! away so that nothing of anybody else's is touched.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::FIELD_MANAGER;
use crate::error::PassError;

/// An object of the right name.
#[derive(Clone, Debug)]
pub enum Child<T> {
    /// There is none.
    Absent,
    /// We made it.
    Ours(Arc<T>),
    /// We made it, and it is being deleted.
    Leaving,
    /// Somebody else made it.
    Foreign,
    /// The API server refused to have it made or changed; what it said.
    Refused(String),
}

impl<T: Resource> Child<T> {
    /// What is there, if anything.
    pub fn of(object: Option<Arc<T>>, is_ours: impl Fn(&T) -> bool) -> Self {
        match object {
            None => Self::Absent,
            Some(object) if !is_ours(&object) => Self::Foreign,
            Some(object) if object.meta().deletion_timestamp.is_some() => Self::Leaving,
            Some(object) => Self::Ours(object),
        }
    }

    /// The object, if it is ours and stays.
    pub fn ours(&self) -> Option<&Arc<T>> {
        match self {
            Self::Ours(object) => Some(object),
            Self::Absent | Self::Leaving | Self::Foreign | Self::Refused(_) => None,
        }
    }
}

impl Child<PersistentVolume> {
    /// Whether the volume is bound to a claim that is no more, so that no new claim can bind it.
    pub fn remembers_another(volume: &PersistentVolume, claim: &Child<PersistentVolumeClaim>) -> bool {
        let claim_ref = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let Some(uid) = claim_ref.and_then(|claim_ref| claim_ref.uid.as_ref()) else {
            return false;
        };
        match claim {
            Child::Absent => true,
            Child::Ours(claim) => claim.uid().as_ref() != Some(uid),
            // Not for a foreign claim, which must not be bound to our volume, nor while the old one is still there.
            Child::Leaving | Child::Foreign | Child::Refused(_) => false,
        }
    }
}

/// Makes an object. Created, not applied: applying would take over a foreign one that has just appeared under this name.
/// `step` completes "cannot …".
pub async fn create<T>(api: &Api<T>, wish: Value, step: &'static str) -> Result<Child<T>, PassError>
where
    T: Clone + Debug + DeserializeOwned + Serialize,
{
    let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let typed = serde_json::from_value(wish).map_err(PassError::json(step))?;
    made(api.create(&by_us, &typed).await, step)
}

/// Applies `wish` to exactly the object that was seen.
pub async fn update<T>(
    api: &Api<T>,
    seen: &T,
    mut wish: Value,
    step: &'static str,
) -> Result<Child<T>, PassError>
where
    T: Clone + Debug + DeserializeOwned + Resource,
{
    wish["metadata"]["uid"] = json!(seen.meta().uid);
    let by_us = PatchParams::apply(FIELD_MANAGER).force();
    let name = seen.meta().name.as_deref().unwrap_or_default();
    made(api.patch(name, &by_us, &Patch::Apply(&wish)).await, step)
}

fn made<T>(result: Result<T, kube::Error>, step: &'static str) -> Result<Child<T>, PassError> {
    match result {
        Ok(object) => Ok(Child::Ours(Arc::new(object))),
        Err(error) => match refusal(&error) {
            Some(why) => Ok(Child::Refused(why)),
            None => Err(PassError::api(step)(error)),
        },
    }
}

/// Deletes only the object that was seen, not another of its name.
pub async fn delete<T>(api: &Api<T>, seen: &T, step: &'static str) -> Result<(), PassError>
where
    T: Clone + Debug + DeserializeOwned + Resource,
{
    let exactly = Preconditions { uid: seen.meta().uid.clone(), resource_version: None };
    let how = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
    match api.delete(seen.meta().name.as_deref().unwrap_or_default(), &how).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        deleted => deleted.map(drop).map_err(PassError::api(step)),
    }
}

/// Makes a volume forget the claim that it was bound to, so that Kubernetes binds the next one of that name. Its files
/// are not concerned. Only if nothing changed since it was read: the binder writes here too.
pub async fn free(
    api: &Api<PersistentVolume>,
    volume: &PersistentVolume,
) -> Result<PersistentVolume, PassError> {
    let patch = json!({
        "metadata": {"resourceVersion": volume.metadata.resource_version, "uid": volume.metadata.uid},
        "spec": {"claimRef": {"uid": null, "resourceVersion": null}},
    });
    let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let freed = api.patch(&volume.name_any(), &by_us, &Patch::Merge(&patch)).await;
    freed.map_err(PassError::api("free the PersistentVolume"))
}

/// What the API server says where it will not have an object, which trying again soon does not change. None for everything
/// else, also for a namespace that is ending.
pub fn refusal(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 403 | 422) && !is_ending(status) => {
            Some(status.message.clone())
        }
        _ => None,
    }
}

/// Whether the API server takes nothing new because the namespace is being deleted.
pub fn namespace_is_ending(error: &PassError) -> bool {
    match error {
        PassError::Api { source, .. } => {
            matches!(source.as_ref(), kube::Error::Api(status) if is_ending(status))
        }
        _ => false,
    }
}

fn is_ending(status: &kube::core::Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}
