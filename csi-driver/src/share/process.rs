//! A share's helper process, as the plugin sees it.

use std::os::fd::OwnedFd;

use super::ShareError;
use super::protocol::{Answer, Hello, Reply, Request};
use crate::helper_process::{HelperProcess, HelperProgram};

/// A running helper. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Helper {
    process: HelperProcess,
    share: String,
}

impl Helper {
    /// Starts one and tells it which share it is for.
    pub async fn start(program: &HelperProgram, hello: &Hello) -> Result<Self, ShareError> {
        let process = HelperProcess::start(program).map_err(|error| ShareError::Local {
            action: "start a helper process".into(),
            reason: error.to_string(),
        })?;
        let helper = Self { process, share: hello.name.clone() };
        helper.process.tell(hello).await.map_err(|error| helper.broken(&error))?;
        Ok(helper)
    }

    /// See [`HelperProcess::ask`].
    pub async fn ask(&mut self, request: &Request) -> Result<(Answer, Option<OwnedFd>), ShareError> {
        let (reply, fd): (Reply, _) = self.process.ask(request).await.map_err(|error| self.broken(&error))?;
        Ok((reply?, fd))
    }

    /// The helper's process id, while it lives.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// For an answer that does not fit its question.
    pub fn broken(&self, reason: &dyn std::fmt::Display) -> ShareError {
        ShareError::Helper { share: self.share.clone(), reason: reason.to_string() }
    }
}
