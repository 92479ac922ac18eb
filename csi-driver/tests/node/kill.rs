//! Stepping through a plugin's system calls and killing it at the n-th stop: before a call or after it. Every point at
//! which a process can die with different effects is one of these.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::plugin::Settings;

/// More stops than any publish has.
const STOPS_MAX: usize = 20_000;

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
        ptrace::seize(self.pid, Options::PTRACE_O_TRACESYSGOOD).unwrap();
        ptrace::interrupt(self.pid).unwrap();
        self.wait();
        self.child.stdin.as_mut().unwrap().write_all(b"g").unwrap();
        for _ in 0..at {
            ptrace::syscall(self.pid, None).unwrap();
            // A signal (a helper that ended) is passed on and does not count.
            while let WaitStatus::Stopped(_, signal) = self.wait() {
                ptrace::syscall(self.pid, Some(signal)).unwrap();
            }
            if self.has_said_done() {
                return false;
            }
        }
        true
    }

    fn wait(&self) -> WaitStatus {
        let status = waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap();
        assert!(
            !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)),
            "the plugin ended by itself: {status:?}"
        );
        status
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
