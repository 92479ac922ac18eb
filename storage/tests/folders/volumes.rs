//! Claims' volumes on a local disk, beside workspaces' shares.

use std::time::Duration;

use workspacefs_storage::disk::Disk;
use workspacefs_storage::emptier::Slices;
use workspacefs_storage::folders::error::EnsureFileSystemError;
use workspacefs_storage::folders::types::FileSystemView;
use workspacefs_storage::local::volume::{
    EnsureVolumeError, RemoveVolumeError, VolumeKey, VolumeWish, Volumes,
};
use workspacefs_storage::names::Place;
use workspacefs_storage::record::Record;
use workspacefs_storage::sizes::Promises;

use crate::world::{A, B, GIB, KEEP, World, share, uid};

const STORAGE: &str = "5f8fad5b-d9cb-469f-a165-70867728950e";
const OTHER_STORAGE: &str = "6f8fad5b-d9cb-469f-a165-70867728950e";
const V: &str = "dddddddd-d9cb-469f-a165-70867728950e";
const W: &str = "eeeeeeee-d9cb-469f-a165-70867728950e";

fn key(volume: &str) -> VolumeKey {
    VolumeKey { storage_uid: STORAGE.into(), volume: volume.into() }
}

fn wish(volume: &str, size_bytes: u64) -> VolumeWish {
    VolumeWish { key: key(volume), namespace: "team-a".into(), size_bytes, may_make: true }
}

fn found(volume: &str) -> VolumeWish {
    VolumeWish { may_make: false, ..wish(volume, GIB) }
}

impl World {
    fn volumes(&self) -> Volumes<'_> {
        Volumes(&self.folders)
    }

    fn volume(&self, volume: &str) -> Option<FileSystemView> {
        self.folders.file_system(&uid(volume)).unwrap()
    }

    fn place(&self, volume: &str) -> Place {
        let own = |record: &Record| record.live_own().is_some_and(|own| own.file_system == uid(volume));
        self.records().into_iter().find(own).unwrap().place
    }

    fn left(&self) -> u64 {
        self.folders.overview().unwrap().bytes_unpromised
    }
}

#[test]
fn a_volume_is_made_once_with_its_limit_and_open_to_everybody_like_an_empty_dir() {
    let world = World::new();
    assert_eq!(world.volumes().ensure(&wish(V, 2 * GIB)).unwrap(), 2 * GIB);
    let view = world.volume(V).unwrap();
    assert!(view.folder.starts_with(&format!("workspaces/{STORAGE}/{V}.")), "{}", view.folder);
    assert_eq!(
        (view.usage.bytes_limit, view.namespace.as_str(), view.is_share()),
        (2 * GIB, "team-a", false)
    );
    let place = world.place(V);
    assert_eq!(world.disk.content().folders[&place].owner, Some((0, 0, 0o777)));
    world.disk.write(&world.place(V), "file", GIB).unwrap();
    // Found again, with the size that it has, whatever is wished, by this process and the next.
    assert_eq!(world.volumes().ensure(&wish(V, GIB)).unwrap(), 2 * GIB);
    let world = world.restarted();
    assert_eq!(world.volumes().ensure(&found(V)).unwrap(), 2 * GIB);
    assert_eq!(world.files(), [("file".to_string(), GIB)]);
    // A size that is no whole number of blocks is rounded up: no limit could hold it.
    assert_eq!(world.volumes().ensure(&wish(W, 1)).unwrap(), 4096);
    world.check();
}

#[test]
fn a_volume_grows_and_never_shrinks() {
    let world = World::new();
    world.volumes().ensure(&wish(V, 2 * GIB)).unwrap();
    for (asked, size) in [(2, 2), (1, 2), (5, 5), (5, 5)] {
        assert_eq!(world.volumes().grow(&key(V), asked * GIB).unwrap(), size * GIB);
        assert_eq!(world.volume(V).unwrap().usage.bytes_limit, size * GIB);
    }
    world.check();
    assert!(matches!(world.volumes().grow(&key(W), GIB), Err(EnsureVolumeError::Lost(_))));
}

#[test]
fn what_was_ever_made_and_is_not_there_is_lost_and_never_made_anew() {
    let world = World::new();
    let error = world.volumes().ensure(&found(V)).unwrap_err();
    assert!(matches!(error, EnsureVolumeError::Lost(_)) && error.to_string().contains(V), "{error}");
    assert!(world.records().is_empty());
    // Somebody removed its folder, and our record of it is there.
    world.volumes().ensure(&wish(V, GIB)).unwrap();
    let place = world.place(V);
    world.disk.content().folders.remove(&place);
    assert!(matches!(world.volumes().ensure(&found(V)), Err(EnsureVolumeError::Lost(_))));
    assert!(matches!(world.volumes().grow(&key(V), 2 * GIB), Err(EnsureVolumeError::Lost(_))));
    assert!(world.volumes().ensure(&wish(V, GIB)).is_err());
    assert!(!world.disk.content().folders.contains_key(&place));
    // It can still be removed.
    world.volumes().remove(&key(V)).unwrap();
    world.check();
}

#[test]
fn a_removed_volume_goes_to_the_trash_and_its_space_is_back_after_its_time() {
    let world = World::new();
    let before = world.left();
    world.volumes().ensure(&wish(V, 10 * GIB)).unwrap();
    world.disk.write(&world.place(V), "file", 3 * GIB).unwrap();
    assert_eq!(world.left(), before - 10 * GIB);
    for _ in 0..2 {
        world.volumes().remove(&key(V)).unwrap();
        assert_eq!(world.left(), before - 3 * GIB, "what lies in the trash is not there for others");
    }
    assert_eq!(world.volume(V), None);
    assert!(matches!(world.volumes().ensure(&found(V)), Err(EnsureVolumeError::Lost(_))));
    world.volumes().remove(&key(W)).unwrap();
    let mut slices = Slices::default();
    slices.next(&world.folders, 100, Duration::from_secs(10));
    assert_eq!(world.files().len(), 1, "its time has not come");
    world.wait(KEEP);
    slices.next(&world.folders, 100, Duration::from_secs(10));
    assert_eq!(world.left(), before);
    assert!(world.records().is_empty());
    // Removed once more, as by a call that is late.
    world.volumes().remove(&key(V)).unwrap();
    world.check();
}

#[test]
fn a_slice_of_the_trash_has_its_count_and_the_next_one_goes_on() {
    let world = World::new();
    world.volumes().ensure(&wish(V, GIB)).unwrap();
    for file in 0..250 {
        world.disk.write(&world.place(V), &file.to_string(), 1).unwrap();
    }
    world.volumes().remove(&key(V)).unwrap();
    world.wait(KEEP);
    let mut slices = Slices::default();
    for left in [100, 0, 0] {
        slices.next(&world.folders, 150, Duration::from_secs(60));
        assert_eq!(world.files().len(), left);
        world.check();
    }
    assert!(world.records().is_empty());
    let none = Duration::ZERO;
    world.volumes().ensure(&wish(V, GIB)).unwrap();
    world.volumes().remove(&key(V)).unwrap();
    world.wait(KEEP);
    slices.next(&world.folders, 150, none);
    assert_eq!(world.records().len(), 1, "no time, no work");
}

#[test]
fn what_the_disk_cannot_hold_is_refused_with_both_numbers_also_where_shares_are_promised_nothing() {
    for promises in [Promises::Kept, Promises::NotToShares] {
        let mut world = World::new();
        world.folders.set_promises(promises);
        world.folders.ensure_file_system(&share(A, 20)).unwrap();
        let left = world.left();
        let asked = left + 4096;
        let error = world.volumes().ensure(&wish(V, asked)).unwrap_err();
        assert!(error.is_no_space(), "{error}");
        let words = error.to_string();
        assert!(words.contains(&asked.to_string()) && words.contains(&left.to_string()), "{words}");
        assert_eq!(world.volume(V), None);
        world.volumes().ensure(&wish(V, left / 2 / 4096 * 4096)).unwrap();
        let error = world.volumes().grow(&key(V), asked).unwrap_err();
        assert!(error.is_no_space(), "{error}");
        assert_eq!(world.volumes().ensure(&found(V)).unwrap(), left / 2 / 4096 * 4096, "it stays as it is");
        world.check();
    }
}

#[test]
fn a_share_without_a_promise_takes_what_is_in_it_and_a_volume_what_it_was_promised() {
    let mut world = World::new();
    let before = world.left();
    world.folders.set_promises(Promises::NotToShares);
    world.folders.ensure_file_system(&share(A, 100)).unwrap();
    world.volumes().ensure(&wish(V, 10 * GIB)).unwrap();
    assert_eq!(world.left(), before - 10 * GIB);
    world.disk.write(&world.place(A), "file", 5 * GIB).unwrap();
    world.disk.write(&world.place(V), "file", 7 * GIB).unwrap();
    assert_eq!(world.left(), before - 15 * GIB);
    // Another share is never refused, and a volume is.
    world.folders.ensure_file_system(&share(B, 100)).unwrap();
    assert!(world.volumes().ensure(&wish(W, 90 * GIB)).unwrap_err().is_no_space());
    // Now they have limits, and so promises.
    world.folders.set_promises(Promises::Kept);
    for id in [A, B] {
        world.folders.ensure_file_system(&share(id, 20)).unwrap();
    }
    assert_eq!(world.left(), before - 50 * GIB);
}

#[test]
fn nobody_reaches_a_share_or_anothers_volume_by_a_volumes_name() {
    let world = World::new();
    world.folders.ensure_file_system(&share(A, 1)).unwrap();
    world.volumes().ensure(&wish(V, GIB)).unwrap();
    let of_another = VolumeKey { storage_uid: OTHER_STORAGE.into(), volume: V.into() };
    for key in [key(A), of_another] {
        world.volumes().remove(&key).unwrap();
        let wish = VolumeWish { key: key.clone(), ..wish(V, GIB) };
        assert!(matches!(
            world.volumes().ensure(&wish),
            Err(EnsureVolumeError::Refused(EnsureFileSystemError::OtherObject { .. }))
        ));
        assert!(matches!(world.volumes().grow(&key, 2 * GIB), Err(EnsureVolumeError::Lost(_))));
    }
    assert!(world.volume(A).is_some() && world.volume(V).is_some(), "both are where they were");
    for bad in ["", "..", "../../etc", "team-a"] {
        assert!(matches!(world.volumes().ensure(&wish(bad, GIB)), Err(EnsureVolumeError::Name(_))));
        assert!(matches!(world.volumes().remove(&key(bad)), Err(RemoveVolumeError::Name(_))));
    }
    let bad = VolumeWish { namespace: "../team".into(), ..wish(W, GIB) };
    assert!(matches!(world.volumes().ensure(&bad), Err(EnsureVolumeError::Name(_))));
    world.check();
}

#[test]
fn what_is_in_no_folder_of_ours_is_counted() {
    let world = World::new();
    world.volumes().ensure(&wish(V, GIB)).unwrap();
    world.disk.write(&world.place(V), "file", GIB).unwrap();
    assert_eq!(world.folders.unaccounted(0).unwrap(), 0);
    // Its owner gives a folder in it another project.
    let project = world.records()[0].project;
    let quota = world.disk.quota(project).unwrap();
    assert_eq!(quota.bytes_used, GIB);
    let place = world.place(V);
    world.disk.content().folders.get_mut(&place).unwrap().project = project + 1;
    assert_eq!(world.folders.unaccounted(0).unwrap(), GIB);
    assert_eq!(world.folders.unaccounted(GIB).unwrap(), 0);
}

#[test]
fn a_volume_or_share_whose_folder_was_given_another_project_gets_its_own_again_and_is_not_lost() {
    let world = World::new();
    world.volumes().ensure(&wish(V, GIB)).unwrap();
    world.folders.ensure_file_system(&share(A, 1)).unwrap();
    // By root in a pod: `chproj -R 0`, or a project that nobody was given.
    let change = |world: &World, project| {
        for folder in [V, A] {
            world.disk.write(&world.place(folder), "file", 5).unwrap();
            let place = world.place(folder);
            world.disk.content().folders.get_mut(&place).unwrap().project = project;
        }
    };
    for project in [0, 7] {
        change(&world, project);
        assert_eq!(world.volumes().ensure(&found(V)).unwrap(), GIB);
        world.folders.ensure_file_system(&share(A, 1)).unwrap();
        world.check();
    }
    // Also by the next process, and where it is removed at once.
    change(&world, 0);
    let world = world.restarted();
    world.check();
    change(&world, 0);
    world.volumes().remove(&key(V)).unwrap();
    assert_eq!(world.volume(V), None);
    assert_eq!(world.files().len(), 2, "in the trash, and not forgotten where it was");
    world.folders.ensure_file_system(&share(A, 1)).unwrap();
    world.check();
}

#[test]
fn what_carries_the_project_of_another_folder_of_ours_is_left_alone() {
    let world = World::new();
    world.volumes().ensure(&wish(V, GIB)).unwrap();
    world.volumes().ensure(&wish(W, GIB)).unwrap();
    let (place, other) = (world.place(V), world.place(W));
    let other = world.disk.content().folders[&other].project;
    world.disk.content().folders.get_mut(&place).unwrap().project = other;
    assert!(matches!(world.volumes().ensure(&found(V)), Err(EnsureVolumeError::Lost(_))));
    assert_eq!(world.disk.content().folders[&place].project, other);
}
