//! The volumes of a manifest's pod, the mounts of its container, and the nodes that they ask for.

use serde_json::{Value, json};

use super::{Manifest, ManifestError, Mount, What};
use crate::local_storage::READY;
use crate::{DRIVER, FsCache};

/// What cannot be mounted together, or not so.
pub fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    for (number, mount) in manifest.mounts.iter().enumerate() {
        if manifest.mounts[..number].iter().any(|earlier| earlier.at == mount.at) {
            return Err(ManifestError::TwoAt { mount: number, at: mount.at.clone() });
        }
        let What::LocalStorage(storage) = &mount.what else { continue };
        if !mount.from.is_root() {
            let storage = storage.to_string();
            return Err(ManifestError::PartOfLocalStorage { mount: number, storage });
        }
        if manifest.node_group.is_none() {
            return Err(ManifestError::NoNodeGroup { storage: storage.to_string() });
        }
    }
    Ok(())
}

/// The pod's volumes and the container's mounts: one volume for all mounts of a claim, one for each inline mount.
pub fn volumes(manifest: &Manifest) -> (Vec<Value>, Vec<Value>) {
    let (mut volumes, mut mounts, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    let is_inline = |mount: &&Mount| manifest.inline && matches!(mount.what, What::FileSystem(_));
    for (number, mount) in manifest.mounts.iter().filter(is_inline).enumerate() {
        let volume = format!("inline-{}", number + 1);
        let mut attributes = json!({"fileSystem": mount.what.name().as_str()});
        if !mount.from.is_root() {
            attributes["mountFrom"] = json!(mount.from.to_string());
        }
        let mut csi = json!({"driver": DRIVER, "volumeAttributes": attributes});
        if mount.read_only {
            // Of the volume, not of the mount: only so is a cached folder itself shown from its copy.
            csi["readOnly"] = json!(true);
        }
        volumes.push(json!({"name": volume, "csi": csi}));
        mounts.push(mounted(&volume, mount, false));
    }
    for mount in manifest.mounts.iter().filter(|mount| !is_inline(mount)) {
        let claim = mount.what.name().as_str();
        let number = claims.iter().position(|known| *known == claim).unwrap_or(claims.len());
        let volume = format!("files-{}", number + 1);
        if number == claims.len() {
            claims.push(claim);
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
        }
        mounts.push(mounted(&volume, mount, true));
    }
    (volumes, mounts)
}

fn mounted(volume: &str, mount: &Mount, by_claim: bool) -> Value {
    let mut mounted = json!({"name": volume, "mountPath": mount.at});
    if mount.read_only {
        mounted["readOnly"] = json!(true);
    }
    if by_claim && !mount.from.is_root() {
        mounted["subPath"] = json!(mount.from.as_str());
    }
    mounted
}

/// The nodes that have copies of their own: preferred, or the only ones. None where no cache is named.
pub fn affinity(manifest: &Manifest) -> Result<Option<Value>, ManifestError> {
    if manifest.caches.is_empty() {
        return Ok(None);
    }
    let namespace = manifest.namespace.as_ref().ok_or(ManifestError::NoNamespace)?.as_str();
    let mut terms = Vec::new();
    for cache in &manifest.caches {
        let label = FsCache::warm_label(namespace, cache.as_str())
            .ok_or_else(|| ManifestError::CacheName(format!("{namespace}/{cache}")))?;
        terms.push(json!({"key": label, "operator": "In", "values": [READY]}));
    }
    let node_affinity = if manifest.require_warm {
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": terms}]});
        json!({"requiredDuringSchedulingIgnoredDuringExecution": terms})
    } else {
        let prefer = |term| json!({"weight": 100, "preference": {"matchExpressions": [term]}});
        let terms: Vec<Value> = terms.into_iter().map(prefer).collect();
        json!({"preferredDuringSchedulingIgnoredDuringExecution": terms})
    };
    Ok(Some(json!({"nodeAffinity": node_affinity})))
}
