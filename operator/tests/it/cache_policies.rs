//! The chart's policy of movers lets pass what the operator makes, and the pods of that, and nothing that passes for it. See
//! [`crate::policy`].

use serde_json::{Value, json};

use crate::policy::{Asked, OPERATOR};

const MOVERS: &str = "workspacefs-movers";
const USER: &str = "alice";
const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";
/// Where the controller manager has no account for each of its controllers.
const ALL_CONTROLLERS: &str = "system:kube-controller-manager";

/// Every kind that pods are made from, and pods.
const KINDS: [&str; 8] = [
    "pods",
    "replicationcontrollers",
    "deployments",
    "statefulsets",
    "daemonsets",
    "replicasets",
    "jobs",
    "cronjobs",
];

fn object(resource: &str, metadata: Value, attributes: Value) -> Value {
    let volume =
        json!({"name": "v", "csi": {"driver": "csi.workspacefs.io", "volumeAttributes": attributes}});
    let pod = json!({"containers": [{"name": "main", "image": "x"}], "volumes": [volume]});
    let template = json!({"template": {"spec": pod}});
    let spec = match resource {
        "pods" => pod,
        "cronjobs" => json!({"jobTemplate": {"spec": template}}),
        _ => template,
    };
    json!({"metadata": metadata, "spec": spec})
}

fn refused(user: &str, resource: &str, metadata: Value, attributes: Value) -> usize {
    Asked { user, ..Asked::create(resource, object(resource, metadata, attributes)) }.refused(MOVERS).len()
}

fn named(user: &str, resource: &str, name: &str) -> usize {
    refused(user, resource, json!({"name": name}), json!({"fileSystem": "data"}))
}

#[test]
fn nobody_makes_anything_whose_pods_are_named_as_movers_are() {
    for resource in KINDS {
        // A StatefulSet's first pod is `<name>-0`, a Job's `<name>-` and five letters.
        for name in ["wsfs-cache", "wsfs-cache-0f8fad5b"] {
            assert_eq!(named(USER, resource, name), 1, "{resource} {name}");
        }
        for name in ["data", "wsfs", "my-wsfs-cache-0", "wsfs-caches"] {
            assert_eq!(named(USER, resource, name), 0, "{resource} {name}");
        }
        let generated = json!({"generateName": "wsfs-cache-"});
        assert_eq!(refused(USER, resource, generated, json!({})), 1, "{resource}");
        // What is there already can still be changed otherwise.
        let there = object(resource, json!({"name": "wsfs-cache-x"}), json!({"fileSystem": "data"}));
        let change = Asked { user: USER, ..Asked::update(resource, there.clone(), there) };
        assert_eq!(change.refused(MOVERS), Vec::<String>::new(), "{resource}");
    }
}

#[test]
fn nobody_mounts_the_place_where_copies_lie() {
    let fills = json!({"fileSystem": "near", "fillCache": "u"});
    for resource in KINDS {
        assert_eq!(refused(USER, resource, json!({"name": "x"}), fills.clone()), 1, "{resource}");
        let plain = object(resource, json!({"name": "x"}), json!({"fileSystem": "near"}));
        let now = object(resource, json!({"name": "x"}), fills.clone());
        let change = Asked { user: USER, ..Asked::update(resource, plain, now) };
        assert_eq!(change.refused(MOVERS).len(), 1, "{resource}");
    }
}

#[test]
fn the_operator_makes_movers_jobs_and_the_job_controller_their_pods() {
    let fills = json!({"fileSystem": "near", "fillCache": "u"});
    let name = "wsfs-cache-0f8fad5b-d9cb-469f-a165-70867728950e";
    for (user, resource, passes) in [
        (OPERATOR, "jobs", true),
        (OPERATOR, "pods", false),
        (OPERATOR, "statefulsets", false),
        (JOB_CONTROLLER, "pods", true),
        (ALL_CONTROLLERS, "pods", true),
        (JOB_CONTROLLER, "jobs", false),
        (ALL_CONTROLLERS, "jobs", false),
        (ALL_CONTROLLERS, "replicasets", false),
    ] {
        let said = refused(user, resource, json!({"name": name}), fills.clone());
        assert_eq!(said, if passes { 0 } else { 2 }, "{user} {resource}");
    }
}
