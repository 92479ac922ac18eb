//! LocalStorages as cases see them: made, waited for, and taken away with all that was written to their disks.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use workspacefs_api::{LocalStorage, NodeStorage};

use super::{claimed, disks};
use crate::Cluster;
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::hygiene::NODES;
use crate::suites::wait::{seconds, until};
use crate::topology::{Drive, workers};

/// What most cases call theirs, and so its claims.
pub const NAME: &str = "fast";

/// The group of both nodes.
pub const GROUP: &str = "gpu";

/// The drives that a LocalStorage may have been on.
const APPROVABLE: [Drive; 2] = [Drive::Ssd, Drive::Hdd];

/// Time for a node to see a disk, format it and say so.
pub const TAKEN_TIME_MAX: Duration = seconds(120);

/// What a drive of a node is approved by.
pub fn identity(node: &str, drive: Drive) -> String {
    let serial = workers().find(|plan| plan.name == node).and_then(|plan| plan.drive_serial(drive));
    format!("serial:{}", serial.unwrap_or_default())
}

/// The spec of a LocalStorage on the nodes' disks: those approved, and who may use it.
pub fn on_disks(approved: &[String], workspaces: &[&str]) -> Value {
    let approved: Vec<Value> = approved.iter().map(|identity| json!({ "identity": identity })).collect();
    json!({ "nodeGroup": GROUP, "source": { "devices": { "approved": approved } }, "workspaces": workspaces })
}

/// Whether a message has all of these words, in whatever case.
pub fn says(message: &str, words: &[&str]) -> bool {
    let message = message.to_lowercase();
    words.iter().all(|word| message.contains(&word.to_lowercase()))
}

impl Context {
    /// All LocalStorages.
    pub fn local_storages(&self) -> Api<LocalStorage> {
        Api::all(self.client())
    }

    /// Makes a LocalStorage. When the guard goes, so do the pods of its workspaces, it, and what is on the drives that have
    /// a serial number.
    pub async fn local_storage(&self, name: &str, spec: Value) -> Result<Fault> {
        let workspaces = spec["workspaces"].as_array().into_iter().flatten();
        let workspaces = workspaces.filter_map(Value::as_str).map(str::to_owned).collect();
        let guard = self.taken_away(name, workspaces);
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage", "metadata": { "name": name }, "spec": spec,
        });
        self.local_storages().create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(guard)
    }

    /// The guard alone, for one that the case makes in another way.
    pub fn taken_away(&self, name: &str, workspaces: Vec<String>) -> Fault {
        let (cluster, name) = (self.cluster().clone(), name.to_owned());
        Fault::new(move || take_away(&cluster, &name, &workspaces))
    }

    /// Approves these disks instead of those that were.
    pub async fn approve(&self, name: &str, approved: &[String]) -> Result<()> {
        let approved: Vec<Value> = approved.iter().map(|identity| json!({ "identity": identity })).collect();
        let patch = json!({ "spec": { "source": { "devices": { "approved": approved } } } });
        self.local_storages().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until a node's entry fits, which `wish` says for the reader.
    pub async fn entry(
        &self,
        name: &str,
        node: &str,
        wish: &str,
        limit: Duration,
        fits: impl Fn(&NodeStorage) -> bool,
    ) -> Result<NodeStorage> {
        let look = || async {
            let object = self.local_storages().get(name).await?;
            let entry = object.on_node(node).context("the node has no entry")?;
            ensure!(fits(entry), "it is {entry:?}");
            Ok(entry.clone())
        };
        until(&format!("LocalStorage {name} on {node}: {wish}"), limit, look).await
    }

    /// Waits until pods can use it on a node: the node says so, and the operator tells the scheduler.
    pub async fn ready_on(&self, name: &str, node: &str) -> Result<NodeStorage> {
        let entry = self.entry(name, node, "ready", TAKEN_TIME_MAX, |entry| entry.ready).await?;
        let look = || async {
            let labelled = self.labelled(name).await?;
            ensure!(labelled.iter().any(|other| other == node), "the label is on {labelled:?}");
            Ok(())
        };
        until(&format!("the label of {name} is on {node}"), seconds(30), look).await?;
        Ok(entry)
    }

    /// Waits until the scheduler is told of these nodes and no other.
    pub async fn labelled_are(&self, name: &str, nodes: &[&str], limit: Duration) -> Result<()> {
        let look = || async {
            let labelled = self.labelled(name).await?;
            ensure!(labelled == nodes, "it is on {labelled:?}");
            Ok(())
        };
        until(&format!("the label of {name} is on {nodes:?}"), limit, look).await
    }

    /// The nodes of which the scheduler is told that the storage is ready there.
    pub async fn labelled(&self, name: &str) -> Result<Vec<String>> {
        let nodes: Api<Node> = Api::all(self.client());
        let ready = ListParams::default().labels(&format!("{}=ready", LocalStorage::ready_label(name)));
        let mut names: Vec<String> = nodes.list(&ready).await?.iter().map(ResourceExt::name_any).collect();
        names.sort();
        Ok(names)
    }

    /// Waits for a condition of a LocalStorage whose message has all of these words; gives the message.
    pub async fn storage_condition(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        words: &[&str],
    ) -> Result<String> {
        let look = || async {
            let object = self.local_storages().get(name).await?;
            let conditions = object.status.map(|status| status.conditions).unwrap_or_default();
            let Some(found) = conditions.into_iter().find(|condition| condition.type_ == kind) else {
                bail!("there is no such condition");
            };
            ensure!(
                found.status == status && says(&found.message, words),
                "it is {}: {}: {}",
                found.status,
                found.reason,
                found.message
            );
            Ok(found.message)
        };
        until(&format!("LocalStorage {name} has {kind}={status}, saying {words:?}"), seconds(60), look).await
    }

    /// A second workspace, which goes with the guard.
    pub async fn workspace_beside(&self, suffix: &str) -> Result<(Context, Fault)> {
        let name = format!("{}-{suffix}", self.namespace());
        let other = self.in_namespace(&name);
        let cluster = self.cluster().clone();
        let guard = Fault::new(move || {
            let delete = ["delete", "namespace", &name, "--ignore-not-found", "--timeout=110s"];
            Ok(cluster.kubectl("admin", &delete).map(drop)?)
        });
        let labels = json!({ "workspacefs.io/e2e": "local", "workspacefs.io/workspace": "true" });
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": other.namespace(), "labels": labels },
        });
        other.apply(&object.to_string()).await?;
        Ok((other, guard))
    }

    /// Waits until an Event of the namespace, about whatever, says all of the words; gives its message.
    pub async fn event_of_any(&self, words: &[&str], limit: Duration) -> Result<String> {
        let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(self.client(), self.namespace());
        let look = || async {
            let list = events.list(&ListParams::default()).await?;
            let messages: Vec<String> = list.into_iter().filter_map(|event| event.message).collect();
            let found = messages.iter().find(|message| says(message, words)).cloned();
            found.with_context(|| format!("the Events say:\n{}", messages.join("\n")))
        };
        until(&format!("an Event says {words:?}"), limit, look).await
    }
}

/// Removes what uses a LocalStorage, it, and what is on the drives that have
/// a serial number.
fn take_away(cluster: &Cluster, name: &str, workspaces: &[String]) -> Result<()> {
    for namespace in workspaces {
        let pods = ["--namespace", namespace, "delete", "statefulsets,jobs,pods", "--all", "--timeout=100s"];
        cluster.kubectl("admin", &pods)?;
    }
    let volumes = claimed::take_away(cluster, name, workspaces);
    let delete = ["delete", "localstorages.workspacefs.io", name, "--ignore-not-found", "--timeout=100s"];
    let gone = cluster.kubectl("admin", &delete);
    // Another one of the same case may be on the other drive: whichever goes last leaves all of them blank.
    let others = ["get", "localstorages.workspacefs.io", "--output=name", "--ignore-not-found"];
    let nodes = if cluster.kubectl("admin", &others)?.trim().is_empty() { &NODES[..] } else { &[] };
    // The next case finds blank drives whatever became of this one.
    let mut left = Vec::new();
    for &node in nodes {
        left.extend(
            disks::blank(&cluster.machine(node)?, &APPROVABLE)?.into_iter().map(|at| format!("{node}:{at}")),
        );
    }
    volumes?;
    gone?;
    ensure!(left.is_empty(), "LocalStorage {name} is gone, and its disk was still mounted: {left:?}");
    Ok(())
}
