//! A source that changes while it is copied: what is shown is what the source was at one moment, or the source itself.

use std::time::Duration;

use anyhow::Result;

use super::caches::{CACHE, FILL_TIME_MAX, on_nodes};
use super::filling::SLOWLY;
use super::source::SOURCE;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::fault::Fault;
use crate::suites::pod::PodSpec;
use crate::suites::wait::seconds;

pub fn cases() -> Vec<Case> {
    let all = cases![what_is_cut_off_or_changes_while_it_is_copied_is_shown_as_a_whole_or_not_at_all];
    all.into_iter().map(|case| case.within(700)).collect()
}

/// In MiB: at the mover's bandwidth both files together take half a minute.
const MUCH: u32 = 24;

/// One file ends early, another has other bytes all over, and neither another name.
/// truncate(1) does not wait until a client has given back what the server delegated to it; an open file does.
const CHANGE: &str = "dd if=/dev/null of=data/cut/truncated bs=1M seek=1 count=0 status=none && \
     dd if=/dev/urandom of=data/cut/written bs=1M count=24 conv=notrunc status=none";

/// The interval, and the refresh itself, once more if one had begun before.
const BY_ITSELF_TIME_MAX: Duration = seconds(300);

async fn what_is_cut_off_or_changes_while_it_is_copied_is_shown_as_a_whole_or_not_at_all(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    let files = [("cut/greeting", "hello"), ("moving/greeting", "hello"), ("steady/greeting", "hello")];
    context.source(&files).await?;
    for (path, mib) in [("cut/truncated", MUCH), ("cut/written", MUCH), ("moving/log", 1)] {
        context.write_much(path, mib).await?;
    }
    let moving = context.keeps_changing("moving/log").await?;
    let mut spec = on_nodes(&["/cut", "/moving", "/steady"]);
    spec["limits"]["bandwidth"] = SLOWLY.into();
    spec["refresh"]["interval"] = "1m".into();
    context.create_cache(CACHE, spec).await?;
    // The small file beside the two is done: these are being read.
    context.filling(CACHE, 1).await?;
    context.on_server(CHANGE).await?;
    context.is_not_filled(CACHE).await?;
    context.cache_says(CACHE, "Ready", "Filling", &["pods read the source"]).await?;

    context.warm(CACHE, "n1").await?;
    let words = ["2 of 3", "/moving"];
    context.note(context.cache_says(CACHE, "Ready", "SomePathsNotWhole", &words).await?);
    let words = ["PathNotWhole", "/moving", "changes while it is read"];
    context.note(context.event(CACHE, &words, FILL_TIME_MAX).await?);
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("reader")]).await?;
    for folder in ["cut", "steady"] {
        shows(&context, "reader", folder).await?;
    }
    context.has_source("reader", "/data/moving").await?;

    moving.end().await?;
    context.ready(CACHE, BY_ITSELF_TIME_MAX).await?;
    context.warm(CACHE, "n1").await?;
    context.start([reader("later")]).await?;
    for folder in ["cut", "moving", "steady"] {
        shows(&context, "later", folder).await?;
    }
    Ok(())
}

/// A pod has a copy of a folder, with what the source has by now.
async fn shows(context: &Context, pod: &str, folder: &str) -> Result<()> {
    let at = format!("/data/{folder}");
    context.has_some_copy(pod, &at).await?;
    context.has_content_of(pod, &at, folder).await
}

impl Context {
    /// Adds a line to a file of the source ten times a second.
    async fn keeps_changing(&self, path: &str) -> Result<Fault> {
        let file = format!("/export/shared/{}/{path}", self.folder(SOURCE));
        let line = format!(
            "sh -c 'while :; do date >> {file}; sleep 0.1; done' </dev/null >/dev/null 2>&1 & echo $!"
        );
        let machine = self.machine("nfs")?;
        let pid = self.on("nfs", &line).await?.trim().to_owned();
        Ok(Fault::new(move || Ok(machine.run(&["kill", &pid]).map(drop)?)))
    }
}
