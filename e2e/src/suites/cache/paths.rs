//! Paths that cannot be kept: each says why, and the others go on.

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use workspacefs_api::{FsCache, PathState};

use super::caches::{CACHE, Generation, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    cases![
        a_path_that_is_missing_a_file_or_a_way_out_says_so_while_the_others_are_kept,
        a_folder_with_an_access_list_that_a_copy_cannot_keep_is_read_from_the_source,
        over_its_capacity_the_last_folder_is_left_out_and_read_from_the_source,
        a_capacity_that_is_lowered_takes_nothing_away_before_the_next_refresh,
    ]
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
    states_are(&context, &PATHS, &[Whole, Missing, NotAFolder, NotAFolder]).await?;
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
    states_are(&context, &PATHS, &[Whole, Whole, NotAFolder, NotAFolder]).await?;
    context.start([reader("next")]).await?;
    for path in ["/data/good", "/data/missing"] {
        context.has_copy("next", path, &second).await?;
    }
    context.reads("next", "/data/missing/greeting", "there").await
}

/// Over NFS it is one of NFSv4, and a node's disk has none of those. Its mode alone would let in the group, and keep out user 4711.
async fn a_folder_with_an_access_list_that_a_copy_cannot_keep_is_read_from_the_source(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("open/greeting", "open"), ("listed/greeting", "listed")]).await?;
    context.on_server("chmod 0600 data/listed/greeting && setfacl -m u:4711:r data/listed/greeting").await?;
    context.create_cache(CACHE, on_nodes(&["/open", "/listed"])).await?;
    let copy = context.warm(CACHE, "n1").await?;
    states_are(&context, &["/open", "/listed"], &[PathState::Whole, PathState::Partial]).await?;
    let words = ["PathNotWhole", "/listed", "greeting", "NFSv4 access control list"];
    context.note(context.event(CACHE, &words, super::caches::FILL_TIME_MAX).await?);
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    context.has_copy("reader", "/data/open", &copy).await?;
    context.has_source("reader", "/data/listed").await
}

async fn over_its_capacity_the_last_folder_is_left_out_and_read_from_the_source(
    context: Context,
) -> Result<()> {
    let copy = two_folders_within(&context, "3Mi").await?;
    states_are(&context, &["/a", "/b"], &[PathState::Whole, PathState::Evicted]).await?;
    let status = context.fs_caches().get(CACHE).await?.status.context("no status")?;
    let said = status.paths.iter().find(|known| known.path == "/b").map(|known| known.message.as_str());
    let limit = format!("the limit is {} bytes", 3 << 20);
    ensure!(said.is_some_and(|said| said.contains(&limit)), "of /b is said: {said:?}");
    let size = context.on_copy("n1", &copy, "du -sk --apparent-size . | cut -f1").await?;
    let kib: u32 = size.trim().parse()?;
    ensure!((2048..3072).contains(&kib), "the copy has {kib} KiB");
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    context.has_copy("reader", "/data/a", &copy).await?;
    context.has_source("reader", "/data/b").await?;
    context.reads("reader", "/data/b/greeting", "second").await
}

async fn a_capacity_that_is_lowered_takes_nothing_away_before_the_next_refresh(
    context: Context,
) -> Result<()> {
    let first = two_folders_within(&context, "10Mi").await?;
    states_are(&context, &["/a", "/b"], &[PathState::Whole, PathState::Whole]).await?;
    let lower = json!({ "spec": { "limits": { "capacity": "3Mi" } } });
    context.fs_caches().patch(CACHE, &PatchParams::default(), &Patch::Merge(lower)).await?;
    let heard = |object: &FsCache| {
        object.status.as_ref().is_some_and(|status| status.observed_generation == object.metadata.generation)
    };
    context.cache(CACHE, "the operator has heard of it", seconds(60), heard).await?;
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("between")]).await?;
    for place in ["/data/a", "/data/b"] {
        context.has_copy("between", place, &first).await?;
    }
    states_are(&context, &["/a", "/b"], &[PathState::Whole, PathState::Whole]).await?;

    context.refresh(CACHE, "please").await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.note(context.event(CACHE, &["Evicted", "/b"], super::caches::FILL_TIME_MAX).await?);
    states_are(&context, &["/a", "/b"], &[PathState::Whole, PathState::Evicted]).await?;
    context.start([reader("after")]).await?;
    context.has_copy("after", "/data/a", &second).await?;
    context.has_source("after", "/data/b").await?;
    context.reads("after", "/data/b/greeting", "second").await?;
    // What a pod has it keeps.
    context.has_copy("between", "/data/b", &first).await?;
    context.reads("between", "/data/b/greeting", "second").await
}

/// Has two folders of 2 MiB each kept within a capacity.
async fn two_folders_within(context: &Context, capacity: &str) -> Result<Generation> {
    context.join_storage().await?;
    context.source(&[("a/greeting", "first"), ("b/greeting", "second")]).await?;
    for path in ["a/much", "b/much"] {
        context.write_much(path, 2).await?;
    }
    let mut spec = on_nodes(&["/a", "/b"]);
    spec["limits"]["capacity"] = capacity.into();
    context.create_cache(CACHE, spec).await?;
    context.warm(CACHE, "n1").await
}

/// What the status says of paths.
async fn states_are(context: &Context, paths: &[&str], wanted: &[PathState]) -> Result<()> {
    let status = context.fs_caches().get(CACHE).await?.status.context("no status")?;
    let state = |path: &&str| status.paths.iter().find(|known| known.path == *path).map(|known| known.state);
    let states: Option<Vec<PathState>> = paths.iter().map(state).collect();
    ensure!(states.as_deref() == Some(wanted), "the paths are {:?}", status.paths);
    Ok(())
}
