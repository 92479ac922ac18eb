//! A copy that is not there yet: nobody waits for it, and nobody gets half of it.

use anyhow::{Result, ensure};
use workspacefs_api::{CachePhase, FsCache};

use super::caches::{CACHE, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    cases![pods_that_start_while_a_copy_fills_get_the_source_at_once_and_keep_it]
}

/// At this many bytes per second [`MUCH`] takes a minute and more: longer than a pod's start.
pub const SLOWLY: &str = "1500k";
/// In MiB.
pub const MUCH: u32 = 96;

async fn pods_that_start_while_a_copy_fills_get_the_source_at_once_and_keep_it(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    context.write_much("datasets/much", MUCH).await?;
    let mut spec = on_nodes(&["/datasets"]);
    spec["limits"]["bandwidth"] = SLOWLY.into();
    context.create_cache(CACHE, spec).await?;
    let copying = |object: &FsCache| {
        let status = object.status.as_ref();
        status.is_some_and(|status| status.phase == Some(CachePhase::Filling) && status.bytes.done > 0)
    };
    let object = context.cache(CACHE, "tells how far it is", seconds(120), copying).await?;
    let status = object.status.unwrap_or_default();
    ensure!(status.progress.is_some(), "no progress: {status:?}");
    context.note(format!("{:?} at {:?} B/s, {:?} left", status.progress, status.rate, status.eta));
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("early")]).await?;
    let now = context.fs_caches().get(CACHE).await?;
    let has_copy = now.copy_for("n1").is_some_and(|copy| copy.generation.is_some());
    ensure!(!has_copy, "the copy was made before the pod ran: nothing was tested: {:?}", now.status);
    context.has_source("early", "/data/datasets").await?;

    let copy = context.warm(CACHE, "n1").await?;
    context.write_source("datasets/greeting", "new").await?;
    context.start([reader("late")]).await?;
    context.has_copy("late", "/data/datasets", &copy).await?;
    context.reads("late", "/data/datasets/greeting", "old").await?;
    context.has_source("early", "/data/datasets").await?;
    context.reads("early", "/data/datasets/greeting", "new").await?;
    context.exec("early", "echo x > /data/datasets/x").await.map(drop)
}
