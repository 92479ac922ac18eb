//! What makes a pass over a FileSystem happen: it changed; its volume or its claim did; the answer of its server did.

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::UnboundedReceiver;
use workspacefs_api::FILE_SYSTEM_UID_LABEL;
use workspacefs_runtime::CancellationToken;

use super::caches::Caches;
use super::{FileSystems, Guarded};
use crate::config::Config;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::probe::shared::Prober;
use crate::reconciler;

type Queue = stream::BoxStream<'static, Result<ReconcileRequest<Guarded>, watcher::Error>>;

/// Runs until `shutdown`.
pub async fn run(
    client: Client,
    config: &Config,
    events: Events,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let (prober, woken) = Prober::new(config.probe_interval, config.probe_timeout, metrics.clone());
    let (store, queue, caches) = watches(&client, woken);
    let file_systems = FileSystems::new(
        client,
        caches,
        prober,
        events,
        config.node_group_label.clone(),
        config.probe_interval,
    );
    reconciler::run(file_systems, store, queue, metrics, shutdown).await;
}

fn watches(client: &Client, woken: UnboundedReceiver<ObjectRef<Guarded>>) -> (Store<Guarded>, Queue, Caches) {
    let ours = watcher::Config::default().labels(FILE_SYSTEM_UID_LABEL);

    let (store, writer) = reflector::store();
    let file_systems = watcher(Api::<Guarded>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects();

    let (volumes, writer) = reflector::store();
    let of_volume = watcher(Api::<PersistentVolume>::all(client.clone()), ours.clone())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let known = store.clone();
    let by_volume = trigger_with(of_volume, move |volume| owner_of_volume(&volume, &known));

    let (claims, writer) = reflector::store();
    let of_claim = watcher(Api::<PersistentVolumeClaim>::all(client.clone()), ours)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let known = store.clone();
    let by_claim = trigger_with(of_claim, move |claim| {
        concerned(&known, &claim.namespace().unwrap_or_default(), &claim.name_any())
    });

    // Claims of others concern us by name only: one that a FileSystem uses, or that stands in its way. Their metadata is
    // enough to know that something changed, and nothing of it is kept.
    let any_claim: Api<PartialObjectMeta<PersistentVolumeClaim>> = Api::all(client.clone());
    let any_claim = watcher(any_claim, watcher::Config::default()).default_backoff().touched_objects();
    let known = store.clone();
    let by_any_claim = trigger_with(any_claim, move |claim| {
        concerned(&known, &claim.namespace().unwrap_or_default(), &claim.name_any())
    });

    let woken = stream::unfold(woken, |mut woken| async move {
        let who = woken.recv().await?;
        Some((Ok(ReconcileRequest::from(who)), woken))
    });
    let queue = stream::select_all([
        boxed(trigger_self(file_systems, ())),
        boxed(by_volume),
        boxed(by_claim),
        boxed(by_any_claim),
        boxed(woken),
    ]);
    (store, queue.boxed(), Caches { volumes, claims })
}

fn boxed(
    stream: impl Stream<Item = Result<ReconcileRequest<Guarded>, watcher::Error>> + Send + 'static,
) -> Queue {
    stream.boxed()
}

/// The FileSystem that a volume of ours serves: its claim has the FileSystem's name.
fn owner_of_volume(volume: &PersistentVolume, known: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let Some((namespace, name)) = claim.and_then(|claim| claim.namespace.as_ref().zip(claim.name.as_ref()))
    else {
        return Vec::new();
    };
    let owner = ObjectRef::new(name).within(namespace);
    known.get(&owner).map(|_| owner).into_iter().collect()
}

/// The FileSystems that a claim concerns: the one of its name, and those that use it.
fn concerned(known: &Store<Guarded>, namespace: &str, name: &str) -> Vec<ObjectRef<Guarded>> {
    let uses = |object: &Guarded| {
        let backend = object.0.as_ref().ok().and_then(|fs| fs.spec.backend.persistent_volume_claim.as_ref());
        object.namespace().as_deref() == Some(namespace)
            && (object.name_any() == name || backend.is_some_and(|claim| claim.claim_name == name))
    };
    known.state_filter(uses).iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}
