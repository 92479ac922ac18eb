//! A copy of its own process, stepped through its system calls and killed at the n-th stop: before a call or after it, in
//! whichever thread. Every point at which a process can die with different effects is one of these.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options as Trace};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use workspacefs_sync::{Control, DeleteOptions};

use crate::cases::kills::{options, paths};
use crate::world::open;

/// Starts a victim and kills it at stop number `at`. False if it was done before.
// It is waited for as its threads are, below.
#[allow(clippy::zombie_processes)]
pub fn killed_at(what: &str, folder: &Path, at: usize) -> bool {
    let mut child = Command::new("/proc/self/exe")
        .args(["victim", what])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let victim = Victim(Pid::from_raw(child.id().try_into().unwrap()));
    victim.seize();
    child.stdin.as_mut().unwrap().write_all(b"g").unwrap();
    let mut stopped = victim.0;
    for _ in 0..at {
        resume(stopped, None);
        match victim.next_stop() {
            Some(thread) => stopped = thread,
            None => return false,
        }
    }
    victim.kill();
    true
}

struct Victim(Pid);

impl Victim {
    fn seize(&self) {
        let options = Trace::PTRACE_O_TRACESYSGOOD | Trace::PTRACE_O_TRACECLONE | Trace::PTRACE_O_EXITKILL;
        ptrace::seize(self.0, options).unwrap();
        ptrace::interrupt(self.0).unwrap();
        let status = wait();
        assert!(matches!(status, WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)), "{status:?}");
    }

    /// The thread that comes to the next border of a system call; none if the process has ended well.
    fn next_stop(&self) -> Option<Pid> {
        loop {
            match wait() {
                WaitStatus::PtraceSyscall(thread) => return Some(thread),
                // A new thread, or the one that made it.
                WaitStatus::PtraceEvent(thread, ..) => resume(thread, None),
                WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal)),
                WaitStatus::Exited(thread, code) if thread == self.0 => {
                    assert_eq!(code, 0, "the copy failed");
                    return None;
                }
                WaitStatus::Exited(..) => {}
                other => panic!("the copy ended by itself: {other:?}"),
            }
        }
    }

    fn kill(&self) {
        kill(self.0, Signal::SIGKILL).unwrap();
        loop {
            match wait() {
                WaitStatus::Signaled(thread, ..) | WaitStatus::Exited(thread, _) if thread == self.0 => {
                    return;
                }
                _ => {}
            }
        }
    }
}

fn wait() -> WaitStatus {
    waitpid(None, Some(WaitPidFlag::__WALL)).unwrap()
}

fn resume(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        // It went with its process.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("cannot resume {thread}: {errno}"),
    }
}

/// The victim's own process.
pub fn run_victim(what: &str, folder: &Path) -> ExitCode {
    let paths = paths(folder);
    let (source, destination) = (open(&paths.source), open(&paths.destination));
    let above = open(folder);
    println!("ready");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    let control = Control::new();
    let ended_well = if what == "delete" {
        let options = DeleteOptions { workers: std::num::NonZeroUsize::new(2), ..DeleteOptions::default() };
        let report = workspacefs_sync::delete(above.as_fd(), "destination".as_ref(), &options, &control);
        report.is_ok_and(|report| report.stopped.is_none() && report.notes.is_empty())
    } else {
        let report =
            workspacefs_sync::sync(source.as_fd(), destination.as_fd(), &options(what, &paths), &control);
        report.is_ok_and(|report| report.is_complete())
    };
    if ended_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
