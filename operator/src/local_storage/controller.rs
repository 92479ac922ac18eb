//! What makes a pass over a LocalStorage happen: it changed (its nodes write into its status); a node of its own did; a
//! namespace that it lists came, went, or became a workspace; a volume or claim of its own changed.

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim};
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use workspacefs_api::LocalStorage;
use workspacefs_api::local_storage::LOCAL_STORAGE_UID_LABEL;
use workspacefs_runtime::CancellationToken;

use super::caches::Caches;
use super::status::StatusWriter;
use super::{Guarded, LocalStorages};
use crate::config::Config;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::reconciler;

type Queue = stream::BoxStream<'static, Result<ReconcileRequest<Guarded>, watcher::Error>>;

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
    };
    reconciler::run(storages, store, queue, metrics, shutdown).await;
}

fn watches(client: &Client, config: &Config) -> (Store<Guarded>, Queue, Caches) {
    let ours = watcher::Config::default().labels(LOCAL_STORAGE_UID_LABEL);

    let (store, writer) = reflector::store();
    let storages = watcher(Api::<Guarded>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects();

    let (nodes, writer) = reflector::store();
    let of_node = watcher(Api::<Node>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(shed)
        .reflect(writer)
        .touched_objects();
    let (known, label) = (store.clone(), config.node_group_label.clone());
    let by_node = trigger_with(of_node, move |node| concerned_by_node(&known, &label, &node));

    let (workspaces, writer) = reflector::store();
    let selected = watcher::Config::default().labels(&config.workspace_selector);
    let of_workspace = watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), selected)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let known = store.clone();
    let by_workspace = trigger_with(of_workspace, move |namespace| {
        let name = namespace.name_any();
        those(&known, |storage| storage.spec.workspaces.contains(&name))
    });

    let (volumes, writer) = reflector::store();
    let of_volume = watcher(Api::<PersistentVolume>::all(client.clone()), ours.clone())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let known = store.clone();
    let by_volume =
        trigger_with(of_volume, move |volume| owner(&known, volume.labels().get(LOCAL_STORAGE_UID_LABEL)));

    let (claims, writer) = reflector::store();
    let of_claim = watcher(Api::<PersistentVolumeClaim>::all(client.clone()), ours)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let known = store.clone();
    let by_claim =
        trigger_with(of_claim, move |claim| owner(&known, claim.labels().get(LOCAL_STORAGE_UID_LABEL)));

    let queue = stream::select_all([
        boxed(trigger_self(storages, ())),
        boxed(by_node),
        boxed(by_workspace),
        boxed(by_volume),
        boxed(by_claim),
    ]);
    (store, queue.boxed(), Caches { nodes, workspaces, volumes, claims })
}

fn boxed(
    stream: impl Stream<Item = Result<ReconcileRequest<Guarded>, watcher::Error>> + Send + 'static,
) -> Queue {
    stream.boxed()
}

/// Keeps of a node what is looked at: in a large cluster the images that lie on the nodes are most of their objects.
fn shed(node: &mut Node) {
    node.managed_fields_mut().clear();
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

fn those(known: &Store<Guarded>, which: impl Fn(&LocalStorage) -> bool) -> Vec<ObjectRef<Guarded>> {
    let found = known.state_filter(|object| object.0.as_ref().is_ok_and(&which));
    found.iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}

/// The LocalStorage of that uid.
fn owner(known: &Store<Guarded>, uid: Option<&String>) -> Option<ObjectRef<Guarded>> {
    let found = known.state_filter(|object| object.uid().as_ref() == uid);
    found.first().map(|object| ObjectRef::from_obj(object.as_ref()))
}
