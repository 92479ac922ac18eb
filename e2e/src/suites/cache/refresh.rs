//! Refreshes: asked for, by interval and by schedule. Each is a generation of its own, which nothing changes.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use workspacefs_api::FsCache;

use super::caches::{CACHE, FILL_TIME_MAX, Generation, in_use, on_nodes, superseded};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![
        copies_are_refreshed_by_interval_and_by_schedule,
        a_refresh_changes_nothing_for_running_pods_and_the_old_generation_goes_with_the_last_of_them,
    ]
}

async fn a_refresh_changes_nothing_for_running_pods_and_the_old_generation_goes_with_the_last_of_them(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "one"), ("datasets/same", "same")]).await?;
    context.create_cache(CACHE, on_nodes(&["/datasets"])).await?;
    let first = context.warm(CACHE, "n1").await?;
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("old")]).await?;
    context.write_source("datasets/greeting", "two").await?;
    context.write_source("datasets/another", "another").await?;
    context.refresh(CACHE, "please").await?;
    let second = context.warm_after(CACHE, "n1", first.number).await?;
    context.start([reader("new")]).await?;
    for (pod, copy, content) in [("old", &first, "one"), ("new", &second, "two")] {
        context.has_copy(pod, "/data/datasets", copy).await?;
        context.reads(pod, "/data/datasets/greeting", content).await?;
    }
    let listed = context.exec("old", "ls /data/datasets").await?;
    ensure!(!listed.contains("another"), "the old generation was changed: {listed}");
    let both = |object: &FsCache| {
        in_use(object, "n1") == [first.number, second.number] && superseded(object, "n1") == [first.number]
    };
    let object = context.cache(CACHE, "both generations are in use", FILL_TIME_MAX, both).await?;
    let obeyed = object.status.unwrap_or_default().refreshed_for;
    ensure!(obeyed == "please", "the refresh that was obeyed is {obeyed:?}");
    // What did not change is linked, not copied again.
    let inode = async |copy: &Generation| context.on_copy("n1", copy, "stat -c %i datasets/same").await;
    ensure!(inode(&first).await? == inode(&second).await?, "what did not change was copied again");

    context.stop("old").await?;
    let one =
        |object: &FsCache| superseded(object, "n1").is_empty() && in_use(object, "n1") == [second.number];
    context.cache(CACHE, "the old generation is gone", FILL_TIME_MAX, one).await?;
    context.only_kept_on("n1", &second.uid, &[&second.number.to_string(), "lock"]).await?;
    context.reads("new", "/data/datasets/same", "same").await
}

/// A minute, and the refresh itself.
const BY_ITSELF_TIME_MAX: std::time::Duration = seconds(240);

async fn copies_are_refreshed_by_interval_and_by_schedule(context: Context) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("a/greeting", "old"), ("b/greeting", "old")]).await?;
    let refreshes = [("a", json!({ "interval": "1m" })), ("b", json!({ "schedule": "* * * * *" }))];
    for (name, refresh) in &refreshes {
        let mut spec = on_nodes(&[format!("/{name}").as_str()]);
        spec["refresh"] = refresh.clone();
        context.create_cache(name, spec).await?;
    }
    for (name, _) in &refreshes {
        context.warm(name, "n1").await?;
        context.write_source(&format!("{name}/greeting"), "new").await?;
    }
    for (name, _) in &refreshes {
        // Not the first one that comes: it may have read what was there before.
        let look = || async {
            let newest = context.warm(name, "n1").await?;
            let kept = context.on_copy("n1", &newest, &format!("cat {name}/greeting")).await?;
            ensure!(kept.trim() == "new", "in generation {} it is {kept:?}", newest.number);
            Ok(newest)
        };
        let newest = until(&format!("the copy {name} is refreshed"), BY_ITSELF_TIME_MAX, look).await?;
        context.note(format!("{name} is at generation {}", newest.number));
    }
    context.start([PodSpec::new("reader").on("n1").claim("data", "/data")]).await?;
    for (name, _) in &refreshes {
        let mount = context.mounted_in("reader", &format!("/data/{name}")).await?;
        let mount = mount.with_context(|| format!("/data/{name} is the source"))?;
        ensure!(mount.kind == "xfs" && mount.is_read_only(), "{mount:?}");
        context.reads("reader", &format!("/data/{name}/greeting"), "new").await?;
    }
    Ok(())
}
