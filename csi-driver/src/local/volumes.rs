//! Carries out the LocalVolumes of this node: a watch of its own objects, and each asked of its disk when it changes, again at
//! every tick until there is nothing left of the wish, and once more when another disk is in the node. What came of it goes
//! into the object's status.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::Patch;
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use workspacefs_api::{LocalVolume, LocalVolumePhase, LocalVolumeStatus, NodeStorage};
use workspacefs_runtime::{CancellationToken, chain};

use super::disks::Disks;
use super::outcome::{self, Outcome};
use super::protocol::{Volume, Wish};
use super::publish::why_not_ready;
use super::report;
use super::storages::{self, Storages};
use super::watched::Watched;
use crate::node::NodeLabels;

/// Between two attempts at what could not be done.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a disk may take for one wish. Others may be asked of it before.
const WISH_MAX: Duration = Duration::from_secs(60);

/// What carries them out.
#[derive(Clone)]
pub struct Volumes {
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

/// All LocalVolumes of a node.
type Wishes = Watched<LocalVolume>;

/// What an attempt was made at, and on which disk.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Attempt {
    uid: Option<String>,
    generation: Option<i64>,
    is_deleted: bool,
    /// That changes no generation.
    is_kept: bool,
    ground: String,
}

/// How an attempt ended.
struct Ended {
    name: String,
    stage: Stage,
    /// The object's uid, and how much of it is on the disk.
    made: Option<(String, i64)>,
}

/// How far the latest attempt at a volume is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It goes on.
    Running,
    /// It has ended, and the object says what came of it.
    Ended,
    /// It has ended, and nobody was told.
    Untold,
}

/// Why objects are gone through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// Something of them changed, which may be what a node wrote.
    Change,
    /// It is time, or this node or a disk of it is another than before.
    Tick,
}

/// Whether a volume is asked of its disk now; `last` is the latest attempt at it. What is settled is asked for once per
/// process and disk: the disk may be another than the one on which it was made.
fn is_due(volume: &LocalVolume, now: &Attempt, last: Option<&(Attempt, Stage)>, cause: Cause) -> bool {
    match (last, cause) {
        (Some((_, Stage::Running)), _) => false,
        (Some((last, _)), _) if last != now => true,
        (None, _) => true,
        (Some(_), Cause::Change) => false,
        (Some((_, Stage::Untold)), Cause::Tick) => true,
        (Some(_), Cause::Tick) => !outcome::is_settled(volume),
    }
}

impl Volumes {
    /// Goes on until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let wishes = Wishes::fixed(None);
        let config = watcher::Config::default().fields(&format!("spec.node={}", self.node));
        let follow = wishes.follow_selected(Api::all(self.client.clone()), config, shutdown.clone());
        let work = shutdown.run_until_cancelled(self.carry_out(&wishes));
        tokio::join!(follow, work);
    }

    async fn carry_out(&self, wishes: &Wishes) {
        // The latest attempt, by name.
        let mut attempts: HashMap<String, (Attempt, Stage)> = HashMap::new();
        // How much this process has made, by the object's uid: a watch may be behind.
        let mut made: HashMap<String, i64> = HashMap::new();
        let mut running: JoinSet<Ended> = JoinSet::new();
        let mut changes = wishes.subscribe();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let cause = tokio::select! {
                _ = ticks.tick() => Cause::Tick,
                () = self.disks.turned() => Cause::Tick,
                Ok(()) = changes.changed() => Cause::Change,
                Some(ended) = running.join_next() => {
                    match ended {
                        Ok(ended) => {
                            attempts.entry(ended.name).and_modify(|(_, last)| *last = ended.stage);
                            made.extend(ended.made);
                        }
                        // It panicked, and nobody knows which.
                        Err(_) => attempts.clear(),
                    }
                    // The object may have changed since the attempt began.
                    Cause::Change
                }
            };
            let Some(known) = wishes.current() else { continue };
            attempts.retain(|name, (_, stage)| *stage == Stage::Running || known.contains_key(name));
            made.retain(|uid, _| known.values().any(|volume| volume.metadata.uid.as_ref() == Some(uid)));
            for (name, volume) in known {
                let size = volume.metadata.uid.as_ref().and_then(|uid| made.get(uid).copied());
                let volume = outcome::made(volume, size);
                let Some((not_asked, ground)) = self.ground(&volume) else { continue };
                let now = attempt(&volume, ground);
                if !is_due(&volume, &now, attempts.get(&name), cause) {
                    continue;
                }
                attempts.insert(name.clone(), (now, Stage::Running));
                let this = self.clone();
                running.spawn(async move { this.attempt(name, &volume, not_asked).await });
            }
        }
    }

    /// What the volume is to be asked of: why it cannot be asked, if it cannot, and what tells one disk from another. None while
    /// that is not known, since this process has just started.
    fn ground(&self, volume: &LocalVolume) -> Option<(Option<Outcome>, String)> {
        let (storages, labels) = (self.storages.current()?, self.labels.current()?);
        let (name, uid) = (&volume.spec.storage, &volume.spec.storage_uid);
        let not_asked = |why: String| Some((Some(Outcome::NotAsked(why)), String::new()));
        let Some(storage) = storages::find(&storages, name, uid) else {
            return not_asked(format!(
                "there is no LocalStorage {name:?}, or it is another than the one this volume is of"
            ));
        };
        let group = &storage.spec.node_group;
        if !storage.selects(&self.group_label, &labels) {
            return not_asked(format!(
                "LocalStorage {name:?} is on nodes of node group {group:?}, and node {:?} is not one of them now",
                self.node
            ));
        }
        let entry = self.disks.entry(uid)?;
        if !entry.ready {
            let why = why_not_ready(entry);
            return not_asked(format!("LocalStorage {name:?} is not ready on node {:?}: {why}", self.node));
        }
        Some((None, disk_name(&entry)))
    }

    async fn attempt(&self, name: String, volume: &LocalVolume, not_asked: Option<Outcome>) -> Ended {
        // What is ready stays so while its disk is away: there is nothing left to be done.
        if not_asked.is_some() && outcome::is_settled(volume) {
            return Ended { name, stage: Stage::Ended, made: None };
        }
        let outcome = match not_asked {
            _ if outcome::is_kept(volume) => Outcome::Kept,
            Some(outcome) => outcome,
            None => self.ask(volume).await,
        };
        let status = outcome::status(volume, &outcome, Time(Timestamp::now()));
        let made = made(volume, &status);
        let stage = if outcome::is_news(volume.status.as_ref(), &status) {
            self.tell(volume, &name, &status).await
        } else {
            Stage::Ended
        };
        Ended { name, stage, made }
    }

    async fn tell(&self, volume: &LocalVolume, name: &str, status: &LocalVolumeStatus) -> Stage {
        tracing::info!(
            volume = name,
            storage = volume.spec.storage,
            phase = ?status.phase,
            size = status.size_bytes,
            reason = ?status.reason,
            message = status.message,
            "local volume"
        );
        match self.write(volume, name, status).await {
            Ok(()) => Stage::Ended,
            Err(error) => {
                tracing::warn!(volume = name, cause = chain(&error), "cannot write the volume's status");
                Stage::Untold
            }
        }
    }

    async fn ask(&self, object: &LocalVolume) -> Outcome {
        let deadline = Instant::now() + WISH_MAX;
        let spec = &object.spec;
        let name = object.metadata.name.clone().unwrap_or_default();
        let volume = Volume { storage_uid: spec.storage_uid.clone(), name };
        if object.metadata.deletion_timestamp.is_some() {
            return match self.disks.remove_volume(volume, deadline).await {
                Ok(()) => Outcome::Removed,
                Err(error) => Outcome::Failed(error),
            };
        }
        let size = u64::try_from(spec.size_bytes).unwrap_or(0);
        let wish = Wish {
            volume: volume.clone(),
            namespace: spec.namespace.clone(),
            size,
            may_make: !outcome::was_made(object),
        };
        match self.disks.ensure_volume(wish, deadline).await {
            Ok(has) if has >= size => Outcome::There(has, None),
            Ok(has) => match self.disks.grow_volume(volume, size, deadline).await {
                Ok(has) => Outcome::There(has, None),
                Err(error) => Outcome::There(has, Some(error)),
            },
            Err(error) => Outcome::Failed(error),
        }
    }

    /// With the object's uid: one of the same name that was made meanwhile is another, and is refused.
    async fn write(
        &self,
        volume: &LocalVolume,
        name: &str,
        status: &LocalVolumeStatus,
    ) -> Result<(), kube::Error> {
        let api: Api<LocalVolume> = Api::all(self.client.clone());
        let status = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalVolume",
            "metadata": {"name": name, "uid": volume.metadata.uid},
            "status": status,
        });
        api.patch_status(name, &report::by(&self.node), &Patch::Apply(status)).await.map(drop)
    }
}

fn attempt(volume: &LocalVolume, ground: String) -> Attempt {
    Attempt {
        uid: volume.metadata.uid.clone(),
        generation: volume.metadata.generation,
        is_deleted: volume.metadata.deletion_timestamp.is_some(),
        is_kept: outcome::is_kept(volume),
        ground,
    }
}

/// What is known to be on a disk from now on, whether or not it can be written down.
fn made(volume: &LocalVolume, status: &LocalVolumeStatus) -> Option<(String, i64)> {
    let is_made = status.phase == LocalVolumePhase::Ready;
    Some((volume.metadata.uid.clone()?, status.size_bytes.filter(|_| is_made)?))
}

/// What tells the disk that is in use from another in its place.
fn disk_name(entry: &NodeStorage) -> String {
    let device = entry.device.as_ref();
    device.map_or_else(String::new, |device| format!("{}:{}", device.name, device.file_system_uuid))
}

#[cfg(test)]
mod tests {
    use workspacefs_api::{LocalVolumePhase, LocalVolumeSpec};

    use super::*;

    fn volume(generation: i64, phase: LocalVolumePhase) -> LocalVolume {
        let mut volume = LocalVolume::new("v", LocalVolumeSpec::default());
        volume.metadata.generation = Some(generation);
        volume.status = Some(LocalVolumeStatus {
            observed_generation: Some(generation),
            phase,
            size_bytes: Some(4096),
            ..Default::default()
        });
        volume
    }

    #[test]
    fn what_is_settled_is_asked_for_once_per_disk_and_what_is_not_at_every_tick() {
        use Cause::{Change, Tick};
        let (ready, lost) = (volume(1, LocalVolumePhase::Ready), volume(1, LocalVolumePhase::Lost));
        let on = |volume: &LocalVolume, disk: &str| attempt(volume, disk.into());
        let of = |uid: &str| Attempt { uid: Some(uid.into()), ..on(&ready, "a") };
        let ended = |attempt| Some((attempt, Stage::Ended));
        for (what, volume, now, last, cause, due) in [
            ("first seen", &ready, on(&ready, "a"), None, Change, true),
            ("settled", &ready, on(&ready, "a"), ended(on(&ready, "a")), Tick, false),
            ("another disk", &ready, on(&ready, "b"), ended(on(&ready, "a")), Tick, true),
            ("being asked", &ready, on(&ready, "b"), Some((on(&ready, "a"), Stage::Running)), Tick, false),
            ("lost, and nobody was told", &ready, of("x"), Some((of("x"), Stage::Untold)), Tick, true),
            ("the same, before its time", &ready, of("x"), Some((of("x"), Stage::Untold)), Change, false),
            (
                "another wish",
                &ready,
                on(&ready, "a"),
                ended(on(&volume(2, LocalVolumePhase::Ready), "a")),
                Change,
                true,
            ),
            ("another object", &ready, of("x"), ended(of("y")), Change, true),
            (
                "its files are to go after all",
                &ready,
                of("x"),
                ended(Attempt { is_kept: true, ..of("x") }),
                Change,
                true,
            ),
            ("not settled", &lost, on(&lost, "a"), ended(on(&lost, "a")), Tick, true),
            // Our own writing of the status is a change, too.
            ("not settled, and nothing new", &lost, on(&lost, "a"), ended(on(&lost, "a")), Change, false),
        ] {
            assert_eq!(is_due(volume, &now, last.as_ref(), cause), due, "{what}");
        }
    }
}
