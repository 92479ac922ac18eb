//! A volume of its own size for a claim: on the node that the scheduler chose, held to its size, growing while it is mounted,
//! and given back when the claim goes; and claims that get none, and why.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use workspacefs_api::LOCAL_DRIVER;
use workspacefs_api::local_volume::LOCAL_TOPOLOGY_KEY;

use super::claimed::MIB;
use super::scheduling::NO_NODE;
use super::storage::{NAME, identity, on_disks};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::hygiene::NODES;
use crate::suites::node::node_of;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_claims_volume_lies_where_the_scheduler_puts_its_pod_and_the_next_pod_comes_to_its_files,
        a_volumes_size_holds_root_and_grows_while_a_pod_has_it_mounted,
        a_claim_that_no_node_can_hold_or_that_is_not_allowed_stays_pending_and_says_why,
        a_deleted_claims_files_lie_in_the_trash_and_its_room_can_be_had_again,
    ];
    all.into_iter().map(Case::alone).collect()
}

/// What a volume may hold beyond its size.
const OVERSHOOT_MAX: u64 = 8 * MIB;

/// What a figure that is not written at every look may be off by, and what a file system takes for itself.
const SLACK: u64 = 64 * MIB;

async fn a_claims_volume_lies_where_the_scheduler_puts_its_pod_and_the_next_pod_comes_to_its_files(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let approved = NODES.map(|node| identity(node, Drive::Ssd));
    let storage = context.local_storage(NAME, on_disks(&approved, &[context.namespace()])).await?;
    for node in NODES {
        context.ready_on(NAME, node).await?;
    }
    context.local_class().await?;
    context.local_claim("scratch", "256Mi", None).await?;
    context.event("scratch", &["WaitForFirstConsumer"], seconds(60)).await?;
    ensure!(context.volumes_there().await?.is_empty(), "a volume was made before a pod wants it");
    // The whole of it and a folder: unlike a share it takes subPath.
    let user = |name: &str| PodSpec::new(name).claim("scratch", "/data").sub_path("scratch", "a/b", "/sub");
    let [one] = context.start([user("one")]).await?;
    let node = node_of(&one)?.to_owned();
    let (volume, object) = context.local_volume_of("scratch").await?;
    ensure!(object.spec.node == node, "the pod is on {node}, its volume on {}", object.spec.node);
    ensure!(object.spec.claim == "scratch" && object.spec.namespace == context.namespace(), "{object:?}");
    ensure!(pinned_to(&json!(volume.spec))? == [node.as_str()], "the volume's affinity is {:?}", volume.spec);
    context.exec("one", "echo precious > /sub/x && sync -d /sub/x && cat /data/a/b/x").await?;
    let found = context.on_local_disk(&node, "find export/workspaces -path '*/a/b/x'").await?;
    ensure!(found.contains(&object.name_any()), "on the disk the file is {found:?}");
    context.stop("one").await?;
    // It names no node, and the claim was made.
    let [two] = context.start([user("two")]).await?;
    ensure!(node_of(&two)? == node, "the files are on {node}, the pod is on {}", node_of(&two)?);
    let read = context.exec("two", "cat /sub/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    let other = NODES.into_iter().find(|other| *other != node).context("no other node")?;
    context.create(&user("elsewhere").on(other)).await?;
    context.event("elsewhere", &["FailedScheduling", NO_NODE], seconds(60)).await?;
    storage.end().await
}

/// The nodes that a PersistentVolume may be mounted on.
fn pinned_to(spec: &Value) -> Result<Vec<&str>> {
    let terms = &spec["nodeAffinity"]["required"]["nodeSelectorTerms"];
    let rule = &terms[0]["matchExpressions"][0];
    ensure!(terms[1].is_null() && rule["key"] == LOCAL_TOPOLOGY_KEY, "its affinity is {terms}");
    Ok(rule["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect())
}

async fn a_volumes_size_holds_root_and_grows_while_a_pod_has_it_mounted(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[context.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    context.local_class().await?;
    context.local_claim("scratch", "128Mi", Some("n1")).await?;
    context.start([PodSpec::new("greedy").claim("scratch", "/data")]).await?;
    ends_at(&context, 128 * MIB).await?;
    context.grow("scratch", "256Mi").await?;
    context.has_size("scratch", "256Mi").await?;
    let (_, object) = context.local_volume_of("scratch").await?;
    let enforced = object.status.as_ref().and_then(|status| status.size_bytes);
    ensure!(enforced == Some(256 << 20), "the node says {enforced:?}");
    let before = context.pods().get("greedy").await?;
    ends_at(&context, 256 * MIB).await?;
    ensure!(context.pods().get("greedy").await?.uid() == before.uid(), "it is another pod");
    // Beyond the whole disk it cannot grow, and stays what it is.
    context.grow("scratch", "64Gi").await?;
    context.note(context.event("scratch", &["VolumeResizeFailed"], seconds(90)).await?);
    let (_, object) = context.local_volume_of("scratch").await?;
    let enforced = object.status.as_ref().and_then(|status| status.size_bytes);
    ensure!(enforced == Some(256 << 20), "what could not grow has now {enforced:?}");
    storage.end().await
}

/// In pod `greedy`, root, `df` says this size, and no more than that goes into the volume. Nothing is left in it.
async fn ends_at(context: &Context, size: u64) -> Result<()> {
    let kib: u64 =
        context.exec("greedy", "df -kP /data | tail -n 1 | awk '{ print $2 }'").await?.trim().parse()?;
    ensure!(kib * 1024 == size, "df says {kib} KiB of {} MiB", size / MIB);
    let ran = context
        .try_exec("greedy", "dd if=/dev/zero of=/data/big bs=1M count=400 conv=fsync 2>&1; echo code $?")
        .await?;
    let said = ran.text.to_lowercase();
    ensure!(!said.contains("code 0"), "400 MiB went into {}: {said}", size / MIB);
    ensure!(said.contains("no space left"), "it says {said}");
    let kib: u64 = context.exec("greedy", "du -sk /data | cut -f1").await?.trim().parse()?;
    let used = kib * 1024;
    context.note(format!("{} MiB lie in {}", used / MIB, size / MIB));
    ensure!((size * 3 / 4..=size + OVERSHOOT_MAX).contains(&used), "it ended at {used} bytes of {size}");
    context.exec("greedy", "rm /data/big && sync").await?;
    Ok(())
}

/// The scheduler's own.
const NO_ROOM: &str = "did not have enough free storage";

async fn a_claim_that_no_node_can_hold_or_that_is_not_allowed_stays_pending_and_says_why(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let (unlisted, gone) = context.workspace_beside("b").await?;
    let spec = on_disks(&NODES.map(|node| identity(node, Drive::Ssd)), &[context.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    for node in NODES {
        context.ready_on(NAME, node).await?;
    }
    context.local_class().await?;
    // Nothing known would look like nothing free.
    let look = || async {
        let told = context.told_capacities().await?;
        let there = told.iter().filter(|bytes| (1..=Drive::Ssd.bytes()).contains(*bytes)).count();
        ensure!(there == NODES.len(), "it is told {told:?}");
        Ok(())
    };
    until("the scheduler is told what each node has", seconds(90), look).await?;
    context.local_claim("huge", "64Gi", None).await?;
    context.create(&PodSpec::new("waits").claim("huge", "/data")).await?;
    unlisted.local_claim("foreign", "64Mi", None).await?;
    unlisted.create(&PodSpec::new("asks").claim("foreign", "/data")).await?;
    context.note(context.event("waits", &["FailedScheduling", NO_ROOM], seconds(60)).await?);
    let words = ["ProvisioningFailed", NAME, "spec.workspaces"];
    context.note(unlisted.event("foreign", &words, seconds(90)).await?);
    tokio::time::sleep(seconds(10)).await;
    let node = context.pods().get("waits").await?.spec.and_then(|spec| spec.node_name);
    ensure!(node.is_none(), "no node can hold its volume, and the pod is on {node:?}");
    let made = context.volumes_there().await?;
    ensure!(made.is_empty(), "LocalVolumes were left: {made:?}");
    unlisted.stop("asks").await?;
    storage.end().await?;
    gone.end().await
}

async fn a_deleted_claims_files_lie_in_the_trash_and_its_room_can_be_had_again(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let spec = on_disks(&[identity("n1", Drive::Ssd)], &[context.namespace()]);
    let storage = context.local_storage(NAME, spec).await?;
    context.ready_on(NAME, "n1").await?;
    context.local_class().await?;
    let before = context.available_is("n1", "something", |bytes| bytes > 0).await?;
    let size = before * 3 / 4;
    let text = size.to_string();
    context.local_claim("first", &text, Some("n1")).await?;
    context.start([PodSpec::new("writer").claim("first", "/data")]).await?;
    let write = "dd if=/dev/urandom of=/data/precious bs=1M count=32 conv=fsync 2>/dev/null && sha256sum < /data/precious";
    let sum = context.exec("writer", write).await?;
    // All of it is promised, though hardly anything is written.
    context.available_is("n1", "without the volume", |bytes| bytes <= before - size + SLACK).await?;
    context.local_claim("second", &text, Some("n1")).await?;
    context.note(context.event("second", &["ProvisioningFailed"], seconds(60)).await?);
    context.claims().delete("second", &Default::default()).await?;
    context.stop("writer").await?;
    context.delete_claim("first").await?;
    ensure!(context.volumes_there().await?.is_empty(), "its LocalVolume is still there");
    let found =
        context.on_local_disk("n1", "find export new -name precious; find trash -name precious").await?;
    ensure!(found.starts_with("trash/") && found.lines().count() == 1, "on the disk it is {found:?}");
    let kept = context.on_local_disk("n1", &format!("sha256sum < {}", found.trim())).await?;
    ensure!(kept.trim() == sum.trim(), "its files were changed: {kept}");
    // The trash takes what the files take; the rest of the size is free again.
    let trash = 32 * MIB;
    let after = context.available_is("n1", "what it was, but for the trash", |bytes| {
        bytes + trash + SLACK >= before && bytes < before
    });
    let after = after.await?;
    context.note(format!("{} MiB were available, {} with 32 MiB in the trash", before / MIB, after / MIB));
    context.local_claim("third", &text, Some("n1")).await?;
    let (volume, _) = context.local_volume_of("third").await?;
    let driver = volume.spec.and_then(|spec| spec.csi).map(|csi| csi.driver);
    ensure!(driver.as_deref() == Some(LOCAL_DRIVER), "it is of {driver:?}");
    storage.end().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_pinned_by_one_rule_on_the_drivers_own_key() {
        let rule = |key: &str, nodes: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": "In", "values": nodes }] });
        let spec =
            |terms: &[Value]| json!({ "nodeAffinity": { "required": { "nodeSelectorTerms": terms } } });
        let one = spec(&[rule(LOCAL_TOPOLOGY_KEY, &["n1"])]);
        assert_eq!(pinned_to(&one).unwrap(), ["n1"]);
        assert!(pinned_to(&spec(&[rule(LOCAL_TOPOLOGY_KEY, &["n1"]), rule("x", &["n2"])])).is_err());
        assert!(pinned_to(&spec(&[rule("kubernetes.io/hostname", &["n1"])])).is_err());
        assert!(pinned_to(&json!({})).is_err());
    }
}
