//! What makes a pass over a FileSystem happen: it changed; its volume, claim or class did; the answer of its server did.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use workspacefs_agent_proto::v1;
use workspacefs_api::{FILE_SYSTEM_UID_LABEL, FileSystem};
use workspacefs_runtime::CancellationToken;

use super::caches::Caches;
use super::managed::Embedded;
use super::status::StatusWriter;
use super::{FileSystems, Guarded, affinity, read_through};
use crate::config::Config;
use crate::events::Events;
use crate::files::{self, Files, Site};
use crate::kept::kept;
use crate::local_storage;
use crate::metrics::Metrics;
use crate::probe::shared::Prober;
use crate::reconciler;
use crate::server::Server;
use crate::server::known::Knowledge;
use crate::server::secrets;
use crate::server::watcher::{Cluster, Watcher};
use crate::triggers::{Queue, boxed, references, those};

/// Where this operator is, and who it is.
pub struct Place<'a> {
    /// The API server.
    pub client: Client,
    /// Its own namespace, in which the embedded server's Service is.
    pub namespace: &'a str,
    /// Where changes are told.
    pub events: Events,
    /// What it counts.
    pub metrics: Metrics,
}

/// What it shows to others, and gives to `files`, as soon as it is made.
pub struct Keys {
    /// To the embedded server's agent, where there is one.
    pub certificates: watch::Receiver<secrets::Known>,
    /// To the pods of `files`, where there are such.
    pub files: watch::Receiver<files::keys::Known>,
}

/// Runs until `shutdown`.
pub async fn run(place: Place<'_>, config: &Config, keys: Keys, shutdown: CancellationToken) {
    let Place { client, namespace, events, metrics } = place;
    let Keys { certificates, files: trust } = keys;
    let (prober, woken) = Prober::new(config.probe_interval, config.probe_timeout, metrics.clone());
    let (store, mut queues, caches) = watches(&client, config.local_storage, woken);
    let label = &config.node_group_label;
    let files = config.files.clone().map(|how| {
        let caches = files::watch(&client, &store, label, trust.clone(), &mut queues);
        Files::new(how, Site { client: client.clone(), namespace, node_group_label: label, trust }, caches)
    });
    let queue = stream::select_all(queues).boxed();
    let cluster = Known { waker: prober.waker(), store: store.clone() };
    let mut watcher = None;
    let mut embedded = None;
    if let Some(service) = &config.nfs_server {
        let server = Server::new(client.clone(), namespace, service, certificates, metrics.clone());
        let (server, knowledge) = (Arc::new(server), Arc::<Knowledge>::default());
        embedded = Some(Embedded::new(server.clone(), knowledge.clone(), service.clone()));
        watcher = Some(Watcher {
            client: client.clone(),
            namespace: namespace.into(),
            service: service.clone(),
            isolation_probe: config.isolation_probe.clone(),
            server,
            knowledge,
            interval: config.usage_interval,
            metrics: metrics.clone(),
        });
    }
    let file_systems = FileSystems {
        status: StatusWriter::new(client.clone(), events),
        client,
        caches,
        prober,
        embedded,
        files,
        node_group_label: config.node_group_label.clone(),
        probe_interval: config.probe_interval,
    };
    let stop = shutdown.clone();
    let watching = async move {
        if let Some(watcher) = watcher {
            watcher.run(cluster, stop).await;
        }
    };
    let placing = affinity::run(
        file_systems.client.clone(),
        store.clone(),
        config.node_group_label.clone(),
        shutdown.clone(),
    );
    tokio::join!(reconciler::run(file_systems, store, queue, metrics, shutdown), watching, placing);
}

/// The FileSystems, as the embedded server's watcher needs them.
struct Known {
    waker: UnboundedSender<ObjectRef<Guarded>>,
    store: Store<Guarded>,
}

impl Cluster for Known {
    fn wake(&self, namespace: &str, name: &str) {
        // Nobody listens any more when the operator is ending.
        drop(self.waker.send(ObjectRef::new(name).within(namespace)));
    }

    fn lacks(&self, file_system: &v1::FileSystem) -> bool {
        // Before the first list nobody can say.
        let listed = self.store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok());
        let known = self.store.get(&ObjectRef::new(&file_system.name).within(&file_system.namespace));
        listed && known.is_none_or(|known| known.uid().as_ref() != Some(&file_system.uid))
    }
}

fn watches(
    client: &Client,
    local_storage: bool,
    woken: UnboundedReceiver<ObjectRef<Guarded>>,
) -> (Store<Guarded>, Vec<Queue<Guarded>>, Caches) {
    let ours = watcher::Config::default().labels(FILE_SYSTEM_UID_LABEL);

    let (store, writer) = reflector::store();
    let file_systems = watcher(Api::<Guarded>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects();

    let (volumes, of_volume) = kept(Api::<PersistentVolume>::all(client.clone()), ours.clone(), |_| {});
    let known = store.clone();
    let by_volume = trigger_with(of_volume, move |volume| owner_of_volume(&volume, &known));

    let of_ours = Api::<PersistentVolumeClaim>::all(client.clone());
    let (claims, of_claim) = kept(of_ours, ours.clone(), |_| {});
    let known = store.clone();
    let by_claim = trigger_with(of_claim, move |claim| {
        concerned(&known, &claim.namespace().unwrap_or_default(), &claim.name_any())
    });

    let (classes, of_class) = kept(Api::<StorageClass>::all(client.clone()), ours, |_| {});
    let known = store.clone();
    let by_class = trigger_with(of_class, move |class| owner_of_class(&class, &known));

    // Claims of others concern us by name only: one that a FileSystem uses, or that stands in its way. Their metadata is
    // enough to know that something changed, and nothing of it is kept.
    let any_claim: Api<PartialObjectMeta<PersistentVolumeClaim>> = Api::all(client.clone());
    let any_claim = watcher(any_claim, watcher::Config::default()).default_backoff().touched_objects();
    let known = store.clone();
    let by_any_claim = trigger_with(any_claim, move |claim| {
        concerned(&known, &claim.namespace().unwrap_or_default(), &claim.name_any())
    });

    let mut queues = Vec::new();
    let storages = local_storage.then(|| {
        let (storages, of_storage) =
            kept(Api::<local_storage::Guarded>::all(client.clone()), watcher::Config::default(), |_| {});
        let known = store.clone();
        queues.push(boxed(trigger_with(of_storage, move |_| {
            those(&known, |fs: &FileSystem| read_through::is_asked(&fs.spec))
        })));
        storages
    });

    let woken = stream::unfold(woken, |mut woken| async move {
        let who = woken.recv().await?;
        Some((Ok(ReconcileRequest::from(who)), woken))
    });
    queues.extend([
        boxed(trigger_self(file_systems, ())),
        boxed(by_volume),
        boxed(by_claim),
        boxed(by_class),
        boxed(by_any_claim),
        boxed(woken),
    ]);
    (store, queues, Caches { volumes, claims, classes, storages })
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

/// The FileSystem whose name a class of ours bears: neither a namespace nor a FileSystem has a dot in its name.
fn owner_of_class(class: &StorageClass, known: &Store<Guarded>) -> Option<ObjectRef<Guarded>> {
    let name = class.name_any();
    let (namespace, name) = name.split_once('.')?;
    let owner = ObjectRef::new(name).within(namespace);
    known.get(&owner).map(|_| owner)
}

/// The FileSystems that a claim concerns: the one of its name, and those that use it.
fn concerned(known: &Store<Guarded>, namespace: &str, name: &str) -> Vec<ObjectRef<Guarded>> {
    let uses = |object: &Guarded| {
        let backend = object.0.as_ref().ok().and_then(|fs| fs.spec.backend.persistent_volume_claim.as_ref());
        object.namespace().as_deref() == Some(namespace)
            && (object.name_any() == name || backend.is_some_and(|claim| claim.claim_name == name))
    };
    references(known.state_filter(uses))
}
