//! A bit that flips on the target: found by the next comparison with the digests, shown to no new pod after that, and copied
//! again.

use anyhow::{Result, ensure};

use super::caches::{CACHE, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    cases![a_flipped_bit_is_found_by_the_scrub_and_shown_to_no_new_pod]
}

/// Another first byte, with the size and the times of modification that were there before.
const FLIP: &str = "touch -r datasets/greeting /run/e2e-flip && \
     printf X | dd of=datasets/greeting bs=1 conv=notrunc,fsync status=none && \
     touch -r /run/e2e-flip datasets/greeting && rm /run/e2e-flip && sync && cat datasets/greeting";

/// A minute, and the comparison itself.
const FOUND_TIME_MAX: std::time::Duration = seconds(240);

async fn a_flipped_bit_is_found_by_the_scrub_and_shown_to_no_new_pod(context: Context) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "pristine"), ("other/greeting", "pristine")]).await?;
    let mut spec = on_nodes(&["/datasets", "/other"]);
    spec["scrub"] = "1m".into();
    context.create_cache(CACHE, spec).await?;
    let first = context.warm(CACHE, "n1").await?;
    let flipped = context.on_copy("n1", &first, FLIP).await?;
    ensure!(flipped.trim() == "Xristine", "on the disk it is {flipped:?}");
    context.note(context.event(CACHE, &["Damaged", "/datasets"], FOUND_TIME_MAX).await?);
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("next")]).await?;
    // The source, or by now the next copy.
    context.reads("next", "/data/datasets/greeting", "pristine").await?;
    let mount = context.mounted_in("next", "/data/datasets").await?;
    let damaged = format!("/{}/{}/data/", first.uid, first.number);
    ensure!(
        mount.as_ref().is_none_or(|mount| !mount.root.contains(&damaged)),
        "it has the damaged one: {mount:?}"
    );
    // The other path is as good as it was.
    let other = context.mounted_in("next", "/data/other").await?;
    ensure!(other.is_some(), "a path without damage is read from the source");
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.start([reader("last")]).await?;
    context.has_copy("last", "/data/datasets", &second).await?;
    context.reads("last", "/data/datasets/greeting", "pristine").await?;
    // Not linked from what was damaged.
    let kept = context.on_copy("n1", &second, "cat datasets/greeting").await?;
    ensure!(kept.trim() == "pristine", "on the disk it is {kept:?}");
    context.ready(CACHE, FOUND_TIME_MAX).await.map(drop)
}
