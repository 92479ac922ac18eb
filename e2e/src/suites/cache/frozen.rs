//! The source's server hangs: pods on a warm node go on reading what they have, and one whose volume is the copy alone even
//! starts.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::caches::{CACHE, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let all = cases![while_the_sources_server_hangs_pods_on_a_warm_node_read_their_copies_and_can_start];
    all.into_iter().map(|case| case.alone().within(400)).collect()
}

/// Reads the copy where it stands, five times a second, and writes down when it could.
const READER: &str = "trap 'exit 0' TERM; cd /data/datasets; while :; do read now _ < /proc/uptime; \
     cat greeting > /dev/null && echo $now >> /tmp/beats; usleep 200000; done";

/// For so long at least the server hangs: a node's cached attributes of folders outlive half a minute.
const HANG_TIME: f64 = 35.0;

/// The longest stop between two reads that counts as none: two cores carry the whole cluster.
const STOP_MAX: f64 = 5.0;

async fn while_the_sources_server_hangs_pods_on_a_warm_node_read_their_copies_and_can_start(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    let copy = context.warm(CACHE, "n1").await?;
    let rooted = json!({ "fileSystem": "data", "mountFrom": "/datasets" });
    let rooted = |name: &str| PodSpec::new(name).on("n1").inline_with(rooted.clone(), "/data", true);
    let reader = PodSpec::new("reader").on("n1").claim("data", "/data").runs(READER);
    context.start([reader, rooted("rooted")]).await?;
    context.has_copy("reader", "/data/datasets", &copy).await?;
    context.has_copy("rooted", "/data", &copy).await?;
    beats_until(&context, 0.0, seconds(30)).await?;

    let hang = context.freeze("nfs")?;
    let frozen_at = *context.beats().await?.last().unwrap_or(&0.0);
    context.start([rooted("next")]).await?;
    for pod in ["rooted", "next"] {
        context.has_copy(pod, "/data", &copy).await?;
        context.reads(pod, "/data/greeting", "old").await?;
    }
    beats_until(&context, frozen_at + HANG_TIME, seconds(90)).await?;
    // The way from the volume's root leads through a folder of the source: what that does is for the reader to know.
    let way = "timeout -s KILL 8 cat /data/datasets/greeting";
    let ran = context.try_exec("reader", way).await?;
    let answered = if ran.success { "is read as well" } else { "waits for the server" };
    context.note(format!("by its whole path from the volume's root, the copy {answered}"));
    hang.end().await?;

    let beats = context.beats().await?;
    let longest = beats.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    context.note(format!("{} reads, longest stop {longest:.1} s", beats.len()));
    ensure!(longest < STOP_MAX, "the reader stood still for {longest:.1} s");
    context.reads("reader", "/data/datasets/greeting", "old").await
}

/// Waits until the reader has read the copy at that time of its node, or later.
async fn beats_until(context: &Context, time: f64, limit: Duration) -> Result<()> {
    let look = || async {
        let last = context.beats().await?.last().copied();
        ensure!(last.is_some_and(|last| last >= time), "the last time was {last:?}");
        Ok(())
    };
    until(&format!("the reader reads at {time:.0}"), limit, look).await
}

impl Context {
    /// When the case's reader could read, in its node's seconds.
    async fn beats(&self) -> Result<Vec<f64>> {
        let text = self.exec("reader", "cat /tmp/beats 2>/dev/null || true").await?;
        Ok(text.lines().map(|line| line.trim().parse()).collect::<Result<_, _>>()?)
    }
}
