//! A run that is cancelled ends soon, in order, and what it did stays done.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use workspacefs_sync::{Control, Options, Stop};

use crate::judge;
use crate::model::build::noise;
use crate::tree::{Terms, names, temporaries};
use crate::world::{Run, World, eventually, mirror, run_with, workers};

/// Far below what the rest of the run would take, and long enough for a busy machine.
const SOON: Duration = Duration::from_secs(3);
const MIB: u64 = 1 << 20;

/// Runs at so many bytes per second and cancels as soon as so many are read; says how long it took from then.
fn cancelled_at(source: &Path, destination: &Path, rate: u64, read: u64) -> (Run, Duration) {
    let control = Control::new();
    let options = Options { bandwidth: NonZeroU64::new(rate), ..workers(4) };
    std::thread::scope(|scope| {
        let canceller = scope.spawn(|| {
            eventually("enough is read", || control.snapshot().bytes_read >= read);
            control.cancel();
            Instant::now()
        });
        let run = run_with(source, destination, &options, &control);
        let took = canceller.join().unwrap().elapsed();
        (run, took)
    })
}

pub fn a_cancelled_run_ends_soon_and_the_next_reads_only_the_rest(world: &World) {
    let source = world.memory("source", "mode=0755");
    let destination = world.memory("destination", "mode=0755");
    for n in 0..400 {
        let folder = source.join(format!("{}", n % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{n}")), noise(n + 1, 64 << 10)).unwrap();
    }
    let (first, took) = cancelled_at(&source, &destination, 8 * MIB, 8 * MIB);
    assert!(took < SOON, "{took:?}");
    let report = &first.report;
    assert_eq!(report.stopped, Some(Stop::Cancelled));
    assert!(!report.is_complete());
    assert_eq!(report.files.failed.files, 0, "{report:?}");
    assert!((4 * MIB..16 * MIB).contains(&report.files.done.bytes), "{report:?}");
    assert_eq!(temporaries(&destination), Vec::<PathBuf>::new());
    let second = mirror(&source, &destination, &workers(4));
    assert_eq!(second.report.files.unchanged, report.files.done);
    assert_eq!(second.last.bytes_read, 25 * MIB - report.files.done.bytes);
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

pub fn a_cancelled_large_file_leaves_nothing(world: &World) {
    let source = world.memory("source", "mode=0755");
    let destination = world.memory("destination", "mode=0755");
    fs::write(source.join("large"), noise(1, 64 << 20)).unwrap();
    let (first, took) = cancelled_at(&source, &destination, 8 * MIB, 6 * MIB);
    assert!(took < SOON, "{took:?}");
    assert_eq!(first.report.stopped, Some(Stop::Cancelled));
    assert_eq!((first.report.files.skipped.files, first.report.files.skipped.bytes), (1, 64 * MIB));
    assert_eq!(names(&destination), [Path::new("")]);
    mirror(&source, &destination, &workers(4));
    judge::assert_satisfied(&source, &destination, Terms::PLAIN);
}

pub fn a_run_cancelled_before_it_begins_does_nothing(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    fs::write(source.join("file"), "x").unwrap();
    let control = Control::new();
    control.cancel();
    let run = run_with(&source, &destination, &Options::default(), &control);
    assert_eq!(run.report.stopped, Some(Stop::Cancelled));
    assert_eq!(names(&destination), [Path::new("")]);
}
