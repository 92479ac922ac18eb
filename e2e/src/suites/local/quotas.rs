//! `perWorkspaceQuota`: whoever writes is stopped there, and the neighbour on the same disk does not notice.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::storage::{NAME, identity, on_disks};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::topology::Drive;

const MIB: u64 = 1 << 20;

/// What each workspace may write.
const QUOTA: u64 = 128 * MIB;

/// What may be written beyond it: 64 MiB is more than a hundredth.
const OVERSHOOT_MAX: u64 = 64 * MIB;

pub fn cases() -> Vec<Case> {
    let all = cases![
        root_over_the_quota_is_stopped_there_and_the_neighbour_goes_on,
        a_user_over_the_quota_is_stopped_there_and_goes_on_after_deleting,
        a_user_over_the_quota_is_stopped_on_ext4_too,
    ];
    all.into_iter().map(Case::alone).collect()
}

async fn root_over_the_quota_is_stopped_there_and_the_neighbour_goes_on(context: Context) -> Result<()> {
    stopped_there(&context, "xfs", PodSpec::new("greedy")).await
}

async fn a_user_over_the_quota_is_stopped_there_and_goes_on_after_deleting(context: Context) -> Result<()> {
    stopped_there(&context, "xfs", PodSpec::new("greedy").with_user(1000)).await
}

async fn a_user_over_the_quota_is_stopped_on_ext4_too(context: Context) -> Result<()> {
    stopped_there(&context, "ext4", PodSpec::new("greedy").with_user(1000)).await
}

/// The pod writes 400 MiB where its workspace may write 128.
async fn stopped_there(context: &Context, fs_type: &str, greedy: PodSpec) -> Result<()> {
    context.become_workspace().await?;
    let (neighbour, gone) = context.workspace_beside("b").await?;
    let workspaces = [context.namespace(), neighbour.namespace()];
    let mut spec = on_disks(&[identity("n1", Drive::Ssd)], &workspaces);
    spec["perWorkspaceQuota"] = json!("128Mi");
    spec["fsType"] = json!(fs_type);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    context.start([greedy.claim(NAME, "/data")]).await?;
    neighbour.start([PodSpec::new("modest").claim(NAME, "/data")]).await?;

    let ran = context
        .try_exec("greedy", "dd if=/dev/zero of=/data/big bs=1M count=400 conv=fsync 2>&1; echo code $?")
        .await?;
    let said = ran.text.to_lowercase();
    ensure!(!said.contains("code 0"), "400 MiB went into 128: {said}");
    // ENOSPC on XFS; ext4 has its own word for it.
    let word = if fs_type == "xfs" { "no space left" } else { "quota exceeded" };
    ensure!(said.contains(word), "it says {said}");
    let kib: u64 = context.exec("greedy", "du -sk /data | cut -f1").await?.trim().parse()?;
    let used = kib * 1024;
    context.note(format!("{} MiB lie in {}", used / MIB, QUOTA / MIB));
    ensure!((QUOTA / 2..=QUOTA + OVERSHOOT_MAX).contains(&used), "it ended at {used} bytes of {QUOTA}");
    let fits = "dd if=/dev/zero of=/data/some bs=1M count=64 conv=fsync 2>&1";
    neighbour.exec("modest", fits).await.context("the neighbour suffers")?;
    context.exec("greedy", "rm /data/big && echo again > /data/y && sync -d /data/y").await?;
    storage.end().await?;
    gone.end().await
}
