//! After everything: no FsCache, no mover, no label of a warm node, no trace of a volume, no panic in a log.

use anyhow::{Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use workspacefs_api::FsCache;
use workspacefs_api::fs_cache::{FS_CACHE_UID_LABEL, WARM_LABEL_PREFIX};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::local::storage::NAME;

pub fn cases() -> Vec<Case> {
    let all = cases![nothing_is_left_when_no_cache_is_there];
    all.into_iter().map(Case::alone).collect()
}

async fn nothing_is_left_when_no_cache_is_there(context: Context) -> Result<()> {
    let caches: Api<FsCache> = Api::all(context.client());
    let left = caches.list(&ListParams::default()).await?;
    let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    ensure!(left.is_empty(), "FsCaches are left: {left:?}");
    let jobs: Api<Job> = Api::all(context.client());
    let left = jobs.list(&ListParams::default().labels(FS_CACHE_UID_LABEL)).await?;
    let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    ensure!(left.is_empty(), "movers are left: {left:?}");
    let nodes: Api<Node> = Api::all(context.client());
    for node in nodes.list(&ListParams::default()).await? {
        let labels: Vec<&String> =
            node.labels().keys().filter(|key| key.starts_with(WARM_LABEL_PREFIX)).collect();
        ensure!(labels.is_empty(), "{} still has {labels:?}", node.name_any());
    }
    let nobody = Patch::Merge(json!({ "spec": { "workspaces": [] } }));
    context.local_storages().patch(NAME, &PatchParams::default(), &nobody).await?;
    context.nothing_is_left().await?;
    context.logs_are_clean().await
}
