//! Why the embedded server does not answer, as far as its pod and its node tell. Asked only while it does not.

use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod};
use kube::{Api, Client, ResourceExt};

/// What keeps the server from working.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// CamelCase, for condition Reachable.
    pub reason: &'static str,
    /// What it is and what to do.
    pub message: String,
}

/// The server's node does not answer, and Kubernetes does not start the server elsewhere by itself.
pub const NODE_LOST: &str = "ServerNodeLost";
/// There is no running pod.
pub const NOT_RUNNING: &str = "ServerNotRunning";

/// Looks at the one pod of the StatefulSet behind `service`, and at its node.
///
/// # Errors
/// The API server does not say.
pub async fn look(client: &Client, namespace: &str, service: &str) -> Result<Option<Trouble>, kube::Error> {
    let name = format!("{service}-0");
    let pod = Api::<Pod>::namespaced(client.clone(), namespace).get_opt(&name).await?;
    let Some(pod) = pod else {
        let message =
            format!("there is no pod {name} in namespace {namespace}: does StatefulSet {service} run?");
        return Ok(Some(Trouble { reason: NOT_RUNNING, message }));
    };
    let node = match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
        Some(node) => Api::<Node>::all(client.clone()).get_opt(node).await?,
        None => None,
    };
    Ok(judge(&pod, node.as_ref()))
}

/// What is wrong with that pod, on that node if it is there.
pub fn judge(pod: &Pod, node: Option<&Node>) -> Option<Trouble> {
    let name = pod.name_any();
    let not_running = |message: String| Some(Trouble { reason: NOT_RUNNING, message });
    let Some(node_name) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) else {
        let why = condition(pod, "PodScheduled").unwrap_or_default();
        return not_running(format!("the server's pod {name} is on no node yet: {why}"));
    };
    let Some(node) = node else {
        let message = format!(
            "the server's node {node_name} has left the cluster; Kubernetes removes pod {name} and starts the server on \
             another node that can have its disk"
        );
        return Some(Trouble { reason: NODE_LOST, message });
    };
    if !is_ready(node) {
        let message = format!(
            "the server's node {node_name} does not answer. Kubernetes starts the server nowhere else as long as the node \
             may still be writing. If it is certainly off: `kubectl delete node {node_name}`, or `kubectl taint node \
             {node_name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute` (take the taint off when it is back)"
        );
        return Some(Trouble { reason: NODE_LOST, message });
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return not_running(format!("the server's pod {name} is ending; the next one is started then"));
    }
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let not_ready = containers.unwrap_or_default().iter().find(|container| !container.ready);
    match (not_ready, containers) {
        (Some(container), _) => {
            let why = waits_for(container);
            not_running(format!("the server's pod {name} on node {node_name} is not ready: {why}"))
        }
        (None, None) => not_running(format!("the server's pod {name} on node {node_name} is being started")),
        (None, Some(_)) => None,
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default().iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn condition(pod: &Pod, kind: &str) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == kind)?.message.clone()
}

fn waits_for(container: &ContainerStatus) -> String {
    let state = container.state.as_ref();
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        return waiting.reason.clone().unwrap_or_else(|| "it waits".into());
    }
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        return format!("it ended with code {}", ended.exit_code);
    }
    "its readiness probe fails; see its log".into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_testkit::builders::{node, object};

    use super::*;

    fn pod(spec: Value, status: Value) -> Pod {
        object(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "s", "name": "workspacefs-nfs-0"},
            "spec": {"containers": [], "nodeName": spec}, "status": status,
        }))
    }

    fn ready(ready: bool, state: Value) -> Value {
        json!({"containerStatuses": [{
            "name": "nfs", "image": "i", "imageID": "", "restartCount": 0, "ready": ready, "state": state,
        }]})
    }

    #[test]
    fn a_lost_node_is_told_with_both_remedies() {
        for status in ["Unknown", "False"] {
            let trouble =
                judge(&pod(json!("n7"), ready(true, json!({}))), Some(&node("n7", status))).unwrap();
            assert_eq!(trouble.reason, NODE_LOST);
            for word in ["kubectl delete node n7", "node.kubernetes.io/out-of-service"] {
                assert!(trouble.message.contains(word), "{}", trouble.message);
            }
        }
        let gone = judge(&pod(json!("n7"), ready(true, json!({}))), None).unwrap();
        assert_eq!(gone.reason, NODE_LOST);
    }

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let fine = node("n7", "True");
        let unplaced =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]});
        for (pod, word) in [
            (pod(Value::Null, unplaced), "0/3 nodes"),
            (
                pod(json!("n7"), ready(false, json!({"waiting": {"reason": "CrashLoopBackOff"}}))),
                "CrashLoopBackOff",
            ),
            (pod(json!("n7"), ready(false, json!({"terminated": {"exitCode": 3}}))), "code 3"),
            (pod(json!("n7"), ready(false, json!({"running": {}}))), "readiness"),
            (pod(json!("n7"), json!({})), "being started"),
        ] {
            let trouble = judge(&pod, Some(&fine)).unwrap();
            assert_eq!(trouble.reason, NOT_RUNNING);
            assert!(trouble.message.contains(word), "{}", trouble.message);
        }
    }

    #[test]
    fn a_ready_pod_on_a_ready_node_is_no_trouble() {
        assert_eq!(judge(&pod(json!("n7"), ready(true, json!({}))), Some(&node("n7", "True"))), None);
    }
}
