//! A disk that becomes full in the middle of a fill: what does not fit is left out as a whole, and comes when there is room.

use std::time::Duration;

use anyhow::Result;

use super::caches::{CACHE, FILL_TIME_MAX, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    let all = cases![a_disk_that_is_full_in_the_middle_of_a_fill_keeps_what_fits_and_the_rest_when_it_can];
    all.into_iter().map(|case| case.alone().within(700)).collect()
}

/// An FsCache of which nothing fits.
const ALL_TOO_LARGE: &str = "large";

const MIB: u64 = 1 << 20;

/// What is left on the disk: room for whatever is small, and for no folder of these.
const ROOM: u64 = 8 * MIB;
/// Files of a large folder, and MiB of each. At [`BANDWIDTH`] that takes 24 s.
const FILES: u32 = 12;
const EACH: u32 = 4;
const BANDWIDTH: &str = "2M";

/// The next try or refresh, and the copying.
const BY_ITSELF_TIME_MAX: Duration = seconds(300);

async fn a_disk_that_is_full_in_the_middle_of_a_fill_keeps_what_fits_and_the_rest_when_it_can(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("small/greeting", "hello")]).await?;
    for folder in ["much", "more"] {
        context.write_many(folder, FILES, EACH).await?;
    }
    let mut spec = on_nodes(&["/small", "/much"]);
    spec["limits"]["bandwidth"] = BANDWIDTH.into();
    // One file after the other: side by side all of them would be done at about the same time.
    spec["parallelism"] = 1.into();
    spec["refresh"]["interval"] = "1m".into();
    context.create_cache(CACHE, spec).await?;
    context.filling(CACHE, MIB as i64).await?;
    let full = context.fill_disk_up("n1").await?;
    context.is_not_filled(CACHE).await?;
    let words = ["Evicted", "/much", "the target takes no more", "No space left"];
    context.note(context.event(CACHE, &words, FILL_TIME_MAX).await?);
    context.warm(CACHE, "n1").await?;
    context.note(context.cache_says(CACHE, "Ready", "SomePathsNotWhole", &["1 of 2", "/much"]).await?);
    context.create_cache(ALL_TOO_LARGE, on_nodes(&["/more"])).await?;
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("next")]).await?;
    context.has_some_copy("next", "/data/small").await?;
    context.reads("next", "/data/small/greeting", "hello").await?;
    context.event(ALL_TOO_LARGE, &["TargetTooSmall", "No space left"], FILL_TIME_MAX).await?;
    for kind in ["Ready", "TargetAvailable"] {
        let said = context.cache_says(ALL_TOO_LARGE, kind, "TargetFull", &["No space left"]);
        context.note(said.await?);
    }
    context.start([reader("other")]).await?;
    for (pod, folder) in [("next", "much"), ("other", "much"), ("other", "more")] {
        context.has_source(pod, &format!("/data/{folder}")).await?;
    }

    full.end().await?;
    for name in [CACHE, ALL_TOO_LARGE] {
        context.ready(name, BY_ITSELF_TIME_MAX).await?;
        context.cache_says(name, "TargetAvailable", "Available", &[]).await?;
        context.warm(name, "n1").await?;
    }
    context.start([reader("last")]).await?;
    for folder in ["small", "much", "more"] {
        let at = format!("/data/{folder}");
        context.has_some_copy("last", &at).await?;
        context.has_content_of("last", &at, folder).await?;
    }
    Ok(())
}

impl Context {
    /// Takes all but [`ROOM`] of the disk of the case's LocalStorage, as somebody else's file would.
    async fn fill_disk_up(&self, node: &str) -> Result<Fault> {
        let (machine, root) = (self.machine(node)?, self.disk_root().await?);
        // Before it is made: one that fails half-way is undone as well.
        let emptied = Fault::new(move || Ok(machine.shell(&format!("rm -f {root}/e2e-filler")).map(drop)?));
        let line = format!(
            "fallocate -l $(($(df --output=avail -B1 . | tail -n 1) - {ROOM})) e2e-filler && df -m ."
        );
        self.note(self.on_local_disk(node, &line).await?);
        Ok(emptied)
    }
}
