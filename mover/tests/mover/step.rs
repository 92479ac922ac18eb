//! A mover that is stepped through its system calls and killed at the n-th stop: before a call or after it, in
//! whichever thread.

use std::io::Write;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Starts it, lets it come to stop number `at`, and kills it there. Gives back how many stops there were if it was done
/// before.
// It is waited for as its threads are, below.
#[allow(clippy::zombie_processes)]
pub fn killed_at(command: &Command, at: usize) -> Option<usize> {
    // It begins when it is told to: until then there is nobody to trace.
    let mut child = Command::new("sh")
        .args(["-c", "read go; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let mut stopped = loop {
        match wait() {
            WaitStatus::PtraceEvent(thread, _, event) if event == ptrace::Event::PTRACE_EVENT_EXEC as i32 => {
                break thread;
            }
            WaitStatus::Stopped(thread, signal) => ptrace::cont(thread, signal).unwrap(),
            other => panic!("it does not begin: {other:?}"),
        }
    };
    for number in 0..at {
        resume(stopped, None);
        match next_stop(pid) {
            Some(thread) => stopped = thread,
            None => return Some(number),
        }
    }
    kill(pid, Signal::SIGKILL).unwrap();
    loop {
        match wait() {
            WaitStatus::Signaled(thread, ..) | WaitStatus::Exited(thread, _) if thread == pid => return None,
            _ => {}
        }
    }
}

/// The thread that comes to the next border of a system call; none if the process has ended well.
fn next_stop(pid: Pid) -> Option<Pid> {
    loop {
        match wait() {
            WaitStatus::PtraceSyscall(thread) => return Some(thread),
            // A new thread, or the one that made it.
            WaitStatus::PtraceEvent(thread, ..) => resume(thread, None),
            WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal)),
            WaitStatus::Exited(thread, code) if thread == pid => {
                assert_eq!(code, 0, "the mover failed");
                return None;
            }
            WaitStatus::Exited(..) => {}
            other => panic!("it ended by itself: {other:?}"),
        }
    }
}

/// For this thread's children only: other tests have theirs.
fn wait() -> WaitStatus {
    waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap()
}

fn resume(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        // It went with its process.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("cannot resume {thread}: {errno}"),
    }
}
