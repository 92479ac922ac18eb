//! What makes a pass over a LocalStorage happen: it changed (its nodes write into its status); a node of its own did; a
//! namespace that it lists came, went, or became a workspace; a volume, claim or class of its own changed, or a volume that a
//! claim has on its disks; a pod asks for its claim where it gives none.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use workspacefs_api::LocalStorage;
use workspacefs_api::local_storage::LOCAL_STORAGE_UID_LABEL;
use workspacefs_runtime::CancellationToken;

use super::caches::Caches;
use super::status::StatusWriter;
use super::told::Told;
use super::volumes::{self, Volume};
use super::{Guarded, LocalStorages, asked};
use crate::config::Config;
use crate::events::Events;
use crate::kept::kept;
use crate::metrics::Metrics;
use crate::reconciler;
use crate::triggers::{Queue, boxed, owner, references, those};

/// Runs until `shutdown`.
pub async fn run(
    client: Client,
    events: Events,
    config: &Config,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let (store, queue, caches) = watches(&client, config);
    let storages = LocalStorages {
        status: StatusWriter::new(client.clone(), events),
        client,
        caches,
        node_group_label: config.node_group_label.clone(),
        workspace_selector: config.workspace_selector.clone(),
        told_pods: Told::default(),
        told_lost: Told::default(),
    };
    reconciler::run(storages, store, queue, metrics, shutdown).await;
}

fn watches(client: &Client, config: &Config) -> (Store<Guarded>, Queue<Guarded>, Caches) {
    let ours = || watcher::Config::default().labels(LOCAL_STORAGE_UID_LABEL);
    let all = watcher::Config::default;

    let (store, writer) = reflector::store();
    let storages = watcher(Api::<Guarded>::all(client.clone()), all())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects();

    let (nodes, of_node) = kept(Api::<Node>::all(client.clone()), all(), shed);
    let (known, label) = (store.clone(), config.node_group_label.clone());
    let by_node = trigger_with(of_node, move |node| concerned_by_node(&known, &label, &node));

    let selected = all().labels(&config.workspace_selector);
    let (workspaces, of_workspace) =
        kept(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), selected, |_| {});
    let known = store.clone();
    let by_workspace = trigger_with(of_workspace, move |namespace| {
        let name = namespace.name_any();
        those(&known, |storage| storage.spec.workspaces.contains(&name))
    });

    let (volumes, of_volume) = kept(Api::<PersistentVolume>::all(client.clone()), ours(), |_| {});
    let known = store.clone();
    let by_volume =
        trigger_with(of_volume, move |volume| owner(&known, volume.labels(), LOCAL_STORAGE_UID_LABEL));

    let (claims, of_claim) = kept(Api::<PersistentVolumeClaim>::all(client.clone()), ours(), |_| {});
    let known = store.clone();
    let by_claim =
        trigger_with(of_claim, move |claim| owner(&known, claim.labels(), LOCAL_STORAGE_UID_LABEL));

    let (classes, of_class) = kept(Api::<StorageClass>::all(client.clone()), ours(), |_| {});
    let known = store.clone();
    let by_class = trigger_with(of_class, move |class| {
        let name = class.name_any();
        those(&known, |storage| LocalStorage::class_name(&storage.name_any()) == name)
    });

    let (local_volumes, of_local_volume) = kept(Api::<Volume>::all(client.clone()), all(), |_| {});
    let known = store.clone();
    let by_local_volume = trigger_with(of_local_volume, move |volume| concerned_by_volume(&known, &volume));

    let (waiting, of_pod) = kept(Api::<Pod>::all(client.clone()), all().fields(asked::WAITING), asked::shed);
    let known = store.clone();
    let by_pod = trigger_with(of_pod, move |pod| concerned_by_pod(&known, &pod));

    let queue = stream::select_all([
        boxed(trigger_self(storages, ())),
        boxed(by_node),
        boxed(by_workspace),
        boxed(by_volume),
        boxed(by_claim),
        boxed(by_class),
        boxed(by_local_volume),
        boxed(by_pod),
    ]);
    let caches = Caches { nodes, workspaces, volumes, claims, classes, local_volumes, waiting };
    (store, queue.boxed(), caches)
}

/// Keeps of a node what is looked at: in a large cluster the images that lie on the nodes are most of their objects.
fn shed(node: &mut Node) {
    node.annotations_mut().clear();
    node.spec = None;
    if let Some(status) = &mut node.status {
        let conditions = status.conditions.take();
        *status = k8s_openapi::api::core::v1::NodeStatus { conditions, ..Default::default() };
    }
}

/// Those that a node is meant for, that it has written to, or whose label it bears: nodes report often, most to nobody's
/// concern.
fn concerned_by_node(known: &Store<Guarded>, group_label: &str, node: &Node) -> Vec<ObjectRef<Guarded>> {
    let name = node.name_any();
    those(known, |storage| {
        storage.selects(group_label, node.labels())
            || storage.on_node(&name).is_some()
            || node.labels().contains_key(&LocalStorage::ready_label(&storage.name_any()))
    })
}

/// The LocalStorage that a volume of a claim lies on.
fn concerned_by_volume(known: &Store<Guarded>, volume: &Volume) -> Vec<ObjectRef<Guarded>> {
    references(known.state_filter(|object| object.uid().is_some_and(|uid| volumes::is_of(volume, &uid))))
}

/// Those whose claim a pod asks for where they give none: all others' pods are nobody's concern.
fn concerned_by_pod(known: &Store<Guarded>, pod: &Pod) -> Vec<ObjectRef<Guarded>> {
    let namespace = pod.namespace().unwrap_or_default();
    those(known, |storage| {
        asked::asks_for(pod, &storage.name_any()) && !storage.spec.workspaces.contains(&namespace)
    })
}
