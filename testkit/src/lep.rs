//! The real clients of `lep storage`, `leptonai` from PyPI, unmodified: installed once into the folder of caches, started with the
//! environment that their documentation names. What is missing for that (`python3` with `venv`) fails with a panic: it is for tests.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::python::installed;

/// Longer than any command takes on a busy machine, in seconds.
const SECONDS_MAX: &str = "400";
/// What `timeout` ends with at the limit.
const TIMED_OUT: i32 = 124;

/// A release, and all that it was installed with when these tests were written.
#[derive(Clone, Copy)]
pub struct Release {
    /// As PyPI has it.
    pub version: &'static str,
    pins: &'static str,
}

/// The newest.
pub const NEW: Release = Release { version: "0.27.3", pins: include_str!("lep/0.27.3.txt") };
/// The oldest that speaks with an rsync daemon by a secret of its own.
pub const OLD: Release = Release { version: "0.22.5", pins: include_str!("lep/0.22.5.txt") };

impl Release {
    /// The folder of its Python, made where it is missing, for which it takes the package index. The folder's name is a hash of what is
    /// in it.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn installed(self) -> PathBuf {
        installed("lep", self.version, self.pins)
    }
}

/// What a command came to.
pub struct Ended {
    /// The exit code; none of a signal.
    pub code: Option<i32>,
    /// Standard output, then standard error.
    pub text: String,
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of a stack of calls the last lines say what it is about.
        let lines: Vec<&str> = self.text.lines().collect();
        let last = lines.len().saturating_sub(12);
        write!(f, "code {:?}:\n{}", self.code, lines[last..].join("\n"))
    }
}

impl Ended {
    /// It did what it should, and said so.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(self.text.contains(text), "{text:?} is not in {self:?}");
        self
    }

    /// It did not, and said why. (Before 0.26.3 an error comes with its stack of calls.)
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn complains(&self, text: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.text.contains(text), "{text:?} is not in {self:?}");
    }
}

/// A client in a folder of its own, which is its home too.
pub struct Client {
    venv: PathBuf,
    folder: tempfile::TempDir,
    workspace: String,
    url: String,
    token: String,
    authority: PathBuf,
}

impl Client {
    /// For that workspace at that address, `https://HOST:PORT/api/...`, whose certificate's authority is in that file.
    ///
    /// # Panics
    /// It cannot be installed.
    pub fn new(release: Release, workspace: &str, url: &str, token: &str, authority: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::create_dir(folder.path().join("cache")).expect("a folder can be made");
        // The daily question for a newer version would leave this computer: it was asked just now, and for long.
        fs::write(folder.path().join("cache/latest_version_check"), "9999999999")
            .expect("a file can be written");
        let workspace = workspace.to_owned();
        let (url, token, authority) = (url.to_owned(), token.to_owned(), authority.to_owned());
        Self { venv: release.installed(), folder, workspace, url, token, authority }
    }

    /// A path on this side.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file on this side; its folder is made.
    ///
    /// # Panics
    /// It cannot.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(&path)).expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }

    /// Reads a file on this side.
    ///
    /// # Panics
    /// It cannot.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `lep ARGS` without any login: three variables are enough.
    pub fn lep(&self, args: &[&str]) -> Ended {
        self.run(args, &self.variables())
    }

    /// `lep ARGS` with what a login left.
    pub fn logged_in(&self, args: &[&str]) -> Ended {
        self.run(args, &[])
    }

    /// `lep storage ARGS`, as [`Client::lep`].
    pub fn storage(&self, args: &[&str]) -> Ended {
        self.lep(&[&["storage"], args].concat())
    }

    /// Its Python.
    pub fn interpreter(&self) -> PathBuf {
        self.venv.join("bin/python")
    }

    /// What `lep` finds in its environment, with what its documentation names: three variables are enough without any login.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut all = self.surroundings();
        all.extend(self.variables().map(|(name, value)| (name, value.into())));
        all
    }

    fn variables(&self) -> [(&'static str, &str); 3] {
        [
            ("LEPTON_WORKSPACE_ID", self.workspace.as_str()),
            ("LEPTON_WORKSPACE_TOKEN", self.token.as_str()),
            ("LEPTON_WORKSPACE_URL", self.url.as_str()),
        ]
    }

    /// Where it lives, and whom it believes.
    fn surroundings(&self) -> Vec<(&'static str, OsString)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        vec![
            ("PATH", path),
            ("HOME", self.folder.path().into()),
            ("LEPTON_CACHE_DIR", self.folder.path().join("cache").into()),
            ("REQUESTS_CA_BUNDLE", self.authority.clone().into()),
            // Long lines stay lines.
            ("COLUMNS", "500".into()),
            ("LANG", "C.UTF-8".into()),
            ("NO_PROXY", "*".into()),
        ]
    }

    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Ended {
        let output = Command::new("timeout")
            .args(["--kill-after=5", SECONDS_MAX])
            .arg(self.interpreter())
            .args(["-c", "from leptonai.cli import lep; lep()"])
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(variables.iter().copied())
            .envs(self.surroundings())
            .output()
            .expect("timeout can be started");
        let Output { status, stdout, stderr } = output;
        let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        assert!(status.code() != Some(TIMED_OUT), "lep {args:?} does not end: {text}");
        Ended { code: status.code(), text }
    }
}
