//! Mounting and serving, until stdin ends or a signal says so.

use std::io::{self, BufRead as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use fuser::{Config, MountOption, Session};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::Mode;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::counters::{ASK, READY};
use crate::later::Later;
use crate::lower::Lower;
use crate::pace::Pace;
use crate::slowly::SlowFilesystem;

/// How many take requests from the kernel. None of them pauses, so few are woken for many.
const THREADS: usize = 2;
/// A descriptor per directory that the kernel knows; the kernel's own limit unless it was changed.
const DESCRIPTORS: u64 = 1 << 20;

/// What is mounted where.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The folder below.
    pub lower: PathBuf,
    /// Where it appears.
    pub mountpoint: PathBuf,
    /// The pause before each operation.
    pub delay: Duration,
    /// Whether attributes come with the listing.
    pub plus: bool,
    /// Whether nothing can be changed.
    pub read_only: bool,
}

/// Why it was not served, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder below.
    #[error("cannot open {path}")]
    Lower {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// FUSE.
    #[error("cannot mount on {path}")]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Limits, signals, threads.
    #[error("cannot {what}")]
    Process {
        /// What of.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It was mounted, and answering failed.
    #[error("serving {path} ended")]
    Session {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What ends it.
enum End {
    /// We are told to.
    Told,
    /// Somebody unmounted it, or FUSE failed.
    Session(io::Result<()>),
}

/// Mounts and answers; says `ready` on stdout, and its counters for each line `counters` on stdin. At the end of stdin, and
/// at SIGTERM, SIGINT and SIGHUP, it unmounts and returns; then the process should end, with which the last threads go.
///
/// # Errors
/// It was not mounted, or failed.
pub fn serve(mount: &Mount) -> Result<(), ServeError> {
    let process = |what| move |source: io::Error| ServeError::Process { what, source };
    // The kernel has applied the caller's already.
    rustix::process::umask(Mode::empty());
    let room = make_room_for_descriptors().map_err(process("raise the limit of open files"))?;
    // In all threads, before there is a second one.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    signals.thread_block().map_err(|errno| process("block signals")(errno.into()))?;

    let lower_failed = |source| ServeError::Lower { path: mount.lower.clone(), source };
    let mount_failed = |source| ServeError::Mount { path: mount.mountpoint.clone(), source };
    let lower = Lower::open(&mount.lower).map_err(|errno| lower_failed(errno.into()))?;
    reserve_descriptors(&lower, room).map_err(process("reserve descriptors"))?;
    // A path that leads there from everywhere.
    let mountpoint = mount.mountpoint.canonicalize().map_err(mount_failed)?;
    let pace = Arc::new(Pace::default());
    let later = Later::new(mount.delay).map_err(process("start threads"))?;
    let filesystem = SlowFilesystem { lower: Arc::new(lower), pace: pace.clone(), later, plus: mount.plus };
    let session = Session::new(filesystem, &mountpoint, &config(mount)).map_err(mount_failed)?;

    let (ends, ended) = mpsc::channel();
    let session_ends = ends.clone();
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let started = thread("session").spawn(move || session_ends.send(End::Session(session.run())).is_ok());
    let started = started.and_then(|_| {
        let ends = ends.clone();
        thread("signals").spawn(move || signals.wait().is_ok() && ends.send(End::Told).is_ok())
    });
    started
        .and_then(|_| thread("stdin").spawn(move || answer(&pace, &ends)))
        .map_err(process("start threads"))?;

    match ended.recv() {
        Ok(End::Session(result)) => {
            result.map_err(|source| ServeError::Session { path: mount.mountpoint.clone(), source })
        }
        Ok(End::Told) | Err(mpsc::RecvError) => unmount(&mountpoint, UnmountFlags::DETACH)
            .map_err(|errno| ServeError::Session { path: mount.mountpoint.clone(), source: errno.into() }),
    }
}

fn config(mount: &Mount) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("slowfs".into()),
        MountOption::Subtype("slowfs".into()),
        MountOption::NoAtime,
        MountOption::Suid,
        MountOption::NoDev,
        if mount.read_only { MountOption::RO } else { MountOption::RW },
    ];
    config.n_threads = Some(THREADS);
    config
}

/// Says that it is ready, and answers questions until there are no more.
fn answer(pace: &Pace, ends: &Sender<End>) {
    let say = |words: &str| {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{words}").and_then(|()| stdout.flush())
    };
    let asked = || -> io::Result<()> {
        say(READY)?;
        for line in io::stdin().lock().lines() {
            match line?.as_str() {
                ASK => say(&pace.counters().to_string())?,
                other => say(&format!("{other:?} is no question"))?,
            }
        }
        Ok(())
    };
    // Who does not read our answers has gone as well.
    let _ = asked();
    let _ = ends.send(End::Told);
}

/// As many descriptors as may be, and how many these are.
fn make_room_for_descriptors() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    if setrlimit(Resource::Nofile, all).is_ok() {
        return Ok(DESCRIPTORS);
    }
    // Less, where that is not allowed: it is for very many directories.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(DESCRIPTORS))
}

/// Lets the table of descriptors grow once and now: with many threads, each time it grows, the kernel makes them wait.
fn reserve_descriptors(lower: &Lower, room: u64) -> io::Result<()> {
    let highest = i32::try_from(room - 1).unwrap_or(i32::MAX);
    drop(rustix::io::fcntl_dupfd_cloexec(lower.nodes.as_fd(), highest)?);
    Ok(())
}
