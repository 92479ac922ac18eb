//! From a disk that is found to a disk that is used: listed, approved, formatted once, mounted, announced.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use workspacefs_api::local_storage::{DeviceState, FoundDevice, Health, Media};
use workspacefs_api::{NodeStorage, quantity};

use super::storage::{NAME, TAKEN_TIME_MAX, identity, on_disks};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::hygiene::NODES;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_blank_disk_is_listed_and_not_touched_before_it_is_approved,
        an_approved_blank_disk_is_formatted_and_each_listed_workspace_gets_a_claim,
        an_approved_blank_disk_is_formatted_as_ext4_where_that_is_asked_for,
        a_disk_of_another_medium_is_not_used_though_it_is_approved,
        a_disk_that_was_released_is_used_again_with_what_is_on_it,
    ];
    all.into_iter().map(Case::alone).collect()
}

/// What an entry says of a device.
pub fn found<'a>(entry: &'a NodeStorage, device: &str) -> Result<&'a FoundDevice> {
    let name = device.trim_start_matches("/dev/");
    let of_name = |found: &&FoundDevice| found.name.trim_start_matches("/dev/") == name;
    entry.found.iter().find(of_name).with_context(|| format!("{device} is not listed: {:?}", entry.found))
}

async fn a_blank_disk_is_listed_and_not_touched_before_it_is_approved(context: Context) -> Result<()> {
    let mut before = Vec::new();
    for node in NODES {
        for drive in Drive::ALL {
            let device = context.drive(node, drive).await?;
            before.push((node, drive, context.ends_of(node, &device).await?, device));
        }
    }
    let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
    for (node, drive, _, device) in &before {
        let listed = |entry: &NodeStorage| found(entry, device).is_ok();
        let entry = context.entry(NAME, node, &format!("lists {device}"), TAKEN_TIME_MAX, listed).await?;
        ensure!(!entry.ready && entry.device.is_none(), "nothing is approved, and it is {entry:?}");
        let disk = found(&entry, device)?;
        let (state, media) = match drive {
            Drive::Ssd => (DeviceState::Blank, Some(Media::Ssd)),
            Drive::Hdd => (DeviceState::Blank, Some(Media::Hdd)),
            Drive::Nameless => (DeviceState::NoIdentity, Some(Media::Ssd)),
        };
        ensure!((disk.state, disk.media) == (state, media), "{device} on {node} is listed as {disk:?}");
        ensure!(disk.size == i64::try_from(drive.bytes())?, "{device} on {node} has {} bytes", disk.size);
        match drive {
            Drive::Nameless => ensure!(disk.identities.is_empty(), "it has an identity: {disk:?}"),
            _ => ensure!(disk.identities.contains(&identity(node, *drive)), "not its identity: {disk:?}"),
        }
    }
    // A further look of the node, which has one every ten seconds.
    tokio::time::sleep(seconds(12)).await;
    for (node, _, ends, device) in &before {
        ensure!(context.ends_of(node, device).await? == *ends, "{device} on {node} was written to");
        ensure!(context.mounts_of_device(node, device).await?.is_empty(), "{device} on {node} is mounted");
    }
    let labelled = context.labelled(NAME).await?;
    ensure!(labelled.is_empty(), "the scheduler is told of {labelled:?}");
    storage.end().await
}

async fn an_approved_blank_disk_is_formatted_and_each_listed_workspace_gets_a_claim(
    context: Context,
) -> Result<()> {
    taken(&context, "xfs").await
}

async fn an_approved_blank_disk_is_formatted_as_ext4_where_that_is_asked_for(context: Context) -> Result<()> {
    taken(&context, "ext4").await
}

async fn taken(context: &Context, fs_type: &str) -> Result<()> {
    context.become_workspace().await?;
    let (other, gone) = context.workspace_beside("b").await?;
    let mut spec = on_disks(&[identity("n1", Drive::Ssd)], &[context.namespace(), other.namespace()]);
    spec["perWorkspaceQuota"] = json!("256Mi");
    if fs_type != "xfs" {
        spec["fsType"] = json!(fs_type);
    }
    let storage = context.local_storage(NAME, spec).await?;
    let entry = context.ready_on(NAME, "n1").await?;
    ensure!(entry.health == Health::Healthy, "its health is {:?}", entry.health);
    let used = entry.device.as_ref().context("no device")?;
    ensure!(used.fs_type == fs_type && !used.file_system_uuid.is_empty(), "it is used as {used:?}");
    ensure!(used.identity == identity("n1", Drive::Ssd), "it was approved by {}", used.identity);
    let bytes = entry.capacity.as_ref().and_then(|capacity| quantity::bytes(&capacity.0)).unwrap_or_default();
    ensure!(bytes > Drive::Ssd.bytes() * 8 / 10, "its capacity is {:?}", entry.capacity);
    let device = context.drive("n1", Drive::Ssd).await?;
    let mounts = context.mounts_of_device("n1", &device).await?;
    let well = |line: &String| line.contains(&format!(" - {fs_type} ")) && line.contains("prjquota");
    ensure!(mounts.iter().any(well), "it is mounted so:\n{}", mounts.join("\n"));

    context.labelled_are(NAME, &["n1"], seconds(10)).await?;
    context.storage_condition(NAME, "Ready", "True", &[]).await?;
    context.storage_condition(NAME, "WorkspacesReady", "True", &[]).await?;
    // Two workspaces may harm each other; on ext4 root is held by nothing.
    let words: &[&str] = if fs_type == "ext4" { &["project id", "root"] } else { &["project id"] };
    context.note(context.storage_condition(NAME, "QuotaEnforced", "False", words).await?);
    let listed = context.kubectl(&["get", "localstorages", NAME], "").await?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.contains("1/2") && listed.contains("SSD"), "kubectl shows:\n{listed}");
    for workspace in [context, &other] {
        workspace.bound(NAME).await?;
        workspace.start([PodSpec::new("user").claim(NAME, "/data")]).await?;
        workspace.exec("user", "echo x > /data/x && sync -d /data/x").await?;
    }
    other.stop("user").await?;
    storage.end().await?;
    gone.end().await
}

async fn a_disk_of_another_medium_is_not_used_though_it_is_approved(context: Context) -> Result<()> {
    let mut spec = on_disks(&[identity("n1", Drive::Hdd)], &[context.namespace()]);
    spec["media"] = json!("SSD");
    let storage = context.local_storage(NAME, spec).await?;
    let device = context.drive("n1", Drive::Hdd).await?;
    let before = context.ends_of("n1", &device).await?;
    let told = |entry: &NodeStorage| !entry.ready && entry.message.contains("HDD");
    context.note(context.entry(NAME, "n1", "says that it is an HDD", TAKEN_TIME_MAX, told).await?.message);
    tokio::time::sleep(seconds(15)).await;
    ensure!(context.ends_of("n1", &device).await? == before, "it was written to");
    // The administrator knows better than the kernel.
    let patch = json!([{
        "op": "replace", "path": "/spec/source/devices/approved",
        "value": [{ "identity": identity("n1", Drive::Hdd), "media": "SSD" }],
    }]);
    let patch = patch.to_string();
    let patched =
        context.kubectl(&["patch", "localstorage", NAME, "--type=json", "--patch", &patch], "").await?;
    ensure!(patched.status.success(), "{}", String::from_utf8_lossy(&patched.stderr));
    context.ready_on(NAME, "n1").await?;
    storage.end().await
}

async fn a_disk_that_was_released_is_used_again_with_what_is_on_it(context: Context) -> Result<()> {
    context.become_workspace().await?;
    let approved = [identity("n1", Drive::Ssd)];
    let storage = context.local_storage(NAME, on_disks(&approved, &[context.namespace()])).await?;
    let before = context.ready_on(NAME, "n1").await?.device.context("no device")?;
    context.start([PodSpec::new("writer").claim(NAME, "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    context.stop("writer").await?;

    context.approve(NAME, &[]).await?;
    context.entry(NAME, "n1", "not ready", TAKEN_TIME_MAX, |entry| !entry.ready).await?;
    context.labelled_are(NAME, &[], seconds(30)).await?;
    context.approve(NAME, &approved).await?;
    let after = context.ready_on(NAME, "n1").await?.device.context("no device")?;
    ensure!(
        after.file_system_uuid == before.file_system_uuid,
        "it was formatted again: {before:?}, {after:?}"
    );
    context.start([PodSpec::new("reader").claim(NAME, "/data")]).await?;
    let read = context.exec("reader", "cat /data/x").await?;
    ensure!(read == "precious", "it reads {read:?}");
    storage.end().await
}
