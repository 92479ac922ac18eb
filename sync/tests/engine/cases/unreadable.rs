//! Nobody reads and writes what root keeps for itself: each path is named with what the kernel said, and the rest is copied.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use workspacefs_sync::{Errno, Keep, Options, Problem, Report};

use crate::world::{World, mirror, run, two_in};

const NOBODY: u32 = 65534;

/// From here on this process is nobody; what the parent made is cleaned up by the parent.
fn become_nobody() {
    setgroups(&[]).unwrap();
    setresgid(Gid::from_raw(NOBODY), Gid::from_raw(NOBODY), Gid::from_raw(NOBODY)).unwrap();
    setresuid(Uid::from_raw(NOBODY), Uid::from_raw(NOBODY), Uid::from_raw(NOBODY)).unwrap();
    assert!(fs::read("/etc/shadow").is_err(), "still somebody");
}

fn errnos(report: &Report) -> BTreeMap<PathBuf, Errno> {
    let errno = |problem: &Problem| match problem {
        Problem::Failed { errno, .. } => *errno,
        other => panic!("{other:?}"),
    };
    report.notes.iter().map(|note| (note.path.clone(), errno(&note.problem))).collect()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn two(world: &World) -> [PathBuf; 2] {
    let inside = world.memory("inside", "mode=0755");
    let both = two_in(&inside);
    chown(&both[1], Some(NOBODY), Some(NOBODY)).unwrap();
    both
}

const UNOWNED: Keep = Keep { owner: false, xattrs: false, acls: false };

pub fn what_cannot_be_read_is_reported_and_the_rest_copied(world: &World) {
    let [source, destination] = two(world);
    for folder in ["open", "closed", "listed-only"] {
        fs::create_dir(source.join(folder)).unwrap();
        fs::write(source.join(folder).join("file"), "12345").unwrap();
    }
    fs::write(source.join("open/secret"), "1234567").unwrap();
    set_mode(&source.join("open/secret"), 0o000);
    set_mode(&source.join("closed"), 0o700);
    set_mode(&source.join("listed-only"), 0o744);
    become_nobody();
    let report = run(&source, &destination, &Options { keep: UNOWNED, ..Options::default() }).report;
    let expected =
        ["open/secret", "closed", "listed-only/file"].map(|path| (PathBuf::from(path), Errno::ACCESS));
    assert_eq!(errnos(&report), BTreeMap::from(expected), "{report:?}");
    assert_eq!(report.stopped, None);
    assert!(!report.is_complete());
    assert_eq!(fs::read(destination.join("open/file")).unwrap(), b"12345");
    assert!(!destination.join("open/secret").exists());
    assert_eq!((report.files.done.files, report.files.failed.files), (1, 2), "{report:?}");
    assert_eq!(report.directories.failed.files, 1, "{report:?}");
}

/// A source directory that could not be read is no empty one: what the destination has of it stays.
pub fn what_cannot_be_written_is_reported_and_the_rest_copied(world: &World) {
    let [source, destination] = two(world);
    for folder in ["free", "held", "unreadable"] {
        fs::create_dir(source.join(folder)).unwrap();
        fs::write(source.join(folder).join("file"), "12345").unwrap();
    }
    for folder in ["held", "unreadable"] {
        fs::create_dir(destination.join(folder)).unwrap();
        fs::write(destination.join(folder).join("extra"), "").unwrap();
    }
    chown(destination.join("unreadable"), Some(NOBODY), Some(NOBODY)).unwrap();
    set_mode(&source.join("unreadable"), 0o000);
    become_nobody();
    let delete = Some(workspacefs_sync::DeleteLimit::NONE);
    let report = run(&source, &destination, &Options { keep: UNOWNED, delete, ..Options::default() }).report;
    let errnos = errnos(&report);
    for path in ["held/file", "held/extra", "unreadable"] {
        assert_eq!(errnos.get(Path::new(path)), Some(&Errno::ACCESS), "{path}: {report:?}");
    }
    assert_eq!(report.stopped, None);
    assert_eq!(report.deleted, 0);
    assert_eq!(fs::read(destination.join("free/file")).unwrap(), b"12345");
    assert!(destination.join("held/extra").exists() && destination.join("unreadable/extra").exists());
}

pub fn owners_that_cannot_be_kept_are_counted(world: &World) {
    let [source, destination] = two(world);
    for (name, owner) in [("mine", NOBODY), ("roots", 0), ("others", 1000)] {
        fs::write(source.join(name), name).unwrap();
        chown(source.join(name), Some(owner), Some(owner)).unwrap();
        set_mode(&source.join(name), 0o6755);
    }
    become_nobody();
    let first = mirror(&source, &destination, &Options::default()).report;
    assert_eq!(first.owners_not_kept, 2, "{first:?}");
    for (name, mode) in [("mine", 0o6755), ("roots", 0o755), ("others", 0o755)] {
        let metadata = fs::metadata(destination.join(name)).unwrap();
        // A program that runs as its owner must not begin to run as whoever copied it.
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (NOBODY, mode), "{name}");
    }
    // What could not be kept is no reason to copy it again.
    let second = mirror(&source, &destination, &Options::default()).report;
    assert_eq!((second.files.unchanged.files, second.files.done.files), (3, 0), "{second:?}");
}
