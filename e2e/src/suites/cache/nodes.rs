//! A copy per node: a node that joins the group gets one of its own, and the label that says so.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use workspacefs_api::FsCache;

use super::caches::{CACHE, FILL_TIME_MAX, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::local::set_up::GROUP_LABEL;
use crate::suites::local::storage::{GROUP, NAME};
use crate::suites::pod::PodSpec;
use crate::suites::wait::until;

pub fn cases() -> Vec<Case> {
    let all = cases![each_node_of_the_group_has_a_copy_and_all_go_with_the_cache];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

async fn each_node_of_the_group_has_a_copy_and_all_go_with_the_cache(context: Context) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    let cache = context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    let first = context.warm(CACHE, "n1").await?;
    ensure!(cache.uid().as_ref() == Some(&first.uid), "it is another one");
    warm_nodes_are(&context, &["n1"]).await?;
    let joined = join_group(&context).await?;
    context.ready_on(NAME, "n2").await?;
    let other = context.warm(CACHE, "n2").await?;
    ensure!(other.number != first.number, "two copies have one number: {first:?} {other:?}");
    warm_nodes_are(&context, &["n1", "n2"]).await?;
    context.write_source("datasets/greeting", "new").await?;
    context.start(["n1", "n2"].map(|node| PodSpec::new(node).on(node).claim("data", "/data"))).await?;
    for (pod, copy) in [("n1", &first), ("n2", &other)] {
        context.has_copy(pod, "/data/datasets", copy).await?;
        context.reads(pod, "/data/datasets/greeting", "old").await?;
        context.only_kept_on(pod, &copy.uid, &[&copy.number.to_string(), "lock"]).await?;
    }

    context.fs_caches().delete(CACHE, &Default::default()).await?;
    for pod in ["n1", "n2"] {
        context.stop(pod).await?;
    }
    context.cache_is_gone(CACHE).await?;
    warm_nodes_are(&context, &[]).await?;
    for node in ["n1", "n2"] {
        context.only_kept_on(node, &first.uid, &[]).await?;
    }
    joined.end().await
}

/// Takes n2 into the group. What the case's caches have there is removed first when it leaves: it could not be afterwards.
async fn join_group(context: &Context) -> Result<Fault> {
    let (cluster, namespace) = (context.cluster().clone(), context.namespace().to_owned());
    let leave = Fault::new(move || {
        let pods = cluster.kubectl("admin", &["-n", &namespace, "delete", "pods", "--all", "--timeout=60s"]);
        let caches = ["-n", &namespace, "delete", "fscaches.workspacefs.io", "--all", "--timeout=100s"];
        let caches = cluster.kubectl("admin", &caches);
        cluster.kubectl("admin", &["label", "node", "n2", &format!("{GROUP_LABEL}-")])?;
        pods?;
        Ok(caches.map(drop)?)
    });
    let label = format!("{GROUP_LABEL}={GROUP}");
    let join = move |cluster: &crate::Cluster| {
        cluster.kubectl("admin", &["label", "--overwrite", "node", "n2", &label])
    };
    context.blocking(join).await?;
    Ok(leave)
}

/// Waits until the scheduler is told of these warm nodes and no others.
pub async fn warm_nodes_are(context: &Context, wanted: &[&str]) -> Result<()> {
    let label = FsCache::warm_label(context.namespace(), CACHE);
    let label = label.context("the case's name is too long for a label")?;
    let nodes: Api<Node> = Api::all(context.client());
    let warm = ListParams::default().labels(&format!("{label}=ready"));
    let look = || async {
        let mut names: Vec<String> = nodes.list(&warm).await?.iter().map(ResourceExt::name_any).collect();
        names.sort();
        ensure!(names == wanted, "it is on {names:?}");
        Ok(())
    };
    until(&format!("the label of warm nodes is on {wanted:?}"), FILL_TIME_MAX, look).await
}
