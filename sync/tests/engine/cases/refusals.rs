//! What is wrong before a run begins changes nothing.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use workspacefs_sync::{Control, Errno, Options, Report, SyncError, sync};

use crate::tree::names;
use crate::world::{World, eventually, mirror, open, run, run_with};

fn begin(source: &Path, destination: &Path, options: &Options) -> Result<Report, SyncError> {
    sync(open(source).as_fd(), open(destination).as_fd(), options, &Control::new())
}

pub fn nested_directories_are_refused(world: &World) {
    let outer = world.dir("outer");
    let inner = world.dir("outer/a/inner");
    fs::write(outer.join("file"), "x").unwrap();
    let before = names(&outer);
    for (source, destination) in [(&outer, &outer), (&outer, &inner), (&inner, &outer)] {
        for dry_run in [false, true] {
            let refused = begin(source, destination, &Options { dry_run, ..Options::default() });
            assert!(matches!(refused, Err(SyncError::Nested)), "{refused:?}");
        }
    }
    assert_eq!(names(&outer), before);
}

pub fn two_runs_at_one_destination_are_refused(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    (0..100).for_each(|n| fs::write(source.join(format!("{n}")), [0; 10_000]).unwrap());
    let control = Control::new();
    let slow = Options { bandwidth: std::num::NonZeroU64::new(500_000), ..Options::default() };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run_with(&source, &destination, &slow, &control));
        eventually("the first one runs", || control.snapshot().bytes_read > 0);
        let refused = begin(&source, &destination, &Options::default());
        assert!(matches!(refused, Err(SyncError::Busy)), "{refused:?}");
        control.cancel();
        first.join().unwrap();
    });
    // And not longer than that.
    mirror(&source, &destination, &Options::default());
}

pub fn chosen_paths_that_lead_out_are_refused(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    let outside = world.dir("outside");
    fs::write(outside.join("file"), "outside").unwrap();
    symlink(&outside, source.join("link")).unwrap();
    for path in ["", "/", "/etc", "..", "../outside", "a/../../outside"] {
        let refused =
            begin(&source, &destination, &Options { paths: vec![path.into()], ..Options::default() });
        assert!(matches!(&refused, Err(SyncError::Path(named)) if named == Path::new(path)), "{refused:?}");
    }
    // A link on the way is no way.
    let report =
        run(&source, &destination, &Options { paths: vec!["link/file".into()], ..Options::default() }).report;
    assert!(!report.is_complete(), "{report:?}");
    assert!(!destination.join("link/file").exists());
}

/// Neither a success nor an end of the run; and what is there is copied.
pub fn a_chosen_path_that_is_not_there_is_said_so(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    fs::create_dir(source.join("folder")).unwrap();
    for name in ["there", "folder/there", "not-chosen"] {
        fs::write(source.join(name), name).unwrap();
    }
    let paths =
        ["there", "missing", "folder/there", "folder/missing", "nowhere/at/all"].map(PathBuf::from).to_vec();
    let report = run(&source, &destination, &Options { paths, ..Options::default() }).report;
    assert!(!report.is_complete(), "{report:?}");
    for path in ["missing", "folder/missing"] {
        assert!(report.notes.iter().any(|note| note.path == Path::new(path)), "{path}: {report:?}");
    }
    assert!(report.notes.iter().any(|note| note.path.starts_with("nowhere")), "{report:?}");
    assert_eq!(report.stopped, None);
    let expected = ["", "folder", "folder/there", "there"].map(PathBuf::from);
    assert_eq!(names(&destination), expected, "{report:?}");
}

pub fn directories_that_cannot_be_listed_are_refused(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let [source, destination] = ["source", "destination"].map(|name| inside.join(name));
    for path in [&source, &destination] {
        fs::create_dir(path).unwrap();
    }
    fs::write(source.join("file"), "x").unwrap();
    // A directory that is gone but for a descriptor.
    let gone = inside.join("gone");
    fs::create_dir(&gone).unwrap();
    let held = open(&gone);
    fs::remove_dir(&gone).unwrap();
    let refused = sync(open(&source).as_fd(), held.as_fd(), &Options::default(), &Control::new());
    let ended = match &refused {
        Err(SyncError::Destination(_)) => true,
        // It can be listed, as empty; nothing can be made in it.
        Ok(report) => report.adds_up() && !report.is_complete(),
        Err(_) => false,
    };
    assert!(ended, "{refused:?}");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).unwrap();
    nix::unistd::setresuid(65534.into(), 65534.into(), 65534.into()).unwrap();
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let unlistable = rustix::fs::open(&source, flags, rustix::fs::Mode::empty()).unwrap();
    let refused = sync(unlistable.as_fd(), open(&destination).as_fd(), &Options::default(), &Control::new());
    assert!(matches!(refused, Err(SyncError::Source(Errno::ACCESS))), "{refused:?}");
}
