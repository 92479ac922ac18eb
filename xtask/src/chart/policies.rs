//! What the chart's ValidatingAdmissionPolicies must be for the rights that the chart gives to be safe: to patch Nodes is a
//! right to all of their labels and taints, to patch a status one to all nodes' entries and volumes, and to take a finalizer off
//! one to the rest of the object. Whether the expressions mean what they say is for a real API server to show; here it is seen
//! that none is missing, loose or unbound.

use serde_json::Value;

use super::list;

/// A policy without which rights of that kind are too large: its name, the role and resource, what it looks at.
struct Needed {
    policy: &'static str,
    role: &'static str,
    resource: &'static str,
}

const NEEDED: [Needed; 6] = [
    Needed { policy: "workspacefs-node-labels", role: "workspacefs-operator", resource: "nodes" },
    Needed {
        policy: "workspacefs-local-storage-spec",
        role: "workspacefs-operator",
        resource: "localstorages",
    },
    Needed {
        policy: "workspacefs-local-storage-status",
        role: "workspacefs-node",
        resource: "localstorages/status",
    },
    Needed { policy: "workspacefs-fs-cache-status", role: "workspacefs-node", resource: "fscaches/status" },
    Needed { policy: "workspacefs-local-volume-spec", role: "workspacefs-retire", resource: "localvolumes" },
    Needed {
        policy: "workspacefs-local-volume-status",
        role: "workspacefs-node",
        resource: "localvolumes/status",
    },
];

/// Says what is wrong. `all_on`: no policy was switched off.
pub(super) fn broken(objects: &[Value], all_on: bool) -> Vec<String> {
    let mut found: Vec<String> = policies(objects).flat_map(|policy| unbound(policy, objects)).collect();
    for needed in NEEDED.iter().filter(|needed| all_on && patches(objects, needed)) {
        match policies(objects).find(|policy| policy["metadata"]["name"] == needed.policy) {
            None => found.push(format!("{} may patch {} without a policy", needed.role, needed.resource)),
            Some(policy) => found.extend(loose(policy, needed)),
        }
    }
    found
}

fn policies(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy")
}

fn patches(objects: &[Value], needed: &Needed) -> bool {
    let roles = objects.iter().filter(|o| o["kind"] == "ClusterRole" && o["metadata"]["name"] == needed.role);
    roles.flat_map(|role| list(&role["rules"])).any(|rule| {
        list(&rule["resources"]).iter().any(|resource| resource == needed.resource)
            && list(&rule["verbs"]).iter().any(|verb| verb == "patch")
    })
}

/// A policy without a binding that denies is a comment.
fn unbound(policy: &Value, objects: &[Value]) -> Option<String> {
    let name = &policy["metadata"]["name"];
    let bound = objects.iter().any(|object| {
        object["kind"] == "ValidatingAdmissionPolicyBinding"
            && object["spec"]["policyName"] == *name
            && list(&object["spec"]["validationActions"]).iter().any(|action| action == "Deny")
    });
    (!bound).then(|| format!("policy {name} denies nothing: it is not bound"))
}

/// One that keeps a right small must hold when it cannot be evaluated, for updates, and for our account by its full name.
fn loose(policy: &Value, needed: &Needed) -> Vec<String> {
    let spec = &policy["spec"];
    let covers = list(&spec["matchConstraints"]["resourceRules"]).iter().any(|rule| {
        list(&rule["resources"]).iter().any(|resource| resource == needed.resource)
            && list(&rule["operations"]).iter().any(|operation| operation == "UPDATE")
    });
    let account = format!("'system:serviceaccount:workspacefs-system:{}'", needed.role);
    let conditions = list(&spec["matchConditions"]);
    let only_ours = conditions.len() == 1
        && conditions[0]["expression"].as_str().is_some_and(|text| text.contains(&account));
    let holds = [
        (spec["failurePolicy"] == "Fail", "lets pass what it cannot evaluate"),
        (covers, "does not look at updates of what is patched"),
        (only_ours, "is not about our account alone"),
        (!list(&spec["validations"]).is_empty(), "asks for nothing"),
        (spec["paramKind"].is_null(), "depends on parameters"),
    ];
    let name = needed.policy;
    holds.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| format!("policy {name} {what}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chart::parse;
    use crate::shell;

    /// The chart with its default values, as it is committed for kustomize.
    fn rendered() -> Vec<Value> {
        let file = shell::root().join("deploy/kustomize/workspacefs.yaml");
        parse(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
        let found = objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    #[test]
    fn each_right_that_rbac_cannot_say_small_enough_has_its_policy() {
        let objects = rendered();
        assert!(broken(&objects, true).is_empty(), "{:?}", broken(&objects, true));
        for needed in &NEEDED {
            assert!(patches(&objects, needed), "{} no longer patches {}", needed.role, needed.resource);
            let without: Vec<Value> =
                objects.iter().filter(|o| o["metadata"]["name"] != needed.policy).cloned().collect();
            assert_eq!(broken(&without, true).len(), 1, "{}", needed.policy);
            assert!(broken(&without, false).is_empty());
        }
    }

    #[test]
    fn a_loose_policy_is_found() {
        let objects = rendered();
        let bad = |path: &str, value: Value| {
            let mut objects = objects.clone();
            let policy = objects.iter_mut().find(|o| {
                o["kind"] == "ValidatingAdmissionPolicy" && o["metadata"]["name"] == "workspacefs-node-labels"
            });
            *policy.unwrap().pointer_mut(path).unwrap() = value;
            broken(&objects, true)
        };
        for (path, value) in [
            ("/spec/failurePolicy", json!("Ignore")),
            ("/spec/matchConstraints/resourceRules/0/operations", json!(["CREATE"])),
            ("/spec/matchConstraints/resourceRules/0/resources", json!(["nodes/status"])),
            ("/spec/matchConditions", json!([])),
            ("/spec/matchConditions/0/expression", json!("request.userInfo.username == 'x'")),
            ("/spec/validations", json!([])),
            ("/metadata/name", json!("workspacefs-whole-share")),
        ] {
            assert_eq!(bad(path, value.clone()).len(), 1, "{path} {value}");
        }
        let unbound: Vec<Value> =
            objects.into_iter().filter(|o| o["kind"] != "ValidatingAdmissionPolicyBinding").collect();
        assert_eq!(broken(&unbound, true).len(), 8);
    }

    #[test]
    fn whoever_looks_after_local_storage_has_the_rights_it_needs_and_no_more() {
        let objects = rendered();
        let rights = |role: &str, resource: &str| -> Vec<String> {
            let rules = list(&named(&objects, "ClusterRole", role)["rules"]).iter();
            let rules = rules.filter(|rule| list(&rule["resources"]).iter().any(|r| r == resource));
            rules
                .flat_map(|rule| list(&rule["verbs"]))
                .map(|verb| verb.as_str().unwrap().to_string())
                .collect()
        };
        for (role, resource, verbs) in [
            ("workspacefs-operator", "localstorages", &["get", "list", "watch", "patch"][..]),
            ("workspacefs-operator", "localstorages/status", &["patch"]),
            ("workspacefs-operator", "localvolumes", &["list", "watch"]),
            ("workspacefs-operator", "localvolumes/status", &[]),
            ("workspacefs-operator", "pods", &["list", "watch"]),
            ("workspacefs-operator", "nodes", &["get", "list", "watch", "patch"]),
            ("workspacefs-operator", "nodes/status", &[]),
            ("workspacefs-node", "localstorages", &["get", "list", "watch"]),
            ("workspacefs-node", "localstorages/status", &["patch"]),
            ("workspacefs-node", "localvolumes", &["get", "list", "watch"]),
            ("workspacefs-node", "localvolumes/status", &["patch"]),
            ("workspacefs-node", "fscaches", &["get", "list", "watch"]),
            ("workspacefs-node", "fscaches/status", &["patch"]),
            ("workspacefs-node", "filesystems", &["get", "list", "watch"]),
            ("workspacefs-node", "nodes", &["get", "list", "watch"]),
            ("workspacefs-controller", "localstorages", &["get", "list", "watch"]),
            ("workspacefs-controller", "localstorages/status", &[]),
            (
                "workspacefs-controller",
                "localvolumes",
                &["get", "list", "watch", "create", "patch", "delete"],
            ),
            ("workspacefs-controller", "localvolumes/status", &[]),
            ("workspacefs-controller", "nodes", &["get", "list", "watch"]),
            ("workspacefs-retire", "localstorages", &["list", "patch"]),
            ("workspacefs-retire", "localvolumes", &["list", "patch"]),
            ("workspacefs-retire", "localvolumes/status", &[]),
            ("workspacefs-retire", "nodes", &[]),
        ] {
            assert_eq!(rights(role, resource), verbs, "{role} {resource}");
        }
    }

    #[test]
    fn of_our_own_accounts_but_the_controllers_none_is_left_out_of_the_policies_of_local_volumes() {
        let objects = rendered();
        for policy in ["workspacefs-local-volume-spec", "workspacefs-local-volume-status"] {
            let spec = &named(&objects, "ValidatingAdmissionPolicy", policy)["spec"];
            let ours = spec["matchConditions"][0]["expression"].as_str().unwrap();
            for account in objects.iter().filter(|object| object["kind"] == "ServiceAccount") {
                let name = account["metadata"]["name"].as_str().unwrap();
                let looked_at = ours.contains(&format!("'system:serviceaccount:workspacefs-system:{name}'"));
                // The controller writes them, and no other account of ours has any right to them.
                let has_rights = ["workspacefs-node", "workspacefs-operator", "workspacefs-retire"];
                assert_eq!(looked_at, has_rights.contains(&name), "{policy}: {name}");
            }
        }
    }

    #[test]
    fn the_local_driver_attaches_nothing_changes_no_owner_and_is_for_claims_only() {
        let objects = rendered();
        assert_eq!(
            named(&objects, "CSIDriver", "local.csi.workspacefs.io")["spec"],
            json!({
                "volumeLifecycleModes": ["Persistent"], "attachRequired": false, "podInfoOnMount": true,
                "fsGroupPolicy": "None", "seLinuxMount": false, "requiresRepublish": false, "storageCapacity": true,
            })
        );
    }

    #[test]
    fn each_driver_has_a_provisioner_and_a_resizer_on_its_own_socket_with_leases_they_may_take() {
        let objects = rendered();
        let pod = &named(&objects, "Deployment", "workspacefs-controller")["spec"]["template"]["spec"];
        let role = named(&objects, "Role", "workspacefs-controller");
        let leases: Vec<&str> = list(&role["rules"])
            .iter()
            .flat_map(|rule| list(&rule["resourceNames"]))
            .filter_map(Value::as_str)
            .collect();
        for (provisioner, resizer, folder, lease) in [
            ("csi-provisioner", "csi-resizer", "/csi", "csi-workspacefs-io"),
            ("local-csi-provisioner", "local-csi-resizer", "/csi-local", "local-csi-workspacefs-io"),
        ] {
            for name in [provisioner, resizer] {
                let container = list(&pod["containers"]).iter().find(|container| container["name"] == name);
                let container = container.unwrap_or_else(|| panic!("no container {name}"));
                let address = json!(format!("--csi-address={folder}/csi.sock"));
                assert!(list(&container["args"]).contains(&address), "{name}");
                let mounts = list(&container["volumeMounts"]);
                assert!(
                    mounts.len() == 1 && mounts[0]["mountPath"] == folder,
                    "{name}: the other's is not its business"
                );
            }
            assert!(
                leases.contains(&lease) && leases.contains(&format!("external-resizer-{lease}").as_str())
            );
        }
    }

    #[test]
    fn the_node_plugin_sees_the_nodes_devices_and_its_system_files() {
        let objects = rendered();
        let pod = &named(&objects, "DaemonSet", "workspacefs-node")["spec"]["template"]["spec"];
        for path in ["/dev", "/sys"] {
            let volume = list(&pod["volumes"]).iter().find(|volume| volume["hostPath"]["path"] == path);
            let mounts = list(&pod["containers"][0]["volumeMounts"]);
            let mount = mounts.iter().find(|mount| mount["mountPath"] == path);
            assert_eq!(volume.map(|volume| &volume["name"]), mount.map(|mount| &mount["name"]), "{path}");
            assert!(mount.is_some(), "{path}");
        }
    }

    #[test]
    fn what_a_request_may_lack_is_asked_for_as_such() {
        // An empty subresource is absent from the request, and reading what is absent is an error, which denies everything.
        let (mut count, objects) = (0, rendered());
        for policy in policies(&objects) {
            let spec = &policy["spec"];
            for expression in
                ["matchConditions", "variables", "validations"].iter().flat_map(|f| list(&spec[*f]))
            {
                let text = expression["expression"].as_str().unwrap();
                assert!(!text.contains("request.subResource") && !text.contains("userInfo.extra"), "{text}");
                count += 1;
            }
        }
        assert!(count > 20, "{count} expressions");
    }

    #[test]
    fn a_whole_share_is_asked_for_in_workspaces_only_and_in_every_kind_that_makes_pods() {
        let objects = rendered();
        let policy = &named(&objects, "ValidatingAdmissionPolicy", "workspacefs-whole-share")["spec"];
        let mut resources: Vec<&str> = list(&policy["matchConstraints"]["resourceRules"])
            .iter()
            .flat_map(|rule| list(&rule["resources"]))
            .filter_map(Value::as_str)
            .collect();
        resources.sort_unstable();
        assert_eq!(
            resources.join(" "),
            "cronjobs daemonsets deployments jobs pods pods/ephemeralcontainers replicasets \
             replicationcontrollers statefulsets"
        );
        assert_eq!(policy["paramKind"]["kind"], "LocalStorage");
        let binding = &named(&objects, "ValidatingAdmissionPolicyBinding", "workspacefs-whole-share")["spec"];
        assert_eq!(binding["paramRef"], json!({"selector": {}, "parameterNotFoundAction": "Allow"}));
        assert_eq!(
            binding["matchResources"]["namespaceSelector"],
            json!({"matchExpressions": [
                {"key": "workspacefs.io/workspace", "operator": "In", "values": ["true"]},
            ]})
        );
    }
}
