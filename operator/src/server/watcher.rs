//! One question to the server per interval, for all FileSystems on it together, and what else there is to know about it.
//! Whoever is concerned by news is woken. What the server keeps for a FileSystem that is no more (its finalizer was taken off,
//! by an uninstall or by force) is retained: so its capacity is not promised for ever to nobody, and it can be adopted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, sleep};
use workspacefs_agent_proto::v1::{Disposal, FileSystem, RemoveFileSystemRequest};
use workspacefs_runtime::CancellationToken;

use super::isolation::{self, Isolation};
use super::known::Knowledge;
use super::{Server, health};
use crate::error::chain;
use crate::metrics::Metrics;

/// While the server is away: people wait for it.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// In so many lists in a row must a FileSystem be of which Kubernetes knows nothing.
const ORPHAN_AFTER: u32 = 3;

/// Whom the watcher tells, and asks.
pub trait Cluster: Send + Sync {
    /// That FileSystem should be looked at.
    fn wake(&self, namespace: &str, name: &str);
    /// Whether there certainly is no FileSystem of that uid.
    fn lacks(&self, file_system: &FileSystem) -> bool;
}

/// What the watcher needs.
pub struct Watcher {
    /// For pods, nodes and Services.
    pub client: Client,
    /// Where they are.
    pub namespace: String,
    /// The server's Service, whose StatefulSet is called alike.
    pub service: String,
    /// The isolation probe's.
    pub isolation_probe: Option<String>,
    /// Whom to ask.
    pub server: Arc<Server>,
    /// What was found.
    pub knowledge: Arc<Knowledge>,
    /// Between two questions.
    pub interval: Duration,
    /// Told how full they all are together.
    pub metrics: Metrics,
}

impl Watcher {
    /// Asks until `shutdown`.
    pub async fn run(self, cluster: impl Cluster, shutdown: CancellationToken) {
        let mut orphans = HashMap::new();
        loop {
            let round = async {
                let answered = self.round(&cluster).await;
                if answered {
                    self.retain_orphans(&cluster, &mut orphans).await;
                }
                if answered { self.interval } else { self.interval.min(TRY_AGAIN) }
            };
            let wait = tokio::select! { wait = round => wait, () = shutdown.cancelled() => return };
            tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => return }
        }
    }

    /// Whether the server answered.
    async fn round(&self, cluster: &impl Cluster) -> bool {
        let asked = Instant::now();
        let (isolation, listed) = tokio::join!(self.isolation(), self.server.list());
        let news = self.knowledge.set_isolation(isolation);
        match listed {
            Ok(all) => {
                if self.knowledge.set_silence(None) {
                    tracing::info!("the embedded server answers again");
                }
                let mut woken = self.knowledge.learn_all(all, asked);
                if self.knowledge.set_trouble(None) || news {
                    woken = self.everybody();
                }
                woken.iter().for_each(|(namespace, name)| cluster.wake(namespace, name));
                self.count();
                true
            }
            Err(error) => {
                self.complain(&chain(&error));
                let trouble = health::look(&self.client, &self.namespace, &self.service).await;
                let trouble = trouble.unwrap_or_else(|error| {
                    tracing::warn!(error = chain(&error), "cannot look after the embedded server's pod");
                    None
                });
                if self.knowledge.set_trouble(trouble) || news {
                    self.everybody().iter().for_each(|(namespace, name)| cluster.wake(namespace, name));
                }
                false
            }
        }
    }

    /// `seen` counts in how many lists in a row each was one.
    async fn retain_orphans(&self, cluster: &impl Cluster, seen: &mut HashMap<String, u32>) {
        let orphans: Vec<FileSystem> =
            self.knowledge.all().into_iter().filter(|fs| cluster.lacks(fs)).collect();
        seen.retain(|uid, _| orphans.iter().any(|fs| fs.uid == *uid));
        for fs in orphans {
            let lists = seen.entry(fs.uid.clone()).or_insert(0);
            *lists += 1;
            if *lists < ORPHAN_AFTER {
                continue;
            }
            let FileSystem { namespace, name, uid, .. } = fs;
            let request = RemoveFileSystemRequest { uid: uid.clone(), disposal: Disposal::Retain.into() };
            match self.server.remove(request).await {
                Ok(_) => {
                    self.knowledge.forget(&uid);
                    tracing::warn!(namespace, name, uid, "no such FileSystem: its folder is retained");
                }
                Err(error) => {
                    tracing::warn!(namespace, name, error = chain(&error), "cannot retain a folder")
                }
            }
        }
    }

    /// Once for each way in which it does not answer.
    fn complain(&self, error: &str) {
        if self.knowledge.set_silence(Some(error)) {
            tracing::warn!(error, "the embedded server does not answer");
        }
    }

    async fn isolation(&self) -> Isolation {
        match &self.isolation_probe {
            Some(service) => isolation::ask(&self.client, &self.namespace, service).await,
            None => Isolation::NotProbed,
        }
    }

    fn everybody(&self) -> Vec<(String, String)> {
        self.knowledge.all().into_iter().map(|fs| (fs.namespace, fs.name)).collect()
    }

    fn count(&self) {
        let all = self.knowledge.all();
        let sum = |bytes: fn(&FileSystem) -> u64| {
            i64::try_from(all.iter().map(bytes).fold(0, u64::saturating_add)).unwrap_or(i64::MAX)
        };
        self.metrics.managed_capacity.set(sum(|fs| fs.capacity_bytes));
        self.metrics.managed_available.set(sum(|fs| fs.bytes_left));
        self.metrics.managed_file_systems.set(i64::try_from(all.len()).unwrap_or(i64::MAX));
    }
}
