//! What `cargo xtask demo cache` does, step by step. Each gives what later steps need, and what was seen, in words.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use workspacefs_api::fs_cache::REFRESH_ANNOTATION;
use workspacefs_api::{CachePhase, FsCache, FsCacheStatus, NODE_GROUP_LABEL};
use workspacefs_e2e::suites::{
    self, CACHE_FILL_TIME_MAX, Context, Fault, Generation, LOCAL_GROUP, LOCAL_NAME, PodSpec, copy_in,
    mounted, seconds, shortest_trip,
};
use workspacefs_e2e::topology::Drive;

use super::job::{DATASET, Reading, read};
use super::{SUITE, WORKSPACE};
use crate::shell;

/// The FsCache of the example.
const CACHE: &str = "datasets";

/// The Job before there is a copy, and then.
const JOBS: [&str; 2] = ["train-source", "train-copy"];

/// Pods on n1, on n2, and on n1 after the refresh.
const INSIDE: &str = "inside";
const OUTSIDE: &str = "outside";
const LATER: &str = "later";

/// How long the storage host's answers are held up.
const DELAY: Duration = Duration::from_millis(1);

/// The dataset's files: as many in each of twenty folders, and one that says which version it is.
const FILES: usize = 20 * 100 + 1;

/// Of random bytes: what is read is told from what is not there. One process writes a folder's files: see the Job.
const MAKE_DATASET: &str = "set -e; mkdir -p datasets; cd datasets; \
     for class in $(seq -w 1 20); do mkdir class-$class; \
     head -c $((100 * 8192)) /dev/urandom | (cd class-$class; split -b 8192 -d -a 3 - sample-); done; \
     echo one > version; chmod -R a+rX .; find . -type f | wc -l; du -sh --apparent-size . | cut -f1";

/// Between two looks at a cache that fills.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The node group, and its disks.
pub async fn disks(context: &Context) -> Result<((), String)> {
    let prepare = suites::named(SUITE).context("there is no suite of caches")?.prepare;
    context.blocking(prepare).await?;
    let entry = context.ready_on(LOCAL_NAME, "n1").await?;
    context.labelled_are(LOCAL_NAME, &["n1"], seconds(30)).await?;
    let nodes = kubectl(context, &["get", "nodes", "--label-columns", NODE_GROUP_LABEL]).await?;
    let storage = kubectl(context, &["get", "localstorage", LOCAL_NAME]).await?;
    let disk = entry.device.context("the status names no disk")?;
    Ok(((), format!("{nodes}{storage}n1: {}, now {}, {}", disk.identity, disk.name, disk.fs_type)))
}

/// The namespace. Gives its FileSystem's folder on the storage host.
pub async fn workspace(context: &Context) -> Result<(String, String)> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": context.namespace(), "labels": { "workspacefs.io/workspace": "true" },
    } });
    context.apply(&namespace.to_string()).await?;
    context.join_storage().await?;
    let nfs = context.usable("default").await?.spec.backend.nfs.context("it is of another backend")?;
    let root = format!("{}/{}", nfs.export, nfs.folder.context("it has no folder of its own")?);
    Ok((root, kubectl(context, &["get", "filesystems,persistentvolumeclaims"]).await?))
}

/// The node group's own FileSystem.
pub async fn dedicated(context: &Context) -> Result<((), String)> {
    let spec = json!({ "backend": context.shared("scratch"), "nodeGroup": LOCAL_GROUP });
    context.file_system_with("scratch", spec).await?;
    Ok(((), kubectl(context, &["get", "filesystem", "scratch"]).await?))
}

/// The dataset.
pub async fn dataset(context: &Context, root: &str) -> Result<((), String)> {
    let said = context.on("nfs", &format!("mkdir -p {root} && cd {root} && ({MAKE_DATASET})")).await?;
    let (files, size) = said.split_once('\n').with_context(|| format!("the storage host said {said:?}"))?;
    ensure!(files.trim().parse() == Ok(FILES), "there are {files} files");
    Ok(((), format!("{} files, {} in all", files.trim(), size.trim())))
}

/// Makes the link slow, as long as the guard is there.
pub async fn slow_link(context: &Context) -> Result<(Fault, String)> {
    // Of a demo that was killed: nothing then ended its guard.
    context.machine("nfs")?.clear_latency()?;
    let before = shortest_trip(context).await?;
    let slow = context.slow_down("nfs", DELAY)?;
    let after = shortest_trip(context).await?;
    ensure!(after >= DELAY, "an answer takes {after:?}");
    Ok((slow, format!("ping from n1: {before:?} before, {after:?} now")))
}

/// Makes the link fast again.
pub async fn fast_link(context: &Context, slow: Fault) -> Result<((), String)> {
    slow.end().await?;
    // Not by the time of an answer: on a busy computer that may be a millisecond anyway.
    let rules = context.on("nfs", "tc qdisc show").await?;
    ensure!(!rules.contains("netem"), "on the storage host there is still {rules}");
    Ok(((), format!("ping from n1: {:?}", shortest_trip(context).await?)))
}

/// The Job, while there is no copy.
pub async fn from_source(context: &Context) -> Result<(Reading, String)> {
    let reading = read(context, JOBS[0]).await?;
    ensure!(reading.files == FILES, "it read {} files", reading.files);
    let over = mounted(&reading.mounts, DATASET);
    ensure!(over.is_none(), "something lies over the source: {over:?}");
    let checkpoint = context.on_server("cat scratch/checkpoint").await?;
    ensure!(checkpoint.contains(&reading.digest), "the checkpoint says {checkpoint:?}");
    let seen = said_by(&reading);
    Ok((reading, seen))
}

/// The Job, once there is a copy.
pub async fn from_copy(context: &Context, copy: &Generation, source: &Reading) -> Result<(Reading, String)> {
    let reading = read(context, JOBS[1]).await?;
    let mount = copy_in(&reading.mounts, DATASET, copy)?;
    ensure!(mount.kind == "xfs", "the copy is not on the node's disk: {mount:?}");
    let same = reading.files == source.files && reading.digest == source.digest;
    ensure!(same, "it read other bytes: {reading:?}, and from the source {source:?}");
    let seen = said_by(&reading);
    Ok((reading, seen))
}

fn said_by(reading: &Reading) -> String {
    let (files, took) = (reading.files, reading.took.as_secs_f32());
    format!("{files} files in {took:.2} s, digest {}\n{}", reading.digest, reading.mounts)
}

/// What the demo is for.
pub async fn compare(source: &Reading, copy: &Reading) -> Result<(String, String)> {
    // The clock's own step is a hundredth: nothing is faster than that.
    let (far, near) = (source.took.as_secs_f64(), copy.took.as_secs_f64().max(0.01));
    let said = format!(
        "{} files, one after the other: {far:.2} s from the source, {DELAY:?} away; {near:.2} s from the copy: {:.1} times as fast",
        source.files,
        far / near
    );
    ensure!(far / near > 1.0, "{said}");
    Ok((said.clone(), said))
}

/// The example's FsCache, shown until it is Ready and its node knows it.
pub async fn fill(context: &Context) -> Result<(Generation, String)> {
    context.apply(&example()?.to_string()).await?;
    let started = Instant::now();
    let mut said = String::new();
    loop {
        let status = context.fs_caches().get(CACHE).await?.status.unwrap_or_default();
        let line = how_far(&status);
        let took = started.elapsed();
        if line != said {
            println!("    {:5.1} s  {line}", took.as_secs_f32());
            said = line;
        }
        if status.phase == Some(CachePhase::Ready) {
            break;
        }
        ensure!(took < CACHE_FILL_TIME_MAX, "it is not Ready after {} s: {status:?}", took.as_secs());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    // Pods get it from the moment on at which their node's plugin has heard of it.
    let copy = context.warm(CACHE, "n1").await?;
    let status = context.fs_caches().get(CACHE).await?.status.unwrap_or_default();
    let nodes: Vec<&str> = status.copies.iter().map(|copy| copy.node.as_str()).collect();
    ensure!(nodes == ["n1"], "there are copies on {nodes:?}");
    let label = FsCache::warm_label(context.namespace(), CACHE).context("no label has so long a name")?;
    let cache = kubectl(context, &["get", "fscache", CACHE, "--output=wide"]).await?;
    let warm = kubectl(context, &["get", "nodes", "--label-columns", &label]).await?;
    Ok((copy, format!("{cache}{warm}")))
}

/// At full speed the dataset is copied between two looks.
fn example() -> Result<Value> {
    let file = shell::root().join("examples/cache.yaml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut object: Value = serde_saphyr::from_str(&text).context("the example is no YAML")?;
    object["spec"]["limits"]["bandwidth"] = "1M".into();
    Ok(object)
}

/// How far a fill is, as the columns of `kubectl get` have it, and in files.
fn how_far(status: &FsCacheStatus) -> String {
    let mut words = vec![format!("{:?}", status.phase.unwrap_or_default())];
    words.extend(status.progress.clone());
    if status.files.total > 0 {
        words.push(format!("{} of {} files", status.files.done, status.files.total));
    }
    words.extend(status.rate.map(|rate| format!("{} kB/s", rate / 1000)));
    words.extend(status.eta.as_ref().map(|eta| format!("{eta} left")));
    words.join(", ")
}

/// A pod in the group, one elsewhere.
pub async fn inside_and_outside(context: &Context, copy: &Generation) -> Result<((), String)> {
    context.start([reader(INSIDE).on("n1"), reader(OUTSIDE).on("n2")]).await?;
    let mount = context.has_copy(INSIDE, DATASET, copy).await?;
    context.has_source(OUTSIDE, DATASET).await?;
    for pod in [INSIDE, OUTSIDE] {
        context.reads(pod, &version(), "one").await?;
    }
    let source = context.mounted_in(OUTSIDE, "/data").await?.context("it has no claim")?;
    Ok(((), format!("inside: {} {}\noutside: {} {}", mount.kind, mount.root, source.kind, source.root)))
}

/// Another version on the source.
pub async fn change(context: &Context, root: &str) -> Result<((), String)> {
    context.on("nfs", &format!("echo two > {root}/datasets/version")).await?;
    context.reads(OUTSIDE, &version(), "two").await?;
    context.reads(INSIDE, &version(), "one").await?;
    Ok(((), "outside: two\ninside: one".into()))
}

/// A refresh, on demand.
pub async fn refresh(context: &Context, first: &Generation) -> Result<((), String)> {
    let annotation = format!("{REFRESH_ANNOTATION}=please");
    kubectl(context, &["annotate", "fscache", CACHE, &annotation, "--overwrite"]).await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.start([reader(LATER).on("n1")]).await?;
    for (pod, copy, content) in [(LATER, &second, "two"), (INSIDE, first, "one")] {
        context.has_copy(pod, DATASET, copy).await?;
        context.reads(pod, &version(), content).await?;
    }
    let cache = kubectl(context, &["get", "fscache", CACHE]).await?;
    let (one, two) = (first.number, second.number);
    Ok(((), format!("{cache}later, generation {two}: two\ninside, generation {one}: one")))
}

fn reader(name: &str) -> PodSpec {
    PodSpec::new(name).claim("default", "/data")
}

fn version() -> String {
    format!("{DATASET}/version")
}

/// Takes away what was made, however far that came: each in spite of what failed before it.
pub async fn clean_up(context: &Context) -> Result<((), String)> {
    // By name: the movers' Jobs are the operator's.
    let jobs = JOBS.map(|name| format!("job/{name}"));
    let ours = [INSIDE, OUTSIDE, LATER].map(|name| format!("pod/{name}"));
    let ours: Vec<&str> = jobs.iter().chain(&ours).map(String::as_str).collect();
    let forgiving = ["--ignore-not-found", "--timeout=100s"];
    let pods = kubectl(context, &[&["delete"], &ours[..], &forgiving].concat()).await;
    // Before its target goes: its copies are removed from the disk.
    let asked = kubectl(context, &["delete", "fscache", CACHE, "--ignore-not-found", "--wait=false"]).await;
    let cache = context.cache_is_gone(CACHE).await;
    let namespace = suites::clean_up(context).await;
    // Retained, as a FileSystem's files are by default.
    let files = context.on("nfs", &format!("rm -rf /export/shared/workspaces/{WORKSPACE}-*")).await;
    let tidy_up = suites::named(SUITE).context("there is no suite of caches")?.tidy_up;
    let machines = context.blocking(tidy_up).await;
    pods?;
    asked?;
    cache?;
    namespace?;
    files?;
    machines?;

    let storages = kubectl(context, &["get", "localstorages", "--output=name"]).await?;
    ensure!(storages.trim().is_empty(), "there is still {storages}");
    let disk = context.drive("n1", Drive::Ssd).await?;
    let signatures = context.on("n1", &format!("wipefs --noheadings {disk}")).await?;
    ensure!(signatures.is_empty(), "on {disk} of n1 there is {signatures}");
    let grouped = format!("--selector={NODE_GROUP_LABEL}");
    let grouped = kubectl(context, &["get", "nodes", &grouped, "--output=name"]).await?;
    ensure!(grouped.trim().is_empty(), "in a node group there is still {grouped}");
    Ok(((), format!("{disk} of n1 is blank; no LocalStorage, no label, no namespace {WORKSPACE}")))
}

/// Runs kubectl in the workspace, which must succeed.
pub async fn kubectl(context: &Context, arguments: &[&str]) -> Result<String> {
    let ended = context.kubectl(arguments, "").await?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "kubectl {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}
