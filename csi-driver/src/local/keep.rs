//! Looks at the disks of every LocalStorage that means this node, every ten seconds and when something changes, and writes
//! down what it found. One that does not mean this node any more is unmounted as soon as no volume is mounted from it. What
//! LocalVolumes ask of the disks is carried out beside that (`volumes`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use workspacefs_api::{Health, LocalStorage, NodeStorage};
use workspacefs_runtime::{CancellationToken, chain};

use super::disks::{DiskError, Disks};
use super::report;
use super::storages::{ByName, Storages};
use super::volumes::Volumes;
use crate::node::NodeLabels;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(10);
/// A disk in use that has not answered for so long is failed. With the interval before it: within 30 s.
const LOOK_MAX: Duration = Duration::from_secs(15);
/// While it is not in use yet it may be being formatted, which a large slow disk takes minutes for.
const TAKE_MAX: Duration = Duration::from_secs(900);
/// How long a disk may take to be unmounted before it is tried again.
const RELEASE_MAX: Duration = Duration::from_secs(10);

/// What looks at the disks.
pub struct Keep {
    /// This node.
    pub node: String,
    /// Label of a Node that names its node group.
    pub group_label: String,
    /// This node's labels.
    pub labels: NodeLabels,
    /// The LocalStorages.
    pub storages: Storages,
    /// Where it is done.
    pub disks: Disks,
    /// Where it is written.
    pub client: Client,
}

/// What of the LocalStorages means a node.
#[derive(Debug, Default)]
struct Meant(Vec<Arc<LocalStorage>>);

impl Meant {
    /// One that is being deleted is still meant: its volumes are there until it is gone.
    fn of(storages: &ByName, group_label: &str, labels: &std::collections::BTreeMap<String, String>) -> Self {
        Self(storages.values().filter(|storage| storage.selects(group_label, labels)).cloned().collect())
    }

    fn has(&self, uid: &str) -> bool {
        self.0.iter().any(|storage| storage.metadata.uid.as_deref() == Some(uid))
    }
}

impl Keep {
    /// Goes on until `shutdown`. `in_use` says whether a volume is on the LocalStorage with that uid.
    pub async fn run(self, in_use: impl Fn(&str) -> bool, shutdown: CancellationToken) {
        let volumes = Volumes {
            node: self.node.clone(),
            group_label: self.group_label.clone(),
            labels: self.labels.clone(),
            storages: self.storages.clone(),
            disks: self.disks.clone(),
            client: self.client.clone(),
        };
        tokio::join!(volumes.run(shutdown.clone()), self.look_at_all(in_use, shutdown));
    }

    async fn look_at_all(self, in_use: impl Fn(&str) -> bool, shutdown: CancellationToken) {
        let this = Arc::new(self);
        let mut looks: HashMap<String, JoinHandle<()>> = HashMap::new();
        let (mut storages, mut labels) = (this.storages.subscribe(), this.labels.subscribe());
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    Ok(()) = storages.changed() => {}
                    Ok(()) = labels.changed() => {}
                }
                let (Some(known), Some(labels)) = (this.storages.current(), this.labels.current()) else {
                    continue;
                };
                let meant = Meant::of(&known, &this.group_label, &labels);
                looks.retain(|_, look| !look.is_finished());
                for storage in &meant.0 {
                    let Some(uid) = storage.uid() else {
                        continue;
                    };
                    let (this, storage, idle) = (this.clone(), storage.clone(), !in_use(&uid));
                    looks
                        .entry(uid)
                        .or_insert_with(|| tokio::spawn(async move { this.look(&storage, idle).await }));
                }
                this.release(&meant, &in_use, &looks).await;
            }
        };
        let _: Option<std::convert::Infallible> = shutdown.run_until_cancelled(work).await;
        for look in looks.into_values() {
            look.abort();
        }
    }

    /// `idle` if no volume is on it.
    async fn look(&self, storage: &LocalStorage, idle: bool) {
        let Some(uid) = storage.metadata.uid.as_deref() else {
            return;
        };
        let before = self.disks.entry(uid);
        if let Some(before) = before.as_ref().filter(|before| idle && has_stopped(before)) {
            self.let_go(uid, before).await;
        }
        let was_ready = before.as_ref().is_some_and(|entry| entry.ready);
        let deadline = Instant::now() + if was_ready { LOOK_MAX } else { TAKE_MAX };
        let entry = match self.disks.look(uid, &self.node, &storage.spec, deadline).await {
            Ok(entry) => entry,
            Err(error) => {
                let entry = failed(before, &self.node, &error);
                self.disks.keep(uid, entry.clone());
                entry
            }
        };
        // What stands in the status, not what was last sent: somebody else may have changed it, or an attempt may have failed.
        let name = storage.name_any();
        let current = self.storages.current().and_then(|known| known.get(&name).cloned());
        let written = current.as_ref().and_then(|storage| storage.on_node(&self.node));
        if !report::is_news(written, &entry) {
            return;
        }
        tracing::info!(
            storage = name,
            ready = entry.ready,
            reason = entry.reason,
            message = entry.message,
            "local storage"
        );
        if let Err(error) = report::write(&self.client, &name, &entry).await {
            tracing::warn!(storage = name, cause = chain(&error), "cannot write this node's entry");
        }
    }

    /// A file system that has failed does not recover, though its disk may be back: it is unmounted, and the look that follows
    /// mounts it again if it can. Its entry stands meanwhile, which lets nobody begin to use it.
    async fn let_go(&self, uid: &str, entry: &NodeStorage) {
        match self.disks.release(uid, Instant::now() + RELEASE_MAX).await {
            Ok(()) => tracing::info!(uid, "it has failed and nobody uses it: unmounted, to be taken anew"),
            Err(error) => tracing::warn!(uid, cause = chain(&error), "a failed disk stays mounted for now"),
        }
        self.disks.keep(uid, entry.clone());
    }

    async fn release(
        &self,
        meant: &Meant,
        in_use: &impl Fn(&str) -> bool,
        looks: &HashMap<String, JoinHandle<()>>,
    ) {
        for uid in self.disks.known() {
            if meant.has(&uid) || in_use(&uid) || looks.contains_key(&uid) {
                continue;
            }
            match self.disks.release(&uid, Instant::now() + RELEASE_MAX).await {
                Ok(()) => tracing::info!(uid, "not meant for this node any more: its disk is unmounted"),
                Err(error) => tracing::warn!(uid, cause = chain(&error), "its disk stays mounted for now"),
            }
        }
    }
}

/// Whether what is mounted has failed.
fn has_stopped(entry: &NodeStorage) -> bool {
    !entry.ready && entry.health == Health::Failed && entry.device.is_some()
}

/// The entry of a disk that could not be looked at.
fn failed(before: Option<NodeStorage>, node: &str, error: &DiskError) -> NodeStorage {
    let (reason, message) = match error {
        DiskError::TimedOut { .. } | DiskError::Hangs => (
            "DiskNotAnswering",
            format!("{error}: look at the node's kernel log; a disk that hangs needs the node started anew"),
        ),
        DiskError::Helper(_) | DiskError::Refused(_) => ("LookFailed", chain(error)),
    };
    NodeStorage {
        node: node.to_string(),
        ready: false,
        reason: reason.into(),
        message,
        health: Health::Failed,
        device: before.as_ref().and_then(|entry| entry.device.clone()),
        capacity: before.as_ref().and_then(|entry| entry.capacity.clone()),
        used: before.as_ref().and_then(|entry| entry.used.clone()),
        available: None,
        unaccounted: None,
        shares_file_system: before.as_ref().is_some_and(|entry| entry.shares_file_system),
        found: before.map(|entry| entry.found).unwrap_or_default(),
        observed_at: Time(Timestamp::now()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_and_has_failed_is_taken_anew() {
        let failed = failed(None, "n1", &DiskError::Hangs);
        assert!(!has_stopped(&failed), "nothing is mounted");
        let mounted = NodeStorage { device: Some(Default::default()), ..failed };
        assert!(has_stopped(&mounted));
        assert!(!has_stopped(&NodeStorage { health: Health::Degraded, ready: true, ..mounted.clone() }));
        assert!(!has_stopped(&NodeStorage { health: Health::Unknown, ..mounted }), "nothing is known of it");
    }

    #[test]
    fn a_disk_that_hangs_is_failed_and_not_ready_whatever_it_was() {
        let hang = DiskError::TimedOut { seconds: 15 };
        let first = failed(None, "n1", &hang);
        assert_eq!(
            (first.ready, first.reason.as_str(), first.health),
            (false, "DiskNotAnswering", Health::Failed)
        );
        let before = NodeStorage {
            ready: true,
            reason: "Ready".into(),
            health: Health::Healthy,
            capacity: Some(workspacefs_api::quantity::exact(1 << 30)),
            ..first
        };
        let after = failed(Some(before.clone()), "n1", &hang);
        assert!(!after.ready && after.health == Health::Failed);
        assert_eq!(after.capacity, before.capacity, "what is known of it stays known");
    }
}
