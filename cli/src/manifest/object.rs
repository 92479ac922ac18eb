//! The object, from what is asked for. Pure.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use workspacefs_api::local_storage::READY;
use workspacefs_api::{DRIVER, FsCache};

use super::asked::Mount;
use super::{Args, Kind};

/// Makes it.
pub fn of(args: &Args) -> Result<Value> {
    let mut places: Vec<&str> = args.all_mounts().map(|mount| mount.at.as_str()).collect();
    places.sort_unstable();
    if let Some(twice) = places.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("two mounts at {}", twice[0]);
    }
    if let Some(local) = args.local_storage.iter().find(|mount| !mount.from.is_root()) {
        bail!("LocalStorage {} can only be mounted as a whole, without a folder", local.what);
    }
    let (volumes, mounts) = volumes(args);
    let mut container = json!({"name": args.name.as_str(), "image": args.image});
    put(&mut container, "command", json!(args.command));
    put(&mut container, "volumeMounts", Value::Array(mounts));
    let mut pod = json!({"containers": [container]});
    put(&mut pod, "volumes", Value::Array(volumes));
    if let Some(group) = &args.node_group {
        pod["nodeSelector"] = json!({(args.node_group_label.as_str()): group});
    }
    if !args.caches.is_empty() {
        pod["affinity"] = affinity(args)?;
    }
    let mut metadata = json!({"name": args.name.as_str()});
    if let Some(namespace) = &args.namespace {
        metadata["namespace"] = json!(namespace.as_str());
    }
    Ok(wrapped(args, metadata, pod))
}

/// The object around a pod.
fn wrapped(args: &Args, metadata: Value, mut pod: Value) -> Value {
    let labels = json!({"app": args.name.as_str()});
    match args.kind {
        Kind::Pod => json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}),
        Kind::Job => {
            pod["restartPolicy"] = json!("Never");
            let template = json!({"metadata": {"labels": labels}, "spec": pod});
            let spec = json!({"template": template});
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
        }
        Kind::Deployment => {
            let template = json!({"metadata": {"labels": labels}, "spec": pod});
            let spec = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
        }
    }
}

/// The pod's volumes and the container's mounts: one volume for all mounts of a claim, one for each inline mount.
fn volumes(args: &Args) -> (Vec<Value>, Vec<Value>) {
    let (mut volumes, mut mounts, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    for (number, mount) in args.mounts.iter().filter(|_| args.inline).enumerate() {
        let volume = format!("inline-{}", number + 1);
        let mut attributes = json!({"fileSystem": mount.what.as_str()});
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
    let by_claim = args.mounts.iter().filter(|_| !args.inline).chain(&args.local_storage);
    for mount in by_claim {
        let claim = mount.what.as_str();
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

/// The nodes that have copies of their own: preferred, or the only ones.
fn affinity(args: &Args) -> Result<Value> {
    let namespace = args.namespace.as_ref().map(|name| name.as_str()).unwrap_or_default();
    let mut terms = Vec::new();
    for cache in &args.caches {
        let Some(label) = FsCache::warm_label(namespace, cache.as_str()) else {
            bail!(
                "nodes have no label for FsCache {namespace}/{cache}: both names together have more than 62 characters"
            );
        };
        terms.push(json!({"key": label, "operator": "In", "values": [READY]}));
    }
    let node_affinity = if args.require_warm {
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": terms}]});
        json!({"requiredDuringSchedulingIgnoredDuringExecution": terms})
    } else {
        let prefer = |term| json!({"weight": 100, "preference": {"matchExpressions": [term]}});
        let terms: Vec<Value> = terms.into_iter().map(prefer).collect();
        json!({"preferredDuringSchedulingIgnoredDuringExecution": terms})
    };
    Ok(json!({"nodeAffinity": node_affinity}))
}

impl Args {
    fn all_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().chain(&self.local_storage)
    }
}

/// Nothing is said of what there is nothing of.
fn put(object: &mut Value, field: &str, value: Value) {
    let is_empty = value.as_array().is_some_and(Vec::is_empty);
    if !is_empty {
        object[field] = value;
    }
}
