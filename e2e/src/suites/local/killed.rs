//! The node plugin dies while it formats a disk, and afterwards: a disk is formatted once, and what was written stays.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::DeleteParams;
use workspacefs_api::NodeStorage;
use workspacefs_api::local_storage::DeviceState;

use super::found::found;
use super::storage::{NAME, TAKEN_TIME_MAX, identity, on_disks};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![a_node_plugin_killed_while_it_formats_formats_no_second_time_and_loses_nothing];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

/// mkfs takes a moment only, and not every shot hits: so many rounds, until so many hit.
const ROUNDS_MAX: u32 = 4;
const HITS: u32 = 2;

/// SIGKILL to the node plugin as soon as a process formats. With the shell's own commands: starting a program takes longer here
/// than formatting.
const KILL_AT_MKFS: &str = "plugin=$(pgrep -o -f '[c]si-driver node '); tries=0; \
     while [ $tries -lt 800 ]; do tries=$((tries + 1)); \
       for file in /proc/[0-9]*/comm; do \
         { read -r name < $file; } 2>/dev/null || continue; \
         case $name in mkfs.*) kill -KILL $plugin; echo hit; exit 0;; esac; \
       done; \
     done; echo missed";

async fn a_node_plugin_killed_while_it_formats_formats_no_second_time_and_loses_nothing(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let mut hits = 0;
    for round in 0..ROUNDS_MAX {
        let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
        context.entry(NAME, "n1", "there", TAKEN_TIME_MAX, |_| true).await?;
        let shot = context.on("n1", KILL_AT_MKFS);
        let approved = async {
            // The shot is aimed before there is anything to hit.
            tokio::time::sleep(seconds(2)).await;
            context.approve(NAME, &[identity("n1", Drive::Ssd)]).await
        };
        let (shot, approved) = tokio::join!(shot, approved);
        approved?;
        let hit = shot?.trim() == "hit";
        hits += u32::from(hit);
        if hit {
            renewed(&context).await?;
        }
        let how = settled(&context).await?;
        context.note(format!(
            "round {round}: {}, {how}",
            if hit { "killed while it formats" } else { "missed" }
        ));
        let last = hits == HITS || round + 1 == ROUNDS_MAX;
        if last {
            keeps_what_is_written(&context).await?;
        }
        storage.end().await?;
        if last {
            break;
        }
    }
    ensure!(hits > 0, "no shot hit: nothing was tested");
    Ok(())
}

/// Replaces the driver's pod on n1: kubelet would wait before it starts again what was killed.
pub async fn renewed(context: &Context) -> Result<()> {
    let on_node = kube::api::ListParams::default().fields("spec.nodeName=n1");
    let pods = context.product().list(&on_node).await?;
    let old = pods.iter().find(|pod| pod.name_any().starts_with("workspacefs-node"));
    let old = old.context("there is no driver on n1")?;
    context.product().delete(&old.name_any(), &DeleteParams::default()).await?;
    let look = || async {
        let now = context.driver("n1").await?;
        ensure!(now.uid() != old.uid(), "it is still the old pod");
        Ok(())
    };
    until("another driver's pod runs", seconds(120), look).await
}

/// Waits until the disk is ready, or waits for a person, who then wipes it as the message says; ready in the end.
async fn settled(context: &Context) -> Result<&'static str> {
    let device = context.drive("n1", Drive::Ssd).await?;
    let occupied =
        |entry: &NodeStorage| found(entry, &device).is_ok_and(|disk| disk.state == DeviceState::Occupied);
    let ended = |entry: &NodeStorage| entry.ready || occupied(entry);
    let entry = context.entry(NAME, "n1", "ready, or waits for a person", seconds(180), ended).await?;
    if entry.ready {
        context.ready_on(NAME, "n1").await?;
        return Ok("ready by itself");
    }
    let disk = found(&entry, &device)?;
    ensure!(!disk.message.is_empty(), "it waits for a person and does not say for what: {entry:?}");
    let mounts = context.mounts_of_device("n1", &device).await?;
    ensure!(mounts.is_empty(), "half of a file system is mounted: {mounts:?}");
    let wipe = format!(
        "wipefs --all --force --quiet {device} && dd if=/dev/zero of={device} bs=1M count=4 conv=fsync"
    );
    context.on("n1", &wipe).await?;
    context.ready_on(NAME, "n1").await?;
    Ok("ready after a person wiped it")
}

/// Two deaths later the file system is the same, and so is what is in it.
async fn keeps_what_is_written(context: &Context) -> Result<()> {
    let uuid = async || -> Result<String> {
        let entry = context.ready_on(NAME, "n1").await?;
        Ok(entry.device.context("no device")?.file_system_uuid)
    };
    let before = uuid().await?;
    context.start([PodSpec::new("writer").claim(NAME, "/data")]).await?;
    context.exec("writer", "echo precious > /data/x && sync -d /data/x").await?;
    for _ in 0..2 {
        context.on("n1", "pkill -KILL -f '[c]si-driver node '").await?;
        renewed(context).await?;
        let now = uuid().await?;
        ensure!(now == before, "it was formatted again: {before} before, {now} now");
    }
    context.exec("writer", "echo still > /data/y && sync -d /data/y").await?;
    context.stop("writer").await?;
    context.start([PodSpec::new("reader").claim(NAME, "/data")]).await?;
    let read = context.exec("reader", "cat /data/x /data/y | tr '\\n' ' '").await?;
    ensure!(read.trim() == "precious still", "it reads {read:?}");
    context.stop("reader").await
}
