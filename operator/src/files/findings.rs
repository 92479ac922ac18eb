//! Condition FilesReady: whether the files of a FileSystem can be reached through the gateway, and if not, what stands in the
//! way. Pure. Messages hold neither the names of pods nor counters, which change with every try of Kubernetes.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::conditions::Finding;

/// The files can be reached through the gateway.
pub const FILES_READY: &str = "FilesReady";
/// What the scheduler calls a pod that no node is found for.
const UNSCHEDULABLE: &str = "Unschedulable";

/// `files` are switched off.
pub fn disabled() -> Finding {
    not("Disabled", "files in the browser are switched off (the chart's value files.enabled)")
}

/// Something is yet to come; what.
pub fn starting(message: impl Into<String>) -> Finding {
    not("Starting", message)
}

/// They are run for no claim on nodes' own disks; what the API server said where it kept what ran before.
pub fn local(left: Option<&str>) -> Finding {
    let left = left.map(|why| format!(". What ran them cannot be taken away: {why}")).unwrap_or_default();
    not("Starting", format!("the files of a LocalStorage are shown to nobody here{left}"))
}

/// An object of that name is somebody else's.
pub fn name_taken(kind: &str, name: &str) -> Finding {
    not(
        "NameTaken",
        format!(
            "{kind} {name} exists and was not made for this FileSystem. It is left alone; delete it, or give the \
             FileSystem another name"
        ),
    )
}

/// The API server does not want what is needed.
pub fn refused(why: &str) -> Finding {
    // A pod's name differs with each try.
    let why = why.split_once("is forbidden: ").map_or(why, |(_, why)| why);
    if why.contains("exceeded quota") || why.contains("failed quota") {
        not("QuotaExceeded", format!("a quota of the namespace leaves no room for its files: {why}"))
    } else {
        not("Forbidden", format!("the namespace does not admit its files: {why}"))
    }
}

/// What there is to say of a Deployment that is as it should be.
pub fn running(deployment: &Deployment, pods: &[&Pod]) -> Finding {
    let status = deployment.status.clone().unwrap_or_default();
    let seen = status.observed_generation >= deployment.metadata.generation;
    let one = |count: Option<i32>| count.is_some_and(|count| count > 0);
    if seen && one(status.available_replicas) && one(status.updated_replicas) {
        return Finding::new(FILES_READY, true, "Running", "its files can be reached through the gateway");
    }
    let failed =
        status.conditions.iter().flatten().find(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    if let Some(why) = failed.and_then(|condition| condition.message.as_deref()) {
        return refused(why);
    }
    pods.iter().find_map(|pod| waits(pod)).unwrap_or_else(|| starting("its pod starts"))
}

/// Why a pod does not run, as far as it says so itself.
fn waits(pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    let unplaced = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some(UNSCHEDULABLE)
    });
    if let Some(condition) = unplaced {
        let why = condition.message.as_deref().unwrap_or("the scheduler does not say why");
        return Some(not("NotScheduled", format!("no node is found for its files: {why}")));
    }
    let waiting = |container: &'_ ContainerStatus| container.state.as_ref()?.waiting.clone();
    let containers = status.container_statuses.iter().flatten();
    let (container, waiting) = containers.filter_map(|one| Some((one, waiting(one)?))).next()?;
    Some(starting(match waiting.reason.as_deref().unwrap_or_default() {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            format!("its image {} cannot be pulled; the pod's Events say why", container.image)
        }
        "CrashLoopBackOff" => format!("it ends again and again{}", last_words(container)),
        // What every pod does for a while. Where it lasts, the pod's Events say why.
        _ => "its pod starts".into(),
    }))
}

fn last_words(container: &ContainerStatus) -> String {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    ended.map_or(String::new(), |ended| {
        let said = ended.message.as_deref().map(str::trim).filter(|said| !said.is_empty());
        let reason = ended.reason.as_deref().unwrap_or("Error");
        // Of a whole log its end says most.
        let said =
            said.and_then(|said| said.lines().last()).map_or(String::new(), |line| format!(": {line}"));
        format!(" ({reason}, exit code {}){said}", ended.exit_code)
    })
}

fn not(reason: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(FILES_READY, false, reason, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_testkit::builders::object;

    use super::*;

    fn deployment(status: Value) -> Deployment {
        object(json!({"metadata": {"name": "files-a", "generation": 2}, "status": status}))
    }

    fn pod(status: Value) -> Pod {
        object(json!({"metadata": {"name": "files-a-1"}, "status": status}))
    }

    fn failure(message: &str) -> Value {
        json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]})
    }

    #[test]
    fn only_the_pod_of_the_last_wish_counts_as_running() {
        for (status, reason) in [
            (json!({"observedGeneration": 2, "availableReplicas": 1, "updatedReplicas": 1}), "Running"),
            (json!({"observedGeneration": 1, "availableReplicas": 1, "updatedReplicas": 1}), "Starting"),
            (json!({"observedGeneration": 2, "availableReplicas": 1}), "Starting"),
            (json!({"observedGeneration": 2, "updatedReplicas": 1}), "Starting"),
            (json!(null), "Starting"),
        ] {
            assert_eq!(running(&deployment(status.clone()), &[]).reason, reason, "{status}");
        }
    }

    #[test]
    fn what_quota_and_admission_refuse_is_told_in_words_that_stay_the_same() {
        let quota = |pod| {
            let message = format!(
                "pods \"{pod}\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9"
            );
            running(&deployment(failure(&message)), &[])
        };
        assert_eq!(quota("files-a-x1"), quota("files-a-x2"));
        assert_eq!(quota("files-a-x1").reason, "QuotaExceeded");
        assert!(quota("x").message.contains("pods=9"));
        let missing = "pods \"p\" is forbidden: failed quota: q: must specify limits.cpu for: files";
        assert_eq!(running(&deployment(failure(missing)), &[]).reason, "QuotaExceeded");
        let security =
            "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true";
        let refused = running(&deployment(failure(security)), &[]);
        assert_eq!((refused.reason, refused.status), ("Forbidden", "False"));
        assert!(
            refused.message.contains("runAsNonRoot") && !refused.message.contains("\"p\""),
            "{refused:?}"
        );
        let hook = "admission webhook \"x\" denied the request: no";
        assert!(running(&deployment(failure(hook)), &[]).message.contains(hook));
    }

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let of = |status: Value| running(&deployment(json!({})), &[&pod(status)]);
        let unplaced = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"});
        let finding = of(json!({"conditions": [unplaced]}));
        assert_eq!(finding.reason, "NotScheduled");
        assert!(finding.message.contains("0/3 nodes"));
        let waiting = |reason: &str| {
            let last = json!({"terminated": {"exitCode": 2, "reason": "Error", "message": "first\ncannot open /data\n"}});
            let state = json!({"waiting": {"reason": reason, "message": "back-off 5m0s restarting"}});
            let container = json!({"name": "files", "image": "i:1", "imageID": "", "ready": false, "restartCount": 7, "state": state, "lastState": last});
            of(json!({"containerStatuses": [container]}))
        };
        assert_eq!(waiting("ErrImagePull"), waiting("ImagePullBackOff"));
        assert!(waiting("ErrImagePull").message.contains("i:1"));
        let crash = waiting("CrashLoopBackOff").message;
        assert_eq!(crash, "it ends again and again (Error, exit code 2): cannot open /data");
        assert_eq!(waiting("ContainerCreating"), starting("its pod starts"));
    }
}
