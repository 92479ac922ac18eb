//! A directory is swapped for a link that leads outside, a million times in all, while it is read from, written to and
//! deleted. Outside lie canaries, on a file system that notes every reading.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use workspacefs_sync::{Control, DeleteLimit, DeleteOptions, Options};

use crate::model::build::set_mtime;
use crate::tree::{Kind, Tree, look, names};
use crate::world::{World, delete_with, earlier, run, two_in, workers};

/// Of each of the three: a million in all.
const SWAPS: u64 = 340_000;
/// No swapping for longer than this, however slow the machine is.
const TIME_MAX: Duration = Duration::from_secs(150);
const CANARY: &str = "a canary that nobody may touch";

/// What lies outside, and what would show of whoever was there.
struct Outside {
    root: PathBuf,
    before: (Tree, Vec<Visit>),
}

/// Path, times of reading and of any change, links.
type Visit = (PathBuf, i64, i64, i64, i64, u64);

impl Outside {
    fn new(world: &World) -> Self {
        // Each reading is noted as a time.
        let root = world.memory("outside", "mode=0755");
        crate::mounts::remount(&root, "strictatime");
        Self::at(root)
    }

    fn at(root: PathBuf) -> Self {
        for folder in ["", "sub", "sub/deep"] {
            fs::create_dir_all(root.join(folder)).unwrap();
            (0..8).for_each(|n| write(&root.join(folder).join(format!("file{n}")), CANARY));
        }
        let tree = look(&root);
        let before = (tree, Self::visits(&root));
        Self { root, before }
    }

    fn visits(root: &Path) -> Vec<Visit> {
        // Named first: to list them is to read their directories.
        let paths = names(root);
        let visit = |path: PathBuf| {
            let m = fs::symlink_metadata(root.join(&path)).unwrap();
            (path, m.atime(), m.atime_nsec(), m.ctime(), m.ctime_nsec(), m.nlink())
        };
        paths.into_iter().map(visit).collect()
    }

    /// Without listing, which is reading: by the names that were there.
    fn assert_untouched(&self) {
        let now: Vec<Visit> = self
            .before
            .1
            .iter()
            .map(|(path, ..)| path)
            .map(|path| {
                let m = fs::symlink_metadata(self.root.join(path))
                    .unwrap_or_else(|error| panic!("{path:?}: {error}"));
                (path.clone(), m.atime(), m.atime_nsec(), m.ctime(), m.ctime_nsec(), m.nlink())
            })
            .collect();
        assert_eq!(now, self.before.1, "somebody was outside");
        assert_eq!(look(&self.root), self.before.0, "somebody wrote outside");
    }
}

/// Always with the same time.
fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    set_mtime(path, (1_000, 0));
}

/// The same names as outside.
fn fill(root: &Path, version: usize) {
    for folder in ["", "sub", "sub/deep"] {
        fs::create_dir_all(root.join(folder)).unwrap();
        for n in 0..8 {
            fs::write(root.join(folder).join(format!("file{n}")), format!("inside, version {version}"))
                .unwrap();
        }
    }
}

/// Swaps `folder/way` and `folder/link` until it is enough; puts in place again what the engine took away.
fn swap(folder: &Path, outside: &Path, over: &AtomicBool) -> u64 {
    let (way, link) = (folder.join("way"), folder.join("link"));
    let (mut swaps, started) = (0, Instant::now());
    while swaps < SWAPS && started.elapsed() < TIME_MAX && !over.load(Ordering::Relaxed) {
        match renameat_with(CWD, &way, CWD, &link, RenameFlags::EXCHANGE) {
            Ok(()) => swaps += 1,
            Err(_) => {
                let _ = fs::create_dir(&way);
                let _ = symlink(outside, &link);
                std::thread::yield_now();
            }
        }
        // Now and then one of the two is there for long enough to be worked on; an odd number of swaps later the other.
        if swaps.is_multiple_of(63) {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    swaps
}

/// Runs `again` until the swapper has had enough; says how often it ran.
fn race(folder: &Path, outside: &Path, mut again: impl FnMut(usize)) -> usize {
    let over = AtomicBool::new(false);
    let mut rounds = 0;
    let swaps = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(folder, outside, &over));
        while !swapper.is_finished() {
            again(rounds);
            rounds += 1;
        }
        swapper.join().unwrap()
    });
    println!("{swaps} swaps, {rounds} rounds");
    assert!(swaps >= SWAPS, "only {swaps} swaps");
    rounds
}

fn mirroring() -> Options {
    Options { delete: Some(DeleteLimit::NONE), ..workers(3) }
}

pub fn a_source_directory_swapped_for_a_link_never_leads_out(world: &World) {
    let outside = Outside::new(world);
    let inside = world.memory("inside", "mode=0755");
    let (source, destination) = (inside.join("source"), inside.join("destination"));
    fs::create_dir_all(&destination).unwrap();
    fill(&source.join("way"), 0);
    symlink(&outside.root, source.join("link")).unwrap();
    let (mut as_directory, mut as_link, mut troubled) = (0, 0, 0);
    race(&source, &outside.root, |round| {
        // Every other run begins with nothing.
        if round % 2 == 0 {
            fs::remove_dir_all(&destination).unwrap();
            fs::create_dir(&destination).unwrap();
        }
        let report = run(&source, &destination, &mirroring()).report;
        assert_eq!(report.stopped, None);
        troubled += u64::from(!report.is_complete());
        let canary =
            Kind::File { size: CANARY.len() as u64, hash: *blake3::hash(CANARY.as_bytes()).as_bytes() };
        let tree = look(&destination);
        assert!(!tree.values().any(|entry| entry.kind == canary), "a canary was copied: {tree:?}");
        let link = |name: &str| tree.get(Path::new(name)).is_some_and(|entry| !entry.is_dir());
        as_directory += u64::from(tree.contains_key(Path::new("way/sub/deep/file7")));
        as_link += u64::from(link("way"));
    });
    println!("{as_directory} whole, {as_link} as a link, {troubled} with trouble");
    assert!(as_directory > 0 && (as_link > 0 || troubled > 0), "the race was not run");
    outside.assert_untouched();
}

pub fn a_destination_directory_swapped_for_a_link_never_leads_out(world: &World) {
    let outside = Outside::new(world);
    let inside = world.memory("inside", "mode=0755");
    let (source, destination) = (inside.join("source"), inside.join("destination"));
    fill(&source.join("way"), 0);
    fill(&destination.join("way"), 0);
    symlink(&outside.root, destination.join("link")).unwrap();
    let (mut done, mut failed) = (0, 0);
    race(&destination, &outside.root, |round| {
        // So that there is something to write each time.
        fill(&source.join("way"), round);
        // With and without the right to delete: the link is in the way of a directory, and then it is not.
        let options = if round % 2 == 0 { mirroring() } else { workers(3) };
        let report = run(&source, &destination, &options).report;
        assert_eq!(report.stopped, None);
        done += report.files.done.files;
        failed += report.files.failed.files + report.directories.failed.files;
    });
    println!("{done} written, {failed} refused");
    assert!(done > 0 && failed > 0, "the race was not run");
    outside.assert_untouched();
}

pub fn a_directory_swapped_for_a_link_while_it_is_deleted_never_leads_out(world: &World) {
    let outside = Outside::new(world);
    let inside = world.memory("inside", "mode=0755");
    let tree = inside.join("tree");
    let (mut whole, mut deleted) = (0, 0);
    fs::create_dir(&tree).unwrap();
    race(&tree, &outside.root, |_| {
        let _ = fs::create_dir(&tree);
        // Behind the link too would be a place for these: made under another name, then moved there.
        let aside = inside.join("aside");
        fill(&aside, 0);
        let _ = fs::rename(&aside, tree.join("way"));
        let _ = symlink(&outside.root, tree.join("link"));
        let options = DeleteOptions { workers: std::num::NonZeroUsize::new(3), ..DeleteOptions::default() };
        let report = delete_with(&inside, "tree", &options, &Control::new());
        assert_eq!(report.stopped, None);
        deleted += report.deleted;
        whole += u64::from(report.notes.is_empty() && !tree.exists());
        let _ = fs::remove_dir_all(&aside);
    });
    println!("{deleted} deleted, {whole} times all of it");
    assert!(deleted > 0, "the race was not run");
    outside.assert_untouched();
}

/// On one file system, and what lies outside is by size and time what lies inside: only the way there tells them apart.
pub fn a_directory_or_file_swapped_for_a_link_while_it_is_linked_from_never_leads_out(world: &World) {
    let folder = world.memory("inside", "mode=0755");
    crate::mounts::remount(&folder, "strictatime");
    let inside = CANARY.replace("canary", "friend");
    for target in ["", "file0"] {
        let below = folder.join(format!("of {target}"));
        fs::create_dir(&below).unwrap();
        let outside = Outside::at(below.join("outside"));
        let [source, first] = two_in(&below);
        let fill = |root: &Path| match target {
            "" => {
                for n in 0..8 {
                    fs::create_dir_all(root.join("way/sub")).unwrap();
                    write(&root.join(format!("way/file{n}")), &inside);
                    write(&root.join(format!("way/sub/file{n}")), &inside);
                }
            }
            _ => write(&root.join("way"), &inside),
        };
        fill(&source);
        fill(&first);
        symlink(outside.root.join(target), first.join("link")).unwrap();
        let (mut linked, mut copied) = (0, 0);
        let options = Options { earlier: Some(earlier(&first, None)), ..workers(3) };
        race(&first, &outside.root.join(target), |round| {
            let copy = below.join(format!("{round}"));
            fs::create_dir(&copy).unwrap();
            let report = run(&source, &copy, &options).report;
            assert!(report.is_complete(), "{report:?}");
            let files = look(&copy).into_values().filter(|entry| !entry.is_dir());
            let friend =
                Kind::File { size: inside.len() as u64, hash: *blake3::hash(inside.as_bytes()).as_bytes() };
            files.for_each(|entry| assert_eq!(entry.kind, friend, "something else was linked"));
            linked += report.files.unchanged.files;
            copied += report.files.done.files;
            fs::remove_dir_all(&copy).unwrap();
        });
        println!("{linked} linked, {copied} copied");
        assert!(linked > 0 && copied > 0, "the race was not run");
        outside.assert_untouched();
    }
}
