//! Mover, operator and node plugin die in the middle of a refresh: it is done once, and what pods read stays.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use workspacefs_api::FsCache;
use workspacefs_api::fs_cache::FS_CACHE_UID_LABEL;

use super::caches::{CACHE, FILL_TIME_MAX, in_use, on_nodes, superseded};
use super::filling::{MUCH, SLOWLY};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::killed::renewed;
use crate::suites::pod::PodSpec;
use crate::suites::shared::{driver, operator};
use crate::suites::wait::until;

pub fn cases() -> Vec<Case> {
    let all =
        cases![mover_operator_and_node_plugin_are_killed_and_a_refresh_is_done_once_and_nothing_is_lost];
    all.into_iter().map(|case| case.alone().within(600)).collect()
}

async fn mover_operator_and_node_plugin_are_killed_and_a_refresh_is_done_once_and_nothing_is_lost(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "one")]).await?;
    let mut spec = on_nodes(&["/datasets"]);
    spec["limits"]["bandwidth"] = SLOWLY.into();
    context.create_cache(CACHE, spec).await?;
    let first = context.warm(CACHE, "n1").await?;
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    let [old] = context.start([reader("old")]).await?;
    let mounts = context.mounts_of(&old).await?;

    context.write_source("datasets/greeting", "two").await?;
    context.write_much("datasets/much", MUCH).await?;
    context.refresh(CACHE, "please").await?;
    let next = first.number + 1;
    let begun = format!("filling-{next}");
    let copying = context.mover(&first.uid, None).await?;
    let inode = until("the next generation is begun", FILL_TIME_MAX, || async {
        let kept = context.kept_on("n1", &first.uid).await?;
        kept.get(&begun).copied().with_context(|| format!("there are {:?}", kept.keys()))
    });
    let inode = inode.await?;
    driver::kill(&context, &copying).await.context("the mover")?;
    context.mover(&first.uid, Some(&copying)).await.context("a mover after the one that was killed")?;
    let is_begun = context.kept_on("n1", &first.uid).await?.contains_key(&begun);
    ensure!(is_begun, "the refresh was over too soon: nothing was tested");
    operator::kill_operators(&context).await?;
    driver::kill(&context, &context.driver("n1").await?).await.context("the node plugin")?;
    renewed(&context).await?;

    let second = context.warm_after(CACHE, "n1", first.number).await?;
    ensure!(second.number == next, "it was begun anew: generation {} came of it", second.number);
    let kept = context.kept_on("n1", &first.uid).await?;
    let names = [first.number.to_string(), next.to_string(), "lock".to_owned()];
    ensure!(kept.keys().eq(names.iter()), "on the disk there are {:?}", kept.keys());
    ensure!(
        kept.get(&next.to_string()) == Some(&inode),
        "it did not go on where it was, but in another folder"
    );
    no_job_is_left(&context, &first.uid).await?;
    // The new plugin knows what the old one has mounted.
    let both = |object: &FsCache| {
        in_use(object, "n1") == [first.number] && superseded(object, "n1") == [first.number]
    };
    context.cache(CACHE, "the old generation is in use", FILL_TIME_MAX, both).await?;
    ensure!(context.mounts_of(&old).await? == mounts, "the old pod's mounts have changed");
    context.reads("old", "/data/datasets/greeting", "one").await?;
    context.start([reader("new")]).await?;
    context.has_copy("new", "/data/datasets", &second).await?;
    let copied = context.exec("new", "sha256sum < /data/datasets/much").await?;
    let original = context.on_server("sha256sum < data/datasets/much").await?;
    ensure!(copied.trim() == original.trim(), "the copy is {copied}, the source {original}");
    context.stop("old").await?;
    context.only_kept_on("n1", &first.uid, &[&next.to_string(), "lock"]).await
}

async fn no_job_is_left(context: &Context, uid: &str) -> Result<()> {
    let jobs: Api<Job> = Api::namespaced(context.client(), context.namespace());
    let ours = ListParams::default().labels(&format!("{FS_CACHE_UID_LABEL}={uid}"));
    let look = || async {
        let left = jobs.list(&ours).await?;
        let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
        ensure!(left.is_empty(), "there are {left:?}");
        Ok(())
    };
    until("no mover's Job is left", FILL_TIME_MAX, look).await
}

impl Context {
    /// Waits until a mover of an FsCache runs, another one than `not`; there is one at a time.
    pub async fn mover(&self, uid: &str, not: Option<&Pod>) -> Result<Pod> {
        let ours = ListParams::default().labels(&format!("{FS_CACHE_UID_LABEL}={uid}"));
        let before = not.and_then(ResourceExt::uid);
        let look = || async {
            let pods = self.pods().list(&ours).await?;
            let mut running: Vec<Pod> = pods.into_iter().filter(runs).collect();
            ensure!(running.len() <= 1, "there is more than one: {}", running.len());
            let pod = running.pop().context("there is none")?;
            ensure!(pod.uid() != before, "it is still the one from before");
            Ok(pod)
        };
        until("a mover runs", FILL_TIME_MAX, look).await
    }
}

fn runs(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let state = statuses.and_then(|statuses| statuses.first()?.state.as_ref());
    state.is_some_and(|state| state.running.is_some())
}
