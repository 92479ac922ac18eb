//! What can be seen of the cluster with the rights of the kubeconfig: the gateway's pod, the driver on each node.

use futures::future;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::CSINode;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use workspacefs_api::DRIVER;

use super::findings::Findings;
use crate::connect::Connection;
use crate::connect::forward::{Cluster, POD};
use crate::text::chain;

const EACH_NODE: &str = "driver on each node";
/// Nodes that lack it and are named.
const NAMED: usize = 20;

/// Looks; what may not be looked at is no fault.
pub async fn look(connection: &Connection, findings: &mut Findings) {
    let cluster = match Cluster::open(connection.context.as_deref()).await {
        Ok(cluster) => cluster,
        Err(error) => {
            findings.bad(
                "kubeconfig",
                chain(error.as_ref()),
                "kubectl config get-contexts shows what there is",
            );
            return;
        }
    };
    let namespace = &connection.gateway_namespace;
    may_forward(&cluster.client, namespace, findings).await;
    pod(&cluster.client, namespace, findings).await;
    drivers(&cluster.client, namespace, findings).await;
}

/// A port-forward by WebSocket, as ours is, begins as a GET; newer API servers ask for `create` as well, and kubectl's older way for
/// that alone.
async fn may_forward(client: &Client, namespace: &str, findings: &mut Findings) {
    let (get, create) = (may(client, namespace, "get"), may(client, namespace, "create"));
    match future::try_join(get, create).await {
        Ok((get, create)) => forwards(namespace, get, create, findings),
        Err(error) => {
            findings.bad(
                "API server",
                chain(&error),
                "kubectl get --raw /version tells whether it can be reached at all",
            );
        }
    }
}

async fn may(client: &Client, namespace: &str, verb: &str) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.into()),
        verb: Some(verb.into()),
        resource: Some("pods".into()),
        subresource: Some("portforward".into()),
        name: Some(POD.into()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = reviews.create(&PostParams::default(), &review).await?;
    Ok(review.status.is_some_and(|status| status.allowed))
}

/// What the two rights come to.
fn forwards(namespace: &str, get: bool, create: bool, findings: &mut Findings) {
    const WHAT: &str = "port-forward";
    let to = format!("pods/portforward of {namespace}/{POD}");
    let remedy = format!(
        "a Role in {namespace} with this rule grants it, or set WFS_URL:\n      \
         {{apiGroups: [\"\"], resources: [pods/portforward], resourceNames: [{POD}], verbs: [get, create]}}"
    );
    match (get, create) {
        (true, true) => findings.good(WHAT, format!("you may, to {namespace}/{POD}")),
        (true, false) => {
            let found =
                format!("you may get {to}, and not create it, which newer API servers ask for as well");
            findings.odd(WHAT, found, &remedy);
        }
        (false, true) => {
            let found = format!("you may create {to}, and not get it, by which a WebSocket begins");
            findings.bad(WHAT, found, &remedy);
        }
        (false, false) => findings.bad(WHAT, format!("you may neither get nor create {to}"), &remedy),
    }
}

async fn pod(client: &Client, namespace: &str, findings: &mut Findings) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match pods.get_opt(POD).await {
        Ok(Some(pod)) => {
            let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
            if phase == "Running" {
                findings.good("gateway's pod", phase);
            } else {
                findings.bad("gateway's pod", phase, &format!("kubectl -n {namespace} describe pod {POD}"));
            }
        }
        Ok(None) => findings.bad(
            "gateway's pod",
            format!("there is no {namespace}/{POD}"),
            "is it installed, with dashboard.enabled? another namespace: --gateway-namespace",
        ),
        Err(error) => findings.odd(
            "gateway's pod",
            format!("not looked at: {}", chain(&error)),
            "somebody who may get pods there sees more; nothing else needs that right",
        ),
    }
}

async fn drivers(client: &Client, namespace: &str, findings: &mut Findings) {
    let nodes: Api<Node> = Api::all(client.clone());
    let csi: Api<CSINode> = Api::all(client.clone());
    let all = ListParams::default();
    match future::try_join(nodes.list(&all), csi.list(&all)).await {
        Ok((nodes, registered)) => {
            let lacking = without_driver(&nodes.items, &registered.items);
            of_nodes(namespace, nodes.items.len(), &lacking, findings);
        }
        Err(error) => {
            let (why, remedy) = unseen(&error);
            findings.odd(EACH_NODE, format!("not looked at: {why}"), remedy);
        }
    }
}

/// Why nodes could not be looked at, and what to do.
fn unseen(error: &kube::Error) -> (String, &'static str) {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            ("you may not list nodes and csinodes".into(), "somebody who may sees more: kubectl get csinodes")
        }
        other => (chain(other), "whether the API server answers, tells kubectl get csinodes"),
    }
}

/// What it comes to that these of so many nodes lack the driver. Some may be meant to; where none has it, nothing works.
fn of_nodes(namespace: &str, nodes: usize, lacking: &[String], findings: &mut Findings) {
    let Some(first) = lacking.first() else {
        return findings.good(EACH_NODE, format!("all have it, {nodes} in number"));
    };
    let (named, more) = lacking.split_at(lacking.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let found = format!("it is not on {}{more}", named.join(", "));
    let remedy = format!(
        "pods that mount file systems cannot start there. Whether its node plugin runs there tells\n      \
         kubectl -n {namespace} get pods -o wide --field-selector spec.nodeName={first}\n      \
         and where it should the chart's node.nodeSelector and node.tolerations"
    );
    if lacking.len() == nodes {
        findings.bad(EACH_NODE, format!("{found}: no node has it"), &remedy);
    } else {
        findings.odd(EACH_NODE, found, &remedy);
    }
}

/// Nodes where kubelet does not know the driver.
fn without_driver(nodes: &[Node], registered: &[CSINode]) -> Vec<String> {
    let has = |node: &Node| {
        let found = registered.iter().find(|csi| csi.name_any() == node.name_any());
        found.is_some_and(|csi| csi.spec.drivers.iter().any(|driver| driver.name == DRIVER))
    };
    nodes.iter().filter(|node| !has(node)).map(ResourceExt::name_any).collect()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use workspacefs_testkit::builders;

    use super::*;

    #[test]
    fn only_who_may_not_look_is_told_that_somebody_else_may() {
        let refused = |code| kube::Error::Api(Box::new(Status::failure("why", "Reason").with_code(code)));
        assert!(unseen(&refused(403)).1.contains("somebody who may"));
        let (why, remedy) = unseen(&refused(500));
        assert!(why.contains("why") && !remedy.contains("somebody"), "{why}: {remedy}");
    }

    #[test]
    fn a_node_without_the_driver_is_named_be_it_known_to_kubelet_or_not() {
        let nodes = ["has", "other", "unknown"].map(|name| builders::node(name, "True"));
        let registered = [builders::csi_node("has", &["ebs", DRIVER]), builders::csi_node("other", &["ebs"])];
        assert_eq!(without_driver(&nodes, &registered), ["other", "unknown"]);
        assert!(without_driver(&nodes[..1], &registered).is_empty());
    }
}
