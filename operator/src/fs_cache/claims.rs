//! The claim of an FsCache whose exposure is Claim, and its PersistentVolume: what they should be, and how they are known
//! again. Pure: nothing is asked. [`super::claim`] carries it out.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use serde_json::{Value, json};
use workspacefs_api::cache_attributes::{CacheVolumeAttributes, CacheVolumeId};
use workspacefs_api::fs_cache::FS_CACHE_UID_LABEL;
use workspacefs_api::local_storage::READY;
use workspacefs_api::{DRIVER, FsCache, LocalStorage};

use super::objects::Identity;
use super::setting::Target;
use crate::filesystem::objects::node_affinity;
use crate::filesystem::own::{MANAGED_BY, is_claim_of, volume_name};

/// A size has to be said. A copy's own changes, and nothing holds anybody to this one: nobody can write.
const CAPACITY: &str = "1Gi";

impl Identity {
    /// The name of its PersistentVolume.
    pub fn volume_name(&self) -> String {
        volume_name(&self.uid)
    }

    /// Whether we made this volume for it. Only administrators make volumes.
    pub fn made_volume(&self, volume: &PersistentVolume) -> bool {
        volume.labels().get(FS_CACHE_UID_LABEL) == Some(&self.uid)
    }

    /// Whether we made this claim for it.
    pub fn made_claim(&self, claim: &PersistentVolumeClaim) -> bool {
        is_claim_of(claim, FS_CACHE_UID_LABEL, &self.uid)
    }

    fn labels(&self) -> Value {
        json!({(MANAGED_BY.0): MANAGED_BY.1, (FS_CACHE_UID_LABEL): self.uid})
    }
}

/// The PersistentVolume: for the nodes that have a copy, and no other. `claim_uid` where the claim exists already: a volume
/// that comes back (somebody deleted it) is bound by the claim only if it names it in full. There is no storage class on it:
/// what is empty the API server does not store, so it would seem missing for ever.
pub fn volume(cache: &Identity, target: &Target, node_group_label: &str, claim_uid: Option<&str>) -> Value {
    let whose = CacheVolumeAttributes { namespace: cache.namespace.clone(), name: cache.name.clone() };
    let mut claim_ref = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": cache.namespace, "name": cache.name,
    });
    if let Some(uid) = claim_uid {
        claim_ref["uid"] = json!(uid);
    }
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": cache.volume_name(), "labels": cache.labels()},
        "spec": {
            "capacity": {"storage": CAPACITY},
            "accessModes": ["ReadOnlyMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "volumeMode": "Filesystem",
            "claimRef": claim_ref,
            "csi": {
                "driver": DRIVER, "volumeHandle": CacheVolumeId::of(&cache.uid).to_string(), "readOnly": true,
                "volumeAttributes": whose.to_map(),
            },
            "nodeAffinity": affinity(cache, target, node_group_label),
        },
    })
}

/// Of a LocalStorage the nodes whose own copy is warm. Where the name is too long for that label those where the storage is
/// ready: there the node refuses what it does not have, and the pod waits.
fn affinity(cache: &Identity, target: &Target, node_group_label: &str) -> Value {
    match target {
        Target::FileSystem { group, .. } => node_affinity(node_group_label, group),
        Target::LocalStorage { name, .. } => {
            let warm = FsCache::warm_label(&cache.namespace, &cache.name);
            node_affinity(&warm.unwrap_or_else(|| LocalStorage::ready_label(name)), READY)
        }
    }
}

/// The claim, bound to the volume beforehand. The empty class says that no other volume will do.
pub fn claim(cache: &Identity) -> Value {
    let mut claim = claim_metadata(cache);
    claim["spec"] = json!({
        "accessModes": ["ReadOnlyMany"],
        "volumeMode": "Filesystem",
        "storageClassName": "",
        "volumeName": cache.volume_name(),
        "resources": {"requests": {"storage": CAPACITY}},
    });
    claim
}

/// The part of the claim that can still change once it is there: a claim's spec cannot.
pub fn claim_metadata(cache: &Identity) -> Value {
    // It does not block the owner's deletion: that is the finalizer's work.
    let owner = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache", "name": cache.name, "uid": cache.uid,
        "controller": true,
    });
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "namespace": cache.namespace, "name": cache.name, "labels": cache.labels(), "ownerReferences": [owner],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(name: &str) -> Identity {
        let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        Identity { namespace: "a".into(), name: name.into(), uid: uid.into() }
    }

    #[test]
    fn a_volume_is_for_the_nodes_that_have_a_copy_and_says_what_the_node_reads() {
        let nvme = Target::LocalStorage { name: "nvme".into(), group: "gpu".into(), selector: [].into() };
        let near = Target::FileSystem { name: "near".into(), group: "gpu".into() };
        let long = "c".repeat(63);
        for (target, name, key, value) in [
            (&near, "warm", "group", "gpu"),
            (&nvme, "warm", "cache.workspacefs.io/a.warm", "ready"),
            (&nvme, long.as_str(), "local.workspacefs.io/nvme", "ready"),
        ] {
            let wish = volume(&cache(name), target, "group", None);
            let term =
                &wish["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
            assert_eq!((&term["key"], &term["values"]), (&json!(key), &json!([value])));
            let typed: PersistentVolume = serde_json::from_value(wish).unwrap();
            assert!(cache(name).made_volume(&typed));
            let csi = typed.spec.and_then(|spec| spec.csi).unwrap();
            assert_eq!(csi.read_only, Some(true));
            assert_eq!(CacheVolumeId::parse(&csi.volume_handle).unwrap().uid(), cache(name).uid);
            let whose = CacheVolumeAttributes::from_map(&csi.volume_attributes.unwrap()).unwrap();
            assert_eq!((whose.namespace.as_str(), whose.name.as_str()), ("a", name));
        }
    }

    #[test]
    fn a_claim_is_ours_only_with_our_volume_and_our_name_on_it() {
        let wish = claim(&cache("warm"));
        let made = |wish: &Value| cache("warm").made_claim(&serde_json::from_value(wish.clone()).unwrap());
        assert!(made(&wish));
        let mut other = wish.clone();
        other["spec"]["volumeName"] = json!("theirs");
        assert!(!made(&other));
        let mut bare = wish;
        bare["metadata"] = json!({"name": "warm"});
        assert!(!made(&bare));
    }
}
