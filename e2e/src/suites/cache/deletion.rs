//! An FsCache is deleted: no new pod gets it, and what lies on the target goes with the last pod that reads it.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;

use super::caches::{CACHE, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![a_deleted_cache_is_shown_to_nobody_new_and_goes_with_the_last_pod_that_reads_it]
}

async fn a_deleted_cache_is_shown_to_nobody_new_and_goes_with_the_last_pod_that_reads_it(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old"), ("datasets/late", "old")]).await?;
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    let copy = context.warm(CACHE, "n1").await?;
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("old")]).await?;
    context.write_source("datasets/greeting", "new").await?;
    context.fs_caches().delete(CACHE, &Default::default()).await?;
    let words = ["pods use it", "n1"];
    context.note(context.cache_says(CACHE, "Ready", "Terminating", &words).await?);
    context.start([reader("next")]).await?;
    context.has_source("next", "/data/datasets").await?;
    context.reads("next", "/data/datasets/greeting", "new").await?;
    // A file that it has not read before is there, too.
    context.has_copy("old", "/data/datasets", &copy).await?;
    context.reads("old", "/data/datasets/greeting", "old").await?;
    context.reads("old", "/data/datasets/late", "old").await?;
    let kept = context.kept_on("n1", &copy.uid).await?;
    ensure!(kept.contains_key(&copy.number.to_string()), "it was removed under a pod: {kept:?}");
    let object = context.fs_caches().get_opt(CACHE).await?.context("it went while a pod reads it")?;
    ensure!(object.uid().as_ref() == Some(&copy.uid), "it is another one");

    context.stop("old").await?;
    context.cache_is_gone(CACHE).await?;
    context.only_kept_on("n1", &copy.uid, &[]).await?;
    context.reads("next", "/data/datasets/late", "old").await
}
