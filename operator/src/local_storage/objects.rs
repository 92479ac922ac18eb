//! The PersistentVolume and the claim that a workspace should have of a LocalStorage, and its StorageClass, as JSON for the API
//! server, and how they are known again. Pure: nothing is asked.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::local_storage::{LOCAL_STORAGE_UID_LABEL, READY};
use workspacefs_api::local_volume::LOCAL_STORAGE_PARAMETER;
use workspacefs_api::{LOCAL_DRIVER, LocalStorage};

use super::plan::Wanted;
use crate::filesystem::own::MANAGED_BY;

/// What names a LocalStorage everywhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its name, which is also its claims'.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A namespace that is a workspace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workspace {
    /// Its name.
    pub name: String,
    /// Its uid: one that is made again under the same name is another workspace, with other files.
    pub uid: String,
}

impl Identity {
    /// From metadata that an API server delivered.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self { name: meta.name.clone()?, uid: meta.uid.clone()? })
    }

    /// The label of the nodes where it is ready.
    pub fn ready_label(&self) -> String {
        LocalStorage::ready_label(&self.name)
    }

    /// The name of its StorageClass.
    pub fn class_name(&self) -> String {
        LocalStorage::class_name(&self.name)
    }

    /// The name of a workspace's PersistentVolume.
    pub fn volume_name(&self, workspace: &Workspace) -> String {
        format!("{}{}", self.volume_prefix(), workspace.uid)
    }

    /// What the names of all its PersistentVolumes begin with.
    fn volume_prefix(&self) -> String {
        format!("wsfs-local-{}-", self.uid)
    }

    /// Whether we made this volume for it. Only administrators make volumes.
    pub fn made_volume(&self, volume: &PersistentVolume) -> bool {
        volume.labels().get(LOCAL_STORAGE_UID_LABEL) == Some(&self.uid)
    }

    /// Whether we made this claim for it: the claim names a volume of ours, and us by owner or label. People of the namespace
    /// can set each of these; a claim that has them all serves them as ours would.
    pub fn made_claim(&self, claim: &PersistentVolumeClaim) -> bool {
        let owned = claim.owner_references().iter().any(|owner| owner.uid == self.uid);
        let labelled = claim.labels().get(LOCAL_STORAGE_UID_LABEL) == Some(&self.uid);
        (owned || labelled) && volume_of(claim).is_some_and(|name| name.starts_with(&self.volume_prefix()))
    }

    fn labels(&self) -> Value {
        json!({(MANAGED_BY.0): MANAGED_BY.1, (LOCAL_STORAGE_UID_LABEL): self.uid})
    }

    fn owner(&self) -> Value {
        // It does not block the owner's deletion: that is the finalizer's work.
        json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage", "name": self.name, "uid": self.uid,
            "controller": true,
        })
    }
}

/// The volume that a claim names.
pub fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref()
}

/// Namespace and name of the claim that a volume is for.
pub fn claim_of(volume: &PersistentVolume) -> Option<(&str, &str)> {
    let claim = volume.spec.as_ref()?.claim_ref.as_ref()?;
    claim.namespace.as_deref().zip(claim.name.as_deref())
}

/// The StorageClass for claims of their own size. It is there whatever the disks are: whether a directory's can hold anybody to
/// a size each node finds out for itself, and what cannot offers no room, so that a claim waits with the scheduler's own words.
pub fn class(storage: &Identity) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": storage.class_name(), "labels": storage.labels()},
        "provisioner": LOCAL_DRIVER,
        "parameters": {(LOCAL_STORAGE_PARAMETER): storage.name},
        "reclaimPolicy": "Delete",
        // The pod's node decides on whose disk it lies.
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    })
}

/// A workspace's PersistentVolume: for nodes where the storage is ready, and no other. `claim_uid` where the claim exists
/// already: a volume that comes back (somebody deleted it) is bound by the claim only if it names it in full. There is no
/// storage class on it: what is empty the API server does not store, so it would seem missing for ever.
pub fn volume(
    storage: &Identity,
    workspace: &Workspace,
    wanted: &Wanted,
    size: &Quantity,
    claim_uid: Option<&str>,
) -> Value {
    let mut claim_ref = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": workspace.name, "name": storage.name,
    });
    if let Some(uid) = claim_uid {
        claim_ref["uid"] = json!(uid);
    }
    let handle =
        LocalVolumeId::Share { storage: storage.uid.clone(), namespace: workspace.uid.clone() }.to_string();
    let attributes = LocalVolumeAttributes {
        storage: storage.name.clone(),
        namespace: workspace.name.clone(),
        node_group: wanted.node_group.clone(),
        node: None,
    };
    let term = json!({"key": storage.ready_label(), "operator": "In", "values": [READY]});
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": storage.volume_name(workspace), "labels": storage.labels(),
            "ownerReferences": [storage.owner()],
        },
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "volumeMode": "Filesystem",
            "claimRef": claim_ref,
            "csi": {"driver": LOCAL_DRIVER, "volumeHandle": handle, "volumeAttributes": attributes.to_map()},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
        },
    })
}

/// A workspace's claim, bound to its volume beforehand. The empty class says that no other volume will do.
pub fn claim(storage: &Identity, workspace: &Workspace, wanted: &Wanted) -> Value {
    let mut claim = claim_metadata(storage, workspace);
    claim["spec"] = json!({
        "accessModes": ["ReadWriteMany"],
        "volumeMode": "Filesystem",
        "storageClassName": "",
        "volumeName": storage.volume_name(workspace),
        "resources": {"requests": {"storage": wanted.size}},
    });
    claim
}

/// The part of the claim that can still change once it is there: a claim's spec cannot.
pub fn claim_metadata(storage: &Identity, workspace: &Workspace) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "namespace": workspace.name, "name": storage.name, "labels": storage.labels(),
            "ownerReferences": [storage.owner()],
        },
    })
}

#[cfg(test)]
mod tests {
    use workspacefs_testkit::builders;

    use super::*;

    fn storage() -> Identity {
        Identity { name: "fast".into(), uid: "0f8fad5b-d9cb-469f-a165-70867728950e".into() }
    }

    #[test]
    fn a_claim_is_ours_if_it_names_a_volume_of_ours_and_us() {
        let storage = storage();
        let ours = format!("wsfs-local-{}-x", storage.uid);
        for (label, owner, volume, is_ours) in [
            (true, true, ours.as_str(), true),
            (true, false, &ours, true),
            (false, true, &ours, true),
            (false, false, &ours, false),
            (true, true, "wsfs-local-other-x", false),
            (true, true, "", false),
        ] {
            let mut claim = builders::claim("a", "fast", json!({"volumeName": volume}));
            if label {
                claim.labels_mut().insert(LOCAL_STORAGE_UID_LABEL.into(), storage.uid.clone());
            }
            if owner {
                claim.metadata.owner_references = serde_json::from_value(json!([storage.owner()])).ok();
            }
            assert_eq!(storage.made_claim(&claim), is_ours, "{label} {owner} {volume:?}");
        }
    }

    #[test]
    fn names_and_ids_fit_into_kubernetes_limits() {
        let workspace = Workspace { name: "w".repeat(63), uid: storage().uid };
        let storage = Identity { name: "s".repeat(63), ..storage() };
        assert!(storage.volume_name(&workspace).len() <= 253);
        let (_, name) =
            storage.ready_label().split_once('/').map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
        assert!(name.len() <= 63);
        assert!(storage.class_name().len() <= 253);
    }
}
