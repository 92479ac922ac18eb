//! A target that becomes read-only in the middle of a fill: nothing of it is shown, the FsCache says why, and goes on by itself.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::caches::{CACHE, FILL_TIME_MAX, on_file_system};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::local::storage::GROUP;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    let all =
        cases![a_target_that_becomes_read_only_in_the_middle_of_a_fill_is_told_and_the_fill_goes_on_later];
    all.into_iter().map(|case| case.within(700)).collect()
}

/// The target.
const NEAR: &str = "near";

/// At this bandwidth the files take 24 s.
const BANDWIDTH: &str = "2M";
const FILES: u32 = 12;
const EACH_MIB: u32 = 4;

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

impl Context {
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
