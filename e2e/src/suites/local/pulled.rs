//! A disk that is lost while a pod writes to it: told within half a minute, new pods go elsewhere, and nothing is stuck.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use workspacefs_api::NodeStorage;
use workspacefs_api::local_storage::Health;

use super::storage::{NAME, TAKEN_TIME_MAX, identity, on_disks};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::node::node_of;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;
use crate::topology::Drive;

/// The rule says 30 s; the machines share two cores.
pub const TOLD_TIME_MAX: Duration = seconds(120);

/// A pod of a lost disk is gone within this.
const DELETION_TIME_MAX: Duration = seconds(120);

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_disk_that_is_pulled_while_a_pod_writes_is_told_and_holds_nothing_up,
        a_disk_that_the_kernel_takes_away_while_a_pod_writes_is_told_and_holds_nothing_up,
    ];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

/// Writes all the time, whatever becomes of it, new files among it: data and what describes it.
pub fn writer() -> PodSpec {
    PodSpec::new("writer").on("n1").claim(NAME, "/data").runs(
        "trap 'exit 0' TERM; i=0; while :; do i=$((i + 1)); mkdir -p /data/$((i % 50)); \
         echo $i > /data/$((i % 50))/$i && sync -d /data/$((i % 50))/$i; usleep 100000; done",
    )
}

/// All that must be so once the disk of n1 is lost at `lost`, under the case's writer.
pub async fn told_and_nothing_stuck(context: &Context, lost: Instant, elsewhere: bool) -> Result<()> {
    let ill = |entry: &NodeStorage| !entry.ready && matches!(entry.health, Health::Failed | Health::Degraded);
    let entry = context.entry(NAME, "n1", "not ready, and ill", TOLD_TIME_MAX, ill).await?;
    let left: &[&str] = if elsewhere { &["n2"] } else { &[] };
    context.labelled_are(NAME, left, TOLD_TIME_MAX).await?;
    context.note(format!(
        "{:?} after {} s: {}: {}",
        entry.health,
        lost.elapsed().as_secs(),
        entry.reason,
        entry.message
    ));
    context.storage_condition(NAME, "Degraded", "True", &["n1"]).await?;
    // Events of what has no namespace are in `default`.
    let said = context.in_namespace("default").event(NAME, &["n1"], seconds(60)).await?;
    context.note(said);
    context.create(&PodSpec::new("next").claim(NAME, "/data")).await?;
    if elsewhere {
        let next = context.running("next").await.context("a new pod")?;
        ensure!(node_of(&next)? == "n2", "the new pod is on {}", node_of(&next)?);
        context.exec("next", "echo x > /data/x && sync -d /data/x").await?;
        context.stop("next").await?;
    } else {
        context.event("next", &["FailedScheduling"], seconds(60)).await?;
        context.stop("next").await?;
    }
    // Running pods are told by errors, and not killed.
    let now = context.pods().get("writer").await?;
    let phase = now.status.and_then(|status| status.phase);
    ensure!(phase.as_deref() == Some("Running"), "the writer is {phase:?}");
    let deleted = Instant::now();
    context.delete("writer").await?;
    context.gone("writer", DELETION_TIME_MAX).await.context("the pod of the lost disk")?;
    context.note(format!("its pod was gone after {} s", deleted.elapsed().as_secs()));
    context.driver("n1").await.context("the node plugin")?;
    Ok(())
}

async fn a_disk_that_is_pulled_while_a_pod_writes_is_told_and_holds_nothing_up(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let approved = [identity("n1", Drive::Ssd), identity("n2", Drive::Ssd)];
    let storage = context.local_storage(NAME, on_disks(&approved, &[context.namespace()])).await?;
    for node in ["n1", "n2"] {
        context.ready_on(NAME, node).await?;
    }
    context.start([writer()]).await?;
    context.exec("writer", "until [ -s /data/1/1 ]; do sleep 1; done").await?;
    let pulled = context.pull_drive("n1", Drive::Ssd)?;
    told_and_nothing_stuck(&context, Instant::now(), true).await?;
    pulled.end().await?;
    // XFS has stopped and would not go on by itself: once nobody uses it, it is mounted anew.
    context.ready_on(NAME, "n1").await.context("plugged in again")?;
    context.start([PodSpec::new("after").on("n1").claim(NAME, "/data")]).await?;
    context.exec("after", "[ -s /data/1/1 ]").await.context("what was synced before")?;
    context.stop("after").await?;
    storage.end().await
}

/// A SCSI disk in the node's memory, which has a WWN and can be taken away like one of a real bus.
const PLUG_SCSI: &str = "modprobe -a sd_mod && modprobe scsi_debug dev_size_mb=304 delay=0 && \
     tries=0; until ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block 2>/dev/null; do \
     tries=$((tries + 1)); [ $tries -lt 50 ] || exit 1; sleep 0.2; done";

async fn a_disk_that_the_kernel_takes_away_while_a_pod_writes_is_told_and_holds_nothing_up(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let machine = context.machine("n1")?;
    let slot = Fault::new(move || {
        // What was unmounted a moment ago may still hold it.
        let unload =
            "for i in 1 2 3 4 5 6 7 8 9 10; do modprobe -r scsi_debug && exit 0; sleep 1; done; exit 1";
        Ok(machine.shell(unload).map(drop)?)
    });
    let name = context.on("n1", PLUG_SCSI).await?.trim().to_owned();
    let mut spec = on_disks(&[], &[context.namespace()]);
    // Every other case has XFS.
    spec["fsType"] = json!("ext4");
    let storage = context.local_storage(NAME, spec).await?;
    let device = format!("/dev/{name}");
    let listed = |entry: &NodeStorage| super::found::found(entry, &device).is_ok();
    let entry = context.entry(NAME, "n1", &format!("lists {device}"), TAKEN_TIME_MAX, listed).await?;
    let identities = &super::found::found(&entry, &device)?.identities;
    let best = identities.first().with_context(|| format!("{device} has no identity: {entry:?}"))?;
    ensure!(best.starts_with("wwn:"), "the best identity of a SCSI disk is its WWN: {identities:?}");
    context.approve(NAME, std::slice::from_ref(best)).await?;
    context.ready_on(NAME, "n1").await?;
    context.start([writer()]).await?;
    context.exec("writer", "until [ -s /data/1/1 ]; do sleep 1; done").await?;
    context.on("n1", &format!("echo 1 > /sys/block/{name}/device/delete")).await?;
    told_and_nothing_stuck(&context, Instant::now(), false).await?;
    storage.end().await?;
    slot.end().await
}
