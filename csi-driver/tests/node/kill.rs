//! Killing a process at the n-th border of its system calls. The process is a plugin made for it, or a helper.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use workspacefs_testkit::step::{self, Stepper};

use crate::plugin::Settings;

/// More borders than any publish has.
const STOPS_MAX: usize = 20_000;
/// How long a killer may take to end once its kill is seen.
const KILLER_END_MAX: Duration = Duration::from_secs(3);

/// Runs the plugin and kills it at stop number `at`. False if the call was done before.
pub fn killed_at(settings: &Settings, at: usize) -> bool {
    let settings = serde_json::to_string(settings).unwrap();
    step::killed_at(Command::new("/proc/self/exe").arg("plugin").arg(settings), at)
}

/// Runs the plugin to the end of its call, with which it ends as if it were killed.
pub fn finished(settings: &Settings) {
    assert!(!killed_at(settings, STOPS_MAX), "the call does not end");
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
    let mut stepper = Stepper::of(Pid::from_raw(pid));
    println!("ready");
    (0..at).for_each(|_| assert!(stepper.step().is_some(), "the process ended by itself"));
    stepper.kill();
}
