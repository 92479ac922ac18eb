//! A target that becomes read-only: in the middle of a fill nothing of it is shown, of a copy nothing to new pods; the FsCache says
//! why, and goes on by itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::caches::{CACHE, FILL_TIME_MAX, on_file_system, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::local::storage::{GROUP, NAME};
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    let beside =
        cases![a_target_that_becomes_read_only_in_the_middle_of_a_fill_is_told_and_the_fill_goes_on_later];
    beside.into_iter().map(|case| case.within(700)).collect()
}

/// Those that take the disk from all others.
pub fn cases_alone() -> Vec<Case> {
    let alone = cases![a_disk_that_is_remounted_read_only_is_told_and_refreshed_as_soon_as_it_can_be_written];
    alone.into_iter().map(|case| case.alone().within(600)).collect()
}

/// The target.
const NEAR: &str = "near";

/// At this bandwidth the files take 24 s.
const BANDWIDTH: &str = "2M";
const FILES: u32 = 12;
const EACH_MIB: u32 = 4;

/// The rule says 30 s; the machines share two cores.
const TOLD_TIME_MAX: Duration = seconds(120);

/// As the kernel says it.
const READ_ONLY: &str = "Read-only file system";

async fn a_target_that_becomes_read_only_in_the_middle_of_a_fill_is_told_and_the_fill_goes_on_later(
    context: Context,
) -> Result<()> {
    context.source(&[]).await?;
    context.write_many("datasets", FILES, EACH_MIB).await?;
    // An export of its own, so that nobody else's target becomes read-only.
    let export = format!("/export/{}", context.namespace());
    context.on("nfs", &format!("mkdir -p {export} && chmod 0777 {export}")).await?;
    let opened = context.taken_down(&export)?;
    context.export(&export, "rw").await?;
    let nfs = json!({ "server": "10.99.0.21", "export": export, "folder": "files" });
    let near = json!({ "backend": { "nfs": nfs }, "nodeGroup": GROUP });
    context.file_system_with(NEAR, near).await?;
    let mut spec = on_file_system(&["/datasets"], NEAR);
    spec["limits"]["bandwidth"] = BANDWIDTH.into();
    // One file after the other: side by side all of them would be done at about the same time.
    spec["parallelism"] = 1.into();
    context.create_cache(CACHE, spec).await?;
    let object = context.filling(CACHE, 1 << 20).await?;
    let begun = object.copy_for("n1").and_then(|copy| copy.filling).context("no generation is begun")?;

    context.export(&export, "ro").await?;
    context.is_not_filled(CACHE).await?;
    context.note(context.event(CACHE, &["FillFailed", READ_ONLY], FILL_TIME_MAX).await?);
    for kind in ["Ready", "TargetAvailable"] {
        context.note(context.cache_says(CACHE, kind, "TargetUnavailable", &[READ_ONLY]).await?);
    }
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("next")]).await?;
    context.has_source("next", "/data/datasets").await?;
    context.has_content_of("next", "/data/datasets", "datasets").await?;

    context.export(&export, "rw").await?;
    let copy = context.warm(CACHE, "n1").await?;
    ensure!(copy.number == begun, "it was begun anew: generation {begun} was, {} came of it", copy.number);
    context.cache_says(CACHE, "Ready", "Ready", &[]).await?;
    context.cache_says(CACHE, "TargetAvailable", "Available", &[]).await?;
    context.start([reader("last")]).await?;
    context.has_copy("last", "/data/datasets", &copy).await?;
    context.has_content_of("last", "/data/datasets", "datasets").await?;
    opened.end().await
}

async fn a_disk_that_is_remounted_read_only_is_told_and_refreshed_as_soon_as_it_can_be_written(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "old")]).await?;
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    let first = context.warm(CACHE, "n1").await?;
    context.write_source("datasets/greeting", "new").await?;
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("old")]).await?;
    context.has_copy("old", "/data/datasets", &first).await?;

    let locked = context.remounted_read_only("n1").await?;
    let entry = context.entry(NAME, "n1", "not ready", TOLD_TIME_MAX, |entry| !entry.ready).await?;
    context.note(format!("{}: {}", entry.reason, entry.message));
    context.cache_says(CACHE, "TargetAvailable", "NotReady", &[NAME]).await?;
    context.cache_says(CACHE, "Ready", "TargetUnavailable", &["pods read the source"]).await?;
    context.refresh(CACHE, "please").await?;
    context.start([reader("next")]).await?;
    context.has_source("next", "/data/datasets").await?;
    context.reads("next", "/data/datasets/greeting", "new").await?;
    context.has_copy("old", "/data/datasets", &first).await?;
    context.reads("old", "/data/datasets/greeting", "old").await?;

    locked.end().await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.cache_says(CACHE, "Ready", "Ready", &[]).await?;
    context.cache_says(CACHE, "TargetAvailable", "Available", &[]).await?;
    context.start([reader("last")]).await?;
    context.has_copy("last", "/data/datasets", &second).await?;
    context.reads("last", "/data/datasets/greeting", "new").await
}

impl Context {
    /// The disk of the case's LocalStorage cannot be written, whoever has it mounted. Whoever writes at that moment keeps it writable,
    /// as the node plugin does now and then.
    async fn remounted_read_only(&self, node: &str) -> Result<Fault> {
        let (machine, root) = (self.machine(node)?, self.disk_root().await?);
        let writable = format!("mount -o remount,rw {root}");
        let fault = Fault::new(move || Ok(machine.shell(&writable).map(drop)?));
        let line = format!(
            "tries=0; until mount -o remount,ro {root}; do \
             tries=$((tries + 1)); [ $tries -lt 20 ] || exit 1; sleep 0.5; done"
        );
        self.on(node, &line).await?;
        Ok(fault)
    }

    /// Exports a folder of the storage host to everybody, `rw` or `ro`; says so anew where it was another way.
    async fn export(&self, folder: &str, how: &str) -> Result<()> {
        let line = format!("exportfs -o {how},sync,no_root_squash,no_subtree_check '*:{folder}'");
        self.on("nfs", &line).await.map(drop)
    }

    /// When the guard goes, so does the export, and before it whatever of the case uses it.
    fn taken_down(&self, export: &str) -> Result<Fault> {
        let (cluster, machine) = (self.cluster().clone(), self.machine("nfs")?);
        let (namespace, export) = (self.namespace().to_owned(), export.to_owned());
        Ok(Fault::new(move || {
            let writable =
                machine.shell(&format!("exportfs -o rw,sync,no_root_squash,no_subtree_check '*:{export}'"));
            let delete = |what: &[&str]| {
                let words = [&["--namespace", &namespace, "delete", "--ignore-not-found"], what].concat();
                cluster.kubectl("admin", &words)
            };
            let users = [
                delete(&["pods", "--all", "--timeout=60s"]),
                delete(&["fscaches.workspacefs.io", "--all", "--timeout=100s"]),
                delete(&["filesystems.workspacefs.io", NEAR, "--timeout=90s"]),
            ];
            machine.shell(&format!("exportfs -u '*:{export}'; rm -rf {export}"))?;
            writable?;
            for gone in users {
                gone?;
            }
            Ok(())
        }))
    }
}
