//! FileSystems with `localCache`: what was read once is read from the node's own disk afterwards, by the kernel's own count of what it
//! asked the server for; and what becomes of that when the plugin dies, when another program has the kernel's cache, when the
//! kernel has none, and when it is full.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use workspacefs_api::{NodeCache, NodeStorage};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::local::killed::renewed;
use crate::suites::local::storage::{GROUP, NAME, TAKEN_TIME_MAX};
use crate::suites::pod::PodSpec;
use crate::suites::shared::driver;
use crate::suites::wait::{seconds, until};

/// The FileSystem.
const DATA: &str = "data";
/// For the operator to say of the FileSystem what the nodes said of their storage.
const TOLD_TIME_MAX: Duration = seconds(60);
/// Large enough that no other cache holds it unnoticed, small enough for the machines' disks.
const MUCH_MIB: u32 = 100;
/// A cluster may be older than their place in its machines' description.
const MODULES: &str = "modprobe loop && modprobe cachefiles";
/// What clears a node's memory of files.
const DROP_CACHES: &str = "sync; for i in 1 2 3; do echo 3 > /proc/sys/vm/drop_caches; done";
/// Who has the kernel's cache.
const HOLDERS: &str = "find /proc/[0-9]*/fd -lname /dev/cachefiles 2>/dev/null || true";
/// The kernel's own table of caches: the letter A is an active one.
const BOUND: &str =
    "grep -q ' A workspacefs$' /proc/fs/fscache/caches && echo bound || cat /proc/fs/fscache/caches";

pub fn cases() -> Vec<Case> {
    let all = cases![
        what_was_read_once_is_read_from_the_nodes_disk_and_a_killed_plugin_finds_it_again,
        without_the_kernels_cache_or_with_anothers_pods_start_and_the_status_says_so,
        a_full_cache_throws_the_longest_unread_away_and_goes_on,
    ];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

async fn what_was_read_once_is_read_from_the_nodes_disk_and_a_killed_plugin_finds_it_again(
    context: Context,
) -> Result<()> {
    context.on("n1", MODULES).await?;
    let cache = with_cache(&context, "512Mi").await?;
    let cached = ready_cache(&context).await?;
    ensure!(cached.size.as_ref().is_some_and(|size| size.0 == "512Mi"), "its size is {:?}", cached.size);
    context.storage_condition(NAME, "CacheReady", "True", &["512Mi"]).await?;
    dedicated(&context, &["much"]).await?;
    let digest = context.on_server("sha256sum < data/much").await?;

    let first = reader(&context, "first").await?;
    let mount = context.mount_of(&first).await?;
    ensure!(mount.has("fsc") && mount.has("nosharecache"), "it is not cached: {mount:?}");
    reads_much(&context, "first", &digest).await?;
    let asked = reads_of(&context, "first").await?;
    ensure!(asked > 0, "the first reading asked the server for nothing: what was counted is another mount");
    // An inline volume that asks for none is another mount.
    let source = json!({ "fileSystem": DATA, "cache": "off" });
    let around = PodSpec::new("around").on("n1").inline_with(source, "/data", true);
    let [around] = context.start([around]).await?;
    ensure!(!context.mount_of(&around).await?.has("fsc"), "cache: off is cached");
    context.exec("around", "head -c 1000000 /data/much | wc -c").await?;
    ensure!(reads_of(&context, "around").await? > 0, "cache: off was answered by the cache");
    context.stop("around").await?;

    unmounted(&context, "first").await?;
    let second = reader(&context, "second").await?;
    reads_much(&context, "second", &digest).await?;
    let again = reads_of(&context, "second").await?;
    ensure!(again == 0, "after a remount the same reading sent {again} READ operations, and {asked} before");
    context.note(format!("{asked} READ operations for {MUCH_MIB} MiB at first, {again} after a remount"));

    let before = holders(&context).await?;
    ensure!(before.len() == 1, "the kernel's cache is held by {before:?}");
    let mounts = context.mounts_of(&second).await?;
    driver::kill(&context, &context.driver("n1").await?).await.context("the node plugin")?;
    context.on("n1", DROP_CACHES).await?;
    reads_much(&context, "second", &digest).await.context("while the plugin is away, or just back")?;
    renewed(&context).await?;
    bound(&context).await?;
    ready_cache(&context).await?;
    ensure!(context.mounts_of(&second).await? == mounts, "the pod's mounts have changed");
    // What an older mount does now is the kernel's to say: told, and required only to be right.
    context.on("n1", DROP_CACHES).await?;
    let asked = reads_of(&context, "second").await?;
    reads_much(&context, "second", &digest).await?;
    let more = reads_of(&context, "second").await? - asked;
    context.note(format!(
        "a mount from before the plugin was killed sent {more} READ operations after it was back"
    ));

    unmounted(&context, "second").await?;
    reader(&context, "third").await?;
    reads_much(&context, "third", &digest).await?;
    let again = reads_of(&context, "third").await?;
    ensure!(again == 0, "the plugin after the killed one has another cache: {again} READ operations");
    unmounted(&context, "third").await?;
    cache.end().await?;
    no_cache_is_left(&context).await
}

async fn without_the_kernels_cache_or_with_anothers_pods_start_and_the_status_says_so(
    context: Context,
) -> Result<()> {
    // Nobody may have it from before.
    until("nobody holds the kernel's cache", seconds(60), || async {
        let holders = holders(&context).await?;
        ensure!(holders.is_empty(), "{holders:?}");
        Ok(())
    })
    .await?;
    context
        .on("n1", "modprobe loop && { ! [ -d /sys/module/cachefiles ] || modprobe -r cachefiles; }")
        .await?;
    let machine = context.machine("n1")?;
    let module = Fault::new(move || Ok(machine.shell(MODULES).map(drop)?));
    let cache = with_cache(&context, "256Mi").await?;
    not_ready(&context, "Unsupported").await?;
    dedicated(&context, &[]).await?;
    let uncached = reader(&context, "without").await?;
    ensure!(!context.mount_of(&uncached).await?.has("fsc"), "it is mounted as if there were a cache");
    unmounted(&context, "without").await?;

    module.end().await?;
    let pid = context
        .on("n1", "exec 3< /dev/cachefiles; sleep 3600 < /dev/null > /dev/null 2>&1 & echo $!")
        .await?;
    let (machine, line) = (context.machine("n1")?, format!("kill {}", pid.trim()));
    let other = Fault::new(move || Ok(machine.shell(&line).map(drop)?));
    not_ready(&context, "DeviceBusy").await?;
    context.storage_condition(NAME, "CacheReady", "False", &["n1", "cachefilesd"]).await?;
    context.reason(DATA, "CacheReady", "DeviceBusy", TOLD_TIME_MAX).await?;
    let uncached = reader(&context, "beside").await?;
    ensure!(!context.mount_of(&uncached).await?.has("fsc"), "it uses another program's cache");
    // What a pod has it keeps, also when there is a cache at last.
    other.end().await?;
    ready_cache(&context).await?;
    context.reason(DATA, "CacheReady", "Ready", TOLD_TIME_MAX).await?;
    let cached = reader(&context, "cached").await?;
    ensure!(context.mount_of(&cached).await?.has("fsc"), "a new pod has no cache");
    ensure!(!context.mount_of(&uncached).await?.has("fsc"), "a running pod's mount has changed");
    context.stop("cached").await?;
    unmounted(&context, "beside").await?;
    cache.end().await?;
    no_cache_is_left(&context).await
}

async fn a_full_cache_throws_the_longest_unread_away_and_goes_on(context: Context) -> Result<()> {
    context.on("n1", MODULES).await?;
    let cache = with_cache(&context, "192Mi").await?;
    ready_cache(&context).await?;
    dedicated(&context, &["much", "more", "most"]).await?;
    reader(&context, "reader").await?;
    let culled = "workspacefs_fs_cache_culled_files_total";
    let before = figure(&context, culled).await?;
    for file in ["much", "more", "most"] {
        context.exec("reader", &format!("sha256sum /data/{file}")).await?;
        // The kernel holds what was read a moment ago.
        tokio::time::sleep(seconds(15)).await;
    }
    let look = || async {
        // Each reading has the kernel look for room.
        context.exec("reader", "sha256sum /data/most").await?;
        let culled = figure(&context, culled).await?;
        ensure!(culled > before, "nothing is");
        Ok(culled - before)
    };
    let culled = until("files are thrown away", seconds(180), look).await?;
    let (used, size) = (
        figure(&context, "workspacefs_fs_cache_used_bytes").await?,
        figure(&context, "workspacefs_fs_cache_size_bytes").await?,
    );
    ensure!(used <= size && size <= 192 << 20, "{used} of {size} bytes are used");
    ensure!(figure(&context, "workspacefs_fs_cache_misses_total").await? > 0, "nothing was counted");
    context.note(format!("{culled} files were thrown away; {used} of {size} bytes are used"));
    unmounted(&context, "reader").await?;
    cache.end().await?;
    no_cache_is_left(&context).await
}

/// Gives the suite's LocalStorage a cache, until the guard goes.
async fn with_cache(context: &Context, size: &str) -> Result<Fault> {
    context.ready_on(NAME, "n1").await?;
    let cluster = context.cluster().clone();
    let without = json!({ "spec": { "fsCache": null } }).to_string();
    let guard = Fault::new(move || {
        let patch = ["patch", "localstorages.workspacefs.io", NAME, "--type=merge", "--patch", &without];
        Ok(cluster.kubectl("admin", &patch).map(drop)?)
    });
    let patch = json!({ "spec": { "fsCache": { "size": size } } });
    context.local_storages().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(guard)
}

/// A dedicated FileSystem with `localCache`, and large files in it.
async fn dedicated(context: &Context, files: &[&str]) -> Result<()> {
    context.on_server(&format!("mkdir -p {DATA} && chmod 0777 {DATA}")).await?;
    for file in files {
        context.write_much(file, MUCH_MIB).await?;
    }
    // On a quick computer the second reading often asked the server for all of it again, and with this it has not been seen to.
    // Probably the server's file system gives a new file its blocks seconds later, by which the file counts as changed for NFS.
    context.on_server("sync").await?;
    let spec: Value = json!({ "backend": context.shared(DATA), "nodeGroup": GROUP, "localCache": true });
    context.file_system_with(DATA, spec).await.map(drop)
}

async fn reader(context: &Context, name: &str) -> Result<Pod> {
    let [pod] = context.start([PodSpec::new(name).on("n1").claim(DATA, "/data")]).await?;
    Ok(pod)
}

async fn reads_much(context: &Context, pod: &str, digest: &str) -> Result<()> {
    let read = context.exec(pod, "sha256sum < /data/much").await?;
    ensure!(read.trim() == digest.trim(), "{pod} reads {read}, the server has {digest}");
    Ok(())
}

/// Ends a pod and waits until nothing of its share is mounted or in the node's memory.
async fn unmounted(context: &Context, pod: &str) -> Result<()> {
    context.stop(pod).await?;
    context.traceless("n1").await?;
    context.on("n1", DROP_CACHES).await.map(drop)
}

async fn entry(
    context: &Context,
    wish: &str,
    fits: impl Fn(Option<&NodeCache>) -> bool,
) -> Result<NodeStorage> {
    context.entry(NAME, "n1", wish, TAKEN_TIME_MAX, |entry| fits(entry.cache.as_ref())).await
}

async fn ready_cache(context: &Context) -> Result<NodeCache> {
    let entry = entry(context, "its cache is ready", |cache| cache.is_some_and(|cache| cache.ready)).await?;
    entry.cache.context("no cache")
}

async fn not_ready(context: &Context, reason: &str) -> Result<()> {
    let fits = |cache: Option<&NodeCache>| cache.is_some_and(|cache| !cache.ready && cache.reason == reason);
    entry(context, &format!("its cache is not ready: {reason}"), fits).await.map(drop)
}

/// After its guard: nothing is said of a cache, nothing is mounted, no file of it is on the disk.
async fn no_cache_is_left(context: &Context) -> Result<()> {
    entry(context, "there is no cache", |cache| cache.is_none()).await?;
    let look = || async {
        let left = context.on("n1", "grep /fscache/ /proc/1/mountinfo || true").await?;
        ensure!(left.trim().is_empty(), "it is still mounted: {left}");
        let left = context.on_local_disk("n1", "find state -name 'fscache*'").await?;
        ensure!(left.trim().is_empty(), "its image is still there: {left}");
        Ok(())
    };
    until("nothing of the cache is left", seconds(60), look).await
}

/// The descriptors that have the kernel's device open.
async fn holders(context: &Context) -> Result<Vec<String>> {
    Ok(context.on("n1", HOLDERS).await?.lines().map(str::to_owned).collect())
}

async fn bound(context: &Context) -> Result<()> {
    let look = || async {
        let said = context.on("n1", BOUND).await?;
        ensure!(said.trim() == "bound", "the kernel's caches are {said}");
        Ok(())
    };
    until("the cache is bound again", seconds(90), look).await
}

/// READ operations that the kernel sent for what is mounted at /data in a pod.
async fn reads_of(context: &Context, pod: &str) -> Result<u64> {
    let stats = context.exec(pod, "cat /proc/self/mountstats").await?;
    read_operations(&stats, "/data").with_context(|| format!("no READ operations are counted in {stats}"))
}

/// Of a mount, in the text of proc(5)'s mountstats.
fn read_operations(mountstats: &str, at: &str) -> Option<u64> {
    let mut devices = mountstats.split("\ndevice ");
    let of_it = devices.find(|device| device.contains(&format!(" mounted on {at} with ")))?;
    let line = of_it.lines().find_map(|line| line.trim_start().strip_prefix("READ: "))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// A figure of the driver on n1.
async fn figure(context: &Context, name: &str) -> Result<u64> {
    let text = context.served(&context.driver("n1").await?, "/metrics").await?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.with_context(|| format!("there is no {name} in\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "device rootfs mounted on / with fstype rootfs\n\
        device 10.99.0.21:/export/shared/x mounted on /data with fstype nfs4 statvers=1.1\n\
        \topts:\trw,vers=4.2,fsc\n\
        \tper-op statistics\n\
        \t        NULL: 1 1 0 44 24 0 0 0 0\n\
        \t        READ: 400 400 0 91200 104900000 1 2 3 0\n\
        \t       WRITE: 0 0 0 0 0 0 0 0 0\n\
        device 10.99.0.21:/export/shared/y mounted on /data/more with fstype nfs4 statvers=1.1\n\
        \t        READ: 7 7 0 0 0 0 0 0 0\n";

    #[test]
    fn the_operations_are_those_of_the_mount_that_is_meant() {
        assert_eq!(read_operations(STATS, "/data"), Some(400));
        assert_eq!(read_operations(STATS, "/data/more"), Some(7));
        assert_eq!(read_operations(STATS, "/"), None);
        assert_eq!(read_operations("", "/data"), None);
    }
}
