//! A disk, the folders on it, a clock that a test turns, and what must hold whatever happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use workspacefs_storage::disk::Owner;
use workspacefs_storage::folders::Folders;
use workspacefs_storage::folders::model::PROJECT_FIRST;
use workspacefs_storage::folders::types::{ClaimWish, FileSystemWish};
use workspacefs_storage::names::{ClaimKey, Key, Label, Place, Uid};
use workspacefs_storage::record::{Folder, Record};
use workspacefs_storage::sizes::inodes_for;

use crate::fake::{FakeDisk, Fault};

pub const GIB: u64 = 1 << 30;
pub const KEEP: i64 = 3600;
/// Of FileSystems, and of the namespace.
/// Of the first folder on an empty disk.
pub const PROJECT: u32 = PROJECT_FIRST;
pub const A: &str = "aaaaaaaa-d9cb-469f-a165-70867728950e";
pub const B: &str = "bbbbbbbb-d9cb-469f-a165-70867728950e";
pub const NAMESPACE: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
pub const OTHER_NAMESPACE: &str = "1f8fad5b-d9cb-469f-a165-70867728950e";

pub struct World {
    pub disk: Arc<FakeDisk>,
    pub folders: Folders,
    pub now: Arc<AtomicI64>,
}

impl World {
    pub fn new() -> Self {
        Self::on(FakeDisk::new(), Arc::new(AtomicI64::new(1_000_000)))
    }

    fn on(disk: Arc<FakeDisk>, now: Arc<AtomicI64>) -> Self {
        let clock = now.clone();
        let folders =
            Folders::open(disk.clone(), Arc::new(move || clock.load(Ordering::Relaxed)), KEEP).unwrap();
        Self { disk, folders, now }
    }

    /// The process is started again, on the same disk.
    pub fn restarted(self) -> Self {
        self.disk.set_fault(Fault::None);
        let world = Self::on(self.disk, self.now);
        let content = world.disk.content();
        for parent in &content.parents {
            let used = content.folders.keys().any(|place| place.parent() == *parent);
            assert!(used, "{parent} is empty and left");
        }
        drop(content);
        world
    }

    pub fn wait(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Empties what is due.
    pub fn empty_trash(&self) {
        while let Some(doomed) = self.folders.doom(&BTreeSet::new()).unwrap() {
            while !self.folders.disk().remove_some(&doomed.place, 3).unwrap().done {}
            self.folders.forget(&doomed).unwrap();
        }
    }

    pub fn records(&self) -> Vec<Record> {
        let content = self.disk.content();
        content.records.values().map(|text| serde_json::from_slice(text).unwrap()).collect()
    }

    /// What a disk must be like after every operation that ended, and after every start.
    pub fn check(&self) {
        let records = self.records();
        let content = self.disk.content();
        let projects: Vec<u32> = records.iter().map(|record| record.project).collect();
        let mut gone = 0;
        for record in &records {
            let Some(folder) = content.folders.get(&record.place) else {
                // Deleted to the end, and stopped before that was recorded: the emptier comes again.
                assert!(record.removed.is_some_and(|removed| removed.emptying), "no folder for {record:?}");
                gone += 1;
                continue;
            };
            assert_eq!(folder.project, record.project, "another folder at {:?}", record.place);
            assert!(folder.owner.is_some());
            assert_eq!(record.is_live(), record.place.is_live(), "{record:?}");
            let limits = content.limits.get(&record.project).expect("a folder without a limit");
            if let (true, Some(expected)) = (record.is_live(), expected_limit(record, &records)) {
                assert_eq!(limits.bytes, expected, "limit of {record:?}");
            }
        }
        assert_eq!(
            content.folders.len(),
            records.len() - gone,
            "folders that no record knows: {:?}",
            content.folders
        );
        let limited: Vec<u32> = content.limits.keys().copied().collect();
        assert_eq!(limited, projects, "limits that no record knows");
        let mut places: Vec<&Place> = records.iter().map(|record| &record.place).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), records.len(), "two folders for one place");
    }

    /// Files and their sizes, by the folder's readable place.
    pub fn files(&self) -> Vec<(String, u64)> {
        let content = self.disk.content();
        let files = content.folders.values().flat_map(|folder| folder.files.clone());
        let mut files: Vec<_> = files.collect();
        files.sort();
        files
    }
}

fn expected_limit(record: &Record, records: &[Record]) -> Option<u64> {
    match &record.folder {
        Folder::Claim(claim) => Some(claim.size_bytes),
        Folder::Own(own) => {
            let claims = records.iter().filter_map(Record::live_claim);
            let claims = claims.filter(|claim| claim.key.file_system == own.file_system);
            let claims: u64 = claims.map(|claim| claim.size_bytes).sum();
            assert!(claims <= own.capacity_bytes, "more is given than there is");
            Some((own.capacity_bytes - claims).max(4096))
        }
    }
}

pub fn uid(text: &str) -> Uid {
    text.to_string().try_into().unwrap()
}

pub fn label(text: &str) -> Label {
    text.to_string().try_into().unwrap()
}

pub fn key(namespace_uid: &str, name: &str) -> Key {
    Key { namespace_uid: uid(namespace_uid), name: label(name) }
}

pub fn file_system(id: &str, gib: u64) -> FileSystemWish {
    FileSystemWish {
        uid: uid(id),
        namespace_uid: uid(NAMESPACE),
        namespace: label("team-a"),
        name: label("default"),
        capacity: gib * GIB,
        owner: Owner { uid: 1000, gid: 1001, mode: 0o2770 },
        adopt: None,
    }
}

/// A workspace's share of a local disk.
pub fn share(id: &str, gib: u64) -> FileSystemWish {
    FileSystemWish { namespace_uid: uid(id), ..file_system(id, gib) }
}

pub fn claim_key(id: &str, name: &str) -> ClaimKey {
    ClaimKey::new(id.into(), name.into()).unwrap()
}

pub fn claim(id: &str, name: &str, gib: u64) -> ClaimWish {
    let owner = Owner { uid: 0, gid: 0, mode: 0o777 };
    ClaimWish { key: claim_key(id, name), required: gib * GIB, limit: 0, owner }
}

pub fn own_place() -> Place {
    Place::Workspace(key(NAMESPACE, "default"), PROJECT)
}

pub fn claim_place(id: &str, name: &str) -> Place {
    Place::Claim(claim_key(id, name))
}

#[test]
fn the_fake_counts_as_the_real_one_does() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 1)).unwrap();
    world.disk.write(&own_place(), "file", GIB).unwrap();
    assert!(world.disk.write(&own_place(), "more", 1).is_err());
    let view = &world.folders.file_systems().unwrap()[0];
    assert_eq!((view.usage.bytes_used, view.usage.inodes_used), (GIB, 2));
    assert_eq!(view.usage.inodes_limit, inodes_for(GIB));
}
