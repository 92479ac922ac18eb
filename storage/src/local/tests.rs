//! The keeper against a directory of this machine, and against made-up disks that it must leave alone. No test here names a
//! number of a device that could exist, nor approves one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tempfile::TempDir;
use workspacefs_api::{ApprovedDevice, DevicesSource, LocalSource, Media, MediaFilter};

use super::volume::{EnsureVolumeError, OpenVolumeError, RemoveVolumeError, VolumeKey, VolumeWish};
use super::*;
use crate::names::EXPORT_FOLDER;

const TEAM: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const OTHER: &str = "1f8fad5b-d9cb-469f-a165-70867728950e";

struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["sys/block", "dev", "host/mnt/ssd"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(KeeperConfig {
            sys: self.path("sys"),
            dev: self.path("dev"),
            host_root: self.path("host"),
            mount_point: self.path("run/disk"),
        })
    }

    fn disk(&self, name: &str, number: &str, serial: &str) {
        let folder = self.path("sys/block").join(name);
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in [("dev", number), ("size", "2097152"), ("serial", serial)] {
            fs::write(folder.join(file), text).unwrap();
        }
    }
}

fn directory(path: &str) -> LocalStorageSpec {
    let directory = DirectorySource { path: path.into(), media: None };
    let source = LocalSource { directory: Some(directory), devices: None };
    LocalStorageSpec { source, ..Default::default() }
}

fn wish(namespace_uid: &str, namespace: &str) -> WorkspaceWish {
    WorkspaceWish {
        namespace_uid: namespace_uid.into(),
        namespace: namespace.into(),
        quota_bytes: None,
        owner: Owner { uid: 1000, gid: 1001, mode: "2770".into() },
    }
}

#[test]
fn a_directory_becomes_storage_and_says_that_it_shares_its_file_system() {
    let world = World::new();
    let entry = world.keeper().look("n1", &directory("/mnt/ssd"));
    assert!(entry.ready, "{}", entry.message);
    assert_eq!((entry.node.as_str(), entry.reason.as_str()), ("n1", "Ready"));
    assert_eq!((entry.health, entry.message.as_str()), (Health::Healthy, ""));
    assert!(entry.shares_file_system && entry.found.is_empty());
    let bytes = |size: &Option<k8s_openapi::apimachinery::pkg::api::resource::Quantity>| {
        quantity::bytes(&size.as_ref().unwrap().0).unwrap()
    };
    assert!(bytes(&entry.capacity) > 0 && bytes(&entry.used) <= bytes(&entry.capacity) + (1 << 20));
    assert!(!entry.device.unwrap().fs_type.is_empty());
    assert!(world.path("host/mnt/ssd/workspacefs.json").is_file());
}

#[test]
fn a_workspace_gets_a_folder_of_its_own_and_finds_it_again() {
    let world = World::new();
    let mut keeper = world.keeper();
    assert!(keeper.workspace(&wish(TEAM, "team")).unwrap_err().is_not_ready());
    assert!(keeper.usage(TEAM).is_err());
    keeper.look("n1", &directory("/mnt/ssd"));
    let folder = keeper.workspace(&wish(TEAM, "team")).unwrap();
    let made = rustix::fs::fstat(&folder).unwrap();
    assert_eq!((made.st_uid, made.st_gid, made.st_mode & 0o7777), (1000, 1001, 0o2770));
    let other = rustix::fs::fstat(keeper.workspace(&wish(OTHER, "other")).unwrap()).unwrap();
    assert_ne!(made.st_ino, other.st_ino);
    // Nobody can list whose folders there are.
    let above = world.path("host/mnt/ssd").join(EXPORT_FOLDER).join("workspaces");
    assert_eq!(fs::metadata(&above).unwrap().permissions().mode() & 0o777, 0o711);
    let names: Vec<String> = fs::read_dir(above.join(TEAM))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.len() == 1 && names[0].starts_with("team."), "{names:?}");
    fs::write(above.join(TEAM).join(&names[0]).join("file"), "kept").unwrap();

    // The helper died; the next one finds what is there, without a new look at the owner.
    drop((keeper, folder));
    let mut keeper = world.keeper();
    assert!(keeper.look("n1", &directory("/mnt/ssd")).ready);
    let again = keeper.workspace(&WorkspaceWish { owner: Owner::default(), ..wish(TEAM, "team") }).unwrap();
    let again = rustix::fs::fstat(&again).unwrap();
    assert_eq!((again.st_ino, again.st_mode), (made.st_ino, made.st_mode));
    let usage = keeper.usage(TEAM).unwrap().unwrap();
    assert!(usage.bytes_total > 0 && usage.bytes_available <= usage.bytes_total);
    assert_eq!(keeper.usage("2f8fad5b-d9cb-469f-a165-70867728950e").unwrap(), None);
    assert_eq!(keeper.usage("../etc").unwrap(), None);
}

#[test]
fn the_folders_of_a_workspaces_name_are_found_without_its_uid_and_none_is_made() {
    let world = World::new();
    let mut keeper = world.keeper();
    assert!(keeper.shares_of("team").unwrap_err().is_not_ready());
    keeper.look("n1", &directory("/mnt/ssd"));
    assert!(keeper.shares_of("team").unwrap().is_empty());
    let inode = |fd| rustix::fs::fstat(fd).unwrap().st_ino;
    let earlier = inode(keeper.workspace(&wish(OTHER, "team")).unwrap());
    let now = inode(keeper.workspace(&wish(TEAM, "team")).unwrap());
    let mut found: Vec<u64> = keeper.shares_of("team").unwrap().into_iter().map(inode).collect();
    found.sort_unstable();
    let mut both = [earlier, now];
    both.sort_unstable();
    assert_eq!(found, both);
    assert!(keeper.shares_of("other").unwrap().is_empty() && keeper.shares_of("../team").unwrap().is_empty());
}

#[test]
fn hostile_wishes_are_refused() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.look("n1", &directory("/mnt/ssd"));
    for (uid, name) in [("../../etc", "team"), (TEAM, "../team"), ("", "team"), (TEAM, "")] {
        assert!(
            matches!(keeper.workspace(&wish(uid, name)), Err(WorkspaceError::Name(_))),
            "{uid:?} {name:?}"
        );
    }
    let owner = Owner { mode: "rwx".into(), ..Owner::default() };
    assert!(matches!(
        keeper.workspace(&WorkspaceWish { owner, ..wish(TEAM, "team") }),
        Err(WorkspaceError::Mode)
    ));
}

#[test]
fn a_quota_that_cannot_be_enforced_is_not_pretended() {
    let world = World::new();
    let mut keeper = world.keeper();
    let quota = quantity::exact(1 << 30);
    let with = LocalStorageSpec { per_workspace_quota: Some(quota), ..directory("/mnt/ssd") };
    let entry = keeper.look("n1", &with);
    assert_eq!((entry.ready, entry.reason.as_str()), (false, "NoQuota"), "{}", entry.message);
    assert!(entry.message.contains("prjquota"));
    assert!(!world.path("host/mnt/ssd/workspacefs.json").exists(), "nothing was written");
    // The same if it is asked for later, in the spec or by the workspace alone.
    assert!(keeper.look("n1", &directory("/mnt/ssd")).ready);
    let asked = WorkspaceWish { quota_bytes: Some(1 << 30), ..wish(TEAM, "team") };
    assert!(keeper.workspace(&asked).unwrap_err().is_not_ready());
    assert_eq!(keeper.look("n1", &with).reason, "NoQuota");
    assert!(keeper.workspace(&wish(TEAM, "team")).unwrap_err().is_not_ready());
    assert!(keeper.look("n1", &directory("/mnt/ssd")).ready);
}

#[test]
fn volumes_are_only_where_their_sizes_hold_and_only_on_a_disk_that_is_ready() {
    let world = World::new();
    let mut keeper = world.keeper();
    let key = VolumeKey { storage_uid: OTHER.into(), volume: TEAM.into() };
    let wish = VolumeWish { key: key.clone(), namespace: "team".into(), size_bytes: 4096, may_make: true };
    assert!(matches!(keeper.ensure_volume(&wish), Err(EnsureVolumeError::NotReady(_))));
    assert!(matches!(keeper.grow_volume(&key, 8192), Err(EnsureVolumeError::NotReady(_))));
    assert!(matches!(keeper.open_volume(&key), Err(OpenVolumeError::NotReady(_))));
    // Not said to be removed before the disk was asked.
    assert!(matches!(keeper.remove_volume(&key), Err(RemoveVolumeError::NotReady(_))));
    assert!(keeper.volume_usage(&key).is_err());

    let entry = keeper.look("n1", &directory("/mnt/ssd"));
    assert!(entry.ready, "{}", entry.message);
    assert_eq!((entry.available, entry.unaccounted), (None, None), "nothing is counted here");
    assert!(matches!(keeper.ensure_volume(&wish), Err(EnsureVolumeError::NoQuota)));
    assert!(matches!(keeper.grow_volume(&key, 8192), Err(EnsureVolumeError::NoQuota)));
    assert!(matches!(keeper.open_volume(&key), Err(OpenVolumeError::NoQuota)));
    assert_eq!(keeper.volume_usage(&key).unwrap(), None);
    keeper.remove_volume(&key).unwrap();
    // A share is no volume.
    keeper.workspace(&self::wish(TEAM, "team")).unwrap();
    keeper.remove_volume(&key).unwrap();
    assert_eq!(keeper.volume_usage(&key).unwrap(), None);
    assert!(keeper.usage(TEAM).unwrap().is_some());
}

#[test]
fn a_directory_that_cannot_be_used_is_left_alone_and_said() {
    let world = World::new();
    fs::create_dir(world.path("host/data")).unwrap();
    fs::write(world.path("host/data/thesis.tex"), "").unwrap();
    fs::write(world.path("host/file"), "").unwrap();
    std::os::unix::fs::symlink("mnt/ssd", world.path("host/link")).unwrap();
    for (path, reason, word) in [
        ("/data", "Foreign", "thesis.tex"),
        ("/nothing", "NoDirectory", "there is no directory"),
        ("/file", "NoDirectory", "not a directory"),
        ("/link", "NoDirectory", "symbolic link"),
    ] {
        let entry = world.keeper().look("n1", &directory(path));
        assert_eq!(
            (entry.ready, entry.reason.as_str(), entry.health),
            (false, reason, Health::Unknown),
            "{path}"
        );
        assert!(entry.message.contains(word), "{}", entry.message);
    }
    assert_eq!(fs::read_dir(world.path("host/data")).unwrap().count(), 1);
    let ssd = LocalStorageSpec { media: MediaFilter::Ssd, ..directory("/mnt/ssd") };
    assert_eq!(world.keeper().look("n1", &ssd).reason, "WrongMedia");
    let mut said = ssd;
    said.source.directory.as_mut().unwrap().media = Some(Media::Nvme);
    let entry = world.keeper().look("n1", &said);
    assert!(entry.ready && entry.device.unwrap().media == Some(Media::Nvme), "{}", entry.message);
}

#[test]
fn two_keepers_do_not_share_a_directory() {
    let world = World::new();
    let (mut one, mut other) = (world.keeper(), world.keeper());
    assert!(one.look("n1", &directory("/mnt/ssd")).ready);
    let entry = other.look("n1", &directory("/mnt/ssd"));
    assert_eq!((entry.ready, entry.reason.as_str()), (false, "InUse"));
    drop(one);
    assert!(other.look("n1", &directory("/mnt/ssd")).ready);
}

#[test]
fn a_directory_that_is_replaced_is_looked_at_anew() {
    let world = World::new();
    let mut keeper = world.keeper();
    assert!(keeper.look("n1", &directory("/mnt/ssd")).ready);
    keeper.workspace(&wish(TEAM, "team")).unwrap();
    fs::rename(world.path("host/mnt/ssd"), world.path("host/mnt/old")).unwrap();
    assert_eq!(keeper.look("n1", &directory("/mnt/ssd")).reason, "NoDirectory");
    assert!(keeper.workspace(&wish(TEAM, "team")).unwrap_err().is_not_ready());
    fs::create_dir(world.path("host/mnt/ssd")).unwrap();
    assert!(keeper.look("n1", &directory("/mnt/ssd")).ready);
    assert_eq!(keeper.usage(TEAM).unwrap(), None);
    // What it cannot write to has failed.
    fs::remove_dir_all(world.path("host/mnt/ssd/state")).unwrap();
    let entry = keeper.look("n1", &directory("/mnt/ssd"));
    assert_eq!((entry.ready, entry.reason.as_str(), entry.health), (false, "DiskFailed", Health::Failed));
    assert!(entry.message.contains("cannot be written to"), "{}", entry.message);
}

#[test]
fn devices_are_listed_and_none_is_touched_that_is_not_approved() {
    let world = World::new();
    world.disk("sdy", "4000:0", "Y");
    world.disk("sdz", "4000:16", "");
    let source = LocalSource { directory: None, devices: Some(DevicesSource::default()) };
    let spec = LocalStorageSpec { source, ..Default::default() };
    let entry = world.keeper().look("n1", &spec);
    assert_eq!((entry.ready, entry.reason.as_str()), (false, "NotApproved"), "{}", entry.message);
    let found: Vec<(&str, &[String])> =
        entry.found.iter().map(|found| (found.name.as_str(), found.identities.as_slice())).collect();
    assert_eq!(found, [("sdy", &["serial:Y".to_string()][..]), ("sdz", &[])]);
    // They have no nodes here, so what is on them is not known.
    assert!(entry.found.iter().all(|found| found.state == workspacefs_api::DeviceState::Occupied));
    assert!(entry.device.is_none() && !world.path("run/disk").exists());
    let no_sysfs = World::new();
    fs::remove_dir(no_sysfs.path("sys/block")).unwrap();
    assert_eq!(no_sysfs.keeper().look("n1", &spec).reason, "NoSysfs");
}

#[test]
fn an_entry_shows_what_a_disk_was_used_as_until_it_is_not_approved_any_more() {
    let world = World::new();
    let mut keeper = world.keeper();
    let approved = |identities: &[&str]| {
        let of = |identity: &&str| ApprovedDevice { identity: identity.to_string(), media: None };
        let devices = DevicesSource { approved: identities.iter().map(of).collect() };
        let source = LocalSource { directory: None, devices: Some(devices) };
        LocalStorageSpec { source, ..Default::default() }
    };
    let device = UsedDevice {
        identity: "serial:pulled".into(),
        file_system_uuid: TEAM.into(),
        ..UsedDevice::default()
    };
    keeper.remember(Some(device.clone()));
    for _ in 0..2 {
        let entry = keeper.look("n1", &approved(&["serial:pulled"]));
        assert!(!entry.ready);
        assert_eq!(entry.device.as_ref(), Some(&device));
    }
    assert_eq!(keeper.look("n1", &approved(&["serial:new"])).device, None);
    assert_eq!(keeper.look("n1", &approved(&["serial:pulled"])).device, None);
}

#[test]
fn a_spec_that_says_nothing_is_refused() {
    let world = World::new();
    assert_eq!(world.keeper().look("n1", &LocalStorageSpec::default()).reason, "Invalid");
    let quota = k8s_openapi::apimachinery::pkg::api::resource::Quantity("much".into());
    let spec = LocalStorageSpec { per_workspace_quota: Some(quota), ..directory("/mnt/ssd") };
    assert_eq!(world.keeper().look("n1", &spec).reason, "Invalid");
    assert_eq!(fs::metadata(world.path("host/mnt/ssd")).unwrap().nlink(), 2, "nothing was made");
}
