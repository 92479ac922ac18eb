//! The command `wfs` as its users see it: a process with arguments, outputs and an exit code. Runs as root, because
//! owners, full file systems and unreadable files are a part of it.

#![allow(clippy::unwrap_used)]

mod cache;
mod copying;
mod failing;
mod manifest;
mod output;
mod pages;
mod signals;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

/// Longer than any command here takes on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(120);

/// A source and a place for a destination.
struct Case {
    dir: TempDir,
}

/// What a process that has ended said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Case {
    /// Of files with their contents; a name with `/` at the end is a directory.
    fn new(files: &[(&str, &str)]) -> Self {
        let case = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(case.source()).unwrap();
        for (name, content) in files {
            let path = case.source().join(name);
            match name.strip_suffix('/') {
                Some(_) => fs::create_dir_all(path).unwrap(),
                None => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, content).unwrap();
                }
            }
        }
        case
    }

    /// With one file that takes its time at a limit of 1 MB per second.
    fn large() -> Self {
        let case = Self::new(&[("a", "small")]);
        fs::write(case.source().join("large"), vec![7; 20 << 20]).unwrap();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn source(&self) -> PathBuf {
        self.path("src")
    }

    fn destination(&self) -> PathBuf {
        self.path("dst")
    }

    fn copied(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.destination().join(name)).ok()
    }

    /// `wfs sync SRC DST` with further arguments.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = wfs(&["sync"]);
        command.arg(self.source()).arg(self.destination()).args(arguments);
        command
    }

    fn sync(&self, arguments: &[&str]) -> Said {
        Said::by(self.command(arguments))
    }

    /// As a user who may read only what everybody may.
    fn sync_as_nobody(&self, arguments: &[&str]) -> Said {
        assert!(rustix::process::getuid().is_root(), "these tests change users: run them as root");
        // The build's folder may be closed to others.
        let program = self.path("wfs");
        // By another process: this one's children hold for a moment what it has open, and what is open to be written does not run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_wfs")).arg(&program).status().unwrap();
        assert!(copied.success());
        open_to_all(self.dir.path());
        fs::create_dir_all(self.destination()).unwrap();
        open_to_all(&self.destination());
        let mut command = Command::new(program);
        command.uid(65534).gid(65534).arg("sync").arg(self.source()).arg(self.destination()).args(arguments);
        Said::by(command)
    }

    /// Temporary files of a run in the destination's root.
    fn leftovers(&self) -> usize {
        let entries = fs::read_dir(self.destination()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".wsfs-sync-"))
            .count()
    }
}

impl Said {
    /// Runs it to its end; one that hangs is killed.
    fn by(command: Command) -> Self {
        Self::of(assert_cmd::Command::from_std(command).timeout(TIME_MAX).output().unwrap())
    }

    fn of(output: Output) -> Self {
        let said = Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
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
}

fn wfs(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wfs"));
    command.args(arguments);
    command
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
}
