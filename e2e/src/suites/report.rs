//! What the reader gets: a line per case, and for a failure what happened around it.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams};
use workspacefs_api::{FileSystem, FsCache, LocalStorage, LocalVolume, LocalVolumeSpec};

use super::context::Context;

/// Lines of each driver's and operator's log.
const LOG_LINES: i64 = 12;

/// Events, the newest.
const EVENTS_MAX: usize = 12;

/// Where the product runs.
pub const PRODUCT_NAMESPACE: &str = "workspacefs-system";

/// How one case ended.
pub struct Finished {
    /// Its name.
    pub name: &'static str,
    /// What it took.
    pub took: Duration,
    /// Its outcome.
    pub outcome: Result<()>,
    /// What it wants to be read.
    pub notes: Vec<String>,
    /// What happened around a failure.
    pub surroundings: Vec<String>,
}

impl Finished {
    /// Prints it.
    pub fn print(&self) {
        let verdict = if self.outcome.is_ok() { "ok    " } else { "FAILED" };
        println!("{verdict} {:6.1} s  {}", self.took.as_secs_f32(), self.name);
        for note in &self.notes {
            println!("                  {note}");
        }
        let Err(error) = &self.outcome else { return };
        for line in format!("{error:#}").lines().chain(self.surroundings.iter().flat_map(|text| text.lines()))
        {
            println!("    {line}");
        }
    }
}

/// What a person would look at first after a failure. Gives what can be had.
pub async fn surroundings(context: &Context, since: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(file_systems(context).await.unwrap_or_default());
    lines.extend(fs_caches(context).await.unwrap_or_default());
    lines.extend(local_storages(context).await.unwrap_or_default());
    lines.extend(local_volumes(context).await.unwrap_or_default());
    lines.extend(pods(context).await.unwrap_or_default());
    lines.extend(events(context).await.unwrap_or_default());
    lines.extend(logs(context, since).await.unwrap_or_default());
    lines
}

async fn file_systems(context: &Context) -> Result<Vec<String>> {
    let api: Api<FileSystem> = context.file_systems();
    let mut lines = Vec::new();
    for object in api.list(&ListParams::default()).await? {
        let name = object.metadata.name.clone().unwrap_or_default();
        for condition in object.status.map(|status| status.conditions).unwrap_or_default() {
            let (kind, status) = (condition.type_, condition.status);
            lines.push(format!(
                "FileSystem {name}: {kind}={status} {}: {}",
                condition.reason, condition.message
            ));
        }
    }
    Ok(lines)
}

async fn fs_caches(context: &Context) -> Result<Vec<String>> {
    let api: Api<FsCache> = Api::namespaced(context.client(), context.namespace());
    let mut lines = Vec::new();
    for object in api.list(&ListParams::default()).await? {
        let name = object.metadata.name.clone().unwrap_or_default();
        let status = object.status.unwrap_or_default();
        for condition in status.conditions {
            let (kind, status) = (condition.type_, condition.status);
            lines
                .push(format!("FsCache {name}: {kind}={status} {}: {}", condition.reason, condition.message));
        }
        lines.extend(status.copies.into_iter().map(|copy| format!("FsCache {name}: {copy:?}")));
        lines.extend(status.uses.into_iter().map(|entry| format!("FsCache {name}: {entry:?}")));
    }
    Ok(lines)
}

async fn local_storages(context: &Context) -> Result<Vec<String>> {
    let api: Api<LocalStorage> = Api::all(context.client());
    let mut lines = Vec::new();
    for object in api.list(&ListParams::default()).await? {
        let name = object.metadata.name.clone().unwrap_or_default();
        let status = object.status.unwrap_or_default();
        for condition in status.conditions {
            let (kind, status) = (condition.type_, condition.status);
            lines.push(format!(
                "LocalStorage {name}: {kind}={status} {}: {}",
                condition.reason, condition.message
            ));
        }
        for entry in status.nodes {
            let (node, reason, health) = (entry.node, entry.reason, entry.health);
            lines.push(format!("LocalStorage {name} on {node}: {reason}, {health:?}: {}", entry.message));
            let found = entry.found.into_iter();
            lines.extend(found.map(|disk| format!("  {} {:?}: {}", disk.name, disk.state, disk.message)));
        }
    }
    Ok(lines)
}

async fn local_volumes(context: &Context) -> Result<Vec<String>> {
    let api: Api<LocalVolume> = Api::all(context.client());
    let line = |object: LocalVolume| {
        let going = if object.metadata.deletion_timestamp.is_some() { ", being deleted" } else { "" };
        let LocalVolumeSpec { node, claim, .. } = object.spec;
        let status = object.status.unwrap_or_default();
        let (phase, reason, message) = (status.phase, status.reason, status.message);
        format!("LocalVolume of claim {claim} on {node}: {phase:?}{going}, {reason:?}: {message}")
    };
    Ok(api.list(&ListParams::default()).await?.into_iter().map(line).collect())
}

async fn pods(context: &Context) -> Result<Vec<String>> {
    let list = context.pods().list(&ListParams::default()).await?;
    let line = |pod: Pod| {
        let status = pod.status.unwrap_or_default();
        let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_else(|| "no node".into());
        let going = if pod.metadata.deletion_timestamp.is_some() { ", being deleted" } else { "" };
        let name = pod.metadata.name.unwrap_or_default();
        format!("pod {name}: {} on {node}{going}", status.phase.unwrap_or_default())
    };
    Ok(list.into_iter().map(line).collect())
}

async fn events(context: &Context) -> Result<Vec<String>> {
    let api: Api<Event> = Api::namespaced(context.client(), context.namespace());
    let mut lines = Vec::new();
    for event in api.list(&ListParams::default()).await? {
        let about = event.involved_object;
        let reason = event.reason.unwrap_or_default();
        // What every pod says on its way.
        if ["Scheduled", "Pulled", "Created", "Started", "Killing"].contains(&reason.as_str()) {
            continue;
        }
        let (kind, name) = (about.kind.unwrap_or_default(), about.name.unwrap_or_default());
        lines.push(format!("Event {kind} {name}: {reason}: {}", event.message.unwrap_or_default()));
    }
    Ok(lines.split_off(lines.len().saturating_sub(EVENTS_MAX)))
}

async fn logs(context: &Context, since: Duration) -> Result<Vec<String>> {
    let mut lines = logs_of(context, PRODUCT_NAMESPACE, since).await?;
    // What the product runs in the case's own namespace: movers, files.
    lines.extend(logs_of(context, context.namespace(), since).await?);
    Ok(lines)
}

/// The last lines of each of the product's containers in a namespace.
async fn logs_of(context: &Context, namespace: &str, since: Duration) -> Result<Vec<String>> {
    let api: Api<Pod> = Api::namespaced(context.client(), namespace);
    let ours = ListParams::default().labels("app.kubernetes.io/name=workspacefs");
    let since_seconds = Some(i64::try_from(since.as_secs())? + 1);
    let mut lines = Vec::new();
    for pod in api.list(&ours).await? {
        let name = pod.metadata.name.unwrap_or_default();
        let spec = pod.spec.unwrap_or_default();
        let node = spec.node_name.unwrap_or_default();
        for container in spec.containers {
            let container = container.name;
            let parameters = LogParams {
                container: Some(container.clone()),
                since_seconds,
                tail_lines: Some(LOG_LINES),
                ..LogParams::default()
            };
            let whose = format!("{name} {container} on {node}");
            match api.logs(&name, &parameters).await {
                Ok(text) => lines.extend(text.lines().map(|line| format!("{whose}: {line}"))),
                Err(error) => lines.push(format!("{whose}: no log: {error}")),
            }
        }
    }
    Ok(lines)
}

/// Why a namespace does not go away, in the API server's words.
pub fn remains(namespace: &Namespace) -> String {
    let conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let texts: Vec<_> = conditions
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| condition.message.clone())
        .collect();
    format!("it is still there: {}", texts.join("; "))
}
