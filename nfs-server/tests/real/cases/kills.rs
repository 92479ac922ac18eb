//! Operations on the real disk, killed before each system call that may change it, then repeated: nothing leaked, nothing
//! doubled.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use workspacefs_nfs_server::storage::Source;
use workspacefs_storage::folders::Folders;
use workspacefs_storage::folders::types::Disposal;

use crate::kill::step_killed_at;
use crate::world::{
    Image, KEEP, MIB, MountPoint, claim, claim_key, file_system, limited_projects, names, open, run, text,
};

/// More changes than any operation makes.
const STOPS_MAX: usize = 500;
/// When everything happens.
const NOW: i64 = 1_000_000;

/// A directory on XFS: it stays mounted while the process that works on it dies.
struct Stage {
    mount: MountPoint,
    _image: Image,
}

impl Stage {
    fn new() -> Self {
        let (mount, image) = (MountPoint::new(), Image::blank(640));
        run("mkfs.xfs", &["-q", text(image.device())]);
        mount.mount("xfs", "prjquota", image.device());
        Self { mount, _image: image }
    }

    fn base(&self, number: usize) -> std::path::PathBuf {
        self.mount.path().join(format!("base-{number}"))
    }
}

fn folders(base: &Path, now: i64) -> Arc<Folders> {
    let storage = Source::Directory(base.into()).take(Path::new("/nowhere")).unwrap();
    open(storage, Arc::new(AtomicI64::new(now)))
}

fn prepare(operation: &str, base: &Path) {
    std::fs::create_dir(base).unwrap();
    let folders = folders(base, NOW - KEEP);
    if operation == "ensure" {
        return;
    }
    folders.ensure_file_system(&file_system(100)).unwrap();
    if operation == "claim" {
        return;
    }
    let made = folders.ensure_claim(&claim("a", 10)).unwrap();
    let folder = base.join("export").join(made.folder);
    std::fs::create_dir_all(folder.join("x/y/z")).unwrap();
    std::fs::write(folder.join("x/y/z/file"), "x").unwrap();
    if operation == "empty" {
        folders.remove_claim(&claim_key("a"), Disposal::Trash).unwrap();
    }
}

fn perform(operation: &str, folders: &Folders) {
    match operation {
        "ensure" => drop(folders.ensure_file_system(&file_system(100)).unwrap()),
        "claim" => drop(folders.ensure_claim(&claim("a", 10)).unwrap()),
        "grow" => drop(folders.grow_claim(&claim_key("a"), 20 * MIB, 0).unwrap()),
        "remove" => drop(folders.remove_claim(&claim_key("a"), Disposal::Trash).unwrap()),
        "empty" => {
            while let Some(doomed) = folders.doom(&BTreeSet::new()).unwrap() {
                while !folders.disk().remove_some(&doomed.place, 2).unwrap().done {}
                folders.forget(&doomed).unwrap();
            }
        }
        other => panic!("no operation {other:?}"),
    }
}

/// The process that is killed: `step OPERATION BASE`.
pub fn step(arguments: &[String]) {
    let [operation, base] = arguments else { panic!("step OPERATION BASE") };
    let folders = folders(base.as_ref(), NOW);
    println!("ready");
    std::io::stdout().flush().unwrap();
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    perform(operation, &folders);
}

/// What the records, the folders and the quotas of a base must be.
fn check(operation: &str, base: &Path, folders: &Folders) {
    let mut live = Vec::new();
    for view in folders.file_systems().unwrap() {
        assert_eq!(view.usage.bytes_limit, view.capacity - view.claims.iter().map(|c| c.size).sum::<u64>());
        live.push(view.folder);
        for claim in view.claims {
            assert_eq!(claim.usage.bytes_limit, claim.size);
            live.push(claim.folder);
        }
    }
    for folder in &live {
        assert!(base.join("export").join(folder).is_dir(), "{folder}");
    }
    let expected = match operation {
        "ensure" | "remove" | "empty" => 1,
        _ => 2,
    };
    assert_eq!(live.len(), expected, "{live:?}");
    let in_trash = usize::from(operation == "remove");
    assert_eq!(names(&base.join("trash")).len(), in_trash);
    assert_eq!(names(&base.join("state/records")).len(), expected + in_trash);
    assert_eq!(names(&base.join("new")), Vec::<String>::new());
}

fn killed_anywhere(operation: &str) {
    let stage = Stage::new();
    let mut stops = 0;
    for stop in 1..STOPS_MAX {
        // One base after the other: ids of projects are the disk's.
        let base = stage.base(stop);
        prepare(operation, &base);
        let killed = step_killed_at(&[operation, text(&base)], stop);
        let folders = folders(&base, NOW);
        perform(operation, &folders);
        check(operation, &base, &folders);
        let records = names(&base.join("state/records")).len();
        assert_eq!(
            limited_projects(stage.mount.path()),
            records,
            "{operation}, stop {stop}: limits that no record knows"
        );
        let has_claims = folders.file_systems().unwrap().iter().any(|view| !view.claims.is_empty());
        drop(folders);
        // The next start removes the parents that the last claims left empty.
        drop(self::folders(&base, NOW));
        let parents = names(&base.join("export/claims"));
        assert_eq!(parents.len(), usize::from(has_claims), "{parents:?}");
        wipe(&base);
        if !killed {
            stops = stop;
            break;
        }
    }
    println!("  {stops} stops");
    assert!(stops > 8, "only {stops} stops");
}

/// Removes a base with its folders, and their limits by another start.
fn wipe(base: &Path) {
    let folders = folders(base, NOW);
    for view in folders.file_systems().unwrap() {
        for claim in view.claims {
            folders.remove_claim(&claim.key, Disposal::Trash).unwrap();
        }
        folders.remove_file_system(&view.uid, Disposal::Trash).unwrap();
    }
    drop(folders);
    let later = Arc::new(AtomicI64::new(NOW + 2 * KEEP));
    let storage = Source::Directory(base.into()).take(Path::new("/nowhere")).unwrap();
    let folders = open(storage, later.clone());
    perform("empty", &folders);
    assert_eq!(later.load(Ordering::Relaxed), NOW + 2 * KEEP);
    drop(folders);
    std::fs::remove_dir_all(base).unwrap();
}

pub fn making_a_file_system_killed_anywhere() {
    killed_anywhere("ensure");
}

pub fn making_a_claim_killed_anywhere() {
    killed_anywhere("claim");
}

pub fn growing_a_claim_killed_anywhere() {
    killed_anywhere("grow");
}

pub fn removing_a_claim_killed_anywhere() {
    killed_anywhere("remove");
}

pub fn emptying_the_trash_killed_anywhere() {
    killed_anywhere("empty");
}
