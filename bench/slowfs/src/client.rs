//! The slow file system as others use it: started, asked for its counters, ended.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{major, minor};

use crate::counters::{ASK, Counters, READY};

/// How long it may take to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(20);

/// How slow, and what comes with a listing.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The pause before each operation.
    pub delay: Duration,
    /// Whether attributes come with the listing, always; otherwise never.
    pub plus: bool,
    /// Whether nothing can be changed.
    pub read_only: bool,
}

/// A mounted slow file system, by a program of its own. Dropped, it is unmounted and the program ends; the program also
/// ends when this process does, however.
#[derive(Debug)]
pub struct SlowFs {
    child: Child,
    /// What keeps it alive.
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    mountpoint: PathBuf,
}

impl SlowFs {
    /// Starts the program `slowfs` and waits until it is mounted. Its complaints go to our stderr.
    ///
    /// # Errors
    /// It cannot be started, or ended instead of saying that it is ready.
    pub fn start(program: &Path, lower: &Path, mountpoint: &Path, settings: Settings) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(lower).arg(mountpoint);
        command.arg("--delay-us").arg(settings.delay.as_micros().to_string());
        command.args(settings.plus.then_some("--plus"));
        command.args(settings.read_only.then_some("--read-only"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a program was started without its pipes"));
        };
        let mut started = Self {
            child,
            ask: Some(ask),
            answers: BufReader::new(answers),
            mountpoint: mountpoint.to_owned(),
        };
        match started.line()?.as_str() {
            READY => Ok(started),
            said => Err(io::Error::other(format!("{} says {said:?}", program.display()))),
        }
    }

    /// The program's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it was asked since it was started.
    ///
    /// # Errors
    /// It has ended.
    pub fn counters(&mut self) -> io::Result<Counters> {
        let Some(ask) = &mut self.ask else { return Err(io::Error::other("slowfs has ended")) };
        writeln!(ask, "{ASK}")?;
        let line = self.line()?;
        line.parse().map_err(io::Error::other)
    }

    /// How far the kernel reads ahead of a reader; 128 KiB by itself.
    ///
    /// # Errors
    /// The setting cannot be written.
    pub fn set_read_ahead(&self, kib: u64) -> io::Result<()> {
        let device = rustix::fs::stat(&self.mountpoint)?.st_dev;
        let setting = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
        std::fs::write(setting, kib.to_string())
    }

    /// Unmounts it and waits for the program's end: the folder below is no longer held then.
    ///
    /// # Errors
    /// The program failed, or did not end.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other("slowfs has ended"));
        }
        Ok(line.trim_end().to_owned())
    }

    fn end(&mut self) -> io::Result<()> {
        drop(self.ask.take());
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("slowfs ended with {status}"))),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        self.child.kill()?;
        self.child.wait()?;
        Err(io::Error::other("slowfs did not end and was killed"))
    }
}

impl Drop for SlowFs {
    fn drop(&mut self) {
        if self.ask.is_some() {
            // Who wants to know whether it went well calls `stop`.
            let _ = self.end();
        }
    }
}
