//! The PersistentVolume, the claim and the StorageClass that a FileSystem should have, as JSON for the API server. Pure:
//! nothing is asked.

use kube::api::ObjectMeta;
use serde_json::{Value, json};
use workspacefs_api::volume::VolumeId;
use workspacefs_api::{DRIVER, FILE_SYSTEM_UID_LABEL, ReclaimPolicy};

use super::own::{MANAGED_BY, volume_name};
use super::plan::Wanted;

/// What names a FileSystem everywhere.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name, which is also its claim's.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Identity {
    /// From metadata that an API server delivered.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid: meta.uid.clone()? })
    }

    /// The name of its PersistentVolume.
    pub fn volume_name(&self) -> String {
        volume_name(&self.uid)
    }

    /// The class that volume and claim name, and further claims.
    pub fn class_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    fn labels(&self) -> Value {
        json!({(MANAGED_BY.0): MANAGED_BY.1, (FILE_SYSTEM_UID_LABEL): self.uid})
    }
}

/// The StorageClass for further claims. Only where a size is a limit may they grow.
pub fn class(fs: &Identity, wanted: &Wanted) -> Value {
    let reclaim = match wanted.reclaim_policy {
        ReclaimPolicy::Retain => "Retain",
        // Whether deleted files go into the trash or the archive is the driver's to know.
        ReclaimPolicy::Delete | ReclaimPolicy::Archive => "Delete",
    };
    let mut class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": fs.class_name(), "labels": fs.labels()},
        "provisioner": DRIVER,
        "parameters": {"namespace": fs.namespace, "fileSystem": fs.name},
        "reclaimPolicy": reclaim,
        "volumeBindingMode": "Immediate",
        "mountOptions": wanted.mount_options,
    });
    if wanted.enforced {
        class["allowVolumeExpansion"] = json!(true);
    }
    class
}

/// The PersistentVolume. `claim_uid` where the claim exists already: a volume that comes back (somebody deleted it) is bound
/// by the claim only if it names it in full.
pub fn volume(fs: &Identity, wanted: &Wanted, node_group_label: &str, claim_uid: Option<&str>) -> Value {
    let mut claim_ref = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": fs.namespace, "name": fs.name,
    });
    if let Some(uid) = claim_uid {
        claim_ref["uid"] = json!(uid);
    }
    let handle = VolumeId::FileSystem { uid: fs.uid.clone() }.to_string();
    let mut spec = json!({
        "capacity": {"storage": wanted.capacity_or_placeholder()},
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": fs.class_name(),
        "volumeMode": "Filesystem",
        "mountOptions": wanted.mount_options,
        "claimRef": claim_ref,
        "csi": {"driver": DRIVER, "volumeHandle": handle, "volumeAttributes": wanted.attributes.to_map()},
    });
    if let Some(group) = &wanted.attributes.node_group {
        spec["nodeAffinity"] = node_affinity(node_group_label, group);
    }
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": fs.volume_name(), "labels": fs.labels()},
        "spec": spec,
    })
}

/// Only nodes whose label names the group.
pub fn node_affinity(node_group_label: &str, group: &str) -> Value {
    let term = json!({"key": node_group_label, "operator": "In", "values": [group]});
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}})
}

/// The claim, owned by the FileSystem. It does not block the owner's deletion: that is the finalizer's work.
pub fn claim(fs: &Identity, wanted: &Wanted) -> Value {
    let mut claim = claim_metadata(fs);
    claim["spec"] = json!({
        "accessModes": ["ReadWriteMany"],
        "volumeMode": "Filesystem",
        "storageClassName": fs.class_name(),
        "volumeName": fs.volume_name(),
        "resources": {"requests": {"storage": wanted.capacity_or_placeholder()}},
    });
    claim
}

/// The part of the claim that can still change once it is there: a claim's spec cannot.
pub fn claim_metadata(fs: &Identity) -> Value {
    let owner = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem", "name": fs.name, "uid": fs.uid,
        "controller": true,
    });
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "namespace": fs.namespace, "name": fs.name, "labels": fs.labels(), "ownerReferences": [owner],
        },
    })
}
