//! Watches whose objects are kept: what a pass looks at without asking the API server.

use std::fmt::Debug;

use futures::Stream;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// A watch whose objects are kept, without what `shed` takes off them, and each of whose changes comes by.
pub fn kept<K>(
    api: Api<K>,
    which: watcher::Config,
    shed: impl Fn(&mut K) + Send + 'static,
) -> (Store<K>, impl Stream<Item = Result<K, watcher::Error>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let changes = watcher(api, which)
        .default_backoff()
        .modify(move |object: &mut K| {
            object.managed_fields_mut().clear();
            shed(object);
        })
        .reflect(writer)
        .touched_objects();
    (store, changes)
}
