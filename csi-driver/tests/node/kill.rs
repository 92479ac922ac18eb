//! Stepping through a process's system calls and killing it at the n-th stop: before a call or after it. Every point at
//! which a process can die with different effects is one of these. The process is a plugin made for it, or a helper.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::plugin::Settings;

/// More stops than any publish has.
const STOPS_MAX: usize = 20_000;
/// How long a killer may take to end once its kill is seen.
const KILLER_END_MAX: Duration = Duration::from_secs(3);

/// Runs the plugin and kills it at stop number `at`. False if the call was done before.
pub fn killed_at(settings: &Settings, at: usize) -> bool {
    let mut plugin = Plugin::start(settings);
    let done = !plugin.step_to(at);
    plugin.kill();
    !done
}

/// Runs the plugin to the end of its call, then kills it.
pub fn finished(settings: &Settings) {
    assert!(!killed_at(settings, STOPS_MAX), "the call does not end");
}

fn seize(pid: Pid) {
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD).unwrap();
    ptrace::interrupt(pid).unwrap();
    wait(pid);
}

/// To the next border of a system call.
fn step(pid: Pid) {
    ptrace::syscall(pid, None).unwrap();
    // A signal (a helper that ended) is passed on and does not count.
    while let WaitStatus::Stopped(_, signal) = wait(pid) {
        ptrace::syscall(pid, Some(signal)).unwrap();
    }
}

fn wait(pid: Pid) -> WaitStatus {
    let status = waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
    assert!(
        !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)),
        "the process ended by itself: {status:?}"
    );
    status
}

/// Kills a running process that is not ours to wait for, from a process of its own.
pub struct Killer(Child);

impl Killer {
    /// Has the process `pid` in its hands when this returns, and kills it at its stop number `at` from now.
    pub fn of(pid: Pid, at: usize) -> Self {
        let mut child = Command::new("/proc/self/exe")
            .args(["killer", &pid.to_string(), &at.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// Whether it has killed. If not, it lets go. The one who was killed is gone a little before the killer ends, so that
    /// is waited for; a killer whose stop never came costs this time once, at the end of a test.
    pub fn has_killed(mut self) -> bool {
        let asked = Instant::now();
        while asked.elapsed() < KILLER_END_MAX {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.success(), "the killer failed: {status}");
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        false
    }
}

/// The killer's own process.
pub fn run_killer(pid: i32, at: usize) {
    let pid = Pid::from_raw(pid);
    seize(pid);
    println!("ready");
    for _ in 0..at {
        step(pid);
    }
    kill(pid, Signal::SIGKILL).unwrap();
    waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
}

struct Plugin {
    child: Child,
    pid: Pid,
    output: BufReader<ChildStdout>,
}

impl Plugin {
    fn start(settings: &Settings) -> Self {
        let mut child = Command::new("/proc/self/exe")
            .arg("plugin")
            .arg(serde_json::to_string(settings).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        Self { child, pid, output }
    }

    /// Lets it run from one system call's border to the next; false if it said "done" before stop `at`.
    fn step_to(&mut self, at: usize) -> bool {
        seize(self.pid);
        self.child.stdin.as_mut().unwrap().write_all(b"g").unwrap();
        for _ in 0..at {
            step(self.pid);
            if self.has_said_done() {
                return false;
            }
        }
        true
    }

    fn has_said_done(&mut self) -> bool {
        let mut bytes = [0u8; 5];
        match rustix::io::ioctl_fionread(self.output.get_ref()) {
            Ok(0) => false,
            _ => {
                self.output.read_exact(&mut bytes).unwrap();
                assert_eq!(&bytes, b"done\n");
                true
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
