//! The operator's part of the status of an FsCache: written only when it changes, and Events for the changes that
//! people care about. What nodes use is never in what is sent: those entries are the nodes' own.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Api;
use kube::api::{ObjectMeta, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;
use workspacefs_api::{FsCache, FsCacheStatus};

use super::findings::{CONFLICT, FRESH, OURS, READY, SOURCE_REACHABLE, TARGET_AVAILABLE};
use super::objects::Identity;
use super::setting::{NOT_REACHABLE, NOT_READY};
use crate::FIELD_MANAGER;
use crate::error::PassError;
use crate::events::{Events, Happened};

/// Writes status and Events.
pub struct StatusWriter {
    client: kube::Client,
    events: Events,
}

impl StatusWriter {
    /// `events` is where changes are told.
    pub fn new(client: kube::Client, events: Events) -> Self {
        Self { client, events }
    }

    /// Writes what changed. A pass that saw an outdated object fails here as a conflict, before it tells anybody or
    /// sends a mover.
    pub async fn write(
        &self,
        cache: &Identity,
        meta: &ObjectMeta,
        old: &FsCacheStatus,
        new: &FsCacheStatus,
    ) -> Result<(), PassError> {
        let mut old = old.clone();
        old.uses.clear();
        // Conditions of others stay as they are: server-side apply merges them by type.
        old.conditions.retain(|condition| OURS.contains(&condition.type_.as_str()));
        if *new == old {
            return Ok(());
        }
        let patch = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache",
            "metadata": {
                "name": cache.name, "namespace": cache.namespace, "uid": cache.uid,
                "resourceVersion": meta.resource_version,
            },
            "status": new,
        });
        let api: Api<PartialObjectMeta<FsCache>> = Api::namespaced(self.client.clone(), &cache.namespace);
        let by_us = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch_status(&cache.name, &by_us, &Patch::Apply(&patch)).await;
        written.map_err(PassError::api("write the status"))?;
        for happened in changes(&old, new) {
            self.tell(cache, &happened).await;
        }
        Ok(())
    }

    /// Tells of something that is no change of a condition.
    pub async fn tell(&self, cache: &Identity, happened: &Happened) {
        let object = ObjectReference {
            api_version: Some("workspacefs.io/v1alpha1".into()),
            kind: Some("FsCache".into()),
            name: Some(cache.name.clone()),
            namespace: Some(cache.namespace.clone()),
            uid: Some(cache.uid.clone()),
            ..ObjectReference::default()
        };
        self.events.publish(&object, happened).await;
    }
}

/// The Events that a change of conditions is worth. What came of movers is told one by one.
fn changes(old: &FsCacheStatus, new: &FsCacheStatus) -> Vec<Happened> {
    let mut events = Vec::new();
    for condition in &new.conditions {
        let before = old.conditions.iter().find(|c| c.type_ == condition.type_);
        if before.is_some_and(|b| b.status == condition.status && b.reason == condition.reason) {
            continue;
        }
        let reason = match (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str()) {
            (FRESH, "False", "Stale") => "Stale",
            (READY | FRESH, "False", "MoverWaits") => "MoverWaits",
            (CONFLICT, "True", _) => "Conflict",
            // What movers meet is told when they end.
            (SOURCE_REACHABLE, "False", NOT_REACHABLE) => "SourceUnreachable",
            (TARGET_AVAILABLE, "False", NOT_REACHABLE | NOT_READY) => "TargetUnavailable",
            (READY, "False", "Invalid") => "Invalid",
            (READY, "False", "NotSupported") => "NotSupported",
            (READY, "False", "SourceMissing" | "SourceNotSupported") => "SourceMissing",
            (
                READY,
                "False",
                "TargetMissing" | "TargetNotSupported" | "TargetNotDedicated" | "TargetIsSource"
                | "NotListed",
            ) => "TargetMissing",
            _ => continue,
        };
        events.push(Happened { warning: true, reason, note: condition.message.clone() });
    }
    events
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::conditions::{self, Finding};

    #[test]
    fn events_tell_of_changes_only() {
        let status = |finding: &Finding| FsCacheStatus {
            conditions: conditions::update(
                &[],
                std::slice::from_ref(finding),
                Some(1),
                Timestamp::UNIX_EPOCH,
            ),
            ..FsCacheStatus::default()
        };
        let stale = Finding::new(FRESH, false, "Stale", "m");
        let failed = Finding::new(FRESH, false, "RefreshFailed", "m");
        let told = |old: &Finding, new: &Finding| changes(&status(old), &status(new)).len();
        assert_eq!((told(&failed, &stale), told(&stale, &stale), told(&stale, &failed)), (1, 0, 0));
        assert_eq!(told(&stale, &Finding::new(CONFLICT, true, "PathTaken", "m")), 1);
        for (kind, reason) in [
            (SOURCE_REACHABLE, NOT_REACHABLE),
            (TARGET_AVAILABLE, NOT_REACHABLE),
            (TARGET_AVAILABLE, NOT_READY),
        ] {
            let (good, bad) =
                (Finding::new(kind, true, "Available", "m"), Finding::new(kind, false, reason, "m"));
            assert_eq!(
                (told(&good, &bad), told(&bad, &bad), told(&bad, &good)),
                (1, 0, 0),
                "{kind} {reason}"
            );
        }
    }
}
