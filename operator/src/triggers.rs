//! What the controllers of all kinds make of their watches: requests for passes over objects of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::runtime::controller::ReconcileRequest;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};

use crate::guarded::Guarded;

/// Requests for passes.
pub type Queue<T> = stream::BoxStream<'static, Result<ReconcileRequest<T>, watcher::Error>>;

/// Requests from one source, to be put together with others.
pub fn boxed<T: Resource<DynamicType = ()> + 'static>(
    stream: impl Stream<Item = Result<ReconcileRequest<T>, watcher::Error>> + Send + 'static,
) -> Queue<T> {
    stream.boxed()
}

/// The objects that can be read and of which `which` says yes.
pub fn those<K, S>(known: &Store<Guarded<K, S>>, which: impl Fn(&K) -> bool) -> Vec<ObjectRef<Guarded<K, S>>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    S: Clone + 'static,
{
    references(known.state_filter(|object| object.0.as_ref().is_ok_and(&which)))
}

/// The object whose uid the label `key` says.
pub fn owner<T>(known: &Store<T>, labels: &BTreeMap<String, String>, key: &str) -> Vec<ObjectRef<T>>
where
    T: Resource<DynamicType = ()> + Clone + 'static,
{
    let uid = labels.get(key);
    references(known.state_filter(|object| uid.is_some() && object.uid().as_ref() == uid))
}

/// Names of objects.
pub fn references<T: Resource<DynamicType = ()>>(objects: Vec<Arc<T>>) -> Vec<ObjectRef<T>> {
    objects.iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}
