//! Objects for tests, in the shortest form that says what matters.

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::CSINode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use workspacefs_api::local_storage::LOCAL_STORAGE_UID_LABEL;
use workspacefs_api::local_volume::LOCAL_VOLUME_FINALIZER;
use workspacefs_api::{FileSystem, FsCache, LocalStorage, LocalVolume, NodeStorage};

/// Reads an object of any type from JSON.
///
/// # Panics
/// When it is not of that type: the test is wrong.
pub fn object<T: DeserializeOwned>(value: Value) -> T {
    let text = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A namespace with labels (`key=value`).
pub fn namespace(name: &str, labels: &[(&str, &str)]) -> Namespace {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(k, v)| ((*k).into(), json!(v))).collect();
    object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
}

/// A FileSystem with that spec.
pub fn file_system(namespace: &str, name: &str, spec: Value) -> FileSystem {
    object(json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    }))
}

/// The spec of an `nfs` FileSystem.
pub fn nfs(server: &str, port: u16) -> Value {
    json!({"backend": {"nfs": {"server": server, "export": "/export/shared", "folder": "a", "port": port}}})
}

/// The spec of a `managed` FileSystem.
pub fn managed(capacity: &str) -> Value {
    json!({"backend": {"managed": {"capacity": capacity}}})
}

/// An FsCache with that spec.
pub fn fs_cache(namespace: &str, name: &str, spec: Value) -> FsCache {
    object(json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    }))
}

/// A LocalStorage with that spec.
pub fn local_storage(name: &str, spec: Value) -> LocalStorage {
    object(json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage", "metadata": {"name": name}, "spec": spec,
    }))
}

/// A node's entry in the status of a LocalStorage: ready, or without a disk.
pub fn node_storage(node: &str, ready: bool) -> NodeStorage {
    let (reason, message) = if ready { ("Ready", "") } else { ("NoDisk", "no disk of its own is approved") };
    object(json!({
        "node": node, "ready": ready, "reason": reason, "message": message,
        "observedAt": "2026-01-01T00:00:00Z",
    }))
}

/// A Service with that address.
pub fn service(namespace: &str, name: &str, address: &str) -> Service {
    object(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": address},
    }))
}

/// A node whose condition Ready has that status.
pub fn node(name: &str, ready: &str) -> Node {
    object(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }))
}

/// What kubelet says of a node: the drivers that have registered there.
pub fn csi_node(name: &str, drivers: &[&str]) -> CSINode {
    let drivers: Vec<_> = drivers.iter().map(|driver| json!({"name": driver, "nodeID": name})).collect();
    object(json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": name},
        "spec": {"drivers": drivers},
    }))
}

/// A claim with that spec.
pub fn claim(namespace: &str, name: &str, spec: Value) -> PersistentVolumeClaim {
    object(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    }))
}

/// A volume with that spec.
pub fn volume(name: &str, spec: Value) -> PersistentVolume {
    object(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}))
}

/// A running pod, on node n1, with those entries of `spec.volumes`.
pub fn running_pod(namespace: &str, name: &str, volumes: Value) -> Pod {
    object(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "volumes": volumes},
        "status": {"phase": "Running"},
    }))
}

/// A pod that no node was found for, mounting that claim.
pub fn waiting_pod(namespace: &str, name: &str, claim: &str) -> Pod {
    object(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}],
        },
        "status": {"phase": "Pending"},
    }))
}

/// A claim's volume on a node's disk, ready, of workspace `work`: on the LocalStorage of that uid.
pub fn local_volume(storage_uid: &str, node: &str, claim: &str) -> LocalVolume {
    object(json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalVolume",
        "metadata": {
            "name": format!("volume-{claim}"), "uid": format!("uid-of-{claim}"),
            "labels": {(LOCAL_STORAGE_UID_LABEL): storage_uid}, "finalizers": [LOCAL_VOLUME_FINALIZER],
        },
        "spec": {
            "storage": "fast", "storageUid": storage_uid, "node": node, "volume": format!("pvc-{claim}"),
            "namespace": "work", "claim": claim, "sizeBytes": 1 << 30,
        },
        "status": {"phase": "Ready", "sizeBytes": 1 << 30},
    }))
}
