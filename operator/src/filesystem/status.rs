//! The status of a FileSystem: written only when it changes, and Events for the changes that people care about.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde_json::json;
use workspacefs_api::{FileSystem, FileSystemStatus, Usage, UsageScope};

use super::Found;
use super::findings::{CACHE_READY, IN_USE, OURS, QUOTA_ENFORCED, REACHABLE, READY, RESIZED, SPACE_LOW};
use super::objects::Identity;
use crate::FIELD_MANAGER;
use crate::class::CLASS_READY;
use crate::conditions;
use crate::error::PassError;
use crate::events::{Events, Happened};
use crate::files::findings::FILES_READY;

/// Writes status and Events.
pub struct StatusWriter {
    client: kube::Client,
    events: Events,
}

/// What there is to say about one FileSystem.
pub struct Report<'a> {
    /// Its metadata, as the pass saw it.
    pub meta: &'a ObjectMeta,
    /// Its status, as the pass saw it; empty where that cannot be read.
    pub old: FileSystemStatus,
    /// All that was found.
    pub found: Found,
}

impl StatusWriter {
    /// `events` is where changes are told.
    pub fn new(client: kube::Client, events: Events) -> Self {
        Self { client, events }
    }

    /// Writes what changed. A pass that saw an outdated object fails here as a conflict, before it tells anybody.
    pub async fn write(&self, fs: &Identity, report: Report<'_>) -> Result<(), PassError> {
        let Report { meta, mut old, found } = report;
        let generation = meta.generation;
        // Conditions of others stay as they are: server-side apply merges them by type.
        old.conditions.retain(|condition| OURS.contains(&condition.type_.as_str()));
        let conditions = conditions::update(&old.conditions, &found.findings, generation, Timestamp::now());
        let Found { claim_name, share, usage, files_address, .. } = found;
        // A share's figures are the CSI controller's: what this writer applies once it would own, and take away later.
        let (old_usage, usage) = (old.usage.take().filter(is_ours), usage.filter(is_ours));
        old.usage = old_usage;
        let new = FileSystemStatus {
            observed_generation: generation,
            claim_name,
            share,
            usage,
            files_address,
            conditions,
        };
        if new == old {
            return Ok(());
        }
        let patch = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem",
            "metadata": {"name": fs.name, "namespace": fs.namespace, "uid": fs.uid, "resourceVersion": meta.resource_version},
            "status": new,
        });
        let api: Api<kube::core::PartialObjectMeta<FileSystem>> =
            Api::namespaced(self.client.clone(), &fs.namespace);
        let by_us = PatchParams::apply(FIELD_MANAGER).force();
        api.patch_status(&fs.name, &by_us, &Patch::Apply(&patch))
            .await
            .map_err(PassError::api("write the status"))?;
        for happened in changes(&old, &new) {
            self.events.publish(&reference(fs), &happened).await;
        }
        Ok(())
    }

    /// Tells of something that is no condition.
    pub async fn tell(&self, fs: &Identity, happened: &Happened) {
        self.events.publish(&reference(fs), happened).await;
    }
}

fn is_ours(usage: &Usage) -> bool {
    usage.scope == UsageScope::FileSystem
}

fn reference(fs: &Identity) -> ObjectReference {
    ObjectReference {
        api_version: Some("workspacefs.io/v1alpha1".into()),
        kind: Some("FileSystem".into()),
        name: Some(fs.name.clone()),
        namespace: Some(fs.namespace.clone()),
        uid: Some(fs.uid.clone()),
        ..ObjectReference::default()
    }
}

/// The Events that a change of conditions is worth.
fn changes(old: &FileSystemStatus, new: &FileSystemStatus) -> Vec<Happened> {
    let mut events = Vec::new();
    for condition in &new.conditions {
        let before = old.conditions.iter().find(|c| c.type_ == condition.type_);
        let same = before.is_some_and(|b| b.status == condition.status && b.reason == condition.reason);
        if same {
            continue;
        }
        let was_false = before.is_some_and(|b| b.status == "False");
        let event = match (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str()) {
            (READY, "True", _) => Some((false, "Ready")),
            // Steps on the way, which pass by themselves.
            (READY, _, "Binding" | "Terminating") => None,
            (READY, _, reason) => warning(reason).map(|reason| (true, reason)),
            (REACHABLE, "False", _) => Some((true, "Unreachable")),
            (REACHABLE, "True", _) if was_false => Some((false, "Reachable")),
            (IN_USE, "True", _) => Some((true, "InUse")),
            (QUOTA_ENFORCED | SPACE_LOW, "True", "Full") => Some((true, "Full")),
            (QUOTA_ENFORCED | SPACE_LOW, "True", "NearlyFull")
                if before.is_none_or(|b| b.reason != "Full") =>
            {
                Some((true, "NearlyFull"))
            }
            // A server that is away is told of by Reachable.
            (RESIZED, "False", reason) => warning(reason).map(|reason| (true, reason)),
            (CACHE_READY, "False", _) => Some((true, "CacheNotReady")),
            (CACHE_READY, "True", _) if was_false => Some((false, "CacheReady")),
            (CLASS_READY, "False", _) => Some((true, "StorageClassNotReady")),
            // Steps on the way, and what somebody has decided.
            (FILES_READY, "False", "Starting" | "Disabled") => None,
            (FILES_READY, "False", _) => Some((true, "FilesNotReady")),
            (FILES_READY, "True", _) if was_false => Some((false, "FilesReady")),
            _ => None,
        };
        if let Some((warning, reason)) = event {
            events.push(Happened { warning, reason, note: condition.message.clone() });
        }
    }
    events
}

/// The reasons of Ready=False that somebody should hear of, as they are called in Events.
fn warning(reason: &str) -> Option<&'static str> {
    const HEARD_OF: [&str; 19] = [
        "NameTaken",
        "Refused",
        "ClaimTerminating",
        "VolumeTerminating",
        "ClaimLost",
        "ClaimMissing",
        "ClaimNotShared",
        "ClaimIsLocal",
        "ClaimNotBound",
        "Invalid",
        "NoServer",
        "ServerUnavailable",
        "ServerFailed",
        "ServerMoved",
        "NoSpace",
        "FolderTaken",
        "NotAdopted",
        "BelowUsage",
        "ClaimRefused",
    ];
    HEARD_OF.into_iter().find(|known| *known == reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Finding;

    fn status(findings: &[Finding]) -> FileSystemStatus {
        let conditions = conditions::update(&[], findings, Some(1), Timestamp::UNIX_EPOCH);
        FileSystemStatus { conditions, ..FileSystemStatus::default() }
    }

    fn reasons(old: &[Finding], new: &[Finding]) -> Vec<&'static str> {
        changes(&status(old), &status(new)).into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn events_tell_of_changes_only() {
        let bound = Finding::new(READY, true, "Bound", "m");
        let taken = Finding::new(READY, false, "NameTaken", "m");
        let up = Finding::new(REACHABLE, true, "Answered", "m");
        let down = Finding::new(REACHABLE, false, "TimedOut", "m");
        assert_eq!(reasons(&[], &[bound.clone(), up.clone()]), ["Ready"]);
        assert!(reasons(&[bound.clone(), up.clone()], &[bound.clone(), up.clone()]).is_empty());
        assert_eq!(reasons(&[bound, up.clone()], &[taken, down.clone()]), ["NameTaken", "Unreachable"]);
        assert_eq!(reasons(&[down], &[up]), ["Reachable"]);
        assert!(reasons(&[], &[Finding::new(READY, false, "Binding", "m")]).is_empty());
        let quota = |reason| Finding::new(QUOTA_ENFORCED, true, reason, "m");
        assert_eq!(reasons(&[quota("Enforced")], &[quota("NearlyFull")]), ["NearlyFull"]);
        assert_eq!(reasons(&[quota("NearlyFull")], &[quota("Full")]), ["Full"]);
        assert!(reasons(&[quota("Full")], &[quota("NearlyFull")]).is_empty());
        assert!(reasons(&[quota("NearlyFull")], &[quota("Enforced")]).is_empty());
        // Of a share the finding is made only while there is something to say.
        let share = |reason| Finding::new(SPACE_LOW, true, reason, "m");
        assert_eq!(reasons(&[], &[share("NearlyFull")]), ["NearlyFull"]);
        assert!(reasons(&[share("NearlyFull")], &[share("NearlyFull")]).is_empty());
        assert_eq!(reasons(&[share("NearlyFull")], &[share("Full")]), ["Full"]);
        assert!(reasons(&[share("Full")], &[share("NearlyFull")]).is_empty());
        assert!(reasons(&[share("NearlyFull")], &[]).is_empty());
    }
}
