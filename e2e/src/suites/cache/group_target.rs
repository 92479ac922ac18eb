//! Copies on a FileSystem that is dedicated to the node group: one for all of its nodes, hidden from who mounts that FileSystem.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use workspacefs_api::fs_cache::EVERYWHERE;

use super::caches::{CACHE, Generation, on_file_system};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::storage::GROUP;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![
        a_copy_on_a_dedicated_file_system_is_one_for_its_group_and_hidden_in_it,
        a_copy_that_is_missing_on_its_target_is_read_from_the_source,
    ]
}

/// The target, and its folder beneath the case's own.
const NEAR: &str = "near";

/// The case's source, filled, with a copy on [`NEAR`]; what the source has changed since.
async fn filled(context: &Context) -> Result<Generation> {
    context.source(&[("datasets/greeting", "old")]).await?;
    let near = json!({ "backend": context.shared(NEAR), "nodeGroup": GROUP });
    context.file_system_with(NEAR, near).await?;
    context.create_cache(CACHE, on_file_system(&["/datasets"], NEAR)).await?;
    let copy = context.warm(CACHE, "n1").await?;
    context.write_source("datasets/greeting", "new").await?;
    Ok(copy)
}

async fn a_copy_on_a_dedicated_file_system_is_one_for_its_group_and_hidden_in_it(
    context: Context,
) -> Result<()> {
    let copy = filled(&context).await?;
    let status = context.fs_caches().get(CACHE).await?.status.context("no status")?;
    let places: Vec<&str> = status.copies.iter().map(|copy| copy.node.as_str()).collect();
    ensure!(places == [EVERYWHERE], "there are copies for {places:?}");
    let kept = format!("{NEAR}/.workspacefs/cache/{}/{}/data/datasets/greeting", copy.uid, copy.number);
    let read = context.on_server(&format!("stat -c '%u %a' {NEAR}/.workspacefs && cat {kept}")).await?;
    ensure!(read.lines().eq(["0 700", "old"]), "on the target's server it is {read:?}");

    let inside = PodSpec::new("inside").on("n1").claim("data", "/data").claim(NEAR, "/near");
    context.start([inside, PodSpec::new("outside").on("n2").claim("data", "/data")]).await?;
    let mount = context.has_copy("inside", "/data/datasets", &copy).await?;
    ensure!(mount.kind == "nfs4", "the copy is not on the FileSystem: {mount:?}");
    context.reads("inside", "/data/datasets/greeting", "old").await?;
    context.has_source("outside", "/data/datasets").await?;
    context.reads("outside", "/data/datasets/greeting", "new").await?;
    for line in
        ["ls /near/.workspacefs/cache", "mkdir -p /near/.workspacefs/cache/x", "rmdir /near/.workspacefs"]
    {
        let ran = context.try_exec("inside", line).await?;
        ensure!(!ran.success, "`{line}` in a pod that mounts the target: {}", ran.text);
    }
    context.exec("inside", "echo x > /near/x").await.map(drop)
}

async fn a_copy_that_is_missing_on_its_target_is_read_from_the_source(context: Context) -> Result<()> {
    let copy = filled(&context).await?;
    context.on_server(&format!("rm -r {NEAR}/.workspacefs/cache/{}/{}", copy.uid, copy.number)).await?;
    // The status says that it is there, and so the node tries.
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    context.has_source("reader", "/data/datasets").await?;
    context.reads("reader", "/data/datasets/greeting", "new").await
}
