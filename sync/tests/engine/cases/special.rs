//! What is neither file nor directory nor link, and what is mounted inside a tree.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use workspacefs_sync::{DeleteLimit, Errno, Options, Problem};

use crate::tree::{look, names, traces};
use crate::world::{World, mirror, run, two_in, workers};

/// A FIFO without a writer, a socket, a device: opened by mistake, one would hang.
fn make_special(folder: &Path) {
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, folder.join("fifo"), FileType::Fifo, mode, 0).unwrap();
    mknodat(CWD, folder.join("null"), FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
    mknodat(CWD, folder.join("block"), FileType::BlockDevice, mode, makedev(7, 200)).unwrap();
    drop(UnixListener::bind(folder.join("socket")).unwrap());
}

pub fn special_files_are_noted_and_not_opened(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let [source, destination] = two_in(&inside);
    make_special(&source);
    fs::write(source.join("file"), "file").unwrap();
    for _ in 0..2 {
        let report = run(&source, &destination, &workers(2)).report;
        assert!(report.is_complete(), "{report:?}");
        let mut noted: Vec<PathBuf> = report.notes.iter().map(|note| note.path.clone()).collect();
        noted.sort();
        assert_eq!(noted, ["block", "fifo", "null", "socket"].map(PathBuf::from), "{report:?}");
        assert!(report.notes.iter().all(|note| matches!(note.problem, Problem::Special(_))), "{report:?}");
        assert_eq!((report.files.found.files, report.files.skipped.files), (5, 4), "{report:?}");
        assert_eq!(names(&destination), [Path::new(""), Path::new("file")]);
    }
}

pub fn special_files_in_the_destination_are_replaced_unopened(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let [source, destination] = two_in(&inside);
    make_special(&destination);
    fs::write(source.join("fifo"), "a file").unwrap();
    fs::create_dir(source.join("socket")).unwrap();
    std::os::unix::fs::symlink("x", source.join("null")).unwrap();
    let options = Options { delete: Some(DeleteLimit::NONE), ..workers(2) };
    let report = mirror(&source, &destination, &options).report;
    assert_eq!(report.deleted, 1, "the device is in nobody's place: {report:?}");
    crate::tree::assert_same(&look(&destination), &look(&source), crate::tree::Terms::PLAIN);
}

/// A source may be made of several file systems. Into one that is mounted in the destination nothing is written, and nothing
/// is deleted in it.
pub fn mounts_in_the_source_are_copied_and_those_in_the_destination_left_alone(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    let mounted = world.memory("source/mounted", "mode=0750");
    fs::write(mounted.join("file"), "from another file system").unwrap();
    mirror(&source, &destination, &workers(2));
    assert_eq!(fs::read(destination.join("mounted/file")).unwrap(), b"from another file system");

    fs::create_dir(source.join("both")).unwrap();
    fs::write(source.join("both/file"), "x").unwrap();
    for name in ["both", "extra"] {
        let mounted = world.memory(&format!("destination/{name}"), "mode=0755");
        fs::write(mounted.join("stays"), "stays").unwrap();
    }
    let before = ["both", "extra"].map(|name| traces(&destination.join(name)));
    let options = Options { delete: Some(DeleteLimit::NONE), ..workers(2) };
    let report = run(&source, &destination, &options).report;
    assert_eq!(["both", "extra"].map(|name| traces(&destination.join(name))), before);
    assert_eq!(report.stopped, None);
    assert!(!report.is_complete(), "{report:?}");
    for name in ["both", "extra"] {
        let note = report.notes.iter().find(|note| note.path == Path::new(name));
        let note = note.unwrap_or_else(|| panic!("{name} is not noted: {report:?}"));
        assert!(
            matches!(note.problem, Problem::Failed { errno: Errno::XDEV | Errno::BUSY, .. }),
            "{name}: {report:?}"
        );
    }
}
