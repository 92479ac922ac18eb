//! Paths that cannot be kept: each says why, and the others go on.

use anyhow::{Context as _, Result, ensure};
use workspacefs_api::PathState;

use super::caches::{CACHE, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![a_path_that_is_missing_a_file_or_a_way_out_says_so_while_the_others_are_kept]
}

const PATHS: [&str; 4] = ["/good", "/missing", "/file", "/way-out"];

async fn a_path_that_is_missing_a_file_or_a_way_out_says_so_while_the_others_are_kept(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("good/greeting", "old"), ("file", "old")]).await?;
    let link = "mkdir outside && echo secret > outside/secret && ln -s ../outside data/way-out";
    context.on_server(link).await?;
    context.create_cache(CACHE, on_nodes(&PATHS)).await?;
    let first = context.warm(CACHE, "n1").await?;
    let words = ["1 of 4", "/missing", "/file", "/way-out"];
    context.note(context.cache_says(CACHE, "Ready", "SomePathsNotWhole", &words).await?);
    use PathState::{Missing, NotAFolder, Whole};
    states_are(&context, &[Whole, Missing, NotAFolder, NotAFolder]).await?;
    for path in ["/missing", "/file", "/way-out"] {
        context.event(CACHE, &["PathNotWhole", path], super::caches::FILL_TIME_MAX).await?;
    }
    let found = context.on_copy("n1", &first, "find . -name secret").await?;
    ensure!(found.is_empty(), "what lies outside of the source was copied: {found}");
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("reader")]).await?;
    context.has_copy("reader", "/data/good", &first).await?;
    context.has_source("reader", "/data/file").await?;
    context.reads("reader", "/data/file", "old").await?;

    // As soon as there is something it is kept.
    context.on_server("mkdir -m 0777 data/missing").await?;
    context.write_source("missing/greeting", "there").await?;
    context.refresh(CACHE, "please").await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    states_are(&context, &[Whole, Whole, NotAFolder, NotAFolder]).await?;
    context.start([reader("next")]).await?;
    for path in ["/data/good", "/data/missing"] {
        context.has_copy("next", path, &second).await?;
    }
    context.reads("next", "/data/missing/greeting", "there").await
}

/// What the status says of [`PATHS`].
async fn states_are(context: &Context, wanted: &[PathState]) -> Result<()> {
    let status = context.fs_caches().get(CACHE).await?.status.context("no status")?;
    let state = |path: &str| status.paths.iter().find(|known| known.path == path).map(|known| known.state);
    let states: Option<Vec<PathState>> = PATHS.into_iter().map(state).collect();
    ensure!(states.as_deref() == Some(wanted), "the paths are {:?}", status.paths);
    Ok(())
}
