//! The program `files` as a process of ours, and a client that asks it as the gateway does.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use workspacefs_files_proto::ASSERTION_HEADER;

use super::identity::{FILE_SYSTEM, HOST, Identity, free_address};
use super::process::Process;

/// A running one.
#[derive(Debug)]
pub struct Files {
    /// It.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    client: reqwest::Client,
}

impl Files {
    /// Serves `root`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, root: &Path, identity: &Identity) -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--root").arg(root).args(["--file-system", FILE_SYSTEM]);
        command.args(["--public-key", &identity.public_key()]);
        command.arg("--tls-cert").arg(&identity.certificate).arg("--tls-key").arg(&identity.key);
        command.args(["--listen", &address.to_string(), "--metrics", &free_address()?.to_string()]);
        // The stub is one of this computer's.
        command.args(["--allow-endpoint", "127.0.0.0/8"]);
        let process = Process::start(&command, address)?;
        Ok(Self { process, address, client: identity.client()? })
    }

    /// One request; the content of its answer, which has to be a success.
    ///
    /// # Errors
    /// It is none.
    pub async fn ask(
        &self,
        identity: &Identity,
        (method, target): (&str, &str),
        body: Option<String>,
    ) -> Result<Bytes> {
        let url = format!("https://{HOST}:{}{target}", self.address.port());
        let mut request = self.client.request(method.parse()?, url);
        request = request.header(ASSERTION_HEADER, identity.assertion(method, target)?);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {target}"))?;
        let status = answer.status();
        let content = answer.bytes().await?;
        ensure!(
            status.is_success(),
            "{method} {target}: {status}: {}",
            String::from_utf8_lossy(&content[..content.len().min(1000)])
        );
        Ok(content)
    }
}
