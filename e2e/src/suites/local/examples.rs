//! The files of `examples/` for local disks, exactly as they are but for the workspace's name.

use anyhow::{Context as _, Result, ensure};
use kube::api::ListParams;

use super::storage::{GROUP, NAME, TAKEN_TIME_MAX};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::wait::{seconds, until};

const STORAGE: &str = include_str!("../../../../examples/local-storage.yaml");
const JOB: &str = include_str!("../../../../examples/local-job.yaml");
const VOLUMES: &str = include_str!("../../../../examples/local-volume-claim.yaml");
const BOTH: &str = include_str!("../../../../examples/local-and-shared.yaml");

/// The workspace that the example lists.
const WORKSPACE: &str = "my-team";

pub fn cases() -> Vec<Case> {
    let all = cases![
        the_examples_for_local_disks_work_as_they_are,
        the_example_with_a_local_disk_and_a_dedicated_file_system_works_as_it_is,
    ];
    all.into_iter().map(Case::alone).collect()
}

impl Context {
    /// Applies the example's LocalStorage for the case's namespace, and waits for both nodes.
    async fn example_storage(&self) -> Result<()> {
        self.become_workspace().await?;
        ensure!(STORAGE.contains(&format!("- {WORKSPACE}\n")), "the example lists another workspace");
        self.apply(&STORAGE.replace(&format!("- {WORKSPACE}\n"), &format!("- {}\n", self.namespace())))
            .await?;
        let object = self.local_storages().get(NAME).await?;
        ensure!(object.spec.node_group == GROUP, "the example's group is another one");
        for node in ["n1", "n2"] {
            self.entry(NAME, node, "ready", TAKEN_TIME_MAX, |entry| entry.ready).await?;
        }
        self.bound(NAME).await.map(drop)
    }

    /// Applies the example's StatefulSet: its pods run beside their volumes, and one that starts again finds its own.
    async fn example_volumes(&self) -> Result<()> {
        self.local_class().await?;
        self.apply(VOLUMES).await?;
        let look = || async { Ok(self.pods().get("scratch-1").await?) };
        until("the StatefulSet has made its pods", seconds(60), look).await?;
        for number in 0..2 {
            let pod = self.running(&format!("scratch-{number}")).await?;
            let (_, volume) = self.local_volume_of(&format!("data-scratch-{number}")).await?;
            let node = node_of(&pod)?;
            ensure!(volume.spec.node == node, "the pod is on {node}, its volume on {}", volume.spec.node);
        }
        let before = self.pods().get("scratch-0").await?;
        self.delete("scratch-0").await?;
        let look = || async {
            let now = self.pods().get("scratch-0").await?;
            ensure!(now.metadata.uid != before.metadata.uid, "it is still the first one");
            Ok(())
        };
        until("the StatefulSet has made the pod again", seconds(90), look).await?;
        let again = self.running("scratch-0").await?;
        ensure!(node_of(&again)? == node_of(&before)?, "it came to {}", node_of(&again)?);
        let starts = self.exec("scratch-0", "cat /scratch/starts").await?;
        ensure!(starts.lines().count() == 2, "its volume says {starts:?}");
        Ok(())
    }
}

async fn the_examples_for_local_disks_work_as_they_are(context: Context) -> Result<()> {
    let guard = context.taken_away(NAME, vec![context.namespace().to_owned()]);
    context.example_storage().await?;
    context.apply(JOB).await?;
    let log = context.job_log("preprocess").await?;
    let of_job = ListParams::default().labels("batch.kubernetes.io/job-name=preprocess");
    let pods = context.pods().list(&of_job).await?.items;
    let node = node_of(pods.first().context("the Job has no pod")?)?;
    ensure!(context.labelled(NAME).await?.iter().any(|other| other == node), "it ran on {node}");
    ensure!(log.contains(&format!("on {node}")), "the Job says {log:?}");
    context.example_volumes().await.context("volumes of one's own size")?;
    guard.end().await
}

async fn the_example_with_a_local_disk_and_a_dedicated_file_system_works_as_it_is(
    context: Context,
) -> Result<()> {
    let guard = context.taken_away(NAME, vec![context.namespace().to_owned()]);
    context.example_storage().await?;
    context.apply(BOTH).await?;
    context.usable("results").await?;
    let log = context.job_log("train").await?;
    ensure!(log.contains("kept"), "the Job says {log:?}");
    guard.end().await
}
