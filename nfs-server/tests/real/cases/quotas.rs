//! What XFS does with the limits that the agent sets.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use workspacefs_storage::folders::types::Disposal;
use workspacefs_sys::unmount;

use crate::world::{
    KEEP, MIB, Ours, USER, claim, claim_key, file_system, limited_projects, names, run, text, write_as,
};

/// What a writer may get beyond its limit.
const OVERSHOOT_PERCENT: u64 = 1;

pub fn quota_stops_root_and_a_user_at_the_limit_and_no_neighbour() {
    let disk = Ours::new(1024);
    disk.folders.ensure_file_system(&file_system(600)).unwrap();
    disk.folders.ensure_claim(&claim("root", 150)).unwrap();
    disk.folders.ensure_claim(&claim("user", 150)).unwrap();
    for (user, name) in [(0, "root"), (USER, "user")] {
        let folder = disk.claim(name);
        let said = write_as(user, &folder.join("big"), 300).unwrap_err();
        assert!(said.contains("No space left") || said.contains("quota exceeded"), "{said}");
        let usage = disk.folders.claim(&claim_key(name)).unwrap().usage;
        println!("  {name}: {} of {} bytes", usage.bytes_used, usage.bytes_limit);
        assert_eq!(usage.bytes_limit, 150 * MIB);
        assert!(usage.bytes_used <= 150 * MIB * (100 + OVERSHOOT_PERCENT) / 100, "{usage:?}");
        assert!(usage.bytes_used >= 150 * MIB * 95 / 100, "stopped long before its limit: {usage:?}");
    }
    // A neighbour writes on.
    write_as(USER, &disk.own().join("file"), 100).unwrap();
    // Who frees space can write again.
    fs::remove_file(disk.claim("user").join("big")).unwrap();
    write_as(USER, &disk.claim("user").join("again"), 100).unwrap();
    // And who is given more, too: at once, without a remount.
    disk.folders.grow_claim(&claim_key("root"), 250 * MIB, 0).unwrap();
    write_as(0, &disk.claim("root").join("more"), 80).unwrap();
}

pub fn files_are_limited_too_and_usage_costs_the_same_for_any_number() {
    let disk = Ours::new(640);
    disk.folders.ensure_file_system(&file_system(300)).unwrap();
    disk.folders.ensure_claim(&claim("a", 100)).unwrap();
    let ask = || {
        let started = Instant::now();
        for _ in 0..200 {
            disk.folders.claim(&claim_key("a")).unwrap();
        }
        started.elapsed() / 200
    };
    let empty = ask();
    let folder = disk.claim("a");
    let made = (0..20_000).take_while(|n| File::create(folder.join(n.to_string())).is_ok()).count();
    // The folder itself is one of the 10,000.
    assert_eq!(made, 9_999);
    let usage = disk.folders.claim(&claim_key("a")).unwrap().usage;
    assert_eq!((usage.inodes_used, usage.inodes_limit), (10_000, 10_000));
    let full = ask();
    println!("  usage: {empty:?} with no file, {full:?} with 9,999");
    assert!(full < empty * 5 + Duration::from_millis(1), "{empty:?} {full:?}");
    // A capacity that allows fewer files than there are is refused.
    fs::create_dir(disk.own().join("d")).unwrap();
}

pub fn what_a_claim_gets_is_taken_from_its_file_system() {
    let disk = Ours::new(1024);
    disk.folders.ensure_file_system(&file_system(400)).unwrap();
    disk.folders.ensure_claim(&claim("a", 300)).unwrap();
    assert!(write_as(0, &disk.own().join("big"), 200).is_err());
    let view = &disk.folders.file_systems().unwrap()[0];
    assert!(view.usage.bytes_used <= 101 * MIB && view.left < 6 * MIB, "{view:?}");
    assert!(disk.folders.ensure_claim(&claim("b", 50)).is_err());
    let error = disk.folders.ensure_file_system(&file_system(350)).unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    disk.folders.remove_claim(&claim_key("a"), Disposal::Trash).unwrap();
    write_as(0, &disk.own().join("more"), 200).unwrap();
    let error = disk.folders.ensure_file_system(&file_system(200)).unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    // Online, both ways.
    disk.folders.ensure_file_system(&file_system(500)).unwrap();
    write_as(0, &disk.own().join("still-more"), 150).unwrap();
}

pub fn owner_mode_and_quota_are_there_before_anybody_can_write() {
    let disk = Ours::new(640);
    disk.folders.ensure_file_system(&file_system(100)).unwrap();
    let found = fs::metadata(disk.own()).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (USER, USER, 0o2775));
    // Nobody but root can list what lies beside it.
    for (path, mode) in [("export", 0o711), ("export/workspaces", 0o711), ("trash", 0o700), ("state", 0o700)]
    {
        assert_eq!(fs::metadata(disk.path(path)).unwrap().mode() & 0o777, mode, "{path}");
    }
    let project = |path: &Path| run("xfs_io", &["-r", "-c", "lsproj", text(path)]);
    fs::create_dir(disk.own().join("sub")).unwrap();
    assert_eq!(project(&disk.own().join("sub")), project(&disk.own()));
    assert_ne!(project(&disk.own()), "projid = 0");
    for path in ["export", "new", "trash", "archive"] {
        assert_eq!(project(&disk.path(path)), "projid = 0", "{path}");
    }
    // The owner is applied once.
    rustix::fs::chown(disk.own(), Some(rustix::fs::Uid::from_raw(7)), None).unwrap();
    disk.folders.ensure_file_system(&file_system(100)).unwrap();
    assert_eq!(fs::metadata(disk.own()).unwrap().uid(), 7);
}

pub fn a_folder_cannot_be_moved_out_of_its_quota() {
    let disk = Ours::new(640);
    disk.folders.ensure_file_system(&file_system(200)).unwrap();
    disk.folders.ensure_claim(&claim("a", 50)).unwrap();
    write_as(0, &disk.claim("a").join("file"), 10).unwrap();
    let moved = fs::rename(disk.claim("a").join("file"), disk.own().join("file"));
    assert_eq!(moved.unwrap_err().kind(), std::io::ErrorKind::CrossesDevices);
    let linked = fs::hard_link(disk.claim("a").join("file"), disk.own().join("file"));
    assert_eq!(linked.unwrap_err().kind(), std::io::ErrorKind::CrossesDevices);
}

pub fn removed_folders_are_moved_emptied_and_their_quota_ends() {
    let disk = Ours::new(1024);
    disk.folders.ensure_file_system(&file_system(600)).unwrap();
    disk.folders.ensure_claim(&claim("a", 100)).unwrap();
    let folder = disk.claim("a");
    let outside = disk.own().join("precious");
    fs::write(&outside, "kept").unwrap();
    let mut deep = folder.clone();
    for _ in 0..300 {
        deep = deep.join("d");
        fs::create_dir(&deep).unwrap();
        symlink(disk.own(), deep.join("out")).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
    }
    // Full to the last byte: emptying moves folders about, which takes space, too.
    let _ = write_as(0, &folder.join("big"), 200);
    let started = Instant::now();
    let kept = disk.folders.remove_claim(&claim_key("a"), Disposal::Trash).unwrap().unwrap();
    println!("  moved in {:?}", started.elapsed());
    assert!(!folder.exists() && disk.path(&kept).join("d").is_dir());
    let removed = disk.folders.removed().unwrap();
    assert!(removed[0].bytes_used > 95 * MIB, "{removed:?}");
    disk.wait(KEEP);
    disk.empty_trash();
    assert!(names(&disk.path("trash")).is_empty() && names(&disk.path("state/records")).len() == 1);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
    assert_eq!(limited_projects(disk.mount.path()), 1);
    // Restoring brings back everything.
    disk.folders.ensure_claim(&claim("b", 100)).unwrap();
    write_as(USER, &disk.claim("b").join("file"), 10).unwrap();
    let kept = disk.folders.remove_claim(&claim_key("b"), Disposal::Archive).unwrap().unwrap();
    disk.wait(10 * KEEP);
    disk.empty_trash();
    disk.folders.restore(&kept).unwrap();
    assert_eq!(fs::metadata(disk.claim("b").join("file")).unwrap().uid(), USER);
    assert!(write_as(0, &disk.claim("b").join("big"), 150).is_err());
}

pub fn an_open_file_keeps_its_project_from_being_given_again() {
    let disk = Ours::new(640);
    disk.folders.ensure_file_system(&file_system(300)).unwrap();
    disk.folders.ensure_claim(&claim("a", 50)).unwrap();
    write_as(0, &disk.claim("a").join("file"), 10).unwrap();
    let held = File::open(disk.claim("a").join("file")).unwrap();
    disk.folders.remove_claim(&claim_key("a"), Disposal::Trash).unwrap();
    disk.wait(KEEP);
    disk.empty_trash();
    disk.folders.ensure_claim(&claim("b", 50)).unwrap();
    let usage = disk.folders.claim(&claim_key("b")).unwrap().usage;
    assert!(usage.bytes_used < MIB && usage.inodes_used == 1, "it inherited somebody's files: {usage:?}");
    drop(held);
}

pub fn a_power_cut_loses_nothing_that_was_answered() {
    let mut disk = Ours::new(640);
    for round in 0..5 {
        let name = format!("claim-{round}");
        disk.folders.ensure_file_system(&file_system(300 + round)).unwrap();
        disk.folders.ensure_claim(&claim(&name, 10)).unwrap();
        let other = format!("other-{round}");
        disk.folders.ensure_claim(&claim(&other, 10)).unwrap();
        disk.folders.grow_claim(&claim_key(&name), 12 * MIB, 0).unwrap();
        let kept = disk.folders.remove_claim(&claim_key(&other), Disposal::Archive).unwrap().unwrap();
        // Nothing more is written from here on, not even what the kernel's log still holds.
        run("xfs_io", &["-x", "-c", "shutdown", text(disk.mount.path())]);
        disk = cut(disk);
        let view = &disk.folders.file_systems().unwrap()[0];
        assert_eq!(view.capacity, (300 + round) * MIB);
        assert_eq!(view.claims.len() as u64, round + 1);
        assert_eq!(disk.folders.claim(&claim_key(&name)).unwrap().size, 12 * MIB);
        assert!(disk.claim(&name).is_dir() && disk.path(&kept).is_dir(), "{kept}");
        assert!(!disk.claim(&other).exists());
        assert!(write_as(0, &disk.claim(&name).join("big"), 20).is_err(), "its limit is gone");
    }
}

fn cut(disk: Ours) -> Ours {
    let Ours { folders, now, mount, image } = disk;
    drop(folders);
    unmount::plain(mount.path()).unwrap();
    let storage = image.source().take(mount.path()).unwrap();
    let folders = crate::world::open(storage, now.clone());
    Ours { folders, now, mount, image }
}
