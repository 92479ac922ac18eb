//! A destination that is full, read-only, over its quota or gone: the run ends in order and says how far it came; what lies
//! under final names is whole; once the cause is gone, the next run completes it.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use workspacefs_sync::{Control, Errno, Options, Stop, SyncError, sync};

use crate::judge;
use crate::model::build::noise;
use crate::mounts::{Disk, FileSystem, program, remount, require, text};
use crate::tree::{Kind, Terms, look, temporaries};
use crate::world::{Run, World, eventually, mirror, open, run, run_with, workers};

const FILE: usize = 64 * 1024;
const MIB: u64 = 1 << 20;

/// Files in directories, of so many MiB in all, and a large one of as many.
fn fill(source: &Path, small_mib: usize, large_mib: usize) -> PathBuf {
    for n in 0..small_mib * 16 {
        let folder = source.join(format!("{}", n % 8));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{n}")), noise(n as u64 + 1, FILE)).unwrap();
    }
    if large_mib > 0 {
        fs::write(source.join("large"), noise(77, large_mib << 20)).unwrap();
    }
    source.to_path_buf()
}

/// What ended early did so for this reason, and left whole files only.
fn assert_ended(run: &Run, source: &Path, destination: &Path, errnos: &[Errno]) {
    let report = &run.report;
    let Some(Stop::Destination { errno, .. }) = &report.stopped else { panic!("{report:?}") };
    assert!(errnos.contains(errno), "{report:?}");
    assert!(!report.is_complete());
    assert_whole(source, destination);
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Kind> {
    look(root).into_iter().map(|(path, entry)| (path, entry.kind)).collect()
}

fn assert_whole(source: &Path, destination: &Path) {
    let wanted = contents(source);
    for (path, kind) in contents(destination) {
        if path != Path::new("lost+found") {
            assert_eq!(Some(&kind), wanted.get(&path), "{path:?} is not whole");
        }
    }
    assert_eq!(temporaries(destination), Vec::<PathBuf>::new());
}

/// The next run reads what is missing and nothing else.
fn assert_goes_on(first: &Run, source: &Path, destination: &Path) {
    let second = mirror(source, destination, &Options::default());
    let all = second.report.files.found.bytes;
    assert_eq!(second.report.files.unchanged, first.report.files.done);
    assert_eq!(second.last.bytes_read, all - first.report.files.done.bytes, "{:?}", second.report);
    assert_whole(source, destination);
}

pub fn a_full_destination_ends_the_run_in_order_and_the_next_goes_on(world: &World) {
    // Once among small files, once in the middle of a large one.
    for (name, small, large) in [("small", 12, 0), ("large", 1, 24)] {
        let source = fill(&world.memory(&format!("{name}-source"), "mode=0755"), small, large);
        let destination = world.memory(&format!("{name}-destination"), "mode=0755,size=8m");
        let first = run(&source, &destination, &Options::default());
        assert_ended(&first, &source, &destination, &[Errno::NOSPC]);
        if large == 0 {
            assert!(first.report.files.done.bytes > 5 * MIB, "ended too soon: {:?}", first.report);
        }
        remount(&destination, "size=64m");
        assert_goes_on(&first, &source, &destination);
        judge::assert_satisfied(&source, &destination, Terms::PLAIN);
    }
}

pub fn a_full_disk_ends_the_run_in_order_and_the_next_goes_on(world: &World) {
    let source = fill(&world.memory("source", "mode=0755"), 20, 12);
    let disk = Disk::new(FileSystem::Ext4, &world.path("disk"), 16);
    let destination = disk.path().join("tree");
    fs::create_dir(&destination).unwrap();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, noise(1, 4 << 20)).unwrap();
    let first = run(&source, &destination, &Options::default());
    assert_ended(&first, &source, &destination, &[Errno::NOSPC]);
    // Some room is not enough: it ends in order again, further on.
    fs::remove_file(&ballast).unwrap();
    let second = run(&source, &destination, &Options::default());
    assert_ended(&second, &source, &destination, &[Errno::NOSPC]);
    let there = |run: &Run| run.report.files.done.files + run.report.files.unchanged.files;
    assert!(there(&second) > there(&first), "{:?}", second.report);
    // The source is now smaller than the disk.
    fs::remove_file(source.join("large")).unwrap();
    (0..5).for_each(|n| fs::remove_dir_all(source.join(format!("{n}"))).unwrap());
    let options = Options { delete: Some(workspacefs_sync::DeleteLimit::NONE), ..Options::default() };
    mirror(&source, &destination, &options);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

pub fn a_destination_without_room_for_more_files_ends_the_run(world: &World) {
    let source = fill(&world.memory("source", "mode=0755"), 8, 0);
    let destination = world.memory("destination", "mode=0755,nr_inodes=64");
    let first = run(&source, &destination, &Options::default());
    assert_ended(&first, &source, &destination, &[Errno::NOSPC]);
    remount(&destination, "nr_inodes=1000");
    assert_goes_on(&first, &source, &destination);
}

pub fn a_read_only_destination_ends_the_run(world: &World) {
    let source = fill(&world.memory("source", "mode=0755"), 4, 0);
    let destination = world.memory("destination", "mode=0755");
    fs::create_dir(destination.join("0")).unwrap();
    fs::write(destination.join("0/0"), "older").unwrap();
    remount(&destination, "ro");
    let before = look(&destination);
    let first = run(&source, &destination, &Options::default());
    let Some(Stop::Destination { errno: Errno::ROFS, .. }) = &first.report.stopped else {
        panic!("{:?}", first.report)
    };
    assert_eq!(
        (first.report.files.done.files, first.report.directories.done.files),
        (0, 0),
        "{:?}",
        first.report
    );
    assert_eq!(look(&destination), before);
    remount(&destination, "rw");
    mirror(&source, &destination, &Options::default());
    assert_whole(&source, &destination);
}

/// Btrfs, because quota works there with every kernel that has Btrfs; those of XFS and ext4 are options of the kernel that
/// many do without (CONFIG_XFS_QUOTA, CONFIG_QFMT_V2). To the engine all are DQUOT.
pub fn a_destination_over_its_quota_ends_the_run_and_the_next_goes_on(world: &World) {
    require("btrfs", "btrfs-progs");
    let source = fill(&world.memory("source", "mode=0755"), 24, 0);
    let disk = Disk::new(FileSystem::Btrfs, &world.path("disk"), 256);
    let destination = disk.path().join("limited");
    program("btrfs", &["subvolume", "create", text(&destination)]);
    program("btrfs", &["quota", "enable", text(disk.path())]);
    program("btrfs", &["qgroup", "limit", "8M", text(&destination)]);
    let first = run(&source, &destination, &Options::default());
    assert_ended(&first, &source, &destination, &[Errno::DQUOT]);
    assert!(first.report.files.done.files > 0, "{:?}", first.report);
    program("btrfs", &["qgroup", "limit", "none", text(&destination)]);
    assert_goes_on(&first, &source, &destination);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

pub fn a_destination_that_disappears_ends_the_run_and_the_next_goes_on(world: &World) {
    for kind in [FileSystem::Ext4, FileSystem::Xfs] {
        let source = fill(&world.memory(&format!("{kind:?}-source"), "mode=0755"), 64, 0);
        let image = world.path(&format!("{kind:?}"));
        let disk = Disk::new(kind, &image, 400);
        let destination = disk.path().join("tree");
        fs::create_dir(&destination).unwrap();
        let control = Control::new();
        // Slow enough to be in the middle when it happens.
        let options = Options { bandwidth: std::num::NonZeroU64::new(24 * MIB), ..workers(4) };
        let first = std::thread::scope(|scope| {
            scope.spawn(|| {
                eventually("something is copied", || control.snapshot().files.done.bytes > 8 * MIB);
                disk.pull();
            });
            run_with(&source, &destination, &options, &control)
        });
        let report = &first.report;
        let Some(Stop::Destination { errno, .. }) = &report.stopped else { panic!("{kind:?}: {report:?}") };
        assert!([Errno::IO, Errno::ROFS, Errno::UCLEAN].contains(errno), "{kind:?}: {report:?}");
        assert!(report.files.done.bytes < report.files.found.bytes, "{kind:?}: {report:?}");
        println!("{kind:?}: ended with {errno:?}");
        drop(disk);
        // What had not reached the disk is gone, also of files that were under their names: that is what the manifest is for.
        let again = image.with_extension("again");
        fs::create_dir(&again).unwrap();
        eventually("it can be mounted again", || {
            crate::mounts::tried("mount", &["-o", "loop", text(&image), text(&again)]).status.success()
        });
        let destination = again.join("tree");
        let checked = Options { delete: Some(workspacefs_sync::DeleteLimit::NONE), ..Options::default() };
        let _ = fs::create_dir(&destination);
        let second = run(&source, &destination, &checked);
        assert!(second.report.is_complete(), "{kind:?}: {:?}", second.report);
        assert_eq!(temporaries(&destination), Vec::<PathBuf>::new());
        let _ = crate::mounts::tried("umount", &[text(&again)]);
    }
}

/// What cannot be read is not taken for deleted: with the right to delete, a mirror of a disk that fails loses nothing.
pub fn a_source_that_disappears_costs_the_destination_nothing(world: &World) {
    let disk = Disk::new(FileSystem::Xfs, &world.path("disk"), 400);
    let source = disk.path().join("tree");
    fs::create_dir(&source).unwrap();
    fill(&source, 32, 0);
    let destination = world.memory("destination", "mode=0755");
    let options = Options {
        delete: Some(workspacefs_sync::DeleteLimit::NONE),
        bandwidth: std::num::NonZeroU64::new(16 * MIB),
        ..workers(4)
    };
    mirror(&source, &destination, &Options { bandwidth: None, ..options.clone() });
    // All of it is newer now, and nothing of it is in memory.
    for (path, entry) in look(&source) {
        if !entry.is_dir() {
            fs::write(source.join(&path), noise(5, FILE)).unwrap();
        }
    }
    program("sync", &["--file-system", text(&source)]);
    let before = crate::tree::names(&destination);
    let control = Control::new();
    let (from, into) = (open(&source), open(&destination));
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("something is copied", || control.snapshot().files.done.bytes > 4 * MIB);
            disk.pull();
        });
        sync(from.as_fd(), into.as_fd(), &options, &control).unwrap()
    });
    assert!(first.adds_up() && !first.is_complete(), "{first:?}");
    assert_eq!(first.deleted, 0, "{first:?}");
    assert_eq!(crate::tree::names(&destination), before, "{first:?}");
    // One that begins when the disk has gone already.
    match sync(from.as_fd(), into.as_fd(), &options, &Control::new()) {
        Err(SyncError::Source(_)) => {}
        Ok(second) => assert!(second.adds_up() && !second.is_complete() && second.deleted == 0, "{second:?}"),
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(crate::tree::names(&destination), before);
}

pub fn a_dry_run_needs_no_room(world: &World) {
    let source = fill(&world.memory("source", "mode=0755"), 4, 0);
    let destination = world.memory("destination", "mode=0755,size=64k");
    remount(&destination, "ro");
    let report = run(&source, &destination, &Options { dry_run: true, ..Options::default() }).report;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.files.done.files, report.files.done.bytes), (64, 4 * MIB));
    assert_eq!(report.directories.done.files, 8);
}
