//! Cables and power: I/O waits and goes on, pods come back with their volumes, and what was synced is there.

use anyhow::{Context as _, Result, ensure};

use super::writer::{make_room, writer};
use crate::suites::case::{Case, cases};
use crate::suites::context::{Context, is_ready};
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let all = cases![
        a_pulled_cable_makes_io_wait_and_nothing_fail,
        a_server_that_loses_its_power_is_waited_for_and_keeps_what_was_synced,
        a_node_that_loses_its_power_brings_its_pods_back_with_their_volumes,
    ];
    all.into_iter().map(|case| case.alone().within(360)).collect()
}

async fn a_pulled_cable_makes_io_wait_and_nothing_fail(context: Context) -> Result<()> {
    make_room(&context, "data").await?;
    context.file_system("data").await?;
    context.start([writer("writer", "data").on("n1")]).await?;
    context.beats_again("writer", seconds(30)).await?;
    let pulled = context.unplug("nfs")?;
    // A server that talks meanwhile must be as well afterwards as one that kept silent.
    context.on("nfs", "ping -c 2 -W 1 10.99.0.1 && exit 1; true").await.context("the cable is still in")?;
    tokio::time::sleep(seconds(15)).await;
    pulled.end().await?;
    context.beats_again("writer", seconds(120)).await?;
    let story = context.story("writer").await?;
    ensure!(story.longest_stop > seconds(10), "the writer never stood still: the cable was not pulled");
    context.note(format!("longest stop {:.1} s", story.longest_stop.as_secs_f32()));
    context.stop("writer").await
}

async fn a_server_that_loses_its_power_is_waited_for_and_keeps_what_was_synced(
    context: Context,
) -> Result<()> {
    make_room(&context, "data").await?;
    context.file_system("data").await?;
    context.start([writer("writer", "data").on("n1")]).await?;
    context.beats_again("writer", seconds(30)).await?;
    let off = context.power_cut("nfs")?;
    tokio::time::sleep(seconds(3)).await;
    off.end().await?;
    context.beats_again("writer", seconds(150)).await?;
    // Every line is whole and in order: `story` reads them all.
    let story = context.story("writer").await?;
    context.note(format!("longest stop {:.1} s", story.longest_stop.as_secs_f32()));
    // It is the same share: a pod that starts now sees the same files.
    context.start([PodSpec::new("new").on("n1").claim("data", "/data")]).await?;
    context.exec("new", "test -s /data/beats").await?;
    for pod in ["writer", "new"] {
        context.stop(pod).await?;
    }
    context.traceless("n1").await
}

async fn a_node_that_loses_its_power_brings_its_pods_back_with_their_volumes(context: Context) -> Result<()> {
    context.on_server("mkdir -p data/sub && chmod -R 0777 data").await?;
    context.file_system("data").await?;
    let script = "trap 'exit 0' TERM; echo started >> /claim/starts; echo started >> /inline/starts; sync; \
                  while :; do sleep 3600 & wait $!; done";
    let pod = PodSpec::new("user")
        .on("n1")
        .restarting()
        .runs(script)
        .claim("data", "/claim")
        .sub_path("data", "sub", "/sub-path")
        .inline("data", "/sub", "/inline");
    let [before] = context.start([pod]).await?;
    let off = context.power_cut("n1")?;
    tokio::time::sleep(seconds(2)).await;
    off.end().await.context("the node boots")?;
    let look = || async {
        let now = context.pods().get("user").await?;
        let restarts: i32 = now
            .status
            .iter()
            .flat_map(|s| s.container_statuses.iter().flatten())
            .map(|s| s.restart_count)
            .sum();
        ensure!(
            restarts > 0 && is_ready(&now),
            "{restarts} restarts, {}",
            if is_ready(&now) { "Ready" } else { "not Ready" }
        );
        Ok(now)
    };
    let after = until("the pod runs again", seconds(180), look).await?;
    ensure!(after.metadata.uid == before.metadata.uid, "it is another pod");
    let mounts = context.mounts_of(&after).await?;
    ensure!(mounts.len() >= 2, "its mounts are {mounts:?}");
    let starts = context
        .exec("user", "wc -l < /claim/starts && wc -l < /inline/starts && wc -l < /sub-path/starts")
        .await?;
    let counts: Vec<usize> = starts.lines().map(|line| line.trim().parse().unwrap_or(0)).collect();
    ensure!(counts.len() == 3 && counts.iter().all(|count| *count >= 2), "the files show {counts:?} starts");
    context.stop("user").await?;
    context.driver("n1").await?;
    context.traceless("n1").await
}
