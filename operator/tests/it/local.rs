//! What the tests of LocalStorages start from: nodes, a workspace, and what node plugins write.

use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};
use workspacefs_api::LocalStorage;
use workspacefs_testkit::{FakeApi, builders};

use crate::world::*;

pub const WORKSPACE: [(&str, &str); 1] = [("workspacefs.io/workspace", "true")];

/// The spec of a LocalStorage of group `gpu` for workspace `work`, with some fields more.
pub fn spec(more: Value) -> Value {
    let mut spec = json!({"nodeGroup": "gpu", "source": {"devices": {}}, "workspaces": ["work"]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

/// A node of group `gpu` that Kubernetes takes for Ready, with a label of its own.
pub fn put_node(api: &FakeApi, name: &str) {
    let mut node = builders::node(name, "True");
    let labels = [("workspacefs.io/node-group", "gpu"), ("example.com/theirs", "yes")];
    node.metadata.labels = Some(labels.map(|(key, value)| (key.to_string(), value.to_string())).into());
    api.put(&node);
}

/// As a node plugin writes its entry.
pub fn report(api: &FakeApi, storage: &str, node: &str, ready: bool) {
    let entry = serde_json::to_value(builders::node_storage(node, ready)).unwrap();
    report_as(api, storage, entry);
}

pub fn report_as(api: &FakeApi, storage: &str, entry: Value) {
    api.edit("LocalStorage", "", storage, |storage| {
        if storage["status"]["nodes"].is_null() {
            storage["status"]["nodes"] = json!([]);
        }
        let nodes = storage["status"]["nodes"].as_array_mut().unwrap();
        nodes.retain(|known| known["node"] != entry["node"]);
        nodes.push(entry);
    });
}

/// A LocalStorage that is ready on node `n1`, for workspace `work`; all are put there.
pub fn put_ready(api: &FakeApi, name: &str) {
    put_node(api, "n1");
    api.put(&builders::namespace("work", &WORKSPACE));
    api.put(&builders::local_storage(name, spec(json!({}))));
    report(api, name, "n1", true);
}

pub fn storage(api: &FakeApi, name: &str) -> Option<LocalStorage> {
    api.find("LocalStorage", "", name)
}

/// The volume of a LocalStorage in a namespace.
pub fn volume_in(api: &FakeApi, namespace: &str, name: &str) -> Option<PersistentVolume> {
    let namespace: Value = api.find("Namespace", "", namespace)?;
    let uid = storage(api, name)?.metadata.uid?;
    api.find("PersistentVolume", "", &format!("wsfs-local-{uid}-{}", namespace["metadata"]["uid"].as_str()?))
}

pub fn is_bound(api: &FakeApi, namespace: &str, name: &str) -> bool {
    claim(api, namespace, name).is_some_and(|claim| at(&claim, "/status/phase") == "Bound")
}

pub async fn until_claim(api: &FakeApi, namespace: &str, name: &str) {
    api.until(&format!("claim {namespace}/{name} is bound"), |api| is_bound(api, namespace, name)).await;
}

/// The nodes with its label, of whatever value.
pub fn labelled(api: &FakeApi, name: &str) -> Vec<String> {
    let label = format!("local.workspacefs.io/{name}");
    let nodes = api.all("Node").into_iter().filter(|node| !node["metadata"]["labels"][&label].is_null());
    nodes.map(|node| node["metadata"]["name"].as_str().unwrap().to_string()).collect()
}

pub async fn until_labelled(api: &FakeApi, name: &str, nodes: &[&str]) {
    api.until(&format!("the label is on {nodes:?}"), |api| labelled(api, name) == nodes).await;
}

pub fn node(api: &FakeApi, name: &str) -> Node {
    api.find("Node", "", name).unwrap()
}

pub fn of(api: &FakeApi, name: &str, kind: &str) -> Option<Condition> {
    storage(api, name)?.status?.conditions.into_iter().find(|condition| condition.type_ == kind)
}

/// Waits for a condition's reason and returns its message.
pub async fn until_of(api: &FakeApi, name: &str, kind: &str, reason: &str) -> String {
    let what = format!("{name}: {kind} because {reason}");
    api.until(&what, |api| of(api, name, kind).is_some_and(|c| c.reason == reason)).await;
    of(api, name, kind).unwrap().message
}

/// How many Events of that reason there are.
pub fn told(api: &FakeApi, reason: &str) -> usize {
    event_reasons(api).iter().filter(|told| *told == reason).count()
}
