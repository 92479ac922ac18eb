//! Trees are deleted a little at a time: each call does what it may and no more, and brings the tree's end nearer.

use std::ffi::OsStr;
use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use workspacefs_sync::{Control, DeleteOptions, DeleteReport, Errno, Stop};

use crate::tree::names;
use crate::world::{World, delete, delete_with, eventually, open};

const WORKERS: [usize; 2] = [1, 8];

fn options(workers: usize, entries_max: Option<u64>, time_max: Option<Duration>) -> DeleteOptions {
    DeleteOptions { workers: NonZeroUsize::new(workers), entries_max, time_max, ..DeleteOptions::default() }
}

fn slice(parent: &Path, options: &DeleteOptions) -> DeleteReport {
    delete_with(parent, "tree", options, &Control::new())
}

/// Files, links, and directories in each other, with names that look like ours. Gives back how many.
fn fill(tree: &Path, outside: &Path) -> u64 {
    for folder in ["a/b/c", "a/d", "e/.wsfs-sync-0123456789abcdef-1/x", "f"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
        (0..10).for_each(|file| fs::write(tree.join(folder).join(format!("{file}")), "").unwrap());
        symlink(outside, tree.join(folder).join("out")).unwrap();
        symlink("..", tree.join(folder).join("up")).unwrap();
    }
    fs::write(tree.join(".wsfs-sync-0123456789abcdef-2"), "").unwrap();
    names(tree).len() as u64
}

pub fn each_slice_removes_as_many_as_it_may_and_the_next_goes_on(world: &World) {
    let (inside, outside) = (world.dir("inside"), world.dir("outside"));
    fs::write(outside.join("file"), "precious").unwrap();
    for (workers, entries_max) in WORKERS.into_iter().flat_map(|workers| [(workers, 1), (workers, 7)]) {
        let mut left = fill(&inside.join("tree"), &outside);
        while left > 0 {
            let report = slice(&inside, &options(workers, Some(entries_max), None));
            assert_eq!((report.deleted, report.moved), (left.min(entries_max), 0), "{report:?}");
            left -= report.deleted;
            assert_eq!(report.stopped, (left > 0).then_some(Stop::Limit));
            assert_eq!((report.refused(), report.is_done()), (None, left == 0));
            let found = if left > 0 { names(&inside.join("tree")).len() as u64 } else { 0 };
            assert_eq!(found, left, "{report:?}");
        }
        assert_eq!(names(&inside), [Path::new("")]);
    }
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "precious");
}

pub fn a_slice_without_time_removes_one(world: &World) {
    let inside = world.dir("inside");
    for workers in WORKERS {
        let mut left = fill(&inside.join("tree"), &inside);
        while left > 0 {
            let report = slice(&inside, &options(workers, None, Some(Duration::ZERO)));
            assert_eq!((report.deleted, report.notes.len()), (1, 0), "{report:?}");
            left -= 1;
            assert_eq!(report.stopped, (left > 0).then_some(Stop::Limit));
        }
        assert_eq!(names(&inside), [Path::new("")]);
    }
}

pub fn a_slice_ends_when_its_time_is_over(world: &World) {
    const PER_SECOND: u64 = 100;
    let inside = world.memory("inside", "mode=0755");
    fs::create_dir(inside.join("tree")).unwrap();
    (0..500).for_each(|file| fs::write(inside.join(format!("tree/{file}")), "").unwrap());
    let time_max = Duration::from_millis(500);
    let options =
        DeleteOptions { entries_per_second: NonZeroU64::new(PER_SECOND), ..options(2, None, Some(time_max)) };
    let report = slice(&inside, &options);
    assert_eq!(report.stopped, Some(Stop::Limit));
    // Half a second's, a burst, and one that each worker had been waiting for.
    assert!((2..=60).contains(&report.deleted), "{report:?}");
    assert!(report.elapsed >= time_max, "{report:?}");
    assert!(delete(&inside, "tree").is_done());
}

/// Directories in each other, of which the last one holds a file.
fn dig(tree: &Path, levels: usize) {
    fs::create_dir(tree).unwrap();
    let mut here = open(tree);
    for _ in 1..levels {
        mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = openat(&here, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    openat(&here, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
}

pub fn what_lies_deep_is_moved_up_so_that_no_slice_goes_down_to_it(world: &World) {
    const LEVELS: u64 = 3_000;
    let inside = world.memory("inside", "mode=0755");
    super::deep::on_a_small_stack_with_few_descriptors(|| {
        for (workers, entries_max) in [(1, 100), (8, 100), (1, 1)] {
            dig(&inside.join("tree"), LEVELS as usize);
            let (mut moved, mut slices) = (0, 0);
            loop {
                let report = slice(&inside, &options(workers, Some(entries_max), None));
                moved += report.moved;
                slices += 1;
                if slices == 1 {
                    // The first thing that can be done is at the bottom, or is to move.
                    assert!(report.moved > 0, "{report:?}");
                }
                if report.is_done() {
                    break;
                }
                assert_eq!(
                    (report.deleted + report.moved, report.refused()),
                    (entries_max, None),
                    "{report:?}"
                );
            }
            assert!(moved < LEVELS / 16, "{moved} moved");
            assert_eq!(slices, (LEVELS + 1 + moved).div_ceil(entries_max));
            assert_eq!(names(&inside), [Path::new("")]);
        }
    });
}

pub fn what_cannot_be_moved_up_is_met_where_it_lies(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    dig(&inside.join("tree"), 60);
    let way =
        |levels| std::iter::repeat_n("d", levels).fold(PathBuf::from("tree"), |path, name| path.join(name));
    // As deep as the first that is moved.
    let mounted = way(32);
    fs::write(world.memory(&format!("inside/{}", mounted.display()), "mode=0755").join("stays"), "").unwrap();
    fs::create_dir_all(inside.join(way(31)).join("beside/x")).unwrap();
    let report = slice(&inside, &options(1, Some(1_000), None));
    assert_eq!((report.moved, report.deleted, report.stopped.clone()), (1, 2, None), "{report:?}");
    let noted: Vec<_> = report.notes.iter().map(|note| note.path.as_path()).collect();
    assert_eq!((noted, report.refused()), (vec![mounted.as_path()], Some(Errno::XDEV)));
    assert!(inside.join(mounted).join("stays").exists());
}

pub fn of_a_wide_directory_each_slice_takes_its_part(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    for (workers, entries_max) in [(1, 7), (8, 7), (8, 1_000)] {
        for n in 0..500 {
            fs::create_dir_all(inside.join(format!("tree/{n}"))).unwrap();
        }
        let mut left = 501;
        while left > 0 {
            let report = slice(&inside, &options(workers, Some(entries_max), None));
            assert_eq!(report.deleted, left.min(entries_max), "{report:?}");
            left -= report.deleted;
        }
        assert_eq!(names(&inside), [Path::new("")]);
    }
}

pub fn a_slice_says_what_it_was_refused(world: &World) {
    let inside = world.dir("inside");
    fill(&inside.join("tree"), &inside);
    let mounted = world.memory("inside/tree/a/b", "mode=0755");
    fs::write(mounted.join("stays"), "").unwrap();
    for workers in WORKERS {
        let report = slice(&inside, &options(workers, Some(1_000), None));
        assert_eq!((report.refused(), report.is_done()), (Some(Errno::XDEV), false), "{report:?}");
        assert_eq!(names(&inside), ["", "tree", "tree/a", "tree/a/b", "tree/a/b/stays"].map(PathBuf::from));
    }
}

/// A process may have reasons to have only one.
pub fn one_worker_starts_no_thread(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    for workers in [1, 3] {
        fs::create_dir(inside.join("tree")).unwrap();
        (0..100).for_each(|file| fs::write(inside.join(format!("tree/{file}")), "").unwrap());
        let control = Control::new();
        std::thread::scope(|scope| {
            let options =
                DeleteOptions { entries_per_second: NonZeroU64::new(50), ..options(workers, None, None) };
            let deletion = scope.spawn({
                let (inside, control) = (open(&inside), control.clone());
                move || workspacefs_sync::delete(inside.as_fd(), OsStr::new("tree"), &options, &control)
            });
            eventually("some are deleted", || control.snapshot().deleted > 5);
            // This one and the caller's.
            assert_eq!(threads(), 2 + workers - 1);
            control.cancel();
            deletion.join().unwrap().unwrap();
        });
        assert!(delete(&inside, "tree").is_done());
    }
}
