//! The plugin's end of a helper process: start it, ask it, give it up.
//!
//! A helper that does not answer is killed and never waited for: one that sits in the kernel cannot be reaped before the
//! kernel lets it go, and nobody may wait for that. The runtime reaps it whenever that is.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};
use workspacefs_sys::channel::{self, AsyncChannel};

use super::ShareError;
use super::protocol::{Answer, Hello, Reply, Request};

/// How a helper is started.
#[derive(Clone, Debug)]
pub struct HelperProgram {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments, before the plugin's process id.
    pub arguments: Vec<String>,
}

impl Default for HelperProgram {
    /// This very binary, as it runs: an upgrade that replaces the file does not mix versions.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into(), arguments: vec!["share-helper".into()] }
    }
}

/// A running helper. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    channel: AsyncChannel,
    share: String,
}

impl Helper {
    /// Starts one and tells it which share it is for.
    pub async fn start(program: &HelperProgram, hello: &Hello) -> Result<Self, ShareError> {
        let failed = |error: io::Error| ShareError::Local {
            action: "start a helper process".into(),
            reason: error.to_string(),
        };
        let (channel, theirs) = channel::pair().map_err(failed)?;
        // The socket is the helper's standard input: no descriptor has to be placed between fork and exec.
        let child = Command::new(&program.program)
            .args(&program.arguments)
            .arg(std::process::id().to_string())
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let helper = Self { child, channel, share: hello.name.clone() };
        helper.send(hello).await?;
        Ok(helper)
    }

    /// Asks one question. The future may be dropped, but then the helper must be, too: its answer would be taken for the
    /// next question's.
    pub async fn ask(&mut self, request: &Request) -> Result<(Answer, Option<OwnedFd>), ShareError> {
        self.send(request).await?;
        let message = self.channel.receive().await.map_err(|error| self.broken(&error))?;
        let reply: Reply = serde_json::from_slice(&message.bytes).map_err(|error| self.broken(&error))?;
        Ok((reply?, message.descriptors.into_iter().next()))
    }

    /// The helper's process id, while it lives.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// For an answer that does not fit its question.
    pub fn broken(&self, reason: &dyn std::fmt::Display) -> ShareError {
        ShareError::Helper { share: self.share.clone(), reason: reason.to_string() }
    }

    async fn send<T: serde::Serialize>(&self, message: &T) -> Result<(), ShareError> {
        let bytes = serde_json::to_vec(message).map_err(|error| self.broken(&error))?;
        self.channel.send(&bytes, &[]).await.map_err(|error| self.broken(&error))
    }
}
