//! Where the copies of an FsCache lie for this node: on the share of a FileSystem that is dedicated to its node group,
//! or on its own disk of a LocalStorage.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use workspacefs_api::FileSystem;
use workspacefs_api::volume::VolumeAttributes;
use workspacefs_runtime::CancellationToken;

use super::known::{Known, Target};
use super::state::Caches;
use crate::local::storages::Storages;
use crate::local::watched::follow_events;
use crate::local_cache::LocalCache;
use crate::node::NodeLabels;
use crate::node::volume;
use crate::share::{FolderRequest, ShareKey, ShareSpec};

type Guarded = DeserializeGuard<FileSystem>;
/// Namespace and name.
pub type Key = (String, String);

/// A FileSystem that is dedicated to a node group, as far as copies on it need it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// Its node group.
    pub group: String,
    /// The share it lies on.
    pub share: ShareSpec,
    /// Its folder.
    pub folder: FolderRequest,
}

impl Place {
    /// None for one that no copy can lie in.
    fn of(fs: &FileSystem) -> Option<Self> {
        let group = fs.spec.node_group.clone().filter(|_| fs.metadata.deletion_timestamp.is_none())?;
        let attributes = VolumeAttributes::of_file_system(fs).ok()?;
        let options = volume::options_of(fs).ok()?;
        let share = ShareSpec::new(&attributes, &options);
        Some(Self { group, share, folder: FolderRequest::new(&attributes) })
    }
}

/// By namespace and name.
pub type Places = HashMap<Key, Place>;

/// All dedicated FileSystems; None until the first list of them is complete. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Dedicated(Arc<watch::Sender<Option<Places>>>);

impl Dedicated {
    /// Follows them until `shutdown`, from when some FsCache has copies in a FileSystem: every write to any
    /// FileSystem's status comes to every node that does.
    pub async fn follow(&self, client: Client, caches: &Caches, shutdown: CancellationToken) {
        let mut changes = caches.subscribe();
        let needed = changes.wait_for(|_| caches.are_in_file_systems());
        if !matches!(shutdown.run_until_cancelled(needed).await, Some(Ok(_))) {
            return;
        }
        let mut listed = Places::new();
        let api: Api<Guarded> = Api::all(client);
        follow_events(api, watcher::Config::default(), shutdown, |event| self.learn(event, &mut listed))
            .await;
    }

    /// Takes one in as the watch would. For tests.
    pub fn put(&self, fs: &FileSystem) {
        self.learn(Event::Apply(DeserializeGuard(Ok(fs.clone()))), &mut Places::new());
    }

    fn learn(&self, event: Event<Guarded>, listed: &mut Places) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                if let (key, Some(place)) = read(&object) {
                    listed.insert(key, place);
                }
            }
            Event::InitDone => drop(self.0.send_replace(Some(std::mem::take(listed)))),
            Event::Apply(object) => {
                let (key, place) = read(&object);
                self.set(key, place);
            }
            Event::Delete(object) => self.set(read(&object).0, None),
        }
    }

    /// Wakes nobody where nothing changed: most writes are of a status.
    fn set(&self, key: Key, place: Option<Place>) {
        self.0.send_if_modified(|known| {
            let known = known.get_or_insert_default();
            let is_news = known.get(&key) != place.as_ref();
            match place {
                Some(place) => drop(known.insert(key, place)),
                None => drop(known.remove(&key)),
            }
            is_news
        });
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Place> {
        self.0.borrow().as_ref()?.get(&(namespace.into(), name.into())).cloned()
    }

    /// Hears of changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<Places>> {
        self.0.subscribe()
    }

    fn is_known(&self) -> bool {
        self.0.borrow().is_some()
    }
}

fn read(object: &Guarded) -> (Key, Option<Place>) {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    (key, object.0.as_ref().ok().and_then(Place::of))
}

/// Where a copy lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lies {
    /// In a folder of a share.
    OnShare(ShareSpec, FolderRequest),
    /// On this node's disk of the LocalStorage with that uid, in the share of the workspace of that name.
    OnDisk(String, String),
}

/// What a copy in use holds, as a target's record has it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsedCopy {
    /// The FsCache's uid.
    pub cache: String,
    /// Which of its generations.
    pub generation: i64,
    /// What it lies on.
    pub holds: Holds,
}

/// What must stay mounted.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Holds {
    /// A share.
    Share(ShareKey),
    /// The disk of the LocalStorage with that uid.
    Disk(String),
}

impl From<&Lies> for Holds {
    fn from(lies: &Lies) -> Self {
        match lies {
            Lies::OnShare(share, _) => Self::Share(share.key()),
            Lies::OnDisk(storage_uid, _) => Self::Disk(storage_uid.clone()),
        }
    }
}

/// What decides whether this node can have the copies of a cache.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Label of a Node that names its node group.
    pub group_label: String,
    /// This node's labels.
    pub labels: NodeLabels,
    /// The FileSystems.
    pub dedicated: Dedicated,
    /// The LocalStorages; not known where this node has no local storage.
    pub storages: Storages,
    /// The node's FS-Cache, through which copies in FileSystems may be read, too.
    pub local_cache: LocalCache,
}

impl Ground {
    /// Where the copies lie for this node: None if it is not of the target's node group, or may not use it.
    pub fn of(&self, cache: &Known) -> Option<Lies> {
        let labels = self.labels.current()?;
        match &cache.target {
            Target::FileSystem(name) => {
                let place = self.dedicated.get(&cache.namespace, name)?;
                (labels.get(&self.group_label) == Some(&place.group))
                    .then(|| Lies::OnShare(self.local_cache.share(place.share, true), place.folder))
            }
            Target::LocalStorage(name) => {
                let known = self.storages.current()?;
                let storage = known.get(name)?;
                let is_for_it = storage.selects(&self.group_label, &labels)
                    && storage.spec.workspaces.contains(&cache.namespace);
                let uid = storage.uid().filter(|_| is_for_it)?;
                Some(Lies::OnDisk(uid, cache.namespace.clone()))
            }
        }
    }

    /// Whether enough is known to say where this node has no copies.
    pub fn is_known(&self, caches: &Caches) -> bool {
        self.labels.current().is_some()
            && self.storages.current().is_some()
            && (self.dedicated.is_known() || !caches.are_in_file_systems())
    }

    /// Nothing known: for a plugin without an API server.
    pub fn none(group_label: &str) -> Self {
        Self {
            group_label: group_label.into(),
            labels: NodeLabels::fixed(None),
            dedicated: Dedicated::default(),
            storages: Storages::fixed(Some(BTreeMap::new())),
            local_cache: LocalCache::off(),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use workspacefs_api::{Backend, FileSystemSpec, LocalStorage, LocalStorageSpec, NfsBackend};

    use super::*;

    const LABEL: &str = "workspacefs.io/node-group";
    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn known(target: Target) -> Known {
        Known {
            namespace: "team-a".into(),
            name: "warm".into(),
            created: Timestamp::UNIX_EPOCH,
            source: Some("default".into()),
            is_claim: false,
            target,
            is_deleted: false,
            age_max: None,
            copy: None,
            written: None,
        }
    }

    fn file_system(group: Option<&str>) -> FileSystem {
        let nfs = NfsBackend {
            server: "nfs".into(),
            export: "/e".into(),
            folder: Some("near".into()),
            ..Default::default()
        };
        let spec = FileSystemSpec {
            backend: Backend { nfs: Some(nfs), ..Default::default() },
            node_group: group.map(Into::into),
            mount_options: Some(vec!["nconnect=4".into()]),
            ..Default::default()
        };
        let mut fs = FileSystem::new("near", spec);
        fs.metadata.namespace = Some("team-a".into());
        fs.metadata.uid = Some(UID.into());
        fs
    }

    fn ground(group: Option<&str>) -> Ground {
        let labels = group.map(|group| [(LABEL.to_string(), group.to_string())].into());
        let spec = LocalStorageSpec {
            node_group: "gpu".into(),
            workspaces: vec!["team-a".into()],
            ..Default::default()
        };
        let mut storage = LocalStorage::new("fast", spec);
        storage.metadata.uid = Some(UID.into());
        let storages = Storages::fixed(Some(BTreeMap::from([("fast".to_string(), Arc::new(storage))])));
        Ground { labels: NodeLabels::fixed(labels), storages, ..Ground::none(LABEL) }
    }

    #[test]
    fn copies_are_had_in_the_targets_node_group_alone() {
        let (near, fast) = (Target::FileSystem("near".into()), Target::LocalStorage("fast".into()));
        for (group, has) in [(Some("gpu"), true), (Some("cpu"), false), (None, false)] {
            let ground = ground(group);
            ground.dedicated.put(&file_system(Some("gpu")));
            for target in [&near, &fast] {
                assert_eq!(ground.of(&known(target.clone())).is_some(), has, "{group:?} {target:?}");
            }
        }
    }

    #[test]
    fn a_workspaces_copies_are_in_its_own_file_system_or_in_its_own_share() {
        let ground = ground(Some("gpu"));
        let near = Target::FileSystem("near".into());
        assert_eq!(ground.of(&known(near.clone())), None, "there is none of that name yet");
        ground.dedicated.put(&file_system(Some("gpu")));
        let Some(Lies::OnShare(share, _)) = ground.of(&known(near.clone())) else { panic!("it is there") };
        assert_eq!(share.options, [("nconnect".to_string(), Some("4".to_string()))]);
        let fast = known(Target::LocalStorage("fast".into()));
        assert_eq!(ground.of(&fast), Some(Lies::OnDisk(UID.into(), "team-a".into())));
        for target in [near, Target::LocalStorage("fast".into()), Target::LocalStorage("slow".into())] {
            let other = Known { namespace: "team-b".into(), ..known(target) };
            assert_eq!(ground.of(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_file_system_that_is_for_everybody_or_going_holds_no_copies() {
        let ground = ground(Some("gpu"));
        let near = known(Target::FileSystem("near".into()));
        let mut going = file_system(Some("gpu"));
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        for fs in [file_system(None), going] {
            ground.dedicated.put(&file_system(Some("gpu")));
            assert!(ground.of(&near).is_some());
            ground.dedicated.put(&fs);
            assert_eq!(ground.of(&near), None);
        }
    }
}
