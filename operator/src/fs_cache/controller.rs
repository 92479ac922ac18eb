//! What makes a pass over an FsCache happen: it changed (nodes write into its status); its source or target did; a
//! node that has a copy, or could; a Job of its own, or a pod of one; a mover said something new.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod};
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc::UnboundedReceiver;
use workspacefs_api::FsCache;
use workspacefs_api::fs_cache::{FS_CACHE_UID_LABEL, WARM_LABEL_PREFIX};
use workspacefs_api::local_storage::READY_LABEL_PREFIX;
use workspacefs_runtime::CancellationToken;

use super::caches::Caches;
use super::progress::Movers;
use super::status::StatusWriter;
use super::{FsCaches, Guarded};
use crate::config::Config;
use crate::events::Events;
use crate::kept::kept;
use crate::metrics::Metrics;
use crate::{filesystem, local_storage, reconciler};

type Queue = stream::BoxStream<'static, Result<ReconcileRequest<Guarded>, watcher::Error>>;

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
) -> (Store<Guarded>, Queue, Caches) {
    let all = watcher::Config::default;
    let ours = || all().labels(FS_CACHE_UID_LABEL);

    let (store, writer) = reflector::store();
    let fs_caches = watcher(Api::<Guarded>::all(client.clone()), all())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects();

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

    let mut triggers: Vec<Queue> = Vec::new();
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

    let (jobs, of_job) = kept(Api::<Job>::all(client.clone()), ours(), |_| {});
    let known = store.clone();
    let by_job = trigger_with(of_job, move |job| owner(&known, job.labels()));

    let (pods, of_pod) = kept(Api::<Pod>::all(client.clone()), ours(), |pod| pod.spec = None);
    let known = store.clone();
    let by_pod = trigger_with(of_pod, move |pod| owner(&known, pod.labels()));

    let woken = stream::unfold(woken, |mut woken| async move {
        let who = woken.recv().await?;
        Some((Ok(ReconcileRequest::from(who)), woken))
    });
    triggers.extend([
        boxed(trigger_self(fs_caches, ())),
        boxed(by_file_system),
        boxed(by_node),
        boxed(by_job),
        boxed(by_pod),
        boxed(woken),
    ]);
    let caches = Caches { fs_caches: store.clone(), file_systems, storages, nodes, jobs, pods };
    (store, stream::select_all(triggers).boxed(), caches)
}

fn boxed(
    stream: impl Stream<Item = Result<ReconcileRequest<Guarded>, watcher::Error>> + Send + 'static,
) -> Queue {
    stream.boxed()
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

fn those(known: &Store<Guarded>, which: impl Fn(&FsCache) -> bool) -> Vec<ObjectRef<Guarded>> {
    references(known.state_filter(|object| object.0.as_ref().is_ok_and(&which)))
}

/// The FsCache whose uid a label says.
fn owner(known: &Store<Guarded>, labels: &BTreeMap<String, String>) -> Vec<ObjectRef<Guarded>> {
    let uid = labels.get(FS_CACHE_UID_LABEL);
    references(known.state_filter(|object| uid.is_some() && object.uid().as_ref() == uid))
}

fn references(objects: Vec<Arc<Guarded>>) -> Vec<ObjectRef<Guarded>> {
    objects.iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}
