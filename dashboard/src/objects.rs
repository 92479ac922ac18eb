//! The objects that the gateway answers from: the three kinds, and which namespaces are workspaces. Each is watched once and kept;
//! nothing is polled. What somebody may see of them is decided elsewhere.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, future};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use workspacefs_api::{FileSystem, FsCache, LocalStorage};

/// One object that cannot be read must not end the watch of all others: it is not shown.
type Kept<K> = Store<DeserializeGuard<K>>;

/// What is known now.
#[derive(Clone)]
pub struct Objects {
    file_systems: Kept<FileSystem>,
    caches: Kept<FsCache>,
    storages: Kept<LocalStorage>,
    workspaces: Store<PartialObjectMeta<Namespace>>,
}

impl Objects {
    /// Begins to watch. The future runs for ever: it is the watching.
    pub fn watch(client: &Client, selector: &str) -> (Self, BoxFuture<'static, ()>) {
        let all = watcher::Config::default;
        let (file_systems, a) = kept(Api::<DeserializeGuard<FileSystem>>::all(client.clone()), all());
        let (caches, b) = kept(Api::<DeserializeGuard<FsCache>>::all(client.clone()), all());
        let (storages, c) = kept(Api::<DeserializeGuard<LocalStorage>>::all(client.clone()), all());
        let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
        let (workspaces, d) = kept(namespaces, all().labels(selector));
        let watching = future::join4(a, b, c, d).map(|_| ()).boxed();
        (Self { file_systems, caches, storages, workspaces }, watching)
    }

    /// Waits until everything was listed once. False: the watching has ended.
    pub async fn ready(&self) -> bool {
        let all = future::try_join4(
            self.file_systems.wait_until_ready(),
            self.caches.wait_until_ready(),
            self.storages.wait_until_ready(),
            self.workspaces.wait_until_ready(),
        );
        all.await.is_ok()
    }

    /// Whether a namespace is a workspace.
    pub fn is_workspace(&self, name: &str) -> bool {
        self.workspaces.get(&ObjectRef::new(name)).is_some()
    }

    /// The names of all workspaces, in order.
    pub fn workspaces(&self) -> BTreeSet<String> {
        self.workspaces.state().iter().map(|namespace| namespace.name_any()).collect()
    }

    /// The FileSystem of that name.
    pub fn file_system(&self, ws: &str, name: &str) -> Option<FileSystem> {
        let object = self.file_systems.get(&ObjectRef::new(name).within(ws))?;
        object.0.as_ref().ok().cloned()
    }

    /// The FileSystem of that uid.
    pub fn by_uid(&self, uid: &str) -> Option<FileSystem> {
        let object = self.file_systems.find(|object| object.meta().uid.as_deref() == Some(uid))?;
        object.0.as_ref().ok().cloned()
    }

    /// The FileSystems of a workspace, by name.
    pub fn file_systems(&self, ws: &str) -> Vec<FileSystem> {
        those(&self.file_systems, |fs| fs.metadata.namespace.as_deref() == Some(ws))
    }

    /// How many there are.
    pub fn file_systems_of(&self, ws: &str) -> usize {
        self.file_systems.state_filter(|fs| fs.meta().namespace.as_deref() == Some(ws)).len()
    }

    /// The FsCaches of a workspace, by name.
    pub fn caches(&self, ws: &str) -> Vec<FsCache> {
        those(&self.caches, |cache| cache.metadata.namespace.as_deref() == Some(ws))
    }

    /// The LocalStorages that a workspace may use, by name.
    pub fn storages(&self, ws: &str) -> Vec<LocalStorage> {
        those(&self.storages, |storage| storage.spec.workspaces.iter().any(|allowed| allowed == ws))
    }
}

fn those<K>(store: &Kept<K>, which: impl Fn(&K) -> bool) -> Vec<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let found: Vec<Arc<_>> = store.state_filter(|object| object.0.as_ref().is_ok_and(&which));
    let mut found: Vec<K> = found.iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect();
    found.sort_by_key(ResourceExt::name_any);
    found
}

fn kept<K>(api: Api<K>, which: watcher::Config) -> (Store<K>, impl Future<Output = ()> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let changes = watcher(api, which)
        .default_backoff()
        .modify(|object: &mut K| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects();
    let watching = changes.for_each(move |change| {
        if let Err(error) = change {
            let what = K::plural(&());
            tracing::warn!(%what, error = workspacefs_runtime::chain(&error), "a watch was interrupted");
        }
        future::ready(())
    });
    (store, watching)
}
