//! Trees are deleted whole, from outside nothing, and no quicker than asked.

use std::ffi::OsStr;
use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use workspacefs_sync::{Control, DeleteOptions, Errno, Problem, Stop};

use crate::tree::{names, traces};
use crate::world::{World, delete, delete_with, eventually, open};

/// So many files in so many directories, and those of the tree itself.
fn fill(root: &Path, directories: usize, files: usize) -> u64 {
    for n in 0..directories {
        let folder = root.join(format!("{n}"));
        fs::create_dir_all(&folder).unwrap();
        (0..files).for_each(|m| fs::write(folder.join(format!("{m}")), "").unwrap());
    }
    (directories * (files + 1) + 1) as u64
}

pub fn a_tree_is_deleted_whole(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let mut count = fill(&inside.join("tree"), 40, 60);
    // Wide, and hostile: names of any bytes, modes that forbid, what is no file.
    count += fill(&inside.join("tree/wide"), 1, 5_000);
    for name in [&b"\xff\xfe"[..], b"\n", b"-rf", b"*"] {
        use std::os::unix::ffi::OsStrExt;
        fs::write(inside.join("tree").join(OsStr::from_bytes(name)), "").unwrap();
        count += 1;
    }
    crate::mounts::program("mkfifo", &[crate::mounts::text(&inside.join("tree/fifo"))]);
    fs::set_permissions(inside.join("tree/1"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::write(inside.join("stays"), "").unwrap();
    let report = delete(&inside, "tree");
    assert_eq!((report.deleted, &report.notes, &report.stopped), (count + 1, &Vec::new(), &None));
    assert_eq!(names(&inside), [Path::new(""), Path::new("stays")]);
}

pub fn a_deep_tree_is_deleted_on_a_small_stack_with_few_descriptors(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    super::deep::on_a_small_stack_with_few_descriptors(|| {
        for workers in [None, NonZeroUsize::new(1), NonZeroUsize::new(64)] {
            fs::create_dir(inside.join("tree")).unwrap();
            super::deep::build(&inside.join("tree"));
            let report = delete_with(
                &inside,
                "tree",
                &DeleteOptions { workers, ..DeleteOptions::default() },
                &Control::new(),
            );
            assert_eq!(report.deleted, 2 * super::deep::LEVELS as u64 + 2, "{report:?}");
            assert_eq!(names(&inside), [Path::new("")]);
        }
    });
}

pub fn what_links_lead_to_stays(world: &World) {
    let (inside, outside) = (world.dir("inside"), world.dir("outside"));
    fill(&outside.join("tree"), 3, 3);
    fill(&inside.join("tree"), 2, 2);
    for (name, target) in [
        ("absolute", outside.clone()),
        ("relative", PathBuf::from("../../outside/tree")),
        ("up", "..".into()),
    ] {
        symlink(target, inside.join("tree/1").join(name)).unwrap();
    }
    let before = traces(&outside);
    let report = delete(&inside, "tree");
    assert_eq!((report.deleted, report.notes.len()), (7 + 3, 0), "{report:?}");
    assert_eq!(crate::tree::changes(&before, &traces(&outside)), "");
    assert_eq!(names(&inside), [Path::new("")]);
}

pub fn what_is_mounted_inside_stays(world: &World) {
    let inside = world.dir("inside");
    fill(&inside.join("tree"), 3, 3);
    let mounted = world.memory("inside/tree/1/mounted", "mode=0755");
    fs::write(mounted.join("stays"), "stays").unwrap();
    // A file can have something mounted on it too.
    let on_file = inside.join("tree/2/0");
    crate::mounts::program("mount", &["--bind", "/etc/hostname", crate::mounts::text(&on_file)]);
    let report = delete(&inside, "tree");
    assert_eq!(fs::read(mounted.join("stays")).unwrap(), b"stays");
    let noted = |path: &str| {
        report.notes.iter().find(|note| note.path.ends_with(path)).map(|note| note.problem.clone())
    };
    let is_mount =
        |problem| matches!(problem, Some(Problem::Failed { errno: Errno::XDEV | Errno::BUSY, .. }));
    assert!(is_mount(noted("1/mounted")) && is_mount(noted("2/0")), "{report:?}");
    let left: Vec<PathBuf> = names(&inside.join("tree"));
    assert_eq!(left, ["", "1", "1/mounted", "1/mounted/stays", "2", "2/0"].map(PathBuf::from), "{report:?}");
    assert_eq!(report.deleted, 3 * 4 - 3, "{report:?}");
    // Free again, the rest goes.
    for path in [&mounted, &on_file] {
        crate::mounts::program("umount", &[crate::mounts::text(path)]);
    }
    assert!(delete(&inside, "tree").notes.is_empty());
    assert_eq!(names(&inside), [Path::new("")]);
}

pub fn a_deletion_keeps_to_its_rate(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let mut measured = Vec::new();
    for _ in 0..3 {
        let count = fill(&inside.join("tree"), 20, 45);
        let options = DeleteOptions { entries_per_second: NonZeroU64::new(300), ..DeleteOptions::default() };
        let report = delete_with(&inside, "tree", &options, &Control::new());
        assert_eq!(report.deleted, count);
        let ideal = count as f64 / 300.0;
        let elapsed = report.elapsed.as_secs_f64();
        assert!(elapsed >= 0.75 * ideal, "{elapsed} s instead of {ideal} s");
        measured.push(elapsed);
        // Too slow may be this machine's other work.
        if elapsed <= 1.25 * ideal {
            println!("{measured:?} s for {ideal} s");
            return;
        }
    }
    panic!("too slow: {measured:?} s");
}

pub fn a_deletion_that_is_cancelled_ends_soon_and_the_next_completes_it(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let count = fill(&inside.join("tree"), 50, 100);
    let control = Control::new();
    let options = DeleteOptions { entries_per_second: NonZeroU64::new(1_000), ..DeleteOptions::default() };
    let (report, took) = std::thread::scope(|scope| {
        let canceller = scope.spawn(|| {
            eventually("some are deleted", || control.snapshot().deleted > 500);
            control.cancel();
            Instant::now()
        });
        let report = delete_with(&inside, "tree", &options, &control);
        (report, canceller.join().unwrap().elapsed())
    });
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(report.stopped, Some(Stop::Cancelled));
    let left = names(&inside.join("tree")).len() as u64;
    assert_eq!(report.deleted + left, count, "{report:?}");
    assert!(report.notes.is_empty(), "{report:?}");
    let second = delete(&inside, "tree");
    assert_eq!((second.deleted, second.stopped), (left, None));
    assert_eq!(names(&inside), [Path::new("")]);
}

pub fn a_file_or_a_link_is_deleted_itself(world: &World) {
    let inside = world.dir("inside");
    fill(&inside.join("tree"), 1, 1);
    fs::write(inside.join("file"), "").unwrap();
    symlink("tree", inside.join("link")).unwrap();
    for name in ["file", "link"] {
        assert_eq!(delete(&inside, name).deleted, 1);
    }
    assert_eq!(names(&inside), ["", "tree", "tree/0", "tree/0/0"].map(PathBuf::from));
}

/// A name is one in the directory, no path. What is not there is deleted already.
pub fn only_names_of_entries_are_taken(world: &World) {
    let inside = world.dir("inside");
    fill(&inside.join("tree"), 1, 1);
    let before = names(&inside);
    for name in ["", ".", "..", "tree/0", "/", "../inside"] {
        let refused = workspacefs_sync::delete(
            open(&inside).as_fd(),
            OsStr::new(name),
            &DeleteOptions::default(),
            &Control::new(),
        );
        assert!(refused.is_err(), "{name:?}: {refused:?}");
    }
    let report = delete(&inside, "missing");
    assert_eq!((report.deleted, report.notes, report.stopped), (0, Vec::new(), None));
    assert_eq!(names(&inside), before);
}
