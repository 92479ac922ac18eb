//! The Deployment, the Service and the NetworkPolicy that run `files` for a FileSystem, as JSON for the API server, and how
//! they are known again. Pure: nothing is asked.

mod rsync;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use workspacefs_api::files::{
    FILES_METRICS_PORT, FILES_PORT, FILES_SECRET, RENEW_RSYNC_SECRET_ANNOTATION, certificate_entry,
    key_entry, object_name,
};
use workspacefs_api::fs_cache::CACHE_ATTRIBUTE;
use workspacefs_api::{DRIVER, FILE_SYSTEM_UID_LABEL, FileSystemSpec};

use super::config::FilesConfig;
use crate::filesystem::objects::Identity;
use crate::filesystem::own::MANAGED_BY;

/// The label that tells `files` from whatever else has to do with a FileSystem.
pub const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "files");
/// The gateway's pods, in the operator's namespace.
const GATEWAY: &str = "dashboard";
/// With which [`object_name`] begins.
const NAME_PREFIX: &str = "files-";
const NAME: (&str, &str) = ("app.kubernetes.io/name", "workspacefs");
/// A namespace's name, as Kubernetes labels it.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// Annotation of a Deployment: a digest of all that was wished. Of what is not wished any more nothing else would tell.
pub const WISH_ANNOTATION: &str = "files.workspacefs.io/wish";
const ROOT: &str = "/data";
const TLS: &str = "/tls";
/// Uploads that are under way get so long to reach the end of a part.
const GRACE_SECONDS: u32 = 30;

/// Where pods run and what of.
pub struct Shop<'a> {
    /// Image, resources, limits.
    pub config: &'a FilesConfig,
    /// Key of the node label whose value is a node's group.
    pub node_group_label: &'a str,
    /// Where the gateway is.
    pub namespace: &'a str,
}

/// What a Deployment is made from, beside the FileSystem.
pub struct Parts<'a> {
    /// The gateway's.
    pub public_keys: &'a [String],
    /// Of its node group's taints.
    pub tolerations: Vec<Value>,
    /// What the FileSystem says of the secret of its rsync daemon: another word, another secret.
    pub renewed: Option<&'a str>,
}

/// The labels of every object that the operator makes for `files`.
pub fn common_labels() -> Value {
    json!({(NAME.0): NAME.1, (COMPONENT.0): COMPONENT.1, (MANAGED_BY.0): MANAGED_BY.1})
}

/// The selector of all that [`common_labels`] are on.
pub fn common_selector() -> String {
    format!("{}={},{}={}", COMPONENT.0, COMPONENT.1, MANAGED_BY.0, MANAGED_BY.1)
}

/// The FileSystem as an owner. One that is not the controller may be one of several.
pub fn owner(fs: &Identity, controller: bool) -> Value {
    let mut owner = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem", "name": fs.name, "uid": fs.uid,
    });
    if controller {
        owner["controller"] = json!(true);
    }
    owner
}

/// Whether this Deployment, Service or NetworkPolicy, which has [`common_labels`], was made for `files` of some FileSystem. Anybody
/// can label anything; what is deleted has their name and owner as well.
pub fn is_made<K: Resource>(object: &K) -> bool {
    let of_ours = |owner: &OwnerReference| {
        owner.kind == "FileSystem" && owner.api_version.starts_with("workspacefs.io/")
    };
    object.name_any().starts_with(NAME_PREFIX) && object.owner_references().iter().any(of_ours)
}

/// Whether this pod is one of the `files` of some FileSystem, by name and labels: its owner is a ReplicaSet.
pub fn is_made_pod(pod: &Pod) -> bool {
    let has = |(key, value): (&str, &str)| pod.labels().get(key).is_some_and(|is| is == value);
    pod.name_any().starts_with(NAME_PREFIX) && has(COMPONENT) && has(MANAGED_BY)
}

/// Whether we made this object for the FileSystem of that uid.
pub fn is_of<K: Resource>(object: &K, uid: &str) -> bool {
    is_labelled(object, uid) && object.owner_references().iter().any(|owner| owner.uid == uid)
}

/// Whether this pod is one of the `files` of the FileSystem of that uid. Its owner is a ReplicaSet, so labels must do.
pub fn is_labelled<K: Resource>(object: &K, uid: &str) -> bool {
    let has = |key: &str, value: &str| object.labels().get(key).is_some_and(|is| is == value);
    has(COMPONENT.0, COMPONENT.1) && has(FILE_SYSTEM_UID_LABEL, uid)
}

fn labels(fs: &Identity) -> Value {
    let mut labels = common_labels();
    labels[FILE_SYSTEM_UID_LABEL] = json!(fs.uid);
    labels
}

/// By which Deployment, Service and NetworkPolicy know the pods. Never to be changed: a Deployment's is immutable.
fn selector(fs: &Identity) -> Value {
    json!({(COMPONENT.0): COMPONENT.1, (FILE_SYSTEM_UID_LABEL): fs.uid})
}

fn metadata(fs: &Identity) -> Value {
    json!({
        "namespace": fs.namespace, "name": object_name(&fs.name, &fs.uid), "labels": labels(fs),
        "ownerReferences": [owner(fs, true)],
    })
}

/// The Service.
pub fn service(config: &FilesConfig, fs: &Identity) -> Value {
    let mut ports =
        vec![json!({"name": "https", "protocol": "TCP", "port": FILES_PORT, "targetPort": "https"})];
    ports.extend(rsync::exposed(config).map(|_| rsync::port()));
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(fs),
        "spec": {
            "type": "ClusterIP", "selector": selector(fs),
            "ports": ports,
        },
    })
}

/// The NetworkPolicy: the gateway alone speaks to the API. The assertion is what keeps others out; this keeps them from trying.
/// Where imports may lead to is for the administrators' own policies to say.
pub fn network_policy(shop: &Shop<'_>, fs: &Identity) -> Value {
    let gateway = json!({
        "namespaceSelector": {"matchLabels": {(NAMESPACE_LABEL): shop.namespace}},
        "podSelector": {"matchLabels": {(NAME.0): NAME.1, (COMPONENT.0): GATEWAY}},
    });
    let ingress = [
        json!({"ports": [{"protocol": "TCP", "port": FILES_PORT}], "from": [gateway]}),
        // Metrics, as on every pod of ours; kubelet's probes come from the node.
        json!({"ports": [{"protocol": "TCP", "port": FILES_METRICS_PORT}]}),
    ];
    let ingress: Vec<Value> = ingress.into_iter().chain(rsync::ingress(shop.config)).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(fs),
        "spec": {
            "podSelector": {"matchLabels": selector(fs)}, "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    })
}

/// The Deployment.
pub fn deployment(shop: &Shop<'_>, fs: &Identity, spec: &FileSystemSpec, parts: &Parts<'_>) -> Value {
    let wish = json!({
        "replicas": 1,
        "revisionHistoryLimit": 1,
        // Two at a time would both tidy up the same uploads and trash.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": selector(fs)},
        "template": {
            "metadata": {"labels": labels(fs), "annotations": annotations(shop.config, parts)},
            "spec": pod(shop, fs, spec, parts),
        },
    });
    let mut metadata = metadata(fs);
    metadata["annotations"] = json!({(WISH_ANNOTATION): digest(&wish)});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": wish})
}

/// By which its pods are started anew: kubelet makes no difference between a new annotation and a new image. Of a new certificate
/// they need to be told nothing: kubelet renews the files below [`TLS`], and `files` reads them again.
fn annotations(config: &FilesConfig, parts: &Parts<'_>) -> Value {
    let mut annotations = json!({});
    if let Some(renewed) = parts.renewed.filter(|_| rsync::exposed(config).is_some()) {
        annotations[RENEW_RSYNC_SECRET_ANNOTATION] = json!(renewed);
    }
    annotations
}

fn digest(wish: &Value) -> String {
    Sha256::digest(wish.to_string().as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn pod(shop: &Shop<'_>, fs: &Identity, spec: &FileSystemSpec, parts: &Parts<'_>) -> Value {
    let config = shop.config;
    let owner = spec.owner.clone().unwrap_or_default();
    // Root has nothing here that its uid alone does not give: no capability, no file system but that one.
    let user = json!({
        "runAsUser": owner.uid, "runAsGroup": owner.gid, "runAsNonRoot": owner.uid != 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let mut node_selector = json!({"kubernetes.io/os": "linux"});
    if let Some(group) = &spec.node_group {
        node_selector[shop.node_group_label] = json!(group);
    }
    let mut containers = vec![container(config, fs, spec, parts)];
    let mut volumes = vec![data(fs, spec), tls(fs)];
    if let Some(rsync) = &config.rsync {
        rsync::join(&mut containers[0]);
        containers.push(rsync::container(config, rsync, fs, &owner));
        volumes.push(rsync::volume());
    }
    let pull_secrets: Vec<Value> = config.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "nodeSelector": node_selector,
        "tolerations": parts.tolerations,
        "imagePullSecrets": pull_secrets,
        // No fsGroup: with another driver's claim kubelet would give every file of it away.
        "securityContext": user,
        "containers": containers,
        "volumes": volumes,
    })
}

fn container(config: &FilesConfig, fs: &Identity, spec: &FileSystemSpec, parts: &Parts<'_>) -> Value {
    // Not the API's port: whoever takes all of its connections would have this restarted. It listens before the other one answers.
    let probe = |period: u32, failures: u32| {
        json!({
            "httpGet": {"path": "/healthz", "port": "metrics", "scheme": "HTTP"},
            "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures,
        })
    };
    json!({
        "name": "files",
        "image": config.image,
        "imagePullPolicy": config.pull_policy,
        "command": ["/files"],
        "args": arguments(config, fs, spec, parts),
        "ports": [
            {"name": "https", "protocol": "TCP", "containerPort": FILES_PORT},
            {"name": "metrics", "protocol": "TCP", "containerPort": FILES_METRICS_PORT},
        ],
        "livenessProbe": probe(10, 6),
        "readinessProbe": probe(5, 3),
        "resources": config.resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": unprivileged(),
        "volumeMounts": [
            {"name": "data", "mountPath": ROOT},
            {"name": "tls", "mountPath": TLS, "readOnly": true},
        ],
    })
}

/// Of each container.
fn unprivileged() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "privileged": false,
        "capabilities": {"drop": ["ALL"]},
    })
}

fn arguments(config: &FilesConfig, fs: &Identity, spec: &FileSystemSpec, parts: &Parts<'_>) -> Vec<String> {
    let owner = spec.owner.clone().unwrap_or_default();
    let mut arguments = vec!["serve".to_string()];
    // Kubelet makes $(NAME) what that variable is, and $$ a $.
    let mut say = |name: &str, value: &str| arguments.push(format!("--{name}={}", value.replace('$', "$$")));
    say("root", ROOT);
    say("file-system", &fs.uid);
    for key in parts.public_keys {
        say("public-key", key);
    }
    say("tls-cert", &format!("{TLS}/tls.crt"));
    say("tls-key", &format!("{TLS}/tls.key"));
    say("listen", &format!("0.0.0.0:{FILES_PORT}"));
    say("metrics", &format!("0.0.0.0:{FILES_METRICS_PORT}"));
    say("owner", &format!("{}:{}", owner.uid, owner.gid));
    say("mode", &owner.mode);
    say("trash-days", &config.trash_days.to_string());
    say("upload-days", &config.upload_days.to_string());
    for endpoint in &config.allow_endpoints {
        say("allow-endpoint", endpoint);
    }
    arguments
}

/// The file system itself, past any cache: what is read here may be written a moment later. The driver mounts nothing inline of
/// a claim of another driver, so that is mounted as it is.
fn data(fs: &Identity, spec: &FileSystemSpec) -> Value {
    match &spec.backend.persistent_volume_claim {
        Some(claim) => json!({"name": "data", "persistentVolumeClaim": {"claimName": claim.claim_name}}),
        None => {
            let attributes = json!({"fileSystem": fs.name, (CACHE_ATTRIBUTE): "off"});
            let csi = json!({"driver": DRIVER, "readOnly": false, "volumeAttributes": attributes});
            json!({"name": "data", "csi": csi})
        }
    }
}

/// Its own certificate alone. Readable for every user of the pod, of which there is one: only fsGroup could say which.
fn tls(fs: &Identity) -> Value {
    let items = json!([
        {"key": certificate_entry(&fs.uid), "path": "tls.crt"},
        {"key": key_entry(&fs.uid), "path": "tls.key"},
    ]);
    json!({"name": "tls", "secret": {"secretName": FILES_SECRET, "items": items, "defaultMode": 0o444}})
}

#[cfg(test)]
mod tests;
