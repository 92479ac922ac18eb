//! Somebody writes to the source while it is copied. Whatever lies under a final name then is the file as it was at one
//! moment.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use workspacefs_sync::{Options, Problem};

use crate::judge;
use crate::tree::Terms;
use crate::words::{WORD, is_a_moment_of_rewriting, is_counting, is_uniform, parse, rewrite, uniform};
use crate::world::{World, mirror, run, two_in, workers};

/// How long each writer writes.
const TIME: Duration = Duration::from_secs(3);
/// And how long at most, where the one and the other has not met yet.
const TIME_MAX: Duration = Duration::from_secs(60);
/// For so long each writes and then rests.
const TURN: Duration = Duration::from_millis(80);
const SMALL: usize = 8 * 1024;
/// 24 MiB: copied in chunks.
const LARGE: usize = 3 << 20;
const PIECE: usize = 1024;

struct Seen {
    copied: u64,
    changing: u64,
    /// What came of simply reading the file, beside the engine: if that is never torn, nothing is tried here.
    torn_by_hand: u64,
}

impl Seen {
    fn both(&self) -> bool {
        self.copied > 0 && self.torn_by_hand > 0
    }
}

/// Copies again and again while `write` writes version after version, and looks at what lies in the destination. The writer
/// rests now and then, so that both are met: a file that changes and one that does not.
fn copy_while(
    world: &World,
    options: &Options,
    mut write: impl FnMut(&Path, u64) + Send,
    was_a_moment: fn(&[u64]) -> bool,
    is_enough: fn(&Seen) -> bool,
) {
    let inside = world.memory("inside", "mode=0755");
    let [source, destination] = two_in(&inside);
    write(&source.join("file"), 0);
    let over = AtomicBool::new(false);
    let mut seen = Seen { copied: 0, changing: 0, torn_by_hand: 0 };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut version, mut rested) = (0, Instant::now());
            while !over.load(Ordering::Relaxed) {
                version += 1;
                write(&source.join("file"), version);
                if version % 4 == 0 && rested.elapsed() > TURN {
                    std::thread::sleep(TURN);
                    rested = Instant::now();
                }
            }
        });
        let end = OverAtEnd(&over);
        let started = Instant::now();
        while started.elapsed() < TIME || (!is_enough(&seen) && started.elapsed() < TIME_MAX) {
            let report = run(&source, &destination, options).report;
            assert_eq!(report.stopped, None);
            seen.copied += report.files.done.files;
            for note in &report.notes {
                assert!(matches!(note.problem, Problem::Changing), "{note:?}");
                seen.changing += 1;
            }
            assert_eq!(report.files.failed.files, report.notes.len() as u64);
            let by_hand = parse(&read_slowly(&source.join("file")));
            seen.torn_by_hand += u64::from(!was_a_moment(&by_hand));
            if let Ok(bytes) = fs::read(destination.join("file")) {
                let words = parse(&bytes);
                assert!(was_a_moment(&words), "torn: {:?}", runs(&words));
            }
        }
        drop(end);
    });
    mirror(&source, &destination, options);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
    println!("{} copied, {} reported; by hand {} torn", seen.copied, seen.changing, seen.torn_by_hand);
    assert!(is_enough(&seen), "the writer was never met, or always");
}

/// In pieces, with a moment between any two.
fn read_slowly(path: &Path) -> Vec<u8> {
    use std::io::Read as _;
    let mut file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; (length / 32).max(1024) / WORD * WORD]);
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return bytes,
            length => bytes.extend_from_slice(&piece[..length]),
        }
        std::thread::sleep(Duration::from_micros(30));
    }
}

/// A failed assertion ends the writer too.
struct OverAtEnd<'a>(&'a AtomicBool);

impl Drop for OverAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each version and how many words of it follow each other.
fn runs(words: &[u64]) -> Vec<(u64, usize)> {
    words.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).take(20).collect()
}

fn in_place(words: usize) -> impl FnMut(&Path, u64) + Send {
    move |path, version| {
        let file = File::options().write(true).create(true).truncate(false).open(path).unwrap();
        rewrite(&file, version, words, PIECE);
    }
}

pub fn a_file_rewritten_in_place_is_never_copied_torn(world: &World) {
    copy_while(world, &workers(2), in_place(SMALL), is_a_moment_of_rewriting, Seen::both);
}

pub fn a_large_file_rewritten_in_place_is_never_copied_torn(world: &World) {
    let with_reports = |seen: &Seen| seen.both() && seen.changing > 0;
    copy_while(world, &workers(4), in_place(LARGE), is_a_moment_of_rewriting, with_reports);
}

pub fn a_file_that_is_cut_and_written_anew_is_never_copied_mixed(world: &World) {
    let cut_and_write = |path: &Path, version: u64| {
        rewrite(&File::create(path).unwrap(), version, SMALL, PIECE);
    };
    copy_while(world, &workers(2), cut_and_write, is_uniform, Seen::both);
}

pub fn a_file_that_grows_is_never_copied_with_gaps(world: &World) {
    let mut next = 0u64;
    let grow = move |path: &Path, version: u64| {
        use std::io::Write as _;
        // Begins anew before it fills the memory.
        if version.is_multiple_of(512) {
            next = 0;
            File::create(path).unwrap();
        }
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        let piece: Vec<u8> = (next..next + PIECE as u64).flat_map(u64::to_le_bytes).collect();
        file.write_all(&piece).unwrap();
        next += PIECE as u64;
    };
    copy_while(world, &workers(2), grow, is_counting, |seen| seen.copied > 0);
}

pub fn a_file_that_is_replaced_is_copied_as_one_of_them(world: &World) {
    let replace = |path: &Path, version: u64| {
        // Not beside it: that would be a file to be copied as well.
        let aside = path.parent().unwrap().with_file_name("aside");
        // Of another length each time.
        fs::write(&aside, uniform(version, SMALL + (version % 7) as usize)).unwrap();
        fs::rename(&aside, path).unwrap();
    };
    fn is_whole(words: &[u64]) -> bool {
        is_uniform(words)
            && words.first().is_some_and(|version| words.len() == SMALL + (version % 7) as usize)
    }
    copy_while(world, &workers(2), replace, is_whole, |seen| seen.copied > 0);
}

pub fn a_file_that_never_rests_is_reported(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let [source, destination] = two_in(&inside);
    in_place(LARGE)(&source.join("restless"), 1);
    fs::write(source.join("calm"), "calm").unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(source.join("restless")).unwrap();
            let mut version = 1;
            while !over.load(Ordering::Relaxed) {
                version += 1;
                rewrite(&file, version, LARGE, PIECE);
            }
        });
        let end = OverAtEnd(&over);
        let started = Instant::now();
        let report = run(&source, &destination, &workers(2)).report;
        assert!(started.elapsed() < Duration::from_secs(60), "given up after {:?}", started.elapsed());
        drop(end);
        assert_eq!(report.notes.len(), 1, "{report:?}");
        assert_eq!(report.notes[0].path, Path::new("restless"));
        assert_eq!(report.notes[0].problem, Problem::Changing);
        assert_eq!((report.files.failed.files, report.files.failed.bytes), (1, (LARGE * WORD) as u64));
        assert_eq!(report.files.done.files, 1);
        assert!(!report.is_complete());
    });
    assert_eq!(crate::tree::names(&destination), [Path::new(""), Path::new("calm")]);
}

/// Whoever deletes files of the source while it is copied has no mistake reported about other files, and what was there all
/// the time is copied.
pub fn a_file_that_vanishes_is_no_failure_of_the_others(world: &World) {
    let inside = world.memory("inside", "mode=0755");
    let (source, destination) = (inside.join("source"), inside.join("destination"));
    fs::create_dir_all(source.join("fleeting")).unwrap();
    fs::create_dir(&destination).unwrap();
    (0..200).for_each(|n| fs::write(source.join(format!("lasting{n}")), format!("{n}")).unwrap());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let folder = source.join("fleeting/folder");
                fs::create_dir_all(&folder).unwrap();
                (0..20).for_each(|n| fs::write(folder.join(format!("{n}")), "x").unwrap());
                fs::remove_dir_all(&folder).unwrap();
            }
        });
        let end = OverAtEnd(&over);
        let mut met = 0;
        for round in 0..3_000 {
            if round >= 200 && met > 0 {
                break;
            }
            fs::remove_dir_all(&destination).unwrap();
            fs::create_dir(&destination).unwrap();
            let report = run(&source, &destination, &workers(3)).report;
            assert_eq!(report.stopped, None);
            met += report.notes.len();
            let about_others: Vec<_> =
                report.notes.iter().filter(|note| !note.path.starts_with("fleeting")).collect();
            assert!(about_others.is_empty(), "{about_others:?}");
            assert!((0..200).all(|n| destination.join(format!("lasting{n}")).exists()));
        }
        drop(end);
        assert!(met > 0, "nothing ever vanished in front of it");
    });
    assert_eq!(crate::tree::temporaries(&destination), Vec::<std::path::PathBuf>::new());
}
