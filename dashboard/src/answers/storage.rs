//! The answer to `GET /workspaces/{ws}/storage`: what else of workspacefs a workspace has.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde::Serialize;
use workspacefs_api::{CachePhase, CacheSource, CacheTarget, FileSystem, FsCache, Health, LocalStorage};

use super::{bytes, health, message};

/// All of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The node groups that the workspace's storage names.
    node_groups: BTreeSet<String>,
    local_storages: Vec<LocalStorageAnswer>,
    caches: Vec<CacheAnswer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalStorageAnswer {
    name: String,
    node_group: String,
    media: Option<String>,
    nodes: usize,
    nodes_ready: usize,
    capacity: Option<u64>,
    health: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheAnswer {
    name: String,
    source: String,
    paths: Vec<String>,
    target: String,
    phase: CachePhase,
    /// From 0 to 1.
    progress: Option<f64>,
    size: Option<u64>,
    as_of: Option<String>,
    health: &'static str,
    message: String,
}

/// What a workspace with these objects has.
pub fn storage(file_systems: &[FileSystem], storages: &[LocalStorage], caches: &[FsCache]) -> Storage {
    let dedicated = file_systems.iter().filter_map(|fs| fs.spec.node_group.clone());
    let node_groups =
        dedicated.chain(storages.iter().map(|storage| storage.spec.node_group.clone())).collect();
    Storage {
        node_groups,
        local_storages: storages.iter().map(local_storage).collect(),
        caches: caches.iter().map(cache).collect(),
    }
}

fn local_storage(storage: &LocalStorage) -> LocalStorageAnswer {
    let status = storage.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    LocalStorageAnswer {
        name: storage.name_any(),
        node_group: storage.spec.node_group.clone(),
        nodes: status.nodes.len(),
        nodes_ready: status.nodes.iter().filter(|node| node.ready).count(),
        capacity: bytes(status.capacity.as_ref()),
        health: match status.health {
            Some(Health::Healthy) => "Healthy",
            Some(Health::Degraded) => "Degraded",
            Some(Health::Failed) => "Failed",
            Some(Health::Unknown) | None => "Unknown",
        },
        message: message(ready),
        media: status.media,
    }
}

fn cache(cache: &FsCache) -> CacheAnswer {
    let status = cache.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    CacheAnswer {
        name: cache.name_any(),
        source: source(&cache.spec.source),
        paths: cache.spec.source.kept_paths(),
        target: target(&cache.spec.target),
        phase: status.phase.unwrap_or_default(),
        progress: status.progress.as_deref().and_then(progress),
        size: bytes(status.size.as_ref()),
        as_of: status.as_of.map(|time| time.0.to_string()),
        health: health(ready),
        message: message(ready),
    }
}

/// `42%` as 0.42.
fn progress(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    Some(percent / 100.0)
}

fn source(source: &CacheSource) -> String {
    match &source.s3 {
        Some(bucket) => format!("s3://{}/{}", bucket.bucket, bucket.prefix),
        None => source.file_system.clone().unwrap_or_default(),
    }
}

fn target(target: &CacheTarget) -> String {
    target.file_system.clone().or_else(|| target.local_storage.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_testkit::builders;

    use super::*;

    #[test]
    fn groups_are_those_of_the_workspaces_own_storage() {
        let mut dedicated = builders::file_system("ws", "fast", builders::managed("1Gi"));
        dedicated.spec.node_group = Some("gpu".into());
        let source = json!({"directory": {"path": "/mnt/x"}});
        let spec = json!({"nodeGroup": "cpu", "source": source, "workspaces": ["ws"]});
        let mut local = builders::local_storage("nvme", spec);
        let nodes = [builders::node_storage("a", true), builders::node_storage("b", false)];
        local.status =
            serde_json::from_value(json!({"nodes": nodes, "capacity": "1Ti", "health": "Degraded"})).unwrap();
        let spec =
            json!({"source": {"fileSystem": "default", "paths": ["/d"]}, "target": {"fileSystem": "fast"}});
        let mut warm = builders::fs_cache("ws", "warm", spec);
        warm.status = serde_json::from_value(json!({"phase": "Filling", "progress": "42%"})).unwrap();
        let said = serde_json::to_value(storage(&[dedicated], &[local], &[warm])).unwrap();
        assert_eq!(said["nodeGroups"], json!(["cpu", "gpu"]));
        let expected = json!([{"name": "nvme", "nodeGroup": "cpu", "media": null, "nodes": 2, "nodesReady": 1,
                               "capacity": 1_u64 << 40, "health": "Degraded", "message": ""}]);
        assert_eq!(said["localStorages"], expected);
        let expected = json!([{"name": "warm", "source": "default", "paths": ["/d"], "target": "fast",
                               "phase": "Filling", "progress": 0.42, "size": null, "asOf": null,
                               "health": "Unknown", "message": ""}]);
        assert_eq!(said["caches"], expected);
    }
}
