//! The files of `examples/` for local disks, exactly as they are but for the workspace's name.

use anyhow::{Context as _, Result, ensure};
use kube::api::ListParams;

use super::storage::{GROUP, NAME, TAKEN_TIME_MAX};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::node::node_of;

const STORAGE: &str = include_str!("../../../../examples/local-storage.yaml");
const JOB: &str = include_str!("../../../../examples/local-job.yaml");
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
