//! Never whole while wrong: many small fills in which something is done wrong on purpose, by the library. A
//! process of its own: one that starts others shares its locks with them for a moment.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "most of it is for tests of the process")]
#[path = "../mover/tree.rs"]
mod tree;
#[allow(dead_code, reason = "most of it is for tests of the process")]
#[path = "../mover/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use nix::mount::{MsFlags, mount};
use workspacefs_api::PathState::{Partial, Whole};
use workspacefs_api::mover::{FailureReason, Outcome};
use workspacefs_mover::{CopyEngine, Engine, Fill, Job, Meter, Task, run};
use workspacefs_sync::{Control, Entry, Options, Report, SyncError, Verify, verify_entries};

use crate::tree::{What, look, names};
use crate::world::{Random, World, fill_up, memory, noise};

/// As many as issue 7 asks for.
const CASES: usize = 10_000;
/// A case mostly waits: what was written just now is copied some milliseconds later.
const THREADS: usize = 16;
const SEED: u64 = 20_261_126;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Lie {
    Nothing,
    /// A bit on the target, after so many of the copies.
    BitFlip(usize),
    Truncated(usize),
    Longer(usize),
    Gone(usize),
    /// A link takes the copy's place.
    Replaced(usize),
    /// The manifest says something else.
    Manifest,
    /// The source becomes something else after it was copied.
    SourceAfter,
    /// The source becomes something else again and again while it is copied.
    SourceDuring,
    SourceGone,
    /// The source's clock jumps: a file that was changed has the time that it had before, or one of another century.
    Clock,
    /// The target takes nothing more, after the copy.
    Full,
    /// The target cannot be written to.
    ReadOnly,
    Cancelled,
}

const LIES: [Lie; 21] = [
    Lie::Nothing,
    Lie::BitFlip(1),
    Lie::BitFlip(2),
    Lie::BitFlip(3),
    Lie::Truncated(1),
    Lie::Truncated(2),
    Lie::Truncated(3),
    Lie::Longer(1),
    Lie::Longer(3),
    Lie::Gone(1),
    Lie::Gone(3),
    Lie::Replaced(1),
    Lie::Replaced(3),
    Lie::Manifest,
    Lie::SourceAfter,
    Lie::SourceDuring,
    Lie::SourceGone,
    Lie::Clock,
    Lie::Full,
    Lie::ReadOnly,
    Lie::Cancelled,
];

/// Copies truly and then lies about the first path.
struct Liar<'a> {
    lie: Lie,
    world: &'a World,
    meter: &'a Meter,
    random: Mutex<Random>,
    copies: AtomicUsize,
}

impl Engine for Liar<'_> {
    fn sync_confirmed(
        &self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        options: &Options,
        mode: Verify,
        control: &Control,
    ) -> Result<Report, SyncError> {
        let there = fs::read_link(format!("/proc/self/fd/{}", destination.as_raw_fd())).unwrap();
        if !there.ends_with("a") {
            return CopyEngine.sync_confirmed(source, destination, options, mode, control);
        }
        let number = 1 + self.copies.fetch_add(1, Ordering::Relaxed);
        let confirm = |written: BorrowedFd<'_>, entries: &[Entry]| {
            if entries.iter().any(|entry| entry.path == Path::new("file")) {
                self.lie_before(&there, number);
            }
            verify_entries(written, entries, mode)
        };
        let copy = || workspacefs_sync::sync_confirmed(source, destination, options, &confirm, control);
        let report = match self.lie {
            Lie::SourceDuring => self.while_it_changes(copy),
            Lie::Cancelled => {
                self.meter.stop();
                copy()
            }
            _ => copy(),
        };
        self.lie_after(options, number);
        report
    }
}

impl Liar<'_> {
    fn below(&self, end: u64) -> u64 {
        self.random.lock().unwrap().below(end)
    }

    /// Between the write and the look at it.
    fn lie_before(&self, there: &Path, number: usize) {
        let copy = there.join("file");
        match self.lie {
            Lie::BitFlip(times) if number <= times => self.flip(&copy),
            Lie::Truncated(times) if number <= times => self.resize(&copy, -1),
            Lie::Longer(times) if number <= times => self.resize(&copy, 1),
            Lie::Gone(times) if number <= times => fs::remove_file(&copy).unwrap(),
            Lie::Replaced(times) if number <= times => {
                fs::remove_file(&copy).unwrap();
                std::os::unix::fs::symlink("../b/file", &copy).unwrap();
            }
            _ => {}
        }
    }

    fn lie_after(&self, options: &Options, number: usize) {
        match self.lie {
            Lie::Manifest if number == 1 => self.flip(options.manifest.as_ref().unwrap()),
            Lie::SourceAfter => self.world.write("a/file", noise(self.below(99), 3000)),
            Lie::SourceGone => fs::remove_dir_all(self.world.source().join("a")).unwrap_or_default(),
            Lie::Full if number == 1 => fill_up(&self.world.target()),
            _ => {}
        }
    }

    /// In place, and nothing shows but the content.
    fn flip(&self, path: &Path) {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let mut bytes = fs::read(path).unwrap();
        let at = self.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << self.below(8);
        fs::write(path, bytes).unwrap();
        File::open(path).unwrap().set_modified(modified).unwrap();
    }

    fn resize(&self, path: &Path, by: i64) {
        let file = File::options().write(true).open(path).unwrap();
        let metadata = file.metadata().unwrap();
        file.set_len(metadata.len().checked_add_signed(by).unwrap()).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
    }

    fn while_it_changes<T>(&self, copy: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Whole versions of one byte each, so that a mixture shows.
                    let byte = self.below(250) as u8;
                    fs::write(self.world.source().join("a/file"), vec![byte; 3000]).unwrap();
                    std::thread::sleep(Duration::from_micros(self.below(200)));
                }
            });
            let copied = copy();
            over.store(true, Ordering::Relaxed);
            copied
        })
    }
}

fn remount(at: &Path, flags: MsFlags) {
    let none = None::<&str>;
    mount(none, at, none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, none).unwrap();
}

fn job(world: &World, paths: &[&str], generation: i64, earlier: Option<i64>) -> Job {
    let fill = Fill {
        generation,
        source: world.source(),
        identity: None,
        paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
        verify: workspacefs_api::Verify::Checksum,
        bandwidth: None,
        capacity: None,
        earlier,
    };
    Job {
        target: world.target(),
        remove: Vec::new(),
        workers: Some(NonZeroUsize::MIN),
        task: Task::Fill(fill),
    }
}

type Files = BTreeMap<PathBuf, What>;

/// What of a tree readers see.
fn files(root: &Path) -> Files {
    look(root).into_iter().map(|(path, entry)| (path, entry.what)).collect()
}

/// A source with two paths, and an empty target.
fn begin(world: &World, random: &mut Random) {
    let _ = fs::remove_dir_all(world.source());
    for name in names(&world.target()) {
        let path = world.target().join(name);
        fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
    }
    let length = 1 + random.below(5000) as usize;
    world.write("a/file", noise(random.below(1000), length));
    (0..random.below(3)).for_each(|n| world.write(&format!("a/more/{n}"), noise(n, 100)));
    world.write("b/file", noise(random.below(1000), 10));
    std::os::unix::fs::symlink("file", world.source().join("b/link")).unwrap();
}

/// What lies there under a final name is the truth, whatever was done.
fn judge(world: &World, lie: Lie, before: &Files, outcome: &Outcome, context: &str) {
    assert_eq!(outcome.generation == Some(2), world.data(2).exists(), "{context}: {outcome:?}");
    assert_eq!(outcome.generation.is_some(), outcome.failure.is_none(), "{context}: {outcome:?}");
    let whole = outcome.paths.iter().map(|path| outcome.generation.is_some() && path.state == Whole);
    for (path, _) in ["a", "b"].iter().zip(whole).filter(|(_, whole)| *whole) {
        // Where nothing has changed it is the earlier one.
        let mut copy = files(&world.data(outcome.generation.unwrap()).join(path));
        let mut source: Files = before
            .iter()
            .filter_map(|(name, what)| Some((name.strip_prefix(path).ok()?.to_owned(), what.clone())))
            .collect();
        if (*path, lie) == ("a", Lie::SourceDuring) {
            let (one, _) = (copy.remove(Path::new("file")), source.remove(Path::new("file")));
            let Some(What::File(bytes)) = one else { panic!("{context}: no file") };
            // Empty it is between the truncation and the write.
            let uniform = matches!(bytes.len(), 0 | 3000) && bytes.iter().all(|byte| *byte == bytes[0]);
            let (length, kinds) = (bytes.len(), bytes.iter().collect::<BTreeSet<_>>().len());
            let old = Some(&What::File(bytes)) == before.get(Path::new("a/file"));
            assert!(uniform || old, "{context}: a mixture is called whole: {length} bytes, {kinds} kinds");
        }
        assert!(copy == source, "{context}: /{path} is called whole and is wrong");
    }
}

/// What is known to come of it, where that is no matter of chance.
fn expect(lie: Lie, outcome: &Outcome, context: &str) {
    let states: Vec<_> = outcome.paths.iter().map(|path| path.state).collect();
    let reason = outcome.failure.as_ref().map(|failure| failure.reason);
    let expected: &[_] = match lie {
        Lie::Nothing | Lie::BitFlip(..3) | Lie::Truncated(..3) | Lie::Manifest => &[Whole, Whole],
        Lie::Longer(..3) | Lie::Gone(..3) | Lie::Replaced(..3) | Lie::SourceAfter => &[Whole, Whole],
        Lie::Clock => &[Whole, Whole],
        Lie::BitFlip(_) | Lie::Truncated(_) | Lie::Longer(_) => &[Partial, Whole],
        Lie::Gone(_) | Lie::Replaced(_) => &[Partial, Whole],
        Lie::ReadOnly => return assert_eq!(reason, Some(FailureReason::TargetUnavailable), "{context}"),
        Lie::Cancelled => return assert_eq!(reason, Some(FailureReason::Interrupted), "{context}"),
        Lie::Full | Lie::SourceDuring | Lie::SourceGone => return,
    };
    assert!(!states.is_empty(), "{context}: {outcome:?}");
    assert_eq!(states, expected[..states.len()], "{context}: {outcome:?}");
}

/// How often each lie was told, and how often the path was whole all the same.
type Told = BTreeMap<Lie, (usize, usize)>;

fn one_case(world: &World, number: usize, told: &mut Told) {
    let mut random = Random(SEED + number as u64);
    let lie = LIES[random.below(LIES.len() as u64) as usize];
    let context = format!("case {number}, {lie:?}");
    begin(world, &mut random);
    let earlier = (random.below(4) == 0).then_some(1);
    // With one path, a wrong one leaves no generation; with two, the other goes on.
    let paths = if random.below(4) == 0 { &["/a", "/b"][..] } else { &["/a"] };
    let file = world.source().join("a/file");
    let (length, mut time) =
        (file.metadata().unwrap().len() as usize, file.metadata().unwrap().modified().unwrap());
    if earlier.is_some() {
        run(&job(world, paths, 1, None), &CopyEngine, &Meter::new(1));
        match lie {
            Lie::Nothing => {}
            Lie::Clock => world.write("a/file", noise(1000 + random.below(1000), length)),
            // What is linked is not written, and nobody can lie about it.
            _ => world.write("a/file", noise(random.below(1000), 5001)),
        }
    } else {
        time = UNIX_EPOCH + Duration::from_secs(random.below(2) * 4_102_444_800);
    }
    if lie == Lie::Clock {
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    }
    let meter = Meter::new(2);
    let seed = Mutex::new(Random(random.below(u64::MAX)));
    let liar = Liar { lie, world, meter: &meter, random: seed, copies: AtomicUsize::new(0) };
    if lie == Lie::ReadOnly {
        remount(&world.target(), MsFlags::MS_RDONLY);
    }
    let (first, before) = (world.data(1).exists().then(|| look(&world.data(1))), files(&world.source()));
    let outcome = run(&job(world, paths, 2, earlier), &liar, &meter);
    if lie == Lie::ReadOnly {
        remount(&world.target(), MsFlags::empty());
    }
    judge(world, lie, &before, &outcome, &context);
    expect(lie, &outcome, &context);
    if let Some(first) = first {
        assert!(look(&world.data(1)) == first, "{context}: the earlier generation was changed");
    }
    let counted = told.entry(lie).or_default();
    let is_whole = outcome.paths.first().is_some_and(|path| path.state == Whole);
    *counted = (counted.0 + 1, counted.1 + usize::from(is_whole));
}

#[test]
fn in_many_fills_with_something_wrong_no_path_is_whole_while_it_is_wrong() {
    let told = Mutex::new(Told::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let told = &told;
            scope.spawn(move || {
                let world = World::in_memory();
                memory(&world.target(), "size=2m");
                let mut ours = Told::new();
                (thread..CASES).step_by(THREADS).for_each(|number| one_case(&world, number, &mut ours));
                let mut told = told.lock().unwrap();
                for (lie, (cases, whole)) in ours {
                    let all = told.entry(lie).or_default();
                    *all = (all.0 + cases, all.1 + whole);
                }
            });
        }
    });
    let told = told.into_inner().unwrap();
    assert_eq!(told.values().map(|(cases, _)| cases).sum::<usize>(), CASES);
    assert!(told.values().all(|(cases, _)| *cases > CASES / 100), "{told:?}");
    println!("lie: (cases, of these whole): {told:?}");
}
