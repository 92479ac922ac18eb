//! The plugin's end of a helper process: start it, ask it, give it up. What they say to each other is JSON, one message
//! each; a descriptor travels beside an answer.
//!
//! A helper that does not answer is killed and never waited for: one that sits in the kernel cannot be reaped before the
//! kernel lets it go, and nobody may wait for that. The runtime reaps it whenever that is.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};
use workspacefs_sys::channel::{self, AsyncChannel};

/// Where a helper finds the programs that it runs; nothing else of our environment is its own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a helper is started.
#[derive(Clone, Debug)]
pub struct HelperProgram {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments, before the plugin's process id.
    pub arguments: Vec<String>,
}

impl HelperProgram {
    /// A subcommand of this very binary, as it runs: an upgrade that replaces the file does not mix versions.
    pub fn own(subcommand: &str) -> Self {
        Self { program: "/proc/self/exe".into(), arguments: vec![subcommand.into()] }
    }
}

/// A running helper. Dropping it kills it.
#[derive(Debug)]
pub struct HelperProcess {
    child: Child,
    channel: AsyncChannel,
}

impl HelperProcess {
    /// Starts one.
    ///
    /// # Errors
    /// No socket, or no process.
    pub fn start(program: &HelperProgram) -> io::Result<Self> {
        let (channel, theirs) = channel::pair()?;
        // The socket is the helper's standard input: no descriptor has to be placed between fork and exec.
        let child = Command::new(&program.program)
            .args(&program.arguments)
            .arg(std::process::id().to_string())
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, channel })
    }

    /// Says something that is not answered.
    ///
    /// # Errors
    /// The helper is gone.
    pub async fn tell(&self, message: &impl Serialize) -> io::Result<()> {
        self.channel.send(&serde_json::to_vec(message)?, &[]).await
    }

    /// Asks one question. The future may be dropped, but then the helper must be, too: its answer would be taken for the
    /// next question's.
    ///
    /// # Errors
    /// The helper is gone, or what it says is no answer.
    pub async fn ask<A: DeserializeOwned>(
        &mut self,
        question: &impl Serialize,
    ) -> io::Result<(A, Option<OwnedFd>)> {
        self.tell(question).await?;
        let message = self.channel.receive().await?;
        Ok((serde_json::from_slice(&message.bytes)?, message.descriptors.into_iter().next()))
    }

    /// Kills it, without waiting for its end.
    pub fn kill(&mut self) {
        // Only one that has ended cannot be killed.
        let _ = self.child.start_kill();
    }

    /// Whether it has ended. Never waits.
    pub fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The helper's process id, while it lives.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}
