//! Pods that ask by name for the claim that a LocalStorage gives to workspaces, in a workspace that is not listed. Such a pod
//! waits, and all that Kubernetes says is that there is no claim of that name; so the pod is told why, once.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;

use super::LocalStorages;
use super::objects::Identity;
use super::status::of_pod;
use crate::error::PassError;
use crate::events::Happened;

/// The pods of which there is anything to tell: whose claim is missing is placed nowhere. Few are, and none for long.
pub const WAITING: &str = "spec.nodeName=,status.phase=Pending";
/// A pod may be made before its claim: until it is so old, the claim may be on its way.
const AGE_MIN: SignedDuration = SignedDuration::from_secs(5);

/// Keeps of a pod what is looked at.
pub fn shed(pod: &mut Pod) {
    pod.managed_fields_mut().clear();
    pod.annotations_mut().clear();
    let volumes = pod.spec.take().and_then(|spec| spec.volumes);
    pod.spec = Some(PodSpec { volumes, ..PodSpec::default() });
    pod.status = None;
}

/// Whether it mounts the claim of that name.
pub fn asks_for(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .any(|named| named.claim_name == claim)
}

/// Those that ask for the claim where nobody gives it to them, if there is none by then.
fn unlisted<'a>(
    claim: &str,
    listed: &[String],
    is_workspace: impl Fn(&str) -> bool,
    pods: &'a [Arc<Pod>],
    now: Timestamp,
) -> Vec<&'a Pod> {
    let is_old = |pod: &Pod| {
        let made = pod.metadata.creation_timestamp.as_ref();
        made.is_some_and(|made| now.duration_since(made.0) >= AGE_MIN)
    };
    let is_outside = |pod: &Pod| {
        pod.namespace().is_some_and(|namespace| !listed.contains(&namespace) && is_workspace(&namespace))
    };
    let pods = pods.iter().map(AsRef::as_ref);
    pods.filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter(|pod| asks_for(pod, claim) && is_outside(pod) && is_old(pod))
        .collect()
}

impl LocalStorages {
    /// Tells those that nobody has told yet.
    pub(super) async fn tell_who_asks(&self, storage: &Identity, listed: &[String]) -> Result<(), PassError> {
        let pods = self.caches.waiting.state();
        let is_workspace = |name: &str| self.caches.workspace(name).is_some();
        let asking = unlisted(&storage.name, listed, is_workspace, &pods, Timestamp::now());
        let uids: BTreeSet<String> = asking.iter().filter_map(|pod| pod.uid()).collect();
        let unknown = self.told_pods.unknown(&storage.uid, &uids);
        for pod in asking.iter().filter(|pod| pod.uid().is_some_and(|uid| unknown.contains(&uid))) {
            let namespace = pod.namespace().unwrap_or_default();
            // One of that name may be somebody's own, and has nothing to do with us.
            let claim = self.claims(&namespace).get_opt(&storage.name).await;
            if claim.map_err(PassError::api("read the claim that a pod asks for"))?.is_none() {
                self.status.tell_about(&of_pod(pod), storage, &happened(storage, &namespace)).await;
            }
        }
        self.told_pods.remember(&storage.uid, uids);
        Ok(())
    }
}

fn happened(storage: &Identity, namespace: &str) -> Happened {
    let name = &storage.name;
    let note = format!(
        "there is no claim {name} in {namespace}: the workspaces that LocalStorage {name} lists get one of that name, and \
         {namespace} is not among them. An administrator can add it to the LocalStorage's spec.workspaces"
    );
    Happened { warning: true, reason: "WorkspaceNotListed", note }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_testkit::builders;

    use super::*;

    fn pod(namespace: &str, claim: &str, made: &str) -> Arc<Pod> {
        let mut pod = builders::waiting_pod(namespace, "p", claim);
        pod.metadata.creation_timestamp = serde_json::from_value(json!(made)).unwrap();
        Arc::new(pod)
    }

    #[test]
    fn who_asks_in_a_workspace_that_is_not_listed_is_told_once_the_claim_has_had_its_time() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let (old, young) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:56Z");
        let told = |pod: Arc<Pod>| {
            let listed = ["listed".to_string()];
            let is_workspace = |name: &str| ["listed", "other"].contains(&name);
            unlisted("fast", &listed, is_workspace, &[pod], now).len() == 1
        };
        for (namespace, claim, made, is_told) in [
            ("other", "fast", old, true),
            ("other", "fast", young, false),
            ("listed", "fast", old, false),
            ("no-workspace", "fast", old, false),
            ("other", "slow", old, false),
        ] {
            assert_eq!(told(pod(namespace, claim, made)), is_told, "{namespace} {claim} {made}");
        }
        let mut leaving = Pod::clone(&pod("other", "fast", old));
        leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
        assert!(!told(Arc::new(leaving)));
    }

    #[test]
    fn what_is_kept_of_a_pod_still_says_which_claims_it_asks_for() {
        let mut pod = builders::waiting_pod("other", "p", "fast");
        pod.annotations_mut().insert("big".into(), "x".into());
        shed(&mut pod);
        assert!(asks_for(&pod, "fast") && !asks_for(&pod, "slow"));
        assert!(pod.annotations().is_empty() && pod.status.is_none());
        assert!(pod.spec.unwrap().containers.is_empty());
    }
}
