//! `wfs doctor` behind a kubeconfig: what it finds of the nodes and of the gateway's pod, in the objects of an API server.

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use workspacefs_api::DRIVER;
use workspacefs_testkit::{FakeApi, builders};

use crate::gateway::TOKEN;
use crate::tunnel::{address, api_server_that_allows, by_kubeconfig, kubeconfig, tls};
use crate::{Said, World};

const NAMESPACE: &str = "workspacefs-system";
const POD: &str = "workspacefs-dashboard-0";

/// A gateway in a cluster whose objects can be changed; it ends with its runtime.
struct Examined {
    world: World,
    api: FakeApi,
    _runtime: Runtime,
}

impl Examined {
    /// With the gateway's pod, and these nodes: each with the drivers that are registered there, if kubelet has told of any.
    fn new(nodes: &[(&str, Option<&[&str]>)]) -> Self {
        let (world, runtime) = (World::new(), Runtime::new().unwrap());
        let api = runtime.block_on(FakeApi::start());
        api.put(&builders::namespace(NAMESPACE, &[]));
        api.put(&builders::running_pod(NAMESPACE, POD, json!([])));
        for (name, drivers) in nodes {
            api.put(&builders::node(name, "True"));
            if let Some(drivers) = drivers {
                api.put(&builders::csi_node(name, drivers));
            }
        }
        let objects = api.url().strip_prefix("http://").unwrap().parse().unwrap();
        let behind = tls(&runtime, address(&world)).address;
        let (server, _) = api_server_that_allows(&["get", "create"], &runtime, behind, Some(objects));
        kubeconfig(&world, server, json!({"token": TOKEN}));
        Self { world, api, _runtime: runtime }
    }

    fn doctor(&self) -> Said {
        by_kubeconfig(&self.world, &["doctor"])
    }
}

const HAS: Option<&[&str]> = Some(&["ebs.csi.aws.com", DRIVER]);
const HAS_ANOTHER: Option<&[&str]> = Some(&["ebs.csi.aws.com"]);

#[test]
fn a_node_without_the_driver_is_named_with_what_to_do_and_is_no_failure() {
    let examined = Examined::new(&[("n1", HAS), ("n2", HAS_ANOTHER), ("n3", None)]);
    let said = examined.doctor().ended(0).says("note  driver on each node: it is not on n2, n3\n");
    let said = said.says("pods that mount file systems cannot start there");
    said.says("kubectl -n workspacefs-system get pods -o wide --field-selector spec.nodeName=n2\n")
        .says("ok    gateway's pod: Running\n")
        .says("ok    file system default: Ready\n");
    let said = by_kubeconfig(&examined.world, &["doctor", "-o", "json"]).ended(0);
    let findings = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let states: Vec<_> = findings
        .filter(|finding| finding["what"] == "driver on each node")
        .map(|finding| finding["state"].clone())
        .collect();
    assert_eq!(states, ["odd"]);
    // The node plugin has come up there.
    for node in ["n2", "n3"] {
        examined.api.put(&builders::csi_node(node, &[DRIVER]));
    }
    examined.doctor().ended(0).says("ok    driver on each node: all have it, 3 in number\n");
}

#[test]
fn where_no_node_has_the_driver_that_is_a_failure() {
    let examined = Examined::new(&[("n1", HAS_ANOTHER), ("n2", None)]);
    examined.doctor().ended(1).says("BAD   driver on each node: it is not on n1, n2: no node has it\n");
}

#[test]
fn of_many_nodes_without_it_the_first_are_named_and_the_others_counted() {
    let names: Vec<_> = (0..25).map(|number| format!("n{number:02}")).collect();
    let mut nodes: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
    nodes.push(("with", HAS));
    let said = Examined::new(&nodes).doctor().ended(0).says("n18, n19 and 5 more\n");
    assert!(!said.stdout.contains("n20"), "{}", said.stdout);
}

#[test]
fn what_may_not_be_looked_at_is_no_fault() {
    let examined = Examined::new(&[("n1", None)]);
    examined.api.forbid(|request| matches!(request.resource, "nodes" | "csinodes" | "pods"));
    let said = examined.doctor().ended(0);
    let said = said.says("note  driver on each node: not looked at: you may not list nodes and csinodes\n");
    said.says("note  gateway's pod: not looked at: ");
}

#[test]
fn a_gateway_without_a_pod_or_with_one_that_does_not_run_is_a_failure() {
    let examined = Examined::new(&[("n1", HAS)]);
    examined.api.edit("Pod", NAMESPACE, POD, |pod| pod["status"]["phase"] = "Pending".into());
    examined
        .doctor()
        .ended(1)
        .says("BAD   gateway's pod: Pending\n")
        .says("kubectl -n workspacefs-system describe pod workspacefs-dashboard-0");
    assert!(examined.api.delete("Pod", NAMESPACE, POD));
    examined
        .doctor()
        .ended(1)
        .says("BAD   gateway's pod: there is no workspacefs-system/workspacefs-dashboard-0\n");
}
