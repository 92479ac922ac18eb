//! What must hold for the rendered chart, whatever the values: rights are named one by one, only the node plugin is
//! privileged, one container runs per node, and an uninstall keeps the kinds.

use serde_json::Value;

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
    found
}

fn object(object: &Value) -> Vec<String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let found = match kind {
        "ClusterRole" | "Role" => rights(object),
        "DaemonSet" => node(object),
        "Deployment" => unprivileged(object),
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
                } else if field == "resources" && resource == "secrets" {
                    found.push("a right to Secrets".into());
                } else if field == "verbs" && ["escalate", "bind", "impersonate"].contains(&value) {
                    found.push(format!("verb {value}"));
                }
            }
        }
    }
    found
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
    if pod["securityContext"]["runAsNonRoot"] != true {
        found.push("may run as root".into());
    }
    if pod["hostNetwork"] == true || list(&pod["volumes"]).iter().any(|volume| !volume["hostPath"].is_null())
    {
        found.push("reaches into the host".into());
    }
    for container in list(&pod["containers"]) {
        let context = &container["securityContext"];
        let drops_all = list(&context["capabilities"]["drop"]).iter().any(|name| name == "ALL");
        if context["privileged"] == true || !drops_all || context["allowPrivilegeEscalation"] != false {
            found.push("has privileges".into());
        }
        if context["readOnlyRootFilesystem"] != true {
            found.push("its root is writable".into());
        }
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
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
