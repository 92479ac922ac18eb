//! What the schema cannot see: an FsCache that is none now says why, and becomes one when nothing is in the way any more.

use anyhow::{Result, ensure};
use serde_json::json;

use super::caches::{CACHE, on_file_system, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::storage::{GROUP, NAME};
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![what_is_in_a_caches_way_is_named_and_when_it_is_gone_the_cache_is_filled]
}

/// Name, target, reason, and what the message names.
const OBSTACLES: [(&str, &str, &str, &[&str]); 3] = [
    ("for-all", "shared", "TargetNotDedicated", &["shared", "nodeGroup"]),
    ("on-itself", "alias", "TargetIsSource", &["alias", "same folder"]),
    ("nowhere", "missing", "TargetMissing", &["missing"]),
];

async fn what_is_in_a_caches_way_is_named_and_when_it_is_gone_the_cache_is_filled(
    context: Context,
) -> Result<()> {
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    context.cache_says(CACHE, "Ready", "NotListed", &[NAME, context.namespace()]).await?;
    context.cache_says(CACHE, "TargetAvailable", "NotListed", &[NAME]).await?;
    context.join_storage().await?;
    context.cache_says(CACHE, "Ready", "SourceMissing", &["data"]).await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    let copy = context.warm(CACHE, "n1").await?;

    context.file_system_with("shared", json!({ "backend": context.shared("shared") })).await?;
    // The source's own folder, under another name.
    let alias = json!({ "backend": context.shared("data"), "nodeGroup": GROUP });
    context.file_system_with("alias", alias).await?;
    for (name, target, reason, words) in OBSTACLES {
        context.create_cache(name, on_file_system(&["/datasets"], target)).await?;
        let message = context.cache_says(name, "Ready", reason, words).await?;
        context.note(format!("{reason}: {message}"));
        context.event(name, &["TargetMissing", words[0]], super::caches::FILL_TIME_MAX).await?;
    }
    // None of these is in the way of the one that is a cache.
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    context.has_copy("reader", "/data/datasets", &copy).await?;
    let found = context.on_server("ls -A data").await?;
    ensure!(found.lines().eq(["datasets"]), "something was made in the source: {found}");
    Ok(())
}
