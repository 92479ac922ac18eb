//! Looks at the disks of every LocalStorage that means this node, every ten seconds and when something changes, and writes
//! down what it found. One that does not mean this node any more is unmounted as soon as no volume is mounted from it. What
//! LocalVolumes ask of the disks is carried out beside that (`volumes`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};
use workspacefs_api::{Health, LocalStorage, LocalStorageSpec, NodeStorage, UsedDevice};
use workspacefs_runtime::{CancellationToken, chain};

use super::disks::{DiskError, Disks};
use super::protocol::Look;
use super::report;
use super::storages::{ByName, Storages};
use super::volumes::{Cause, Volumes};
use crate::local_cache::decision::Asked;
use crate::local_cache::hands::RealHands;
use crate::local_cache::keep::SharedKeeper;
use crate::local_cache::{self, LocalCache};
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
    /// The node's FS-Cache, which may lie on one of the disks.
    pub local_cache: LocalCache,
    /// What keeps it, and where this node keeps none takes away what an earlier plugin left of one.
    pub cache_keeper: SharedKeeper<RealHands>,
}

/// What of the LocalStorages means a node.
#[derive(Debug, Default)]
struct Meant(Vec<Arc<LocalStorage>>);

impl Meant {
    /// One that is being deleted is still meant: its volumes are there until it is gone.
    fn of(storages: &ByName, group_label: &str, labels: &BTreeMap<String, String>) -> Self {
        Self(storages.values().filter(|storage| storage.selects(group_label, labels)).cloned().collect())
    }

    fn has(&self, uid: &str) -> bool {
        self.0.iter().any(|storage| storage.metadata.uid.as_deref() == Some(uid))
    }
}

/// What of a LocalStorage is looked at anew when it changes. What nodes write into its status wakes nobody: every write would
/// wake every node of the group.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Wanted {
    generation: Option<i64>,
    is_deleted: bool,
}

impl Wanted {
    fn of(storage: &LocalStorage) -> Self {
        let meta = &storage.metadata;
        Self { generation: meta.generation, is_deleted: meta.deletion_timestamp.is_some() }
    }
}

/// What was looked at last, by uid.
#[derive(Debug, Default)]
struct Looked(HashMap<String, Wanted>);

impl Looked {
    /// Whether it is looked at now.
    fn is_due(&self, uid: &str, storage: &LocalStorage, cause: Cause) -> bool {
        cause == Cause::Tick || self.0.get(uid) != Some(&Wanted::of(storage))
    }

    /// Forgets what is not meant any more. True if that was anything.
    fn forget(&mut self, meant: &Meant) -> bool {
        let before = self.0.len();
        self.0.retain(|uid, _| meant.has(uid));
        self.0.len() < before
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
        let (asked, changed) = self.asking_for_a_cache();
        let keeper = self.cache_keeper.clone();
        let cache = local_cache::keep::run(&keeper, asked, changed, shutdown.clone());
        tokio::join!(volumes.run(shutdown.clone()), self.look_at_all(in_use, shutdown.clone()), cache);
    }

    /// What the LocalStorages that mean this node ask of its cache; and what waits until one of their disks may be another. Changes
    /// of a spec have time until the next pass: they would come with every status that some node writes.
    fn asking_for_a_cache(&self) -> (impl Fn() -> Option<Vec<Asked>> + use<>, impl AsyncFnMut() + use<>) {
        let (storages, labels) = (self.storages.clone(), self.labels.clone());
        let (disks, group_label) = (self.disks.clone(), self.group_label.clone());
        let mut turns = disks.turns();
        let asked = move || {
            let meant = Meant::of(&storages.current()?, &group_label, &labels.current()?);
            let is_ready = |uid: &str| disks.entry(uid).map(|entry| entry.ready);
            let asked = meant.0.iter().filter_map(|storage| {
                let uid = storage.metadata.uid.as_deref()?;
                Asked::of(storage, is_ready(uid))
            });
            Some(asked.collect())
        };
        let changed = async move || {
            if turns.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        (asked, changed)
    }

    async fn look_at_all(self, in_use: impl Fn(&str) -> bool, shutdown: CancellationToken) {
        let this = Arc::new(self);
        let mut looks: HashMap<String, JoinHandle<()>> = HashMap::new();
        let mut looked = Looked::default();
        let (mut storages, mut labels) = (this.storages.subscribe(), this.labels.subscribe());
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                let cause = tokio::select! {
                    _ = ticks.tick() => Cause::Tick,
                    Ok(()) = labels.changed() => Cause::Tick,
                    Ok(()) = storages.changed() => Cause::Change,
                };
                let (Some(known), Some(labels)) = (this.storages.current(), this.labels.current()) else {
                    continue;
                };
                let meant = Meant::of(&known, &this.group_label, &labels);
                looks.retain(|_, look| !look.is_finished());
                for storage in &meant.0 {
                    let Some(uid) = storage.uid() else {
                        continue;
                    };
                    if looks.contains_key(&uid) || !looked.is_due(&uid, storage, cause) {
                        continue;
                    }
                    looked.0.insert(uid.clone(), Wanted::of(storage));
                    let (this, storage, idle) = (this.clone(), storage.clone(), !in_use(&uid));
                    looks.insert(uid, tokio::spawn(async move { this.look(&storage, idle).await }));
                }
                if looked.forget(&meant) || cause == Cause::Tick {
                    this.release(&meant, &in_use, &looks).await;
                }
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
        if let Some(before) = before.as_ref().filter(|before| idle && is_taken_anew(&storage.spec, before)) {
            self.let_go(uid, before).await;
        }
        let known = known_device(before.as_ref(), storage.on_node(&self.node));
        let look = Look { node: self.node.clone(), spec: storage.spec.clone(), known: known.clone() };
        let was_ready = before.as_ref().is_some_and(|entry| entry.ready);
        let deadline = Instant::now() + if was_ready { LOOK_MAX } else { TAKE_MAX };
        let entry = match self.disks.look(uid, look, deadline).await {
            Ok(entry) => entry,
            // Nothing was learned: what is known of it stands until the next look.
            Err(DiskError::AtImage) => return,
            Err(error) => {
                let entry = NodeStorage { device: known, ..failed(before, &self.node, &error) };
                self.disks.keep(uid, entry.clone());
                entry
            }
        };
        let cache = storage.spec.fs_cache.as_ref().and_then(|_| self.local_cache.entry(uid));
        let entry = NodeStorage { cache, ..entry };
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
        match self.unmount(uid).await {
            Ok(()) => tracing::info!(uid, "it has failed and nobody uses it: unmounted, to be taken anew"),
            Err(error) => tracing::warn!(uid, cause = chain(&error), "a failed disk stays mounted for now"),
        }
        self.disks.keep(uid, entry.clone());
    }

    /// The node's cache, if it lies there, is taken away first. What takes longer is waited for the next time: the other disks wait
    /// for this one.
    async fn unmount(&self, uid: &str) -> Result<(), DiskError> {
        let deadline = Instant::now() + RELEASE_MAX;
        let (keeper, its_uid) = (self.cache_keeper.clone(), uid.to_string());
        // A task of its own goes on then. Given up halfway, the disk's helper would be killed, and while that is held by the kernel
        // one more would be started with each try.
        let let_go = tokio::spawn(async move { keeper.lock().await.let_go_of(&its_uid).await });
        let _ = timeout_at(deadline, let_go).await;
        self.disks.release(uid, Instant::now() + RELEASE_MAX).await
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
            match self.unmount(&uid).await {
                Ok(()) => tracing::info!(uid, "not meant for this node any more: its disk is unmounted"),
                Err(error) => tracing::warn!(uid, cause = chain(&error), "its disk stays mounted for now"),
            }
        }
    }
}

/// Whether what is mounted has failed, and may be unmounted for another try. A directory is not ours to unmount: let go, it would
/// not be known any more for a file system of its own, and the empty folder below its mount point would be taken.
fn is_taken_anew(spec: &LocalStorageSpec, entry: &NodeStorage) -> bool {
    let has_stopped = !entry.ready && entry.health == Health::Failed && entry.device.is_some();
    has_stopped && spec.source.devices.is_some()
}

/// What the disk was used as: by the latest look of this process, or, before the first, by what an earlier one wrote down.
fn known_device(before: Option<&NodeStorage>, written: Option<&NodeStorage>) -> Option<UsedDevice> {
    let device = before.or(written)?.device.as_ref()?;
    // A directory has no identity.
    (!device.identity.is_empty()).then(|| device.clone())
}

/// The entry of a disk that could not be looked at.
fn failed(before: Option<NodeStorage>, node: &str, error: &DiskError) -> NodeStorage {
    let (reason, message) = match error {
        DiskError::TimedOut { .. } | DiskError::Hangs => (
            "DiskNotAnswering",
            format!("{error}: look at the node's kernel log; a disk that hangs needs the node started anew"),
        ),
        DiskError::AtImage | DiskError::Helper(_) | DiskError::Refused(_) => ("LookFailed", chain(error)),
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
        cache: None,
        found: before.map(|entry| entry.found).unwrap_or_default(),
        observed_at: Time(Timestamp::now()),
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_api::LocalSource;

    use super::*;

    #[test]
    fn what_nodes_write_into_a_status_is_no_reason_to_look_and_what_is_asked_for_is() {
        let mut storage = LocalStorage::new("fast", LocalStorageSpec::default());
        (storage.metadata.uid, storage.metadata.generation) = (Some("u".into()), Some(1));
        let mut looked = Looked::default();
        assert!(looked.is_due("u", &storage, Cause::Change));
        looked.0.insert("u".into(), Wanted::of(&storage));
        storage.status.get_or_insert_default().nodes.push(failed(None, "n2", &DiskError::Hangs));
        storage.metadata.resource_version = Some("2".into());
        assert!(!looked.is_due("u", &storage, Cause::Change));
        assert!(looked.is_due("u", &storage, Cause::Tick));
        let mut changed = storage.clone();
        changed.metadata.generation = Some(2);
        assert!(looked.is_due("u", &changed, Cause::Change));
        let mut deleted = storage.clone();
        deleted.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(looked.is_due("u", &deleted, Cause::Change));
        assert!(looked.is_due("v", &storage, Cause::Change), "made again under its name");
        assert!(!looked.forget(&Meant(vec![Arc::new(storage)])));
        assert!(looked.forget(&Meant::default()) && looked.0.is_empty());
    }

    #[test]
    fn only_what_is_mounted_and_has_failed_is_taken_anew() {
        let failed = failed(None, "n1", &DiskError::Hangs);
        let devices = LocalSource { devices: Some(Default::default()), directory: None };
        let devices = LocalStorageSpec { source: devices, ..Default::default() };
        assert!(!is_taken_anew(&devices, &failed), "nothing is mounted");
        let mounted = NodeStorage { device: Some(Default::default()), ..failed };
        assert!(is_taken_anew(&devices, &mounted));
        let degraded = NodeStorage { health: Health::Degraded, ready: true, ..mounted.clone() };
        assert!(!is_taken_anew(&devices, &degraded));
        let unknown = NodeStorage { health: Health::Unknown, ..mounted.clone() };
        assert!(!is_taken_anew(&devices, &unknown), "nothing is known of it");
        let directory = LocalSource { devices: None, directory: Some(Default::default()) };
        let directory = LocalStorageSpec { source: directory, ..Default::default() };
        assert!(!is_taken_anew(&directory, &mounted), "what is in its place would be taken");
    }

    #[test]
    fn what_a_disk_was_used_as_is_known_from_the_latest_look_or_else_from_the_status() {
        let of = |identity: Option<&str>| {
            let device =
                identity.map(|identity| UsedDevice { identity: identity.into(), ..Default::default() });
            NodeStorage { device, ..failed(None, "n1", &DiskError::Hangs) }
        };
        let (none, a, b, directory) = (of(None), of(Some("wwn:a")), of(Some("wwn:b")), of(Some("")));
        for (before, written, known) in [
            (None, None, None),
            (None, Some(&a), Some("wwn:a")),
            (Some(&b), Some(&a), Some("wwn:b")),
            // It was given up, and the watch does not say so yet.
            (Some(&none), Some(&a), None),
            (Some(&directory), None, None),
        ] {
            let device = known_device(before, written);
            assert_eq!(device.as_ref().map(|device| device.identity.as_str()), known);
        }
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
