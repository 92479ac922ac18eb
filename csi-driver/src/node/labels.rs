//! The labels of the Node this process runs on, kept current by a watch of that one object, and kept on tmpfs for a start
//! without the API server. They decide which node groups' FileSystems may be mounted here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::watch;
use workspacefs_runtime::{CancellationToken, chain};

use crate::share::record;

/// Between two attempts to watch. Our own, because kube's starts over with each attempt's first event.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Key and value of each.
pub type Labels = BTreeMap<String, String>;

/// The node's labels as last known; None until they are. Clones see the same.
#[derive(Clone, Debug)]
pub struct NodeLabels(Arc<watch::Sender<Option<Labels>>>);

/// The node is outside the FileSystem's node group.
#[derive(Debug, Eq, Error, PartialEq)]
pub enum NodeGroupError {
    /// It is in another, or in none.
    #[error(
        "FileSystem {file_system} is dedicated to node group {group:?} and this node is {here}: give the pod the nodeSelector {key}: {group}"
    )]
    Outside {
        /// `<namespace>/<name>`.
        file_system: String,
        /// The group it is for.
        group: String,
        /// The label's key.
        key: String,
        /// The group this node is in, in words.
        here: String,
    },
    /// The API server was never reached since this node booted.
    #[error(
        "FileSystem {file_system} is dedicated to node group {group:?}, and whether this node is in it is not known yet: the API server has not been reached since the node started"
    )]
    Unknown {
        /// `<namespace>/<name>`.
        file_system: String,
        /// The group it is for.
        group: String,
    },
}

impl NodeLabels {
    /// Labels that are not known, or known for good: for tests and for running without an API server.
    pub fn fixed(labels: Option<Labels>) -> Self {
        Self(Arc::new(watch::Sender::new(labels)))
    }

    /// The labels that an earlier process kept in `file`, if it did.
    pub fn remembered(file: &Path) -> Self {
        let labels = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self::fixed(labels)
    }

    /// What is known now.
    pub fn current(&self) -> Option<Labels> {
        self.0.borrow().clone()
    }

    /// Hears of changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<Labels>> {
        self.0.subscribe()
    }

    /// Whether a FileSystem of `group` may be mounted here. An unknown answer lets pass only what `is_own`: the FileSystem's
    /// own PersistentVolume is made with its node affinity, and kubelet and the scheduler have checked that. A further claim's
    /// gets it only after it was made, and of an inline volume they know nothing.
    ///
    /// # Errors
    /// [`NodeGroupError`], which names the selector to add.
    pub fn check(
        &self,
        key: &str,
        group: Option<&str>,
        file_system: &str,
        is_own: bool,
    ) -> Result<(), NodeGroupError> {
        let Some(group) = group else {
            return Ok(());
        };
        let file_system = file_system.to_string();
        let group = group.to_string();
        match &*self.0.borrow() {
            None if is_own => Ok(()),
            None => Err(NodeGroupError::Unknown { file_system, group }),
            Some(labels) => match labels.get(key) {
                Some(here) if *here == group => Ok(()),
                here => Err(NodeGroupError::Outside {
                    file_system,
                    group,
                    key: key.to_string(),
                    here: here.map_or_else(|| "in none".into(), |here| format!("in {here:?}")),
                }),
            },
        }
    }

    /// Follows the Node `name` until the process ends. An API server that is away is waited for, and what was known stays
    /// known.
    pub async fn follow(&self, client: Client, name: &str, file: PathBuf, shutdown: CancellationToken) {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let events = watcher(Api::<PartialObjectMeta<Node>>::all(client), config);
        let mut events = std::pin::pin!(events);
        let mut pause = PAUSE_MIN;
        while let Some(event) = shutdown.run_until_cancelled(events.try_next()).await {
            match event {
                Ok(Some(Event::Apply(node) | Event::InitApply(node))) => {
                    pause = PAUSE_MIN;
                    self.learn(node, &file);
                }
                Ok(Some(Event::Delete(_) | Event::Init | Event::InitDone)) => {}
                Ok(None) => break,
                Err(error) => {
                    let cause = chain(&error);
                    tracing::warn!(cause, again_in_s = pause.as_secs(), "cannot watch this process's Node");
                    shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn learn(&self, node: PartialObjectMeta<Node>, file: &Path) {
        let labels = node.metadata.labels.unwrap_or_default();
        let changed = self.0.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&labels);
            *known = Some(labels);
            changed
        });
        if changed {
            let kept = serde_json::to_vec(&*self.0.borrow())
                .map_err(Into::into)
                .and_then(|bytes| record::replace(file, &bytes));
            if let Err(error) = kept {
                tracing::warn!(%error, file = %file.display(), "cannot keep the node's labels");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "workspacefs.io/node-group";

    fn labels(group: Option<&str>) -> Option<Labels> {
        Some(group.map(|g| (KEY.to_string(), g.to_string())).into_iter().collect())
    }

    #[test]
    fn only_nodes_of_the_group_pass_and_the_message_names_the_selector() {
        let check = |known, group, own| NodeLabels::fixed(known).check(KEY, group, "a/b", own);
        for own in [true, false] {
            assert_eq!(check(labels(None), None, own), Ok(()));
            assert_eq!(check(labels(Some("gpu")), Some("gpu"), own), Ok(()));
            for elsewhere in [None, Some("cpu")] {
                let error = check(labels(elsewhere), Some("gpu"), own).unwrap_err();
                assert!(error.to_string().contains("nodeSelector workspacefs.io/node-group: gpu"), "{error}");
            }
        }
    }

    #[test]
    fn unknown_labels_let_only_the_file_systems_own_volume_pass() {
        let unknown = NodeLabels::fixed(None);
        assert_eq!(unknown.check(KEY, Some("gpu"), "a/b", true), Ok(()));
        assert!(matches!(unknown.check(KEY, Some("gpu"), "a/b", false), Err(NodeGroupError::Unknown { .. })));
        assert_eq!(unknown.check(KEY, None, "a/b", false), Ok(()));
    }

    #[test]
    fn labels_outlive_the_process_in_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node-labels.json");
        let mut node = PartialObjectMeta::<Node>::default();
        node.metadata.labels = labels(Some("gpu"));
        NodeLabels::remembered(&file).learn(node, &file);
        assert_eq!(NodeLabels::remembered(&file).check(KEY, Some("gpu"), "a/b", false), Ok(()));
        assert!(NodeLabels::remembered(&file).check(KEY, Some("cpu"), "a/b", false).is_err());
    }
}
