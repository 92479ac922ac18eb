//! A node whose clock jumps while its mover works: its copy is what the source was, and no younger than it is.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::caches::{CACHE, Generation, on_nodes};
use super::filling::SLOWLY;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    let all = cases![a_clock_that_jumps_in_the_middle_makes_no_copy_wrong_and_none_younger_than_it_is];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

const MIB: u64 = 1 << 20;
const AHEAD_SECONDS: i64 = 30 * 60;

async fn a_clock_that_jumps_in_the_middle_makes_no_copy_wrong_and_none_younger_than_it_is(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    context.write_many("datasets", 8, 4).await?;
    let mut spec = on_nodes(&["/datasets"]);
    spec["limits"]["bandwidth"] = SLOWLY.into();
    // One file after the other: side by side all of them would be done at about the same time.
    spec["parallelism"] = 1.into();
    context.create_cache(CACHE, spec).await?;
    context.filling(CACHE, MIB as i64).await?;
    let ahead = context.clock_ahead("n1").await?;
    context.is_not_filled(CACHE).await?;
    let first = context.warm(CACHE, "n1").await?;
    context.start([PodSpec::new("first").on("n1").claim("data", "/data")]).await?;
    is_right(&context, "first", &first).await?;

    // The next one begins in the future, and ends half an hour before that.
    context.write_source("datasets/greeting", "new").await?;
    context.write_many("datasets", 8, 4).await?;
    context.refresh(CACHE, "please").await?;
    let copying = |object: &workspacefs_api::FsCache| {
        object.status.as_ref().is_some_and(|status| (1..32 * MIB as i64).contains(&status.bytes.done))
    };
    context.cache(CACHE, "the refresh copies", seconds(180), copying).await?;
    ahead.end().await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.start([PodSpec::new("second").on("n1").claim("data", "/data")]).await?;
    is_right(&context, "second", &second).await
}

/// A pod has that copy, with what the source has, and the copy is not of a time that is still to come.
async fn is_right(context: &Context, pod: &str, copy: &Generation) -> Result<()> {
    context.has_copy(pod, "/data/datasets", copy).await?;
    context.has_content_of(pod, "/data/datasets", "datasets").await?;
    let status = context.fs_caches().get(CACHE).await?.status.context("no status")?;
    let as_of = status.as_of.context("the copy is of no time")?.0.as_second();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    ensure!(as_of <= now as i64, "the copy is of {as_of}, and it is {now}");
    context.note(format!("{pod}: the copy is {} s old", now as i64 - as_of));
    Ok(())
}

impl Context {
    /// Sets a machine's clock ahead; the repair sets it back.
    async fn clock_ahead(&self, machine: &str) -> Result<Fault> {
        let machine = self.machine(machine)?;
        let set = |by: i64| format!("date --set=@$(($(date +%s) + {by})) && date --iso-8601=seconds");
        let (back, ahead) = (set(-AHEAD_SECONDS), set(AHEAD_SECONDS));
        let now = machine.shell(&ahead)?;
        self.note(format!("the clock is {}", now.trim()));
        Ok(Fault::new(move || Ok(machine.shell(&back).map(drop)?)))
    }
}
