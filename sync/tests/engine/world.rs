//! Where a case runs: a folder on a disk in a mount namespace of its own, and runs of the engine in it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags};
use workspacefs_sync::{Control, DeleteOptions, DeleteReport, Earlier, Options, Report, Snapshot};

use crate::tree::temporaries;

pub struct World {
    folder: PathBuf,
}

impl World {
    /// The process has one thread until then: a namespace is a thread's.
    pub fn new(folder: &Path) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        Self { folder: folder.into() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A directory, made if it is missing.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A file system in memory at this place.
    pub fn memory(&self, name: &str, options: &str) -> PathBuf {
        let path = self.dir(name);
        mount(Some("memory"), &path, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        path
    }
}

/// A run and what was seen of it from outside.
pub struct Run {
    pub report: Report,
    pub last: Snapshot,
}

pub fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap_or_else(|errno| panic!("{}: {errno}", path.display()))
}

/// Runs the engine; what holds for every run is checked here.
pub fn run(source: &Path, destination: &Path, options: &Options) -> Run {
    run_with(source, destination, options, &Control::new())
}

pub fn run_with(source: &Path, destination: &Path, options: &Options, control: &Control) -> Run {
    let (source, into) = (open(source), open(destination));
    let report = workspacefs_sync::sync(source.as_fd(), into.as_fd(), options, control)
        .unwrap_or_else(|error| panic!("not begun: {error:?}"));
    let last = control.snapshot();
    assert!(report.adds_up(), "{report:?}");
    assert!(last.over, "the last snapshot does not say so: {last:?}");
    assert_eq!(
        (last.files, last.directories, last.deleted),
        (report.files, report.directories, report.deleted)
    );
    Run { report, last }
}

/// A run after which the destination is what the source is.
pub fn mirror(source: &Path, destination: &Path, options: &Options) -> Run {
    let run = run(source, destination, options);
    assert!(run.report.is_complete(), "{:?}", run.report);
    assert_eq!(temporaries(destination), Vec::<PathBuf>::new());
    run
}

pub fn delete_with(parent: &Path, name: &str, options: &DeleteOptions, control: &Control) -> DeleteReport {
    workspacefs_sync::delete(open(parent).as_fd(), OsStr::new(name), options, control)
        .unwrap_or_else(|error| panic!("not begun: {error:?}"))
}

pub fn delete(parent: &Path, name: &str) -> DeleteReport {
    delete_with(parent, name, &DeleteOptions::default(), &Control::new())
}

/// So many threads at most.
pub fn workers(count: usize) -> Options {
    Options { workers: std::num::NonZeroUsize::new(count), ..Options::default() }
}

/// A copy to link from.
pub fn earlier(path: &Path, manifest: Option<&Path>) -> Earlier {
    Earlier { directory: std::sync::Arc::new(open(path)), manifest: manifest.map(Path::to_path_buf) }
}

/// Waits for what another thread or the kernel brings about.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

/// What these patterns leave out.
pub fn filter(exclude: &[&str]) -> workspacefs_sync::Filter {
    workspacefs_sync::Filter::new(exclude, &[] as &[&str]).unwrap()
}

/// An empty source and an empty destination.
pub fn two_in(folder: &Path) -> [PathBuf; 2] {
    let both = ["source", "destination"].map(|name| folder.join(name));
    for path in &both {
        std::fs::create_dir(path).unwrap();
    }
    both
}
