//! The objects of one cluster-scoped kind, kept current by a watch.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use workspacefs_runtime::{CancellationToken, chain};

/// Between two attempts to watch. Our own, because kube's starts over with each attempt's first event.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// By name.
pub type ByName<K> = BTreeMap<String, Arc<K>>;

/// All of them as last known; None until the first list is complete. Clones see the same.
#[derive(Debug)]
pub struct Watched<K>(Arc<watch::Sender<Option<ByName<K>>>>);

impl<K> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Watched<K> {
    /// None known yet, or known for good.
    pub fn fixed(objects: Option<ByName<K>>) -> Self {
        Self(Arc::new(watch::Sender::new(objects)))
    }

    /// What is known now.
    pub fn current(&self) -> Option<ByName<K>> {
        self.0.borrow().clone()
    }

    /// Hears of changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<ByName<K>>> {
        self.0.subscribe()
    }
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Follows those that `config` selects until `shutdown`. An API server that is away is waited for, and what was known stays
    /// known.
    pub(super) async fn follow_selected(
        &self,
        api: Api<K>,
        config: watcher::Config,
        shutdown: CancellationToken,
    ) {
        let mut listed = ByName::new();
        follow_events(api, config, shutdown, |event| self.learn(event, &mut listed)).await;
    }

    /// `listed` collects a list until it is complete: one that is cut short says nothing of what is missing in it.
    fn learn(&self, event: Event<K>, listed: &mut ByName<K>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => drop(listed.insert(object.name_any(), Arc::new(object))),
            Event::InitDone => drop(self.0.send_replace(Some(std::mem::take(listed)))),
            Event::Apply(object) => {
                self.0.send_modify(|known| {
                    known.get_or_insert_default().insert(object.name_any(), Arc::new(object));
                });
            }
            Event::Delete(object) => {
                self.0.send_modify(|known| {
                    known.get_or_insert_default().remove(&object.name_any());
                });
            }
        }
    }
}

/// Hands on what a watch says until `shutdown`. An API server that is away is waited for.
pub(crate) async fn follow_events<K>(
    api: Api<K>,
    config: watcher::Config,
    shutdown: CancellationToken,
    mut learn: impl FnMut(Event<K>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = std::pin::pin!(watcher(api, config));
    let mut pause = PAUSE_MIN;
    while let Some(event) = shutdown.run_until_cancelled(events.try_next()).await {
        match event {
            Ok(Some(event)) => {
                pause = PAUSE_MIN;
                learn(event);
            }
            Ok(None) => break,
            Err(error) => {
                let (kind, cause) = (K::kind(&()), chain(&error));
                tracing::warn!(%kind, cause, again_in_s = pause.as_secs(), "cannot watch");
                shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_api::{LocalStorage, LocalStorageSpec};

    use super::*;

    #[test]
    fn a_list_counts_when_it_is_complete_and_changes_count_at_once() {
        let storages = Watched::<LocalStorage>::fixed(None);
        let mut listed = ByName::new();
        let named = |name: &str| LocalStorage::new(name, LocalStorageSpec::default());
        let mut learn = |event| storages.learn(event, &mut listed);
        let names = || storages.current().map(|known| known.into_keys().collect::<Vec<_>>());
        learn(Event::Init);
        learn(Event::InitApply(named("a")));
        assert_eq!(names(), None);
        learn(Event::InitDone);
        learn(Event::Apply(named("b")));
        assert_eq!(names(), Some(vec!["a".into(), "b".into()]));
        // A second list, in which one is missing.
        learn(Event::Init);
        learn(Event::InitApply(named("b")));
        assert_eq!(names(), Some(vec!["a".into(), "b".into()]));
        learn(Event::InitDone);
        assert_eq!(names(), Some(vec!["b".into()]));
        learn(Event::Delete(named("b")));
        assert_eq!(names(), Some(Vec::new()));
    }
}
