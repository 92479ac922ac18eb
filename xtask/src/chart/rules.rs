//! What must hold for the rendered chart, whatever the values: rights are named one by one, only what mounts is privileged
//! and then for a reason that is listed here, one container runs per node, the embedded server is reached through a
//! NetworkPolicy only, and an uninstall keeps the kinds and the server's address. What there is to say of files in the browser
//! stands in [`super::files`].

use serde_json::Value;

use super::list;

/// Our own Secrets, and what the one process that makes them may do with them. To read all is nobody's business.
const SECRETS: [&str; 5] = [
    "workspacefs-nfs-authority",
    "workspacefs-nfs-tls",
    "workspacefs-nfs-client",
    "workspacefs-files-authority",
    "workspacefs-gateway",
];

/// The one of each workspace that the operator makes, and the role by which it does.
const WORKSPACE_SECRET: (&str, &str) = ("workspacefs-files", "workspacefs-operator");

/// The container that mounts, in the one Deployment that has one.
const MOUNTS: (&str, &str) = ("workspacefs-controller", "csi-driver");

/// Says each rule that is broken, and by which object.
pub(super) fn broken(objects: &[Value]) -> Vec<String> {
    let mut found: Vec<String> = objects.iter().flat_map(object).collect();
    for (kind, count) in
        [("DaemonSet", 1), ("Deployment", 1), ("CSIDriver", 1), ("CustomResourceDefinition", 1)]
    {
        if objects.iter().filter(|o| o["kind"] == kind).count() < count {
            found.push(format!("no {kind}"));
        }
    }
    found.extend(server(objects));
    found
}

/// The embedded server, where there is one: one container, behind a NetworkPolicy that lets chosen pods to the agent, at an
/// address that stays.
fn server(objects: &[Value]) -> Vec<String> {
    let named =
        |kind: &str| objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == "workspacefs-nfs");
    let Some(set) = named("StatefulSet") else { return Vec::new() };
    let pod = &set["spec"]["template"];
    let one = list(&pod["spec"]["containers"]).len() == 1 && list(&pod["spec"]["initContainers"]).is_empty();
    let alone = pod["spec"]["hostNetwork"].is_null() && pod["spec"]["hostPID"].is_null();
    let kept = named("Service").map(|o| &o["metadata"]["annotations"]["helm.sh/resource-policy"]);
    let policy = named("NetworkPolicy").map_or(&Value::Null, |policy| &policy["spec"]);
    let selects = list(&policy["policyTypes"]).iter().any(|kind| kind == "Ingress")
        && policy["podSelector"]["matchLabels"] == set["spec"]["selector"]["matchLabels"];
    let to_agent = list(&policy["ingress"]).iter().filter(|rule| {
        list(&rule["ports"]).is_empty() || list(&rule["ports"]).iter().any(|p| p["port"] == "agent")
    });
    let only_ours = to_agent.clone().count() == 1
        && to_agent.flat_map(|rule| list(&rule["from"])).all(|from| !from["podSelector"].is_null())
        && !list(&policy["ingress"]).is_empty();
    let holds = [
        (one, "the server's pod has not one container"),
        (alone, "the server shares the host's network or processes, where no NetworkPolicy counts"),
        (kept.is_some_and(|kept| kept == "keep"), "an uninstall would give the server's address away"),
        (selects && only_ours, "not only operator and controller reach the agent"),
    ];
    holds.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what.into()).collect()
}

fn object(object: &Value) -> Vec<String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let found = match kind {
        "ClusterRole" | "Role" => rights(object),
        "DaemonSet" => node(object),
        "Deployment" | "Job" => unprivileged(object),
        "StatefulSet" if object["metadata"]["name"] == "workspacefs-dashboard" => unprivileged(object),
        "CustomResourceDefinition" => {
            let kept = object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
            if kept { vec![] } else { vec!["an uninstall would delete every object of the kind".into()] }
        }
        _ => vec![],
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    found.into_iter().map(|what| format!("{kind} {name}: {what}")).collect()
}

/// A wildcard grows by itself, a Secret is nobody's business here, and some verbs are a way to every other right.
fn rights(role: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for rule in list(&role["rules"]) {
        for field in ["apiGroups", "resources", "verbs", "nonResourceURLs"] {
            for value in list(&rule[field]).iter().filter_map(Value::as_str) {
                let resource = value.split('/').next().unwrap_or_default();
                if value.contains('*') {
                    found.push(format!("wildcard in {field}"));
                } else if field == "resources" && resource == "secrets" && !of_own_secrets(role, rule) {
                    found.push("a right to Secrets".into());
                } else if field == "verbs" && ["escalate", "bind", "impersonate"].contains(&value) {
                    found.push(format!("verb {value}"));
                }
            }
        }
    }
    found
}

/// Reading and writing by name, or making new ones, never by list: in the release's own namespace, and of workspaces the one
/// Secret that is ours there.
fn of_own_secrets(role: &Value, rule: &Value) -> bool {
    let only = |field: &str, allowed: &[&str]| {
        let values = list(&rule[field]);
        !values.is_empty() && values.iter().all(|value| allowed.iter().any(|allowed| value == allowed))
    };
    let by_name = only("resourceNames", &SECRETS) && only("verbs", &["get", "update", "delete"]);
    let new = rule["resourceNames"].is_null() && only("verbs", &["create"]);
    let (name, operator) = WORKSPACE_SECRET;
    let of_workspaces = only("resourceNames", &[name]) && only("verbs", &["get", "patch", "delete"]);
    let is_operators = role["kind"] == "ClusterRole" && role["metadata"]["name"] == operator;
    (role["kind"] == "Role" && (by_name || new) && only("resources", &["secrets", "configmaps"]))
        || (is_operators && (of_workspaces || new) && only("resources", &["secrets"]))
}

fn node(daemon_set: &Value) -> Vec<String> {
    let pod = &daemon_set["spec"]["template"]["spec"];
    let holds = [
        (list(&pod["containers"]).len() == 1 && list(&pod["initContainers"]).is_empty(), "not one container"),
        (pod["hostNetwork"] == true, "mounts would live in the pod's network"),
        (pod["dnsPolicy"] == "ClusterFirstWithHostNet", "Services' names would not resolve"),
        (pod["hostPID"].is_null() && pod["hostIPC"].is_null(), "shares more of the host than its network"),
        (pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] == true, "its root is writable"),
    ];
    holds.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what.into()).collect()
}

fn unprivileged(deployment: &Value) -> Vec<String> {
    let pod = &deployment["spec"]["template"]["spec"];
    let mut found = Vec::new();
    let mounts = deployment["metadata"]["name"] == MOUNTS.0;
    // What talks to the one that mounts must be its user: its socket lets in nobody else.
    if pod["securityContext"]["runAsNonRoot"] != true && !mounts {
        found.push("may run as root".into());
    }
    if pod["hostNetwork"] == true || list(&pod["volumes"]).iter().any(|volume| !volume["hostPath"].is_null())
    {
        found.push("reaches into the host".into());
    }
    for container in list(&pod["containers"]) {
        let context = &container["securityContext"];
        if context["readOnlyRootFilesystem"] != true {
            found.push("its root is writable".into());
        }
        if mounts && container["name"] == MOUNTS.1 {
            continue;
        }
        let drops_all = list(&context["capabilities"]["drop"]).iter().any(|name| name == "ALL");
        if context["privileged"] == true || !drops_all || context["allowPrivilegeEscalation"] != false {
            found.push("has privileges".into());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(rule: Value) -> Value {
        json!({"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [rule]})
    }

    #[test]
    fn rights_are_named_one_by_one() {
        let good = role(json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}));
        assert!(object(&good).is_empty());
        for (rule, what) in [
            (json!({"apiGroups": ["*"]}), "wildcard in apiGroups"),
            (json!({"resources": ["*"]}), "wildcard in resources"),
            (json!({"resources": ["pods/*"]}), "wildcard in resources"),
            (json!({"verbs": ["*"]}), "wildcard in verbs"),
            (json!({"nonResourceURLs": ["/metrics/*"]}), "wildcard in nonResourceURLs"),
            (json!({"resources": ["secrets"], "verbs": ["get"]}), "a right to Secrets"),
            (json!({"verbs": ["escalate"]}), "verb escalate"),
        ] {
            assert_eq!(object(&role(rule)), [format!("ClusterRole r: {what}")]);
        }
    }

    #[test]
    fn our_own_secrets_are_read_by_name_in_our_own_namespace_and_never_listed() {
        let rule = |verbs: Value, names: Value| json!({"resources": ["secrets"], "verbs": verbs, "resourceNames": names});
        let role =
            |rule: Value| object(&json!({"kind": "Role", "metadata": {"name": "r"}, "rules": [rule]})).len();
        assert_eq!(role(rule(json!(["get", "update"]), json!(["workspacefs-nfs-tls"]))), 0);
        assert_eq!(role(rule(json!(["create"]), Value::Null)), 0);
        for (verbs, names) in [
            (json!(["get"]), Value::Null),
            (json!(["get"]), json!([])),
            (json!(["list"]), json!(["workspacefs-nfs-tls"])),
            (json!(["get"]), json!(["workspacefs-nfs-tls", "somebodys"])),
            (json!(["create", "list"]), Value::Null),
        ] {
            assert_eq!(role(rule(verbs.clone(), names.clone())), 1, "{verbs} {names}");
        }
        let of_workspaces = |name: &str, verbs: Value, names: Value| {
            let role =
                json!({"kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule(verbs, names)]});
            object(&role).len()
        };
        let ours = || json!(["workspacefs-files"]);
        assert_eq!(of_workspaces("workspacefs-operator", json!(["get", "patch", "delete"]), ours()), 0);
        assert_eq!(of_workspaces("workspacefs-operator", json!(["create"]), Value::Null), 0);
        for (name, verbs, names) in [
            ("workspacefs-operator", json!(["get"]), Value::Null),
            ("workspacefs-operator", json!(["list"]), ours()),
            ("workspacefs-operator", json!(["get"]), json!(["workspacefs-nfs-tls"])),
            ("workspacefs-dashboard", json!(["get"]), ours()),
        ] {
            assert_eq!(of_workspaces(name, verbs.clone(), names.clone()), 1, "{name} {verbs} {names}");
        }
        let everywhere = super::tests::role(rule(json!(["get"]), json!(["workspacefs-nfs-tls"])));
        assert_eq!(object(&everywhere), ["ClusterRole r: a right to Secrets"]);
    }

    #[test]
    fn the_server_is_one_container_behind_a_policy_at_an_address_that_stays() {
        let labels = json!({"app": "server"});
        let good = [
            json!({"kind": "StatefulSet", "metadata": {"name": "workspacefs-nfs"}, "spec": {
                "selector": {"matchLabels": labels}, "template": {"spec": {"containers": [{}]}}}}),
            json!({"kind": "Service", "metadata": {"name": "workspacefs-nfs",
                "annotations": {"helm.sh/resource-policy": "keep"}}}),
            json!({"kind": "NetworkPolicy", "metadata": {"name": "workspacefs-nfs"}, "spec": {
                "podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [
                    {"ports": [{"port": "nfs"}]},
                    {"ports": [{"port": "agent"}], "from": [{"podSelector": {"matchLabels": {"app": "ours"}}}]}]}}),
        ];
        assert!(server(&good).is_empty() && server(&[]).is_empty());
        let bad = |at: usize, path: &str, value: Value| {
            let mut objects = good.clone();
            *objects[at].pointer_mut(path).unwrap() = value;
            server(&objects).len()
        };
        assert_eq!(bad(0, "/spec/template/spec/containers", json!([{}, {}])), 1);
        assert_eq!(bad(0, "/spec/template/spec", json!({"containers": [{}], "hostNetwork": true})), 1);
        assert_eq!(bad(1, "/metadata/annotations", json!({})), 1);
        assert_eq!(bad(2, "/spec/podSelector/matchLabels", json!({"app": "other"})), 1);
        assert_eq!(bad(2, "/spec/ingress/1/from/0", json!({"ipBlock": {}})), 1);
        assert_eq!(bad(2, "/spec/ingress/0", json!({})), 1);
        assert_eq!(server(&good[..2]).len(), 1);
    }

    #[test]
    fn the_node_runs_one_container_in_the_nodes_network() {
        let good = json!({"kind": "DaemonSet", "metadata": {"name": "n"}, "spec": {"template": {"spec": {
            "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet",
            "containers": [{"securityContext": {"readOnlyRootFilesystem": true}}],
        }}}});
        assert!(object(&good).is_empty());
        let bad = |change: &dyn Fn(&mut Value)| {
            let mut object = good.clone();
            change(&mut object["spec"]["template"]["spec"]);
            super::object(&object).len()
        };
        assert_eq!(
            bad(&|pod| pod["containers"] = json!([good["spec"]["template"]["spec"]["containers"][0], {}])),
            1
        );
        assert_eq!(bad(&|pod| pod["initContainers"] = json!([{}])), 1);
        assert_eq!(bad(&|pod| pod["hostNetwork"] = json!(false)), 1);
        assert_eq!(bad(&|pod| pod["dnsPolicy"] = json!("ClusterFirst")), 1);
        assert_eq!(bad(&|pod| pod["hostPID"] = json!(true)), 1);
    }

    #[test]
    fn a_deployment_has_no_privilege() {
        let context = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}});
        let good = json!({"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": {
            "securityContext": {"runAsNonRoot": true}, "containers": [{"securityContext": context}],
        }}}});
        assert!(object(&good).is_empty());
        let bad = |change: &dyn Fn(&mut Value)| {
            let mut object = good.clone();
            change(&mut object["spec"]["template"]["spec"]);
            super::object(&object)
        };
        assert_eq!(bad(&|pod| pod["securityContext"] = json!({})), ["Deployment d: may run as root"]);
        let host = json!([{"hostPath": {"path": "/"}}]);
        assert_eq!(bad(&|pod| pod["volumes"] = host.clone()), ["Deployment d: reaches into the host"]);
        let privileged =
            |pod: &mut Value| pod["containers"][0]["securityContext"]["privileged"] = json!(true);
        assert_eq!(bad(&privileged), ["Deployment d: has privileges"]);
        let controller = |pod: &mut Value| {
            pod["containers"][0]["name"] = json!("csi-driver");
            privileged(pod);
        };
        assert_eq!(bad(&controller), ["Deployment d: has privileges"]);
        let mut mounting = good.clone();
        mounting["metadata"]["name"] = json!("workspacefs-controller");
        controller(&mut mounting["spec"]["template"]["spec"]);
        assert!(object(&mounting).is_empty());
    }

    #[test]
    fn an_empty_chart_and_a_kind_that_an_uninstall_deletes_are_found() {
        assert_eq!(
            broken(&[]),
            ["no DaemonSet", "no Deployment", "no CSIDriver", "no CustomResourceDefinition"]
        );
        assert_eq!(object(&json!({"kind": "CustomResourceDefinition", "metadata": {"name": "c"}})).len(), 1);
    }
}
