//! How a copy appears: the example, exactly as it is, in pods of the node group and outside of it.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;

const EXAMPLE: &str = include_str!("../../../../examples/cache.yaml");

pub fn cases() -> Vec<Case> {
    cases![pods_of_the_group_find_the_examples_copy_at_its_place_and_pods_elsewhere_the_source]
}

async fn pods_of_the_group_find_the_examples_copy_at_its_place_and_pods_elsewhere_the_source(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    let nfs = context.usable("default").await?.spec.backend.nfs.context("it is of another backend")?;
    let root = format!("{}/{}", nfs.export, nfs.folder.context("it has no folder of its own")?);
    let fill = "mkdir -p datasets && echo old > datasets/greeting && chmod -R 0777 .";
    context.on("nfs", &format!("mkdir -p {root} && cd {root} && {fill}")).await?;
    context.apply(EXAMPLE).await?;
    let copy = context.warm("datasets", "n1").await?;
    // From here on what a pod reads tells where it reads it.
    context.on("nfs", &format!("echo new > {root}/datasets/greeting")).await?;
    let off = json!({ "fileSystem": "default", "cache": "off" });
    let near = PodSpec::new("near").on("n1").claim("default", "/claim").inline("default", "", "/inline");
    let far = PodSpec::new("far").on("n2").claim("default", "/claim");
    context.start([near.inline_with(off, "/off", false), far]).await?;
    for place in ["/claim/datasets", "/inline/datasets"] {
        let mount = context.has_copy("near", place, &copy).await?;
        ensure!(mount.kind == "xfs", "the copy is not on the node's disk: {mount:?}");
        context.reads("near", &format!("{place}/greeting"), "old").await?;
    }
    for (pod, place) in [("far", "/claim/datasets"), ("near", "/off/datasets")] {
        context.has_source(pod, place).await?;
        context.reads(pod, &format!("{place}/greeting"), "new").await?;
    }
    // Nothing goes into the copy; beside it, and where the source is, everything does.
    let ran = context.try_exec("near", "echo x > /claim/datasets/x").await?;
    ensure!(!ran.success && ran.text.contains("Read-only file system"), "writing to the copy: {}", ran.text);
    context.exec("near", "echo x > /claim/beside && echo x > /off/datasets/x").await?;
    context.exec("far", "cat /claim/beside").await?;
    let listed = context.exec("near", "ls /claim/datasets").await?;
    ensure!(listed == "greeting", "the copy shows what came later: {listed}");
    context.on("nfs", &format!("rm -rf {root}/*")).await.map(drop)
}
