//! This node's entry in an FsCache's `status.uses`: written by server-side apply, by this node's own field manager,
//! and only when it says something new.

use std::time::Duration;

use kube::api::Patch;
use kube::{Api, Client};
use serde_json::json;
use workspacefs_api::FsCache;
use workspacefs_runtime::{CancellationToken, chain};

use super::ground::Ground;
use super::state::{Caches, Due};
use crate::local::report::by;

/// Between two attempts at what could not be written.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Nodes of a group learn of a generation all at once: their writes are spread over so long.
const SPREAD: Duration = Duration::from_secs(4);

/// What writes the entries.
pub struct Report {
    /// What is said.
    pub caches: Caches,
    /// What of it concerns this node.
    pub ground: Ground,
    /// Where it is said.
    pub client: Client,
}

impl Report {
    /// Goes on until `shutdown`. While `is_unclear` says so, because a record of a mounted volume cannot be read,
    /// nothing is said: no more can be told of what is in use than of what was seen.
    pub async fn run(self, is_unclear: impl Fn() -> bool, shutdown: CancellationToken) {
        let (mut changes, mut labels) = (self.caches.subscribe(), self.ground.labels.subscribe());
        let mut storages = self.ground.storages.subscribe();
        let mut dedicated = self.ground.dedicated.subscribe();
        let mut pause = PAUSE_MIN;
        let work = async {
            loop {
                tokio::time::sleep(spread(self.caches.node())).await;
                changes.mark_unchanged();
                let is_done = is_unclear() || self.write_all().await;
                if is_done {
                    pause = PAUSE_MIN;
                    tokio::select! {
                        Ok(()) = changes.changed() => {}
                        Ok(()) = labels.changed() => {}
                        Ok(()) = storages.changed() => {}
                        Ok(()) = dedicated.changed() => {}
                    }
                } else {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        };
        let _: Option<std::convert::Infallible> = shutdown.run_until_cancelled(work).await;
    }

    /// True if nothing is left to be written.
    async fn write_all(&self) -> bool {
        // An entry that is there already must not go because its reason is not known yet.
        if !self.ground.is_known(&self.caches) {
            return true;
        }
        let mut is_done = true;
        for due in self.caches.due(|cache| self.ground.of(cache).is_some()) {
            match write(&self.client, self.caches.node(), &due).await {
                Ok(()) => self.caches.written(due),
                // It went meanwhile, and the watch will say so.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => {
                    is_done = false;
                    let (namespace, name, cause) = (&due.namespace, &due.name, chain(&error));
                    tracing::warn!(namespace, name, cause, "cannot write what this node uses of an FsCache");
                }
            }
        }
        is_done
    }
}

/// The same for a node each time, another for each node.
fn spread(node: &str) -> Duration {
    SPREAD * u32::from(blake3::hash(node.as_bytes()).as_bytes()[0]) / 256
}

/// Writes one entry, or takes it away. The uid makes sure that it is not another FsCache of the same name.
async fn write(client: &Client, node: &str, due: &Due) -> Result<(), kube::Error> {
    let api: Api<FsCache> = Api::namespaced(client.clone(), &due.namespace);
    let uses: Vec<_> = due.entry.iter().collect();
    let status = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache",
        "metadata": {"name": due.name, "uid": due.uid},
        "status": {"uses": uses},
    });
    api.patch_status(&due.name, &by(node), &Patch::Apply(status)).await.map(drop)
}
