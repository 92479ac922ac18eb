//! One question to the server per interval, for all FileSystems on it together, and what else there is to know about it.
//! Whoever is concerned by news is woken.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, sleep};
use workspacefs_runtime::CancellationToken;

use super::isolation::{self, Isolation};
use super::known::Knowledge;
use super::{Server, health};
use crate::error::chain;
use crate::metrics::Metrics;

/// While the server is away: people wait for it.
const TRY_AGAIN: Duration = Duration::from_secs(5);

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
    /// Asks until `shutdown`. `wake` is told namespace and name of a FileSystem that should be looked at.
    pub async fn run(self, wake: impl Fn(&str, &str), shutdown: CancellationToken) {
        loop {
            let wait = tokio::select! {
                answered = self.round(&wake) => if answered { self.interval } else { self.interval.min(TRY_AGAIN) },
                () = shutdown.cancelled() => return,
            };
            tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => return }
        }
    }

    /// Whether the server answered.
    async fn round(&self, wake: &impl Fn(&str, &str)) -> bool {
        let asked = Instant::now();
        let (isolation, listed) = tokio::join!(self.isolation(), self.server.list());
        let news = self.knowledge.set_isolation(isolation);
        match listed {
            Ok(all) => {
                let mut woken = self.knowledge.learn_all(all, asked);
                if self.knowledge.set_trouble(None) || news {
                    woken = self.everybody();
                }
                woken.iter().for_each(|(namespace, name)| wake(namespace, name));
                self.count();
                true
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "the embedded server does not answer");
                let trouble = health::look(&self.client, &self.namespace, &self.service).await;
                let trouble = trouble.unwrap_or_else(|error| {
                    tracing::warn!(error = chain(&error), "cannot look after the embedded server's pod");
                    None
                });
                if self.knowledge.set_trouble(trouble) || news {
                    self.everybody().iter().for_each(|(namespace, name)| wake(namespace, name));
                }
                false
            }
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
        let sum = |bytes: fn(&workspacefs_agent_proto::v1::FileSystem) -> u64| {
            i64::try_from(all.iter().map(bytes).fold(0, u64::saturating_add)).unwrap_or(i64::MAX)
        };
        self.metrics.managed_capacity.set(sum(|fs| fs.capacity_bytes));
        self.metrics.managed_available.set(sum(|fs| fs.bytes_left));
        self.metrics.managed_file_systems.set(i64::try_from(all.len()).unwrap_or(i64::MAX));
    }
}
