//! What is said of FileSystems, LocalStorages and FsCaches: pure functions from objects to JSON. Sizes are bytes, `null` where
//! nobody knows. What of it somebody may see was decided before.

mod storage;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;
use workspacefs_api::{Backend, FileSystem, UsageScope, quantity};

pub use storage::{Storage, storage};

use crate::review::Rights;

/// One of `GET /workspaces`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// Name of the namespace.
    pub name: String,
    /// How many FileSystems it has.
    pub file_systems: usize,
}

/// One of `GET /workspaces/{ws}/filesystems`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystemAnswer {
    name: String,
    uid: String,
    kind: &'static str,
    default: bool,
    node_group: Option<String>,
    capacity: Option<u64>,
    used: Option<u64>,
    available: Option<u64>,
    /// Of what these figures are: the FileSystem, or the whole share that it lies on.
    usage_of: &'static str,
    health: &'static str,
    message: String,
    files: &'static str,
    files_message: String,
    rights: Rights,
    local_cache: bool,
}

/// What is said of a FileSystem to somebody with these rights.
pub fn file_system(fs: &FileSystem, rights: Rights) -> FileSystemAnswer {
    let usage = fs.status.as_ref().and_then(|status| status.usage.as_ref());
    let share = usage.is_some_and(|usage| usage.scope == UsageScope::Share);
    let capacity = usage.map(|usage| &usage.capacity).or_else(|| wished(fs));
    let is_ready = |kind| fs.condition(kind).is_some_and(|condition| condition.status == "True");
    FileSystemAnswer {
        name: fs.name_any(),
        uid: fs.uid().unwrap_or_default(),
        kind: kind(&fs.spec.backend),
        default: fs.name_any() == "default",
        node_group: fs.spec.node_group.clone(),
        capacity: bytes(capacity),
        used: bytes(usage.map(|usage| &usage.used)),
        available: bytes(usage.map(|usage| &usage.available)),
        usage_of: if share { "Share" } else { "FileSystem" },
        health: health(fs.condition("Ready")),
        message: message(fs.condition("Ready")),
        files: if is_ready("FilesReady") { "Ready" } else { "NotReady" },
        files_message: message(fs.condition("FilesReady")),
        rights,
        local_cache: fs.spec.local_cache,
    }
}

fn wished(fs: &FileSystem) -> Option<&Quantity> {
    let managed = fs.spec.backend.managed.as_ref().map(|managed| &managed.capacity);
    managed.or(fs.spec.capacity.as_ref())
}

fn kind(backend: &Backend) -> &'static str {
    match backend {
        Backend { managed: Some(_), .. } => "managed",
        Backend { nfs: Some(_), .. } => "nfs",
        Backend { persistent_volume_claim: Some(_), .. } => "persistentVolumeClaim",
        Backend { .. } => "unknown",
    }
}

fn bytes(quantity: Option<&Quantity>) -> Option<u64> {
    quantity.and_then(|quantity| quantity::bytes(&quantity.0))
}

fn health(condition: Option<&Condition>) -> &'static str {
    match condition.map(|condition| condition.status.as_str()) {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    }
}

/// What a person should know: nothing where all is well.
fn message(condition: Option<&Condition>) -> String {
    condition.filter(|condition| condition.status != "True").map(|c| c.message.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_testkit::builders;

    use super::*;

    #[test]
    fn sizes_are_bytes_and_what_nobody_knows_is_null() {
        let mut fs = builders::file_system("ws", "default", builders::managed("10Gi"));
        fs.metadata.uid = Some("u".into());
        let rights = Rights { read: true, write: false, delete: false };
        let said = |fs: &FileSystem| serde_json::to_value(file_system(fs, rights)).unwrap();
        let expected = json!({
            "name": "default", "uid": "u", "kind": "managed", "default": true, "nodeGroup": null,
            "capacity": 10_u64 << 30, "used": null, "available": null, "usageOf": "FileSystem",
            "health": "Unknown", "message": "", "files": "NotReady", "filesMessage": "",
            "rights": {"read": true, "write": false, "delete": false}, "localCache": false,
        });
        assert_eq!(said(&fs), expected);
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "R", "message": "m",
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        fs.status = serde_json::from_value(json!({
            "usage": {"scope": "Share", "capacity": "1Ti", "used": "1500m", "available": "1Mi", "inodes": 0,
                      "inodesUsed": 0, "observedAt": "2026-01-01T00:00:00Z"},
            "conditions": [condition("Ready", "True"), condition("FilesReady", "False")],
        }))
        .unwrap();
        let said = said(&fs);
        for (field, value) in [
            ("capacity", json!(1_u64 << 40)),
            ("used", json!(2)),
            ("available", json!(1 << 20)),
            ("usageOf", json!("Share")),
            ("health", json!("Ready")),
            ("message", json!("")),
            ("files", json!("NotReady")),
            ("filesMessage", json!("m")),
        ] {
            assert_eq!(said[field], value, "{field}");
        }
    }
}
