//! The pods of `files`, and what a kill of one is.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::suites::context::{Context, is_ready};
use crate::suites::shared::driver;
use crate::suites::wait::{seconds, until};

/// Chooses the pods of `files` among a namespace's.
pub const FILES: &str = "app.kubernetes.io/component=files";
/// Time for kubelet to start again what was killed: the second time it waits ten seconds, the third twenty.
const RESTART_TIME_MAX: Duration = seconds(120);

impl Context {
    /// The pod that runs the `files` of a FileSystem, once it is Ready.
    pub async fn files_pod(&self, file_system: &str) -> Result<Pod> {
        let uid = self.file_systems().get(file_system).await?.uid().context("no uid")?;
        let its = ListParams::default().labels(&format!("{FILES},workspacefs.io/filesystem-uid={uid}"));
        let look = || async {
            let pods = self.pods().list(&its).await?;
            let mut ready: Vec<Pod> = pods.into_iter().filter(is_there).collect();
            ensure!(ready.len() <= 1, "there is more than one: {}", ready.len());
            ready.pop().context("none is Ready")
        };
        until(&format!("files of {file_system} are Ready"), RESTART_TIME_MAX, look).await
    }

    /// Ends the process of a pod of `files` by SIGKILL.
    pub async fn kill_files(&self, pod: &Pod) -> Result<()> {
        driver::kill(self, pod).await.context("files")
    }

    /// Waits until kubelet has started it again, after it was killed as `before` was.
    pub async fn files_again(&self, before: &Pod) -> Result<Pod> {
        let (name, count) = (before.name_any(), restarts(before));
        let look = || async {
            let now = self.pods().get(&name).await?;
            ensure!(restarts(&now) > count && is_ready(&now), "it was started {} times", restarts(&now));
            Ok(now)
        };
        until("files were started again", RESTART_TIME_MAX, look).await
    }
}

fn is_there(pod: &Pod) -> bool {
    is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status: &ContainerStatus| status.restart_count).sum()
}
