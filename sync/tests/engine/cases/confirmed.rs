//! What is read back before the manifest vouches for it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::io::Errno;
use workspacefs_sync::{
    Control, Difference, Entry, ManifestReader, Options, Problem, Report, Stop, Verify, VerifyError,
    VerifyReport, sync_confirmed, verify_entries,
};

use crate::world::{World, open};

fn options(world: &World) -> Options {
    Options { checksum: true, manifest: Some(world.path("manifest")), ..Options::default() }
}

/// A run that calls `before` for each batch, and then looks at what was written.
fn run(
    world: &World,
    (source, destination): (&Path, &Path),
    control: &Control,
    before: impl Fn(&[Entry]) + Sync,
) -> Report {
    let confirm = |written: BorrowedFd<'_>, entries: &[Entry]| {
        before(entries);
        verify_entries(written, entries, Verify::Checksum)
    };
    let (from, to) = (open(source), open(destination));
    let report = sync_confirmed(from.as_fd(), to.as_fd(), &options(world), &confirm, control).unwrap();
    assert!(report.adds_up(), "{report:?}");
    report
}

fn vouched(world: &World) -> Vec<PathBuf> {
    let entries = ManifestReader::open(&world.path("manifest")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path).collect();
    paths.sort();
    paths
}

pub fn what_is_not_as_written_is_reported_and_not_vouched_for_and_the_next_run_copies_it(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    for name in ["a", "b", "c"] {
        fs::write(source.join(name), name.repeat(5000)).unwrap();
    }
    let flip = |_: &[Entry]| {
        let copy = destination.join("b");
        let mut bytes = fs::read(&copy).unwrap();
        bytes[77] ^= 1;
        let modified = fs::metadata(&copy).unwrap().modified().unwrap();
        fs::write(&copy, bytes).unwrap();
        fs::File::open(&copy).unwrap().set_modified(modified).unwrap();
    };
    let report = run(world, (&source, &destination), &Control::new(), flip);
    assert!(!report.is_complete());
    let note = &report.notes[0];
    let problem = Problem::NotAsWritten(Difference::Content);
    assert_eq!((note.path.as_path(), &note.problem, report.notes.len()), (Path::new("b"), &problem, 1));
    assert_eq!((report.files.done.files, report.files.failed.files, report.files.failed.bytes), (2, 1, 5000));
    assert_eq!(vouched(world), [Path::new("a"), Path::new("c")]);

    let report = run(world, (&source, &destination), &Control::new(), |_| {});
    assert!(report.is_complete());
    assert_eq!((report.files.done.files, report.files.unchanged.files), (1, 2));
    assert_eq!(fs::read(destination.join("b")).unwrap(), fs::read(source.join("b")).unwrap());
    assert_eq!(vouched(world), [Path::new("a"), Path::new("b"), Path::new("c")]);
}

pub fn files_are_read_back_while_others_are_still_to_be_copied(world: &World) {
    const FILES: usize = 20;
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    for number in 0..FILES {
        fs::write(source.join(number.to_string()), vec![number as u8; 16 << 20]).unwrap();
    }
    let batches = Mutex::new(Vec::new());
    let look = |entries: &[Entry]| batches.lock().unwrap().push(entries.len());
    let report = run(world, (&source, &destination), &Control::new(), look);
    assert!(report.is_complete());
    let batches = batches.into_inner().unwrap();
    assert_eq!(batches.iter().sum::<usize>(), FILES);
    assert!(batches[0] < FILES / 2, "{batches:?}");
}

pub fn where_nothing_can_be_said_the_run_ends_and_nothing_is_vouched_for(world: &World) {
    let (source, destination) = (world.dir("source"), world.dir("destination"));
    fs::write(source.join("a"), "a").unwrap();
    let gone = Stop::Destination { path: PathBuf::from("a"), errno: Errno::IO };
    for (answer, expected) in [
        (Err(Errno::STALE), Stop::Destination { path: PathBuf::new(), errno: Errno::STALE }),
        (Ok(gone.clone()), gone),
    ] {
        let confirm = |_: BorrowedFd<'_>, _: &[Entry]| match &answer {
            Err(errno) => Err(VerifyError::Destination(*errno)),
            Ok(stop) => Ok(VerifyReport { stopped: Some(stop.clone()), ..VerifyReport::default() }),
        };
        let (from, to) = (open(&source), open(&destination));
        let (options, control) = (options(world), Control::new());
        let report = sync_confirmed(from.as_fd(), to.as_fd(), &options, &confirm, &control).unwrap();
        assert_eq!(report.stopped, Some(expected));
        assert!(report.adds_up() && !world.path("manifest").exists());
    }
    let report = run(world, (&source, &destination), &Control::new(), |_| {});
    assert_eq!((report.is_complete(), report.files.done.files), (true, 1), "it is copied again");
}
