//! What makes a pass over an FsCache happen: it changed (nodes write into its status), or another one that has its paths
//! did, or went; its claim; its source or target did; a
//! node that has a copy, or could; a Job of its own, or a pod of one; a mover said something new.

use std::fmt::Debug;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, NodeStatus, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::runtime::controller::{ReconcileRequest, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedReceiver;
use workspacefs_api::fs_cache::{FS_CACHE_UID_LABEL, WARM_LABEL_PREFIX};
use workspacefs_api::local_storage::READY_LABEL_PREFIX;
use workspacefs_runtime::CancellationToken;

use super::caches::Caches;
use super::conflict;
use super::progress::Movers;
use super::status::StatusWriter;
use super::{FsCaches, Guarded};
use crate::config::Config;
use crate::events::Events;
use crate::kept::kept;
use crate::metrics::Metrics;
use crate::triggers::{Queue, boxed, owner, those};
use crate::{filesystem, local_storage, reconciler};

/// Runs until `shutdown`.
pub async fn run(
    client: Client,
    events: Events,
    config: &Config,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let (movers, woken) = Movers::new();
    let (store, queue, caches) = watches(&client, config, woken);
    let fs_caches = FsCaches {
        status: StatusWriter::new(client.clone(), events),
        client,
        caches,
        movers,
        config: config.mover.clone(),
        node_group_label: config.node_group_label.clone(),
        metrics: metrics.clone(),
    };
    reconciler::run(fs_caches, store, queue, metrics, shutdown).await;
}

fn watches(
    client: &Client,
    config: &Config,
    woken: UnboundedReceiver<ObjectRef<Guarded>>,
) -> (Store<Guarded>, Queue<Guarded>, Caches) {
    let all = watcher::Config::default;

    let (store, writer) = reflector::store();
    let fs_caches = watcher(Api::<Guarded>::all(client.clone()), all())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer);
    let known = store.clone();
    let by_itself = fs_caches
        .map_ok(move |event| {
            stream::iter(concerned_by(&known, &event)).map(|who| Ok(ReconcileRequest::from(who)))
        })
        .try_flatten();

    let (file_systems, of_file_system) = kept(Api::<filesystem::Guarded>::all(client.clone()), all(), |_| {});
    let known = store.clone();
    let by_file_system = trigger_with(of_file_system, move |fs| {
        let (namespace, name) = (fs.namespace(), fs.meta().name.clone());
        those(&known, |cache| {
            let spec = &cache.spec;
            cache.namespace() == namespace
                && (spec.source.file_system == name || spec.target.file_system == name)
        })
    });

    let mut triggers: Vec<Queue<Guarded>> = Vec::new();
    let storages = config.local_storage.then(|| {
        let (storages, of_storage) = kept(Api::<local_storage::Guarded>::all(client.clone()), all(), |_| {});
        let known = store.clone();
        triggers.push(boxed(trigger_with(of_storage, move |storage| {
            let name = storage.meta().name.clone();
            those(&known, |cache| cache.spec.target.local_storage == name)
        })));
        storages
    });

    let (nodes, of_node) = kept(Api::<Node>::all(client.clone()), all(), shed);
    let (known, label) = (store.clone(), config.node_group_label.clone());
    let by_node = trigger_with(of_node, move |node| concerned_by_node(&known, &label, &node));

    let (jobs, by_job) = its_own(client, &store, |_: &mut Job| {});
    let (volumes, by_volume) = its_own(client, &store, |_: &mut PersistentVolume| {});
    let (claims, by_claim) = its_own(client, &store, |_: &mut PersistentVolumeClaim| {});
    let (pods, by_pod) = its_own(client, &store, |pod: &mut Pod| pod.spec = None);

    let woken = stream::unfold(woken, |mut woken| async move {
        let who = woken.recv().await?;
        Some((Ok(ReconcileRequest::from(who)), woken))
    });
    triggers.extend([
        boxed(by_itself),
        boxed(by_file_system),
        boxed(by_node),
        by_job,
        by_volume,
        by_claim,
        by_pod,
        boxed(woken),
    ]);
    let caches =
        Caches { fs_caches: store.clone(), file_systems, storages, nodes, jobs, pods, volumes, claims };
    (store, stream::select_all(triggers).boxed(), caches)
}

/// What bears the uid of an FsCache of `known`, without what `shed` takes off it.
fn its_own<K>(
    client: &Client,
    known: &Store<Guarded>,
    shed: impl Fn(&mut K) + Send + 'static,
) -> (Store<K>, Queue<Guarded>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let ours = watcher::Config::default().labels(FS_CACHE_UID_LABEL);
    let (store, changes) = kept(Api::<K>::all(client.clone()), ours, shed);
    let known = known.clone();
    let by_change = trigger_with(changes, move |object| owner(&known, object.labels(), FS_CACHE_UID_LABEL));
    (store, boxed(by_change))
}

/// Those that a change of one of them concerns: itself, unless it is gone, and those whose paths it keeps from them, or does
/// not any more.
fn concerned_by(known: &Store<Guarded>, event: &Event<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let (itself, changed) = match event {
        Event::Init | Event::InitDone => return Vec::new(),
        Event::InitApply(object) | Event::Apply(object) => (Some(ObjectRef::from_obj(object)), object),
        Event::Delete(object) => (None, object),
    };
    let mut concerned: Vec<_> = itself.into_iter().collect();
    if let Ok(changed) = &changed.0 {
        concerned.extend(those(known, |other| conflict::are_rivals(other, changed)));
    }
    concerned
}

/// Keeps of a node its name and labels.
fn shed(node: &mut Node) {
    node.annotations_mut().clear();
    (node.spec, node.status) = (None, Some(NodeStatus::default()));
}

/// Those that have a copy on it, and those whose copies it could show: nodes report often, most to nobody's concern.
fn concerned_by_node(known: &Store<Guarded>, group_label: &str, node: &Node) -> Vec<ObjectRef<Guarded>> {
    let name = node.name_any();
    let is_of_a_group = node.labels().contains_key(group_label);
    let is_marked = node
        .labels()
        .keys()
        .any(|key| key.starts_with(READY_LABEL_PREFIX) || key.starts_with(WARM_LABEL_PREFIX));
    those(known, |cache| {
        let status = cache.status.as_ref();
        let knows = status.is_some_and(|status| {
            status.copies.iter().any(|copy| copy.node == name)
                || status.uses.iter().any(|entry| entry.node == name)
        });
        knows || is_of_a_group || is_marked
    })
}
