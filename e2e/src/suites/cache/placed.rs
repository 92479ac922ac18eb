//! Pods of the manifests that `wfs manifest --cache` writes: they rather go where the copy is, and wait only if they ask to.

use anyhow::{Result, ensure};

use super::caches::{CACHE, FILL_TIME_MAX, on_nodes};
use super::nodes::warm_nodes_are;
use crate::cluster::BUSYBOX_IMAGE;
use crate::suites::case::{Case, cases};
use crate::suites::cli::desk::Desk;
use crate::suites::context::Context;
use crate::suites::node::node_of;
use crate::suites::pod::IDLE;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    let all = cases![a_manifests_pods_go_where_its_cache_is_warm_and_wait_if_they_ask];
    all.into_iter().map(|case| case.within(600)).collect()
}

/// An FsCache that has no copy anywhere. Together with the namespace's its name has to fit into a label.
const COLD: &str = "d";

async fn a_manifests_pods_go_where_its_cache_is_warm_and_wait_if_they_ask(context: Context) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "hello")]).await?;
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    context.create_cache(COLD, on_nodes(&["/missing"])).await?;
    let copy = context.warm(CACHE, "n1").await?;
    warm_nodes_are(&context, &["n1"]).await?;
    context.event(COLD, &["PathNotWhole", "/missing"], FILL_TIME_MAX).await?;

    let warm = format!("--cache={CACHE}");
    let cold = format!("--cache={COLD}");
    let near = ["near-1", "near-2", "near-3", "only-there"];
    for name in near {
        let only: &[&str] = if name == "only-there" { &["--require-warm"] } else { &[] };
        context.apply_manifest(name, &[&[warm.as_str()], only].concat()).await?;
    }
    context.apply_manifest("waits-for-nothing", &[&cold]).await?;
    context.apply_manifest("waits", &[&cold, "--require-warm"]).await?;
    for name in near {
        let pod = context.running(name).await?;
        ensure!(node_of(&pod)? == "n1", "n1 alone is warm, {name} is on {}", node_of(&pod)?);
        context.has_copy(name, "/data/datasets", &copy).await?;
        context.reads(name, "/data/datasets/greeting", "hello").await?;
    }
    context.running("waits-for-nothing").await?;
    context.reads("waits-for-nothing", "/data/datasets/greeting", "hello").await?;
    context.note(context.event("waits", &["FailedScheduling", "affinity"], seconds(60)).await?);
    let node = context.pods().get("waits").await?.spec.and_then(|spec| spec.node_name);
    ensure!(node.is_none(), "no node is warm, and the pod is on {node:?}");

    context.on_server("mkdir -m 0777 data/missing").await?;
    context.write_source("missing/greeting", "there").await?;
    context.refresh(COLD, "please").await?;
    let copy = context.warm(COLD, "n1").await?;
    let pod = context.running("waits").await?;
    ensure!(node_of(&pod)? == "n1", "n1 alone is warm, it is on {}", node_of(&pod)?);
    context.has_copy("waits", "/data/missing", &copy).await?;
    context.reads("waits", "/data/missing/greeting", "there").await
}

impl Context {
    /// Makes the pod that `wfs manifest` writes with these further words; it mounts the case's source at /data, and idles.
    async fn apply_manifest(&self, name: &str, more: &[&str]) -> Result<()> {
        let image = format!("--image={BUSYBOX_IMAGE}");
        let namespace = format!("--namespace={}", self.namespace());
        let words = ["manifest", "pod", name, "--mount=data:/data", &image, &namespace];
        let words = [&words[..], more, &["--", "sh", "-c", IDLE]].concat();
        let written = Desk::bare(self)?.wfs(&words).await?.ended(0)?.text();
        self.apply(&written).await
    }
}
