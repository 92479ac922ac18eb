//! Names: whatever a Linux file system takes, and those that look like the engine's own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use workspacefs_sync::{DeleteLimit, Options};

use crate::judge;
use crate::tree::{Terms, assert_same, look, names, temporaries};
use crate::world::{World, mirror, run};

const TEMPORARY: &str = ".wsfs-sync-0123456789abcdef-12";

pub fn names_of_any_bytes_are_copied(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    let mut count = 0;
    for byte in (1..=255u8).filter(|byte| *byte != b'/') {
        // "." is taken.
        for name in [vec![byte], vec![b'.', byte], vec![byte; 255]] {
            let path = source.join(OsString::from_vec(name.clone()));
            if name != b"." && name != b".." {
                fs::write(&path, name).unwrap();
                count += 1;
            }
        }
    }
    let options = Options { delete: Some(DeleteLimit::NONE), ..Options::default() };
    let first = mirror(&source, &destination, &options).report;
    assert_eq!(first.files.done.files, count);
    assert_same(&look(&destination), &look(&source), Terms::PLAIN);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
    let second = mirror(&source, &destination, &options).report;
    assert_eq!(second.files.unchanged.files, count);
    fs::remove_dir_all(&source).unwrap();
    fs::create_dir(&source).unwrap();
    let third = mirror(&source, &destination, &options).report;
    assert_eq!(third.deleted, count);
    assert_eq!(names(&destination), [Path::new("")]);
}

/// A source may be the destination of another run that died: what was that one's is not copied again and again, and the
/// report says where it is.
pub fn names_like_our_temporary_ones_are_dealt_with(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    fs::write(source.join(TEMPORARY), "of somebody else").unwrap();
    fs::write(source.join(".wsfs-sync-"), "a name like any other").unwrap();
    let first = run(&source, &destination, &Options::default()).report;
    assert_eq!(first.files.found.files, 2);
    assert_eq!(fs::read(destination.join(".wsfs-sync-")).unwrap(), b"a name like any other");
    let second = run(&source, &destination, &Options::default()).report;
    assert_eq!((second.files.done.files, second.leftovers), (0, 0), "it goes back and forth: {second:?}");
    assert_eq!(fs::read(source.join(TEMPORARY)).unwrap(), b"of somebody else");
}

pub fn left_overs_of_a_dead_run_are_removed(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    for folder in ["", "folder", "folder/inner"] {
        fs::create_dir_all(source.join(folder)).unwrap();
        fs::create_dir_all(destination.join(folder)).unwrap();
        fs::write(destination.join(folder).join(TEMPORARY), "half").unwrap();
        fs::write(destination.join(folder).join(".wsfs-sync-notes"), "somebody's own").unwrap();
    }
    // Without the right to delete anything else.
    let dry = run(&source, &destination, &Options { dry_run: true, ..Options::default() }).report;
    assert_eq!(temporaries(&destination).len(), 6, "{dry:?}");
    let report = run(&source, &destination, &Options::default()).report;
    assert_eq!((report.leftovers, report.deleted), (3, 0), "{report:?}");
    assert!(report.is_complete(), "{report:?}");
    let left = names(&destination);
    assert!(!left.iter().any(|path| path.ends_with(TEMPORARY)), "{left:?}");
    assert_eq!(left.iter().filter(|path| path.ends_with(".wsfs-sync-notes")).count(), 3);
}
