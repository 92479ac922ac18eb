//! What a case has in its hands: a namespace of its own, the API server, the machines.

mod objects;

pub use objects::is_ready;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{AttachParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::wait::{patient, seconds};
use crate::host::command::Ended;
use crate::{Cluster, Machine};

/// Time for a command in a pod or on a machine.
const COMMAND_TIME_MAX: std::time::Duration = seconds(60);

/// One case's surroundings. Cheap to copy.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: Cluster,
    client: Client,
    namespace: String,
    notes: Mutex<Vec<String>>,
}

/// How a command in a pod ended.
#[derive(Debug)]
pub struct Ran {
    /// Whether its exit code was 0.
    pub success: bool,
    /// Standard output, then standard error.
    pub text: String,
}

impl Context {
    /// For the namespace, which the caller makes and removes.
    pub(super) fn new(cluster: &Cluster, client: Client, namespace: String) -> Context {
        let inner = Inner { cluster: cluster.clone(), client, namespace, notes: Mutex::default() };
        Context { inner: Arc::new(inner) }
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.inner.cluster
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.inner.client.clone()
    }

    /// The case's namespace.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// The same case in another namespace; the caller removes it.
    pub fn in_namespace(&self, namespace: &str) -> Context {
        Context::new(self.cluster(), self.client(), namespace.to_owned())
    }

    /// Says something that the reader should see beside the outcome, such as a figure.
    pub fn note(&self, text: String) {
        self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something that waits, away from the threads that must not.
    pub async fn blocking<T, E, F>(&self, action: F) -> Result<T>
    where
        T: Send + 'static,
        E: Into<anyhow::Error>,
        F: FnOnce(&Cluster) -> Result<T, E> + Send + 'static,
    {
        let context = self.clone();
        let task = tokio::task::spawn_blocking(move || action(context.cluster()).map_err(Into::into));
        task.await.context("the action panicked")?
    }

    /// A machine.
    pub fn machine(&self, name: &str) -> Result<Machine> {
        Ok(self.cluster().machine(name)?)
    }

    /// Runs a line of shell on a machine; it must succeed. Gives its standard output.
    pub async fn on(&self, machine: &str, line: &str) -> Result<String> {
        let (machine, line) = (self.machine(machine)?, line.to_owned());
        self.blocking(move |_| machine.shell(&line)).await
    }

    /// Runs a line of shell on the storage host, in the case's folder of the shared export; it must succeed.
    pub async fn on_server(&self, line: &str) -> Result<String> {
        let folder = format!("/export/shared/e2e/{}", self.namespace());
        self.on("nfs", &format!("mkdir -p {folder} && cd {folder} && {line}")).await
    }

    /// Makes the case's namespace a workspace.
    pub async fn become_workspace(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client());
        let label = json!({ "metadata": { "labels": { "workspacefs.io/workspace": "true" } } });
        namespaces.patch(self.namespace(), &PatchParams::default(), &Patch::Merge(label)).await?;
        Ok(())
    }

    /// Runs the real kubectl in the case's namespace, where a failure is an answer too.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Ended> {
        let mut words = vec!["--namespace".to_owned(), self.namespace().to_owned()];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let input = input.to_owned();
        let run = move |cluster: &Cluster| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            cluster.try_kubectl("admin", &words, input.as_bytes())
        };
        self.blocking(run).await
    }

    /// `kubectl apply`, which must be accepted.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        let ended = self.kubectl(&["apply", "-f", "-"], yaml).await?;
        ensure!(ended.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    }

    /// `kubectl apply`, which must be refused; the words that it prints.
    pub async fn refused(&self, yaml: &str) -> Result<String> {
        let ended = self.kubectl(&["apply", "-f", "-"], yaml).await?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(!ended.status.success(), "accepted, though it should not be:\n{yaml}");
        Ok(said)
    }

    /// Runs a line of shell in a pod; it must succeed. Gives what it printed, without the last line break.
    pub async fn exec(&self, pod: &str, line: &str) -> Result<String> {
        let ran = self.try_exec(pod, line).await?;
        ensure!(ran.success, "`{line}` in {pod} failed: {}", ran.text);
        Ok(ran.text.trim_end_matches('\n').to_owned())
    }

    /// Runs a line of shell in a pod, where a failure is an answer too.
    pub async fn try_exec(&self, pod: &str, line: &str) -> Result<Ran> {
        let run = self.exec_unlimited(pod, line);
        let limit = patient(COMMAND_TIME_MAX);
        let limited = tokio::time::timeout(limit, run).await;
        limited.with_context(|| format!("`{line}` in {pod} took more than {} s", limit.as_secs()))?
    }

    async fn exec_unlimited(&self, pod: &str, line: &str) -> Result<Ran> {
        let pods: Api<Pod> = Api::namespaced(self.client(), self.namespace());
        let mut process = pods.exec(pod, ["sh", "-c", line], &AttachParams::default()).await?;
        let (Some(mut stdout), Some(mut stderr), Some(status)) =
            (process.stdout(), process.stderr(), process.take_status())
        else {
            bail!("no streams for `{line}` in {pod}");
        };
        let (mut text, mut errors) = (Vec::new(), Vec::new());
        let (out, err) = tokio::join!(stdout.read_to_end(&mut text), stderr.read_to_end(&mut errors));
        out?;
        err?;
        let status = status.await.with_context(|| format!("`{line}` in {pod} ended without a status"))?;
        text.extend(errors);
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(Ran { success: status.status.as_deref() == Some("Success"), text })
    }
}
