//! Two caches for one path: pods get the first one's, and the second says so.

use anyhow::{Result, ensure};
use serde_json::json;
use workspacefs_api::FsCache;

use super::caches::{FILL_TIME_MAX, on_file_system, on_nodes};
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::storage::GROUP;
use crate::suites::pod::PodSpec;

pub fn cases() -> Vec<Case> {
    cases![of_two_caches_for_one_path_the_first_is_shown_and_the_second_says_so_until_it_is_alone]
}

const CONFLICT: &str = "Conflict";

async fn of_two_caches_for_one_path_the_first_is_shown_and_the_second_says_so_until_it_is_alone(
    context: Context,
) -> Result<()> {
    context.join_storage().await?;
    context.source(&[("datasets/greeting", "hello"), ("more/greeting", "hello")]).await?;
    let near = json!({ "backend": context.shared("near"), "nodeGroup": GROUP });
    context.file_system_with("near", near).await?;
    // Of the same second the name decides.
    context.create_cache("first", on_nodes(&["/datasets"])).await?;
    context.create_cache("second", on_file_system(&["/datasets", "/more"], "near")).await?;
    context.note(context.cache_says("second", CONFLICT, "PathTaken", &["/datasets", "first"]).await?);
    let first = context.warm("first", "n1").await?;
    let second = context.warm("second", "n1").await?;
    let object = context.fs_caches().get("first").await?;
    ensure!(!in_conflict(&object), "the first one has a conflict too: {:?}", object.status);
    let reader = |name: &str| PodSpec::new(name).on("n1").claim("data", "/data");
    context.start([reader("both")]).await?;
    context.has_copy("both", "/data/datasets", &first).await?;
    context.has_copy("both", "/data/more", &second).await?;

    context.fs_caches().delete("first", &Default::default()).await?;
    let alone = |object: &FsCache| !in_conflict(object);
    context.cache("second", "has no conflict any more", FILL_TIME_MAX, alone).await?;
    context.start([reader("next")]).await?;
    for place in ["/data/datasets", "/data/more"] {
        context.has_copy("next", place, &second).await?;
        context.reads("next", &format!("{place}/greeting"), "hello").await?;
    }
    // Who has the first one's copy keeps it.
    context.has_copy("both", "/data/datasets", &first).await?;
    context.reads("both", "/data/datasets/greeting", "hello").await
}

fn in_conflict(object: &FsCache) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == CONFLICT && condition.status == "True")
}
