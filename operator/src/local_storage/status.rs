//! The operator's part of the status of a LocalStorage: written only when it changes, and Events for the changes that people
//! care about. The entries of the nodes are never in what is sent: they are the nodes' own.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{ObjectMeta, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;
use workspacefs_api::{LocalStorage, LocalStorageStatus};

use super::findings::{CACHE_READY, DEGRADED, IN_USE, OURS, READY, SHARES_FILE_SYSTEM, Summary};
use super::objects::Identity;
use crate::FIELD_MANAGER;
use crate::class::CLASS_READY;
use crate::conditions::{self, Finding};
use crate::error::PassError;
use crate::events::{Events, Happened};

/// Writes status and Events.
pub struct StatusWriter {
    client: kube::Client,
    events: Events,
}

/// What there is to say about one LocalStorage.
pub struct Report<'a> {
    /// Its metadata, as the pass saw it.
    pub meta: &'a ObjectMeta,
    /// Its status, as the pass saw it; empty where that cannot be read.
    pub old: LocalStorageStatus,
    /// All that was found.
    pub summary: Summary,
    /// The same, as conditions.
    pub findings: Vec<Finding>,
}

impl StatusWriter {
    /// `events` is where changes are told.
    pub fn new(client: kube::Client, events: Events) -> Self {
        Self { client, events }
    }

    /// Writes what changed, and returns the object's version after that. A pass that saw an outdated object fails here as a
    /// conflict, before it tells anybody.
    pub async fn write(&self, storage: &Identity, report: Report<'_>) -> Result<Option<String>, PassError> {
        let Report { meta, mut old, summary, findings } = report;
        old.nodes.clear();
        // Conditions of others stay as they are: server-side apply merges them by type.
        old.conditions.retain(|condition| OURS.contains(&condition.type_.as_str()));
        let conditions = conditions::update(&old.conditions, &findings, meta.generation, Timestamp::now());
        let Summary { nodes_ready, media, capacity, used, health } = summary;
        let observed_generation = meta.generation;
        let new = LocalStorageStatus {
            observed_generation,
            nodes_ready,
            media,
            capacity,
            used,
            health,
            nodes: Vec::new(),
            conditions,
        };
        if new == old {
            return Ok(meta.resource_version.clone());
        }
        let patch = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage",
            "metadata": {"name": storage.name, "uid": storage.uid, "resourceVersion": meta.resource_version},
            "status": new,
        });
        let api: Api<PartialObjectMeta<LocalStorage>> = Api::all(self.client.clone());
        let by_us = PatchParams::apply(FIELD_MANAGER).force();
        let written = api
            .patch_status(&storage.name, &by_us, &Patch::Apply(&patch))
            .await
            .map_err(PassError::api("write the status"))?;
        for happened in changes(&old, &new) {
            self.tell(storage, None, &happened).await;
        }
        Ok(written.metadata.resource_version)
    }

    /// Tells of something that is no change of a condition.
    pub async fn tell(&self, storage: &Identity, related: Option<ObjectReference>, happened: &Happened) {
        self.events.publish_with(&reference(storage), related, happened).await;
    }

    /// Tells those who have `object` of something that comes of the LocalStorage.
    pub async fn tell_about(&self, object: &ObjectReference, storage: &Identity, happened: &Happened) {
        self.events.publish_with(object, Some(reference(storage)), happened).await;
    }
}

fn reference(storage: &Identity) -> ObjectReference {
    ObjectReference {
        api_version: Some("workspacefs.io/v1alpha1".into()),
        kind: Some("LocalStorage".into()),
        name: Some(storage.name.clone()),
        uid: Some(storage.uid.clone()),
        ..ObjectReference::default()
    }
}

/// A claim, as an Event names it.
pub fn of_claim(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// A pod, as an Event names it.
pub fn of_pod(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// A node, as an Event names it: it need not exist.
pub fn of_node(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(name.into()),
        ..ObjectReference::default()
    }
}

/// A namespace, as an Event names it: it need not exist.
pub fn of_namespace(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Namespace".into()),
        name: Some(name.into()),
        ..ObjectReference::default()
    }
}

/// The Events that a change of conditions is worth. (Of workspaces, nodes and lost volumes it is told one by one.)
fn changes(old: &LocalStorageStatus, new: &LocalStorageStatus) -> Vec<Happened> {
    let mut events = Vec::new();
    for condition in &new.conditions {
        let before = old.conditions.iter().find(|c| c.type_ == condition.type_);
        if before.is_some_and(|b| b.status == condition.status && b.reason == condition.reason) {
            continue;
        }
        let event = match (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str()) {
            (READY, "True", "Ready") => Some((false, "Ready")),
            // Its nodes are told of by themselves.
            (READY, "True", _) if before.is_none_or(|b| b.status != "True") => Some((false, "Ready")),
            (READY, "False", "NoNodes") => Some((true, "NoNodes")),
            (READY, "False", "NoneReady") => Some((true, "NoneReady")),
            (READY, "False", "Invalid") => Some((true, "Invalid")),
            (DEGRADED, "True", _) => Some((true, "Degraded")),
            (CACHE_READY, "True", "Ready") => Some((false, "CacheReady")),
            // What nobody has said yet, or will not while its disk is away, is told elsewhere.
            (CACHE_READY, "False", "NoReport" | "NoNodes" | "DiskNotReady" | "Leaving") => None,
            (CACHE_READY, "False", _) => Some((true, "CacheNotReady")),
            (SHARES_FILE_SYSTEM, "True", _) => Some((true, "SharesFileSystem")),
            (IN_USE, "True", _) => Some((true, "InUse")),
            (CLASS_READY, "False", _) => Some((true, "StorageClassNotReady")),
            _ => None,
        };
        if let Some((warning, reason)) = event {
            events.push(Happened { warning, reason, note: condition.message.clone() });
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(findings: &[Finding]) -> LocalStorageStatus {
        let conditions = conditions::update(&[], findings, Some(1), Timestamp::UNIX_EPOCH);
        LocalStorageStatus { conditions, ..LocalStorageStatus::default() }
    }

    fn reasons(old: &[Finding], new: &[Finding]) -> Vec<&'static str> {
        changes(&status(old), &status(new)).into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn events_tell_of_changes_only() {
        let all = Finding::new(READY, true, "Ready", "m");
        let some = Finding::new(READY, true, "SomeNotReady", "m");
        let none = Finding::new(READY, false, "NoneReady", "m");
        let ill = |reason| Finding::new(DEGRADED, true, reason, "m");
        let cache = |reason| [Finding::new(CACHE_READY, reason == "Ready", reason, "m")];
        assert_eq!(reasons(&[], &cache("DeviceBusy")), ["CacheNotReady"]);
        assert_eq!(reasons(&cache("DeviceBusy"), &cache("Ready")), ["CacheReady"]);
        assert!(reasons(&cache("Ready"), &cache("NoReport")).is_empty());
        assert_eq!(reasons(&[], std::slice::from_ref(&none)), ["NoneReady"]);
        assert_eq!(reasons(std::slice::from_ref(&none), std::slice::from_ref(&some)), ["Ready"]);
        assert!(reasons(std::slice::from_ref(&all), std::slice::from_ref(&some)).is_empty());
        assert_eq!(reasons(std::slice::from_ref(&some), std::slice::from_ref(&all)), ["Ready"]);
        assert!(reasons(std::slice::from_ref(&all), std::slice::from_ref(&all)).is_empty());
        assert_eq!(reasons(&[], &[ill("DiskErrors")]), ["Degraded"]);
        assert_eq!(reasons(&[ill("DiskErrors")], &[ill("DiskFailed")]), ["Degraded"]);
        assert!(reasons(&[ill("DiskErrors")], &[]).is_empty());
    }
}
