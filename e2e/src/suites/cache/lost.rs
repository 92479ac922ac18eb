//! The disk under a copy is lost: new pods get the source, and the copy again when the disk is back.

use std::time::Duration;

use anyhow::{Context as _, Result};

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
    context.start([reader("old"), writer]).await?;
    context.has_copy("old", "/data/datasets", &copy).await?;

    let pulled = context.pull_drive("n1", Drive::Ssd)?;
    context.entry(NAME, "n1", "not ready", TOLD_TIME_MAX, |entry| !entry.ready).await?;
    context.start([reader("next")]).await?;
    context.has_source("next", "/data/datasets").await?;
    context.reads("next", "/data/datasets/greeting", "new").await?;
    pulled.end().await?;

    // It is mounted anew once nobody uses it: the copy in a pod is a use.
    for pod in ["old", "writer"] {
        context.stop(pod).await?;
    }
    context.ready_on(NAME, "n1").await.context("plugged in again")?;
    context.start([reader("again")]).await?;
    context.has_copy("again", "/data/datasets", &copy).await?;
    context.reads("again", "/data/datasets/greeting", "old").await
}
