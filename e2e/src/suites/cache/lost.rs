//! The disk under a copy is lost: new pods get the source, and the copy again when the disk is back; the FsCache says so, and a pod
//! that has the copy reads errors or what it was, and never anything else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::caches::{CACHE, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::storage::NAME;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;
use crate::topology::Drive;

pub fn cases() -> Vec<Case> {
    let all = cases![a_disk_that_is_lost_under_a_copy_leaves_new_pods_the_source_until_it_is_back];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

/// The rule says 30 s; the machines share two cores.
const TOLD_TIME_MAX: Duration = seconds(120);

/// Writes all the time, so that a disk that fails is found out: what is only read may come from memory.
const WRITER: &str = "trap 'exit 0' TERM; i=0; while :; do i=$((i + 1)); echo $i > /scratch/$i && sync -d /scratch/$i; \
     usleep 200000; done";

/// Opens a file of the copy and keeps it open.
const HOLDER: &str = "trap 'exit 0' TERM; exec 3< /data/datasets/greeting; while :; do usleep 200000; done";
/// The file by its path, and as it was opened.
const PLACES: [&str; 2] = ["/data/datasets/greeting", "/proc/1/fd/3"];
/// What is clean in a node's memory goes: what is read then comes from a disk, or does not come.
const FORGET: &str = "echo 3 > /proc/sys/vm/drop_caches";

/// A pod with the copy of a disk that is gone reads what the copy had, from memory, or gets an error: never the source's content
/// of today in the copy's place, and never half of anything.
async fn only_errors_or_the_copy(context: &Context, pod: &str) -> Result<()> {
    for memory in ["from memory", "from the disk"] {
        for place in PLACES {
            let ran = context.try_exec(pod, &format!("cat {place}")).await?;
            let said = ran.text.trim_end();
            let is_right =
                if ran.success { said == "old" } else { !said.is_empty() && !said.contains("new") };
            ensure!(is_right, "{pod} reads in {place}, {memory}: {said:?}, success: {}", ran.success);
            context.note(format!("a copy whose disk is gone gives in {place}, {memory}: {said}"));
        }
        context.on("n1", FORGET).await?;
    }
    Ok(())
}

async fn a_disk_that_is_lost_under_a_copy_leaves_new_pods_the_source_until_it_is_back(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    let copy = context.warm(CACHE, "n1").await?;
    context.write_source("datasets/greeting", "new").await?;
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    let writer = PodSpec::new("writer").on("n1").claim(NAME, "/scratch").runs(WRITER);
    context.start([reader("old").runs(HOLDER), writer]).await?;
    context.has_copy("old", "/data/datasets", &copy).await?;

    for place in PLACES {
        context.reads("old", place, "old").await?;
    }

    let pulled = context.pull_drive("n1", Drive::Ssd)?;
    context.entry(NAME, "n1", "not ready", TOLD_TIME_MAX, |entry| !entry.ready).await?;
    context.note(context.cache_says(CACHE, "TargetAvailable", "NotReady", &[NAME]).await?);
    let words = ["pods read the source"];
    context.note(context.cache_says(CACHE, "Ready", "TargetUnavailable", &words).await?);
    context.event(CACHE, &["TargetUnavailable", NAME], TOLD_TIME_MAX).await?;
    only_errors_or_the_copy(&context, "old").await?;
    context.start([reader("next")]).await?;
    context.has_source("next", "/data/datasets").await?;
    context.reads("next", "/data/datasets/greeting", "new").await?;
    pulled.end().await?;
    only_errors_or_the_copy(&context, "old").await.context("plugged in again, under a mount from before")?;

    // It is mounted anew once nobody uses it: the copy in a pod is a use.
    for pod in ["old", "writer"] {
        context.stop(pod).await?;
    }
    context.ready_on(NAME, "n1").await.context("plugged in again")?;
    context.cache_says(CACHE, "Ready", "Ready", &[]).await?;
    context.cache_says(CACHE, "TargetAvailable", "Available", &[]).await?;
    context.start([reader("again")]).await?;
    context.has_copy("again", "/data/datasets", &copy).await?;
    context.reads("again", "/data/datasets/greeting", "old").await
}
