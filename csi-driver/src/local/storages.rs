//! The LocalStorages of the cluster, kept current by a watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use workspacefs_api::LocalStorage;
use workspacefs_runtime::{CancellationToken, chain};

/// Between two attempts to watch. Our own, because kube's starts over with each attempt's first event.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// By name.
pub type ByName = BTreeMap<String, Arc<LocalStorage>>;

/// All LocalStorages as last known; None until the first list is complete. Clones see the same.
#[derive(Clone, Debug)]
pub struct Storages(Arc<watch::Sender<Option<ByName>>>);

impl Storages {
    /// None known yet, or known for good.
    pub fn fixed(storages: Option<ByName>) -> Self {
        Self(Arc::new(watch::Sender::new(storages)))
    }

    /// What is known now.
    pub fn current(&self) -> Option<ByName> {
        self.0.borrow().clone()
    }

    /// Hears of changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<ByName>> {
        self.0.subscribe()
    }

    /// Follows them until `shutdown`. An API server that is away is waited for, and what was known stays known.
    pub async fn follow(&self, client: Client, shutdown: CancellationToken) {
        let events = watcher(Api::<LocalStorage>::all(client), watcher::Config::default());
        let mut events = std::pin::pin!(events);
        let mut listed = ByName::new();
        let mut pause = PAUSE_MIN;
        while let Some(event) = shutdown.run_until_cancelled(events.try_next()).await {
            match event {
                Ok(Some(event)) => {
                    pause = PAUSE_MIN;
                    self.learn(event, &mut listed);
                }
                Ok(None) => break,
                Err(error) => {
                    let cause = chain(&error);
                    tracing::warn!(cause, again_in_s = pause.as_secs(), "cannot watch LocalStorages");
                    shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// `listed` collects a list until it is complete: one that is cut short says nothing of what is missing in it.
    fn learn(&self, event: Event<LocalStorage>, listed: &mut ByName) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(storage) => drop(listed.insert(storage.name_any(), Arc::new(storage))),
            Event::InitDone => drop(self.0.send_replace(Some(std::mem::take(listed)))),
            Event::Apply(storage) => {
                self.0.send_modify(|known| {
                    known.get_or_insert_default().insert(storage.name_any(), Arc::new(storage));
                });
            }
            Event::Delete(storage) => {
                self.0.send_modify(|known| {
                    known.get_or_insert_default().remove(&storage.name_any());
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_api::LocalStorageSpec;

    use super::*;

    #[test]
    fn a_list_counts_when_it_is_complete_and_changes_count_at_once() {
        let storages = Storages::fixed(None);
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
