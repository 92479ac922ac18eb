//! Somebody at this machine: a folder that is their home and where they work, what their environment says of the gateway, and the
//! programs that they start there.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::FS;
use crate::host::command::Ended;
use crate::suites::context::Context;
use crate::suites::files::{Door, Shop};
use crate::suites::wait::{patient, seconds};

/// Time for a program that is not to be watched.
const TIME_MAX: Duration = seconds(240);

/// A folder, an environment, and words that no program may say.
pub struct Desk {
    context: Context,
    folder: TempDir,
    variables: Vec<(String, OsString)>,
    secrets: Vec<String>,
}

/// How a program ended.
pub struct Said {
    line: String,
    code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

/// A workspace with [`FS`], whose files its editor reaches.
pub async fn shop(context: &Context) -> Result<Shop> {
    Shop::open_with(context, FS, serde_json::json!({})).await
}

impl Desk {
    /// With nothing in its environment.
    pub fn bare(context: &Context) -> Result<Desk> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("home"))?;
        Ok(Desk { context: context.clone(), folder, variables: Vec::new(), secrets: Vec::new() })
    }

    /// With the gateway's address, the hash of its certificate and a token, as scripts have them.
    pub fn with_token(context: &Context, door: &Door, token: &str) -> Result<Desk> {
        let mut desk = Desk::bare(context)?;
        desk.set("WFS_URL", format!("https://{}", door.address()));
        desk.set("WFS_CA", pin(door));
        desk.set("WFS_TOKEN", token);
        desk.set("WFS_WORKSPACE", context.namespace());
        desk.secrets.push(token.to_owned());
        Ok(desk)
    }

    /// A variable of the environment.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// No such variable any more.
    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    /// What must never be printed.
    pub fn keeps_secret(&mut self, word: &str) {
        self.secrets.push(word.to_owned());
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file there; folders are made.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(self.folder.path()))?;
        fs::write(&path, content).with_context(|| path.display().to_string())
    }

    /// Reads a file there.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        fs::read(&path).with_context(|| path.display().to_string())
    }

    /// `wfs`, to its end.
    pub async fn wfs(&self, arguments: &[&str]) -> Result<Said> {
        let program = program(&self.context);
        self.run(&program, arguments).await
    }

    /// `wfs storage`, to its end.
    pub async fn storage(&self, arguments: &[&str]) -> Result<Said> {
        self.wfs(&[&["storage"], arguments].concat()).await
    }

    /// This machine's rsync, whose connection is `wfs storage rsync-tunnel` with the same environment.
    pub async fn rsync(&self, arguments: &[&str]) -> Result<Said> {
        self.run(Path::new("rsync"), arguments).await
    }

    /// By which rsync gets to the daemon: `RSYNC_CONNECT_PROG`.
    pub fn goes_through_the_gateway(&mut self) {
        let program = program(&self.context);
        self.set("RSYNC_CONNECT_PROG", format!("exec '{}' storage rsync-tunnel", program.display()));
    }

    async fn run(&self, program: &Path, arguments: &[&str]) -> Result<Said> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        let run = move |cluster: &crate::Cluster| cluster.try_run(&mut command, b"", patient(TIME_MAX));
        let Ended { status, stdout, stderr } = self.context.blocking(run).await?;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{name} {}", arguments.join(" "));
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let said = Said { line, code: status.code(), stdout, stderr };
        ensure!(!said.stderr.contains("panicked"), "{said:?}");
        let all = format!("{}{}", said.text(), said.stderr);
        ensure!(!self.secrets.iter().any(|word| all.contains(word)), "{} tells a secret", said.line);
        Ok(said)
    }
}

/// `WFS_CA` for the one certificate of the gateway.
pub fn pin(door: &Door) -> String {
    format!("sha256:{}", door.fingerprint())
}

/// Where `cargo xtask e2e cli` has put the program.
fn program(context: &Context) -> PathBuf {
    context.cluster().layout().host().join("wfs")
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |text: &str| text.chars().take(1500).collect::<String>();
        let (stdout, stderr) = (short(&self.text()), short(&self.stderr));
        write!(f, "`{}` ended with {:?}\nstdout: {stdout}\nstderr: {stderr}", self.line, self.code)
    }
}

impl Said {
    /// Nothing but this exit code will do.
    pub fn ended(self, code: i32) -> Result<Said> {
        ensure!(self.code == Some(code), "{code} was expected: {self:?}");
        Ok(self)
    }

    /// It did not do what was asked; by this and no signal.
    pub fn failed(self) -> Result<Said> {
        ensure!(self.code.is_some_and(|code| code != 0), "a failure was expected: {self:?}");
        Ok(self)
    }

    /// It is on standard output.
    pub fn says(self, text: &str) -> Result<Said> {
        ensure!(self.text().contains(text), "{text:?} is not said: {self:?}");
        Ok(self)
    }

    /// It is on standard error.
    pub fn complains(self, text: &str) -> Result<Said> {
        ensure!(self.stderr.contains(text), "{text:?} is not complained of: {self:?}");
        Ok(self)
    }

    /// There is a sentence on standard error, which a person can read.
    pub fn says_why(self) -> Result<Said> {
        let words = self.stderr.split_whitespace().count();
        ensure!(words >= 3, "nothing says why: {self:?}");
        Ok(self)
    }

    /// Standard output is exactly this.
    pub fn prints(self, text: &str) -> Result<Said> {
        ensure!(self.text() == text, "{text:?} was expected: {self:?}");
        Ok(self)
    }

    /// The exit code; none of a signal.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// Standard output.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last line of standard output, which is JSON.
    pub fn report(&self) -> Result<Value> {
        let text = self.text();
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("the last line is no JSON: {self:?}"))
    }
}
