//! `cargo xtask demo cache`: a Job reads a dataset over a slow link, then from an FsCache's copy on its node's own disk; what
//! either takes is measured in the Job and printed. Then what pods elsewhere see, and a refresh. It takes away what it made, so it
//! can be run again, and leaves the cluster running.

mod job;
mod steps;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use workspacefs_e2e::suites::{self, Context, Generation};
use workspacefs_e2e::{Cluster, ClusterConfig, product};

use crate::images;

/// The suite that finds on the machines what the demo needs: n1 in a node group, n2 outside, both with blank disks.
const SUITE: &str = "cache";

/// The workspace.
const WORKSPACE: &str = "demo-cache";

/// What was seen so far.
#[derive(Default)]
struct Shown {
    passed: usize,
    failed: usize,
    /// The two times and their ratio, in words.
    difference: Option<String>,
}

impl Shown {
    /// Says what is done, does it, and says what was seen: the second thing that `run` gives. Gives the first, which later steps
    /// need, unless it failed.
    async fn step<T>(
        &mut self,
        does: &str,
        expects: &str,
        run: impl Future<Output = Result<(T, String)>>,
    ) -> Option<T> {
        let started = super::begin(does);
        let (kept, seen) = match run.await {
            Ok((kept, seen)) => (Some(kept), Ok(seen)),
            Err(error) => (None, Err(error)),
        };
        let count = if super::end(expects, started, &seen) { &mut self.passed } else { &mut self.failed };
        *count += 1;
        kept
    }
}

/// Starts what is missing, then shows everything.
pub fn run(name: &str, as_installed: bool) -> Result<()> {
    println!("Building the images and starting the cluster, as far as they are not there yet.");
    let images = if as_installed { None } else { Some(images::build()?) };
    let cluster = Cluster::up(&ClusterConfig::from_environment(name)?)?;
    // The other demo's workspaces: what is installed below has no embedded server, and pods on a server that goes cannot end.
    if let Err(error) = suites::clear(&cluster, SUITE) {
        println!("not removed yet, and tried again with the product installed: {error:#}");
    }
    let shown =
        suites::in_namespace(&cluster, WORKSPACE, async |context| Ok(everything(&context, images).await))?;
    if let Some(difference) = &shown.difference {
        println!("\n{difference}");
    }
    println!("demo: {} passed, {} failed", shown.passed, shown.failed);
    if shown.failed > 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// Each step builds on those before it: the first that fails is the last, but for taking away what was made.
async fn everything(context: &Context, images: Option<Vec<PathBuf>>) -> Shown {
    let mut shown = Shown::default();
    let installed = shown
        .step(
            "helm upgrade --install workspacefs charts/workspacefs --namespace workspacefs-system, with caches.enabled",
            "every pod of the chart is ready",
            install(context, images),
        )
        .await;
    if installed.is_none() {
        return shown;
    }
    let started = Instant::now();
    if path(&mut shown, context).await.is_none() {
        let around = suites::surroundings(context, started.elapsed()).await;
        around.iter().flat_map(|text| text.lines()).for_each(|line| println!("    {line}"));
    }
    shown
        .step(
            "kubectl delete the Jobs, the pods, the FsCache, the namespace and the LocalStorage; take the label off n1",
            "the copy is gone with its cache, and the disk is blank again",
            steps::clean_up(context),
        )
        .await;
    shown
}

async fn install(context: &Context, images: Option<Vec<PathBuf>>) -> Result<((), String)> {
    let install = move |cluster: &Cluster| -> Result<String> {
        if let Some(images) = images {
            let mut values = product::values();
            values["caches"]["enabled"] = true.into();
            product::install(cluster, &images, &values)?;
            suites::clear(cluster, SUITE)?;
        }
        let enabled = product::installed_values(cluster)?["caches"]["enabled"] == true;
        ensure!(enabled, "what is installed has no caches: leave out --as-installed");
        super::steps::what_is_installed(cluster)
    };
    Ok(((), context.blocking(install).await?))
}

/// All of it; None as soon as something failed.
async fn path(shown: &mut Shown, context: &Context) -> Option<()> {
    let root = ground(shown, context).await?;
    let copy = difference(shown, context).await?;
    views(shown, context, &root, &copy).await
}

/// What an administrator and a workspace have before there is a cache. Gives where the dataset's FileSystem lies on the storage
/// host.
async fn ground(shown: &mut Shown, context: &Context) -> Option<String> {
    shown
        .step(
            "kubectl label node n1 workspacefs.io/node-group=gpu, n2 not; kubectl apply LocalStorage fast, which approves the \
             SSDs by their serial numbers",
            "the SSD of n1 is formatted and ready, for nobody outside of the group",
            steps::disks(context),
        )
        .await?;
    let root = shown
        .step(
            "kubectl create namespace demo-cache, labelled workspacefs.io/workspace=true and listed in LocalStorage fast",
            "it has the FileSystem default on the storage host, and a claim of the group's disks",
            steps::workspace(context),
        )
        .await?;
    shown
        .step(
            "kubectl apply FileSystem scratch, with nodeGroup: gpu",
            "the group has a FileSystem of its own on the storage host",
            steps::dedicated(context),
        )
        .await?;
    shown
        .step(
            "write 2,000 files of 8 KiB into /datasets of FileSystem default, on the storage host",
            "they are there",
            steps::dataset(context, &root),
        )
        .await?;
    Some(root)
}

/// The Job without and with a copy, over a slow link: dropping that, as every return does, makes it fast again.
async fn difference(shown: &mut Shown, context: &Context) -> Option<Generation> {
    let slow = shown
        .step(
            "tc qdisc replace ... netem delay 1ms, on the storage host",
            "its answers take a millisecond longer",
            steps::slow_link(context),
        )
        .await?;
    let source = shown
        .step(
            "kubectl apply Job train-source, on the node group: reads each file once, one after the other, from cold caches",
            "it read all of them from the source, and wrote into the group's own FileSystem",
            steps::from_source(context),
        )
        .await?;
    let copy = shown
        .step(
            "kubectl apply -f examples/cache.yaml, with limits.bandwidth: 1M so that there is something to watch",
            "it fills until it is Ready: one copy, on the node of the group",
            steps::fill(context),
        )
        .await?;
    let warm = shown
        .step(
            "kubectl apply Job train-copy, the same again, from cold caches",
            "its mount table has the copy at its place, read-only, and it read the same bytes",
            steps::from_copy(context, &copy, &source),
        )
        .await?;
    shown.difference = shown
        .step(
            "compare what the two Jobs measured",
            "from the copy it is faster",
            steps::compare(&source, &warm),
        )
        .await;
    shown
        .step("tc qdisc replace ... pfifo", "the link is as it was", steps::fast_link(context, slow))
        .await?;
    shown.difference.is_some().then_some(copy)
}

/// What pods see of the copy and of what changes.
async fn views(shown: &mut Shown, context: &Context, root: &str, copy: &Generation) -> Option<()> {
    shown
        .step(
            "kubectl apply a pod with the same claim on n2, and one on n1",
            "on n2 nothing lies over the source, on n1 the copy does",
            steps::inside_and_outside(context, copy),
        )
        .await?;
    shown
        .step(
            "echo two > /datasets/version, on the source",
            "the pod on n2 reads it, the one on n1 what was copied",
            steps::change(context, root),
        )
        .await?;
    shown
        .step(
            "kubectl annotate fscache datasets cache.workspacefs.io/refresh=please; kubectl apply another pod on n1",
            "the new pod reads the change, the old one what it had",
            steps::refresh(context, copy),
        )
        .await
}
