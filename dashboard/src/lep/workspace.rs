//! What the client asks about a workspace: its file systems and their sizes, its node groups, and the three calls of a login. Who may
//! neither list FileSystems there nor read one of them gets to know nothing.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, future, stream};
use kube::ResourceExt;
use serde_json::{Value, json};
use workspacefs_api::{FileSystem, quantity};
use workspacefs_files_proto::types::Usage;

use super::{Of, Session};
use crate::api::sees;
use crate::error::ApiError;
use crate::review::Right;

/// File APIs that are asked at once.
const AT_ONCE: usize = 4;
const GIB: u64 = 1 << 30;

/// `GET /storage`.
pub async fn file_systems(session: &Session) -> Of<Value> {
    let sizes = sizes(session).await?;
    let said = |(name, bytes): &(String, u64)| json!({"metadata": {"name": name}, "status": {"total_usage_bytes": bytes}});
    Ok(sizes.iter().map(said).collect())
}

/// `GET /storage/du`. The second key is for clients before 0.21.1.
pub async fn usage(session: &Session) -> Of<Value> {
    let bytes = total(session).await?;
    Ok(json!({"status": {"total_usage_bytes": bytes}, "totalDiskUsageBytes": bytes}))
}

/// `GET` of the base.
pub async fn base(session: &Session) -> Of<Value> {
    visible(session).await?;
    Ok(json!({"display_name": session.ws}))
}

/// `GET /tokens`: the API server keeps no list of them.
pub async fn tokens(session: &Session) -> Of<Value> {
    visible(session).await?;
    Ok(json!([]))
}

/// `GET /workspace`. Workloads are Kubernetes' matter, and so are its quotas; the client wants a number.
pub async fn about(session: &Session) -> Of<Value> {
    let bytes = total(session).await?;
    let workloads =
        ["num_photons", "num_deployments", "num_jobs", "num_pods", "num_secrets", "num_image_pull_secrets"];
    let workloads: BTreeMap<_, _> = workloads.iter().map(|name| (*name, 0)).collect();
    let resources = json!({"cpu": 0.0, "memory": 0, "accelerator_num": 0.0});
    let services = json!({"kv_store_num": 0, "queue_num": 0});
    Ok(json!({
        "build_time": "",
        "git_commit": env!("CARGO_PKG_VERSION"),
        "workspace_name": session.ws,
        "workspace_tier": "workspacefs",
        "workspace_state": "normal",
        "supported_shapes": {},
        "workspace_disk_usage_bytes": bytes,
        "workloads": workloads,
        "resource_quota": {"limit": resources, "used": resources},
        "service_quota": {"limit": services, "used": services},
    }))
}

/// `GET /dedicated-node-groups`: those that the workspace's storage lies in, with what of it can be mounted there.
pub async fn node_groups(session: &Session) -> Of<Value> {
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for fs in visible(session).await? {
        if let Some(group) = &fs.spec.node_group {
            let managed = fs.spec.backend.managed.as_ref().map(|managed| &managed.capacity);
            let capacity = managed.or(fs.spec.capacity.as_ref()).and_then(|size| quantity::bytes(&size.0));
            groups.entry(group.clone()).or_default().push(volume("nfs", &fs.name_any(), capacity));
        }
    }
    for storage in session.gateway.objects.storages(&session.ws) {
        let capacity = storage.status.as_ref().and_then(|status| status.capacity.as_ref());
        let capacity = capacity.and_then(|size| quantity::bytes(&size.0));
        let volume = volume("local", &storage.name_any(), capacity);
        groups.entry(storage.spec.node_group).or_default().push(volume);
    }
    let said = |(name, volumes): (String, Vec<Value>)| json!({"metadata": {"id": name, "name": name}, "spec": {"volumes": volumes}, "status": {}});
    Ok(groups.into_iter().map(said).collect())
}

fn volume(from: &str, name: &str, bytes: Option<u64>) -> Value {
    json!({"from": from, "name": name, "size_in_gb": bytes.unwrap_or_default() / GIB})
}

/// The FileSystems whose files the caller may read.
async fn visible(session: &Session) -> Of<Vec<FileSystem>> {
    let Session { gateway, caller, ws, .. } = session;
    let who = &caller.identity;
    let readable = |fs: FileSystem| async move {
        let may = gateway.callers.reviewer().has(who, Right::Read, ws, &fs.name_any()).await?;
        Ok::<_, ApiError>(may.then_some(fs))
    };
    let is_workspace = gateway.objects.is_workspace(ws);
    let all = if is_workspace { gateway.objects.file_systems(ws) } else { Vec::new() };
    // The API server is asked in any case, and of all at once: how long it takes must not tell what is there.
    let readable = future::try_join_all(all.into_iter().map(readable));
    let (is_member, readable) = future::try_join(sees(gateway, who, "filesystems", ws), readable).await?;
    let readable: Vec<FileSystem> = readable.into_iter().flatten().collect();
    if is_workspace && (is_member || !readable.is_empty()) {
        Ok(readable)
    } else {
        Err(ApiError::NotFound.into())
    }
}

async fn total(session: &Session) -> Of<u64> {
    Ok(sizes(session).await?.iter().map(|(_, bytes)| bytes).sum())
}

/// How much each of them stores: as its file API says now, or as the operator saw it last. That alone where the server shows its
/// whole disk for each of the file systems on it.
async fn sizes(session: &Session) -> Of<Vec<(String, u64)>> {
    let size = async |fs: FileSystem| {
        let name = fs.name_any();
        let is_whole = fs.spec.backend.managed.is_some();
        let now = if is_whole { None } else { session.read::<Usage>(&name, "usage").await.ok() };
        let now = now.and_then(|usage| usage.used);
        let seen = fs.status.and_then(|status| status.usage).and_then(|usage| quantity::bytes(&usage.used.0));
        Ok::<_, super::Refused>((name, now.or(seen).unwrap_or_default()))
    };
    stream::iter(visible(session).await?).map(size).buffered(AT_ONCE).try_collect().await
}
