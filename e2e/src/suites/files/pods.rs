//! The pods of `files`, and what a kill of one is.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::suites::context::{Context, is_ready};
use crate::suites::node::node_of;
use crate::suites::shared::driver;
use crate::suites::wait::{seconds, until};

/// Chooses the pods of `files` among a namespace's.
pub const FILES: &str = "app.kubernetes.io/component=files";
/// Memory of the process, kB: with nothing to do, and whatever it does.
const REST_KB_MAX: u64 = 16_000;
const PEAK_KB_MAX: u64 = 128_000;
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

    /// Fails if the process of the `files` of a FileSystem has more memory than it may at rest, or ever had more than it may at all.
    pub async fn files_memory(&self, file_system: &str, is_at_rest: bool) -> Result<()> {
        let pod = self.files_pod(file_system).await?;
        let line = format!(
            "set -- $(ctr --namespace k8s.io tasks list | grep '^{} ') && cat /proc/$2/status",
            driver::container(&pod)?
        );
        let status = self.on(node_of(&pod)?, &line).await?;
        let (now, peak) = (kilobytes(&status, "VmRSS")?, kilobytes(&status, "VmHWM")?);
        self.note(format!("files of {file_system} have {now} kB, and never had more than {peak} kB"));
        ensure!(peak <= PEAK_KB_MAX, "they had {peak} kB, and may have {PEAK_KB_MAX}");
        ensure!(!is_at_rest || now <= REST_KB_MAX, "at rest they have {now} kB, and may have {REST_KB_MAX}");
        Ok(())
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

/// A line of `/proc/PID/status`; its kB are of 1024 bytes, those here of 1000.
fn kilobytes(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(number.with_context(|| format!("no {name} in {status}"))? * 1024 / 1000)
}

fn is_there(pod: &Pod) -> bool {
    is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status: &ContainerStatus| status.restart_count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_by_its_whole_name_in_thousands_of_bytes() {
        let status = "VmHWM2:\t 1 kB\nVmHWM:\t   125000 kB\nVmRSS:\t 1000 kB\n";
        assert_eq!(kilobytes(status, "VmHWM").unwrap(), PEAK_KB_MAX);
        assert_eq!(kilobytes(status, "VmRSS").unwrap(), 1024);
        assert!(kilobytes(status, "VmSwap").is_err());
    }
}
