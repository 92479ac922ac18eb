//! A source, a target, and a mover between them.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use workspacefs_api::PathState;
use workspacefs_api::mover::{FailureReason, Outcome};

/// Longer than any command here takes on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(120);

/// See the module.
pub struct World {
    dir: TempDir,
    memory: Option<PathBuf>,
}

/// What a mover that has ended said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub outcome: Outcome,
    pub stderr: String,
}

impl World {
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), memory: None };
        fs::create_dir(world.source()).unwrap();
        world
    }

    /// All of it in memory, where fsync costs nothing. The thread gets a mount namespace of its own.
    pub fn in_memory() -> Self {
        own_mounts();
        let dir = tempfile::tempdir().unwrap();
        memory(dir.path(), "mode=0755");
        let world = Self { memory: Some(dir.path().to_owned()), dir };
        fs::create_dir(world.source()).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn source(&self) -> PathBuf {
        self.path("source")
    }

    pub fn target(&self) -> PathBuf {
        self.path("target")
    }

    /// The data of a generation.
    pub fn data(&self, generation: i64) -> PathBuf {
        self.target().join(format!("{generation}/data"))
    }

    /// A file of the source, with the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mover"));
        command.arg("--target").arg(self.target()).arg("--outcome").arg(self.path("outcome"));
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(arguments);
        command
    }

    /// The command for a fill with further arguments.
    pub fn fill_command(&self, generation: i64, paths: &[&str], arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--source").arg(self.source()).args(["--generation", &generation.to_string()]);
        paths.iter().for_each(|path| {
            command.args(["--path", path]);
        });
        command
    }

    pub fn fill(&self, generation: i64, paths: &[&str], arguments: &[&str]) -> Said {
        self.said_by(self.fill_command(generation, paths, arguments))
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        self.said_by(self.command(arguments))
    }

    /// Of somebody who may not do everything.
    pub fn fill_as_nobody(&self, generation: i64, paths: &[&str]) -> Said {
        let program = self.path("mover");
        fs::copy(env!("CARGO_BIN_EXE_mover"), &program).unwrap();
        let mut command = Command::new(program);
        let fill = self.fill_command(generation, paths, &[]);
        command.args(fill.get_args()).uid(65534).gid(65534);
        self.said_by(command)
    }

    /// Runs it to its end; one that hangs is killed.
    pub fn said_by(&self, command: Command) -> Said {
        let _ = fs::write(self.path("outcome"), "");
        let output = assert_cmd::Command::from_std(command).timeout(TIME_MAX).output().unwrap();
        self.said(output)
    }

    pub fn said(&self, output: Output) -> Said {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        let text = fs::read_to_string(self.path("outcome")).unwrap();
        let outcome =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?} {stderr}"));
        Said { code: output.status.code(), outcome, stderr }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What is mounted would keep the folder from being removed.
        for at in [Some(self.target()), Some(self.source()), self.memory.clone()].iter().flatten() {
            let _ = umount2(at, MntFlags::MNT_DETACH);
        }
    }
}

impl Said {
    /// It made this generation, or found it whole.
    #[track_caller]
    pub fn made(self, generation: i64) -> Self {
        assert_eq!((self.code, self.outcome.generation), (Some(0), Some(generation)), "{self:?}");
        assert_eq!(self.outcome.failure, None);
        assert!(self.outcome.present.contains(&generation), "{self:?}");
        self
    }

    /// It made none. Only one that was told to end asks its Job for another pod.
    #[track_caller]
    pub fn failed(self, reason: FailureReason) -> Self {
        let code = i32::from(reason == FailureReason::Interrupted);
        assert_eq!((self.code, self.outcome.generation), (Some(code), None), "{self:?}");
        assert_eq!(self.outcome.failure.as_ref().map(|failure| failure.reason), Some(reason), "{self:?}");
        self
    }

    #[track_caller]
    pub fn states(self, states: &[PathState]) -> Self {
        let found: Vec<_> = self.outcome.paths.iter().map(|path| path.state).collect();
        assert_eq!(found, states, "{self:?}");
        self
    }

    #[track_caller]
    pub fn says(self, path: usize, what: &str) -> Self {
        let message = &self.outcome.paths[path].message;
        assert!(message.contains(what), "{what:?} is not in {message:?}");
        self
    }
}

/// What this thread mounts from now on is seen by it and its children only.
pub fn own_mounts() {
    assert!(nix::unistd::geteuid().is_root(), "these tests mount: run them as root");
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
}

/// A file system in memory at this place.
pub fn memory(at: &Path, options: &str) {
    fs::create_dir_all(at).unwrap();
    mount(Some("memory"), at, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
}

/// This folder is mounted on itself and cannot be written to any more.
pub fn read_only(at: &Path) {
    let none = None::<&str>;
    mount(Some(at), at, none, MsFlags::MS_BIND, none).unwrap();
    mount(none, at, none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none).unwrap();
}

/// Until it takes nothing more.
pub fn fill_up(target: &Path) {
    let mut file = fs::File::create(target.join("ballast")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Bytes that look like none.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length).map(|_| random.below(256) as u8).collect()
}

/// Numbers that look like chance, and are the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
