//! `wfs storage` and what else asks the gateway, as users see it: a process against a gateway that can be told to fail.

#![allow(clippy::unwrap_used, clippy::result_large_err)]

mod batches;
mod connecting;
mod cuts;
mod examined;
mod gateway;
mod golden;
mod handlers;
mod many;
mod mounting;
mod real;
mod rsync;
mod trees;
mod tunnel;
mod verbs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::{Gateway, TOKEN};

/// Longer than any command here takes on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(120);

/// A gateway, and a folder of this machine.
struct World {
    gateway: Gateway,
    dir: TempDir,
}

/// What a process that has ended said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl World {
    fn new() -> Self {
        Self { gateway: Gateway::start(), dir: tempfile::tempdir().unwrap() }
    }

    /// With `files` itself behind the gateway.
    fn real() -> Self {
        Self::real_in(&std::env::temp_dir())
    }

    /// The same, with all files in folders of this one.
    fn real_in(folder: &Path) -> Self {
        let dir = || tempfile::tempdir_in(folder).unwrap();
        Self { gateway: Gateway::start_real(dir()), dir: dir() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `wfs` in the folder, with nothing of the environment but the way to the gateway.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wfs"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.dir.path().join("home"))
            .env("WFS_URL", self.gateway.url())
            .env("WFS_TOKEN", TOKEN)
            .env("WFS_WORKSPACE", "team-a")
            .env("WFS_PATIENCE_SECONDS", "5")
            .current_dir(self.dir.path());
        command
    }

    fn wfs(&self, arguments: &[&str]) -> Said {
        Said::by(self.command(arguments))
    }

    fn storage(&self, arguments: &[&str]) -> Said {
        self.wfs(&[&["storage"], arguments].concat())
    }
}

impl Said {
    fn by(command: Command) -> Self {
        Self::of(assert_cmd::Command::from_std(command).timeout(TIME_MAX).output().unwrap())
    }

    fn of(output: Output) -> Self {
        let said = Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains(TOKEN), "the token is told: {text}");
        }
        said
    }

    /// It ended with this code; shows what it said if not.
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn complains(self, of: &str) -> Self {
        assert!(self.stderr.contains(of), "{of:?} is not in stderr: {}", self.stderr);
        self
    }

    #[track_caller]
    fn says(self, what: &str) -> Self {
        assert!(self.stdout.contains(what), "{what:?} is not in stdout: {}", self.stdout);
        self
    }

    /// Exactly this on stdout.
    #[track_caller]
    fn prints(self, expected: &str) -> Self {
        assert_eq!(self.stdout, expected);
        self
    }

    /// The last line, which is JSON.
    fn report(&self) -> Value {
        serde_json::from_str(self.stdout.lines().last().unwrap()).unwrap()
    }
}
