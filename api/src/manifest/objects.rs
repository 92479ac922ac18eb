//! The objects, from what is asked for.

use serde_json::{Value, json};

use super::{Kind, Manifest, ManifestError, mounts};

/// Makes them, in the order in which they are to be applied: one, or for an Endpoint two.
///
/// # Errors
/// [`ManifestError`].
pub fn objects(manifest: &Manifest) -> Result<Vec<Value>, ManifestError> {
    mounts::check(manifest)?;
    let affinity = mounts::affinity(manifest)?;
    let mut pod = json!({"containers": [container(manifest)]});
    let (volumes, _) = mounts::volumes(manifest);
    put(&mut pod, "volumes", Value::Array(volumes));
    if let Some(group) = &manifest.node_group {
        pod["nodeSelector"] = json!({(manifest.node_group_label.as_str()): group});
    }
    if let Some(affinity) = affinity {
        pod["affinity"] = affinity;
    }
    Ok(wrapped(manifest, pod))
}

fn container(manifest: &Manifest) -> Value {
    let mut container = json!({"name": manifest.name.as_str(), "image": manifest.image});
    let waits = manifest.kind == Kind::DevPod && manifest.command.is_empty();
    let command = if waits { json!(["sleep", "infinity"]) } else { json!(manifest.command) };
    put(&mut container, "command", command);
    if manifest.kind == Kind::Endpoint {
        container["ports"] = json!([{"name": "http", "containerPort": manifest.port}]);
    }
    let (_, mounts) = mounts::volumes(manifest);
    put(&mut container, "volumeMounts", Value::Array(mounts));
    container
}

/// The objects around a pod.
fn wrapped(manifest: &Manifest, mut pod: Value) -> Vec<Value> {
    let mut metadata = json!({"name": manifest.name.as_str()});
    if let Some(namespace) = &manifest.namespace {
        metadata["namespace"] = json!(namespace.as_str());
    }
    let labels = json!({"app": manifest.name.as_str()});
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
    if manifest.kind == Kind::Job {
        pod["restartPolicy"] = json!("Never");
    }
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let replicated = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
    match manifest.kind {
        Kind::Pod => vec![object("v1", "Pod", pod)],
        Kind::Job => vec![object("batch/v1", "Job", json!({"template": template}))],
        Kind::Deployment => vec![object("apps/v1", "Deployment", replicated)],
        Kind::Endpoint => {
            let ports = json!([{"name": "http", "port": 80, "targetPort": "http"}]);
            let service = object("v1", "Service", json!({"selector": labels, "ports": ports}));
            vec![object("apps/v1", "Deployment", replicated), service]
        }
        Kind::DevPod => {
            let mut spec = replicated;
            spec["serviceName"] = json!(manifest.name.as_str());
            vec![object("apps/v1", "StatefulSet", spec)]
        }
    }
}

/// Nothing is said of what there is nothing of.
fn put(object: &mut Value, field: &str, value: Value) {
    let is_empty = value.as_array().is_some_and(Vec::is_empty);
    if !is_empty {
        object[field] = value;
    }
}
