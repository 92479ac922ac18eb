//! Exposure Claim: the whole of a copy as a claim of its own, on the nodes that have one, and nowhere else.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::caches::{CACHE, FILL_TIME_MAX, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::scheduling::NO_NODE;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    cases![
        a_claim_of_a_cache_brings_its_pods_to_the_copy_and_they_keep_what_they_started_with,
        a_claim_of_a_cache_is_for_no_node_until_all_of_its_folders_are_in_the_copy,
    ]
}

fn by_claim(paths: &[&str]) -> Value {
    let mut spec = on_nodes(paths);
    spec["exposure"] = "Claim".into();
    spec
}

/// A pod with the claim, wherever the scheduler likes.
fn reader(name: &str) -> PodSpec {
    PodSpec::new(name).claim(CACHE, "/kept")
}

async fn a_claim_of_a_cache_brings_its_pods_to_the_copy_and_they_keep_what_they_started_with(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old"), ("models/v1/weights", "heavy")]).await?;
    context.create_cache(CACHE, by_claim(&["/datasets", "/models/v1"])).await?;
    // Made before there is a copy: it waits for one.
    context.bound(CACHE).await?;
    context.create(&reader("old")).await?;
    let first = context.warm(CACHE, "n1").await?;
    let pod = context.running("old").await?;
    let node = pod.spec.and_then(|spec| spec.node_name);
    ensure!(node.as_deref() == Some("n1"), "it is on {node:?}, the copy on n1");
    let mount = context.has_copy("old", "/kept", &first).await?;
    ensure!(mount.kind == "xfs", "it is not on the disk: {mount:?}");
    context.reads("old", "/kept/models/v1/weights", "heavy").await?;
    let wrote = context.try_exec("old", "echo x > /kept/datasets/x").await?;
    ensure!(!wrote.success, "a pod could write to the copy");
    // Who mounts the source gets the source.
    context.start([PodSpec::new("plain").on("n1").claim("data", "/data")]).await?;
    context.has_source("plain", "/data/datasets").await?;

    context.write_source("datasets/greeting", "new").await?;
    context.refresh(CACHE, "please").await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.start([reader("new")]).await?;
    for (pod, copy, content) in [("old", &first, "old"), ("new", &second, "new")] {
        context.has_copy(pod, "/kept", copy).await?;
        context.reads(pod, "/kept/datasets/greeting", content).await?;
    }

    context.fs_caches().delete(CACHE, &Default::default()).await?;
    let message = context.cache_says(CACHE, "Ready", "Terminating", &["claim c"]).await?;
    context.note(message);
    context.reads("old", "/kept/datasets/greeting", "old").await?;
    for pod in ["old", "new"] {
        context.stop(pod).await?;
    }
    context.cache_is_gone(CACHE).await?;
    let left = context.claims().get_opt(CACHE).await?;
    ensure!(left.is_none(), "its claim is still there: {left:?}");
    let left = context.volumes().get_opt(&format!("wsfs-{}", first.uid)).await?;
    ensure!(left.is_none(), "its volume is still there: {left:?}");
    context.only_kept_on("n1", &first.uid, &[]).await
}

async fn a_claim_of_a_cache_is_for_no_node_until_all_of_its_folders_are_in_the_copy(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("good/greeting", "hello")]).await?;
    context.create_cache(CACHE, by_claim(&["/good", "/missing"])).await?;
    context.event(CACHE, &["PathNotWhole", "/missing"], FILL_TIME_MAX).await?;
    let words = ["1 of 2", "with its claim wait", "/missing"];
    context.note(context.cache_says(CACHE, "Ready", "NothingWhole", &words).await?);
    context.create(&reader("waits")).await?;
    context.note(context.event("waits", &["FailedScheduling", NO_NODE], seconds(60)).await?);

    context.on_server("mkdir -m 0777 data/missing").await?;
    context.write_source("missing/greeting", "there").await?;
    context.refresh(CACHE, "please").await?;
    context.running("waits").await.context("all of its folders are there")?;
    context.reads("waits", "/kept/missing/greeting", "there").await
}
