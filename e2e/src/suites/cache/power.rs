//! The node that a copy is made on loses its power: what was finished before is kept, and not read again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use workspacefs_api::FsCache;

use super::caches::{CACHE, on_nodes};
use super::filling::SLOWLY;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    let all = cases![a_power_cut_of_a_movers_node_costs_no_more_than_what_was_not_finished];
    all.into_iter().map(|case| case.alone().within(900)).collect()
}

const MIB: u64 = 1 << 20;
/// Files of the source, and MiB of each. At the mover's bandwidth all of them take a minute and more.
const FILES: u32 = 24;
const EACH: u32 = 4;
/// What is finished when it is looked at, in MiB at least.
const FINISHED: i64 = 16;
/// What is copied beside that before the power goes: more than ten seconds of it. What has been finished for five is on the disk, read
/// back and in the manifest soon.
const MORE: i64 = 20;

/// The boot, the node plugin, the next mover and the rest of the files.
const DONE_TIME_MAX: Duration = seconds(420);

async fn a_power_cut_of_a_movers_node_costs_no_more_than_what_was_not_finished(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[]).await?;
    context.write_many("datasets", FILES, EACH).await?;
    let mut spec = on_nodes(&["/datasets"]);
    spec["limits"]["bandwidth"] = SLOWLY.into();
    // One file after the other: side by side all of them would be done at about the same time.
    spec["parallelism"] = 1.into();
    let uid = context.create_cache(CACHE, spec).await?.uid().context("no uid")?;
    let object = context.filling(CACHE, FINISHED * MIB as i64).await?;
    let number = object.copy_for("n1").and_then(|copy| copy.filling).context("no generation is begun")?;
    let begun = format!("filling-{number}");
    let inode = context.kept_on("n1", &uid).await?.get(&begun).copied();
    let inode = inode.with_context(|| format!("{begun} does not lie on the disk"))?;
    let finished = context.files_of("n1", &uid, &begun).await?;
    let bytes = finished.len() as u64 * u64::from(EACH) * MIB;
    context.filling(CACHE, bytes as i64 + MORE * MIB as i64).await?;

    let off = context.power_cut("n1")?;
    let before = context.bytes_read_from_server().await?;
    context.is_not_filled(CACHE).await?;
    tokio::time::sleep(seconds(2)).await;
    off.end().await.context("the node boots")?;
    let made = |object: &FsCache| object.copy_for("n1").is_some_and(|copy| copy.generation.is_some());
    context.cache(CACHE, "the copy is made", DONE_TIME_MAX, made).await?;
    let read = context.bytes_read_from_server().await? - before;
    let all = u64::from(FILES) * u64::from(EACH) * MIB;
    context.note(format!(
        "{} of {FILES} files were finished a while before; {} of {} MiB were read after the power cut",
        finished.len(),
        read / MIB,
        all / MIB
    ));
    ensure!(read <= all - bytes, "{read} bytes were read again or for the first time, {bytes} were finished");

    context.driver("n1").await?;
    let copy = context.warm(CACHE, "n1").await?;
    ensure!(copy.number == number, "it was begun anew: generation {} came of it", copy.number);
    let kept = context.kept_on("n1", &uid).await?;
    ensure!(kept.get(&number.to_string()) == Some(&inode), "it did not go on where it was: {kept:?}");
    let files = context.files_of("n1", &uid, &number.to_string()).await?;
    ensure!(files.len() == FILES as usize, "the copy has {files:?}");
    ensure!(finished.is_subset(&files), "finished files were made again: {finished:?}, now {files:?}");
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    context.has_copy("reader", "/data/datasets", &copy).await?;
    context.has_content_of("reader", "/data/datasets", "datasets").await
}

impl Context {
    /// The files that have their names in a generation, each with its inode and the time when that was made.
    async fn files_of(&self, node: &str, uid: &str, generation: &str) -> Result<BTreeSet<String>> {
        let place = format!("*/.workspacefs/cache/{uid}/{generation}/data/datasets");
        let line = format!(
            "cd \"$(find export -type d -path '{place}' -prune)\" && ls | xargs -r stat -c '%n %i %W'"
        );
        Ok(self.on_local_disk(node, &line).await?.lines().map(str::to_owned).collect())
    }

    /// What all clients together have read from the storage host, by its own count.
    async fn bytes_read_from_server(&self) -> Result<u64> {
        let said = self.on("nfs", "awk '$1 == \"io\" { print $2 }' /proc/net/rpc/nfsd").await?;
        said.trim().parse().with_context(|| format!("the server says it has sent {said:?}"))
    }
}
