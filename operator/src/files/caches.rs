//! What the watches keep of the objects of `files`, so that a pass that finds all well asks the API server nothing; and what
//! makes a pass over a FileSystem happen on their account.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::controller::{ReconcileRequest, trigger_with};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::timeout;
use workspacefs_api::{FILE_SYSTEM_UID_LABEL, FileSystem};

use super::keys::Known;
use super::objects::{common_selector, is_labelled};
use crate::filesystem::Guarded;
use crate::kept::kept;
use crate::triggers::{Queue, boxed, owner, references, those};

/// How long a pass waits for the first lists. Where the rights for them are missing they never come, and a FileSystem is
/// more than its files in the browser.
const FILLED_TIME_MAX: Duration = Duration::from_secs(3);

/// The caches.
#[derive(Clone)]
pub struct Caches {
    /// Deployments of `files`.
    pub deployments: Store<Deployment>,
    /// Their Services.
    pub services: Store<Service>,
    /// Their NetworkPolicies.
    pub policies: Store<NetworkPolicy>,
    /// Their pods, without spec.
    pods: Store<Pod>,
    /// Nodes of a group: labels and taints.
    nodes: Store<Node>,
    node_group_label: String,
}

/// The caches, and what comes of their changes and of those of `trust`, into `queues`.
pub fn watch(
    client: &Client,
    known: &Store<Guarded>,
    node_group_label: &str,
    trust: watch::Receiver<Known>,
    queues: &mut Vec<Queue<Guarded>>,
) -> Caches {
    let (deployments, by_deployment) = ours(client, known, |_| {});
    let (services, by_service) = ours(client, known, |_| {});
    let (policies, by_policy) = ours(client, known, |_| {});
    let (pods, by_pod) = ours(client, known, |pod: &mut Pod| pod.spec = None);

    let of_groups = watcher::Config::default().labels(node_group_label);
    let (nodes, of_node) = kept(Api::<Node>::all(client.clone()), of_groups, shed);
    let (all, label) = (known.clone(), node_group_label.to_string());
    let by_node = boxed(trigger_with(of_node, move |node| {
        let group = node.labels().get(&label).cloned();
        those(&all, |fs: &FileSystem| fs.spec.node_group.is_some() && fs.spec.node_group == group)
    }));

    queues.extend([by_deployment, by_service, by_policy, by_pod, by_node, by_trust(known.clone(), trust)]);
    Caches { deployments, services, policies, pods, nodes, node_group_label: node_group_label.into() }
}

impl Caches {
    /// Whether the first lists are there, for which is waited a little.
    pub async fn filled(&self) -> bool {
        let all = async {
            self.deployments.wait_until_ready().await.is_ok()
                && self.services.wait_until_ready().await.is_ok()
                && self.policies.wait_until_ready().await.is_ok()
                && self.pods.wait_until_ready().await.is_ok()
                && self.nodes.wait_until_ready().await.is_ok()
        };
        timeout(FILLED_TIME_MAX, all).await.unwrap_or(false)
    }

    /// The pods of a FileSystem's `files`.
    pub fn pods(&self, uid: &str) -> Vec<Arc<Pod>> {
        self.pods.state_filter(|pod: &Pod| is_labelled(pod, uid))
    }

    /// The nodes of a group.
    pub fn nodes(&self, group: &str) -> Vec<Arc<Node>> {
        self.nodes.state_filter(|node: &Node| {
            node.labels().get(&self.node_group_label).is_some_and(|is| is == group)
        })
    }
}

/// Objects with the labels of `files`, without what `shed` takes off them.
fn ours<K>(
    client: &Client,
    known: &Store<Guarded>,
    shed: impl Fn(&mut K) + Send + 'static,
) -> (Store<K>, Queue<Guarded>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let which = watcher::Config::default().labels(&common_selector());
    let (store, changes) = kept(Api::<K>::all(client.clone()), which, shed);
    let known = known.clone();
    let by_change =
        trigger_with(changes, move |object| owner(&known, object.labels(), FILE_SYSTEM_UID_LABEL));
    (store, boxed(by_change))
}

/// Every FileSystem, when there are other keys.
fn by_trust(known: Store<Guarded>, trust: watch::Receiver<Known>) -> Queue<Guarded> {
    use futures::StreamExt;
    let changes = stream::unfold((known, trust), |(known, mut trust)| async move {
        trust.changed().await.ok()?;
        let all: Vec<ObjectRef<Guarded>> = references(known.state());
        Some((stream::iter(all), (known, trust)))
    });
    boxed(changes.flatten().map(|who| Ok(ReconcileRequest::from(who))))
}

/// Keeps of a node its name, labels and taints.
fn shed(node: &mut Node) {
    node.annotations_mut().clear();
    let taints = node.spec.take().and_then(|spec| spec.taints);
    node.spec = Some(NodeSpec { taints, ..NodeSpec::default() });
    node.status = Some(NodeStatus::default());
}
