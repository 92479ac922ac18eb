//! What must hold of files in the browser, as the chart renders them: whoever has the operator's token can run no pod of their own
//! making by its rights to Deployments, since policies keep it to what runs `files`; the gateway reads what it shows and asks
//! about people, nothing more, and is one; and people's roles give the verbs that the gateway asks for.

use serde_json::Value;

use super::list;

const OPERATOR: &str = "workspacefs-operator";
const RETIRE: &str = "workspacefs-retire";
const DASHBOARD: &str = "workspacefs-dashboard";
/// The name by which the gateway asks what somebody may do with files.
const FILES: &str = "filesystems/files";

/// What the gateway may do: the resources and the verbs.
const GATEWAYS: [(&[&str], &[&str]); 4] = [
    (&["tokenreviews"], &["create"]),
    (&["subjectaccessreviews"], &["create"]),
    (&["filesystems", "fscaches", "localstorages"], &["list", "watch"]),
    (&["namespaces"], &["list", "watch"]),
];

/// Rights to Deployments, whose they are, and the policies that keep them small.
const KEPT: [(&str, &str, &str); 3] = [
    (OPERATOR, "delete", "workspacefs-files-objects"),
    (RETIRE, "delete", "workspacefs-files-objects"),
    (OPERATOR, "create", "workspacefs-files-pods"),
];

/// What each role for people lets them do with files.
const PEOPLES: [(&str, &str, &[&str]); 3] = [
    ("workspacefs-viewer", "view", &["get", "list"]),
    ("workspacefs-editor", "edit", &["get", "list", "create", "update", "delete"]),
    ("workspacefs-admin", "admin", &["get", "list", "create", "update", "delete"]),
];

/// Says what is wrong. `all_on`: no policy was switched off.
pub(super) fn broken(objects: &[Value], all_on: bool) -> Vec<String> {
    let mut found = people(objects);
    let may = |role: &str, verb: &str| {
        rules_of(objects, role).any(|rule| has(rule, "resources", "deployments") && has(rule, "verbs", verb))
    };
    for (role, verb, policy) in KEPT {
        if all_on && may(role, verb) {
            let what = loose(objects, policy, role);
            found.extend(what.map(|what| format!("{role} may {verb} Deployments: policy {policy} {what}")));
        }
    }
    found.extend(gateway(objects));
    found
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

fn rules_of<'a>(objects: &'a [Value], role: &str) -> impl Iterator<Item = &'a Value> {
    named(objects, "ClusterRole", role).into_iter().flat_map(|role| list(&role["rules"]))
}

fn has(rule: &Value, field: &str, wish: &str) -> bool {
    list(&rule[field]).iter().any(|value| value == wish)
}

fn people(objects: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, aggregate, verbs) in PEOPLES {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{aggregate}");
        let role = named(objects, "ClusterRole", name);
        if role.is_none_or(|role| role["metadata"]["labels"][label] != "true") {
            found.push(format!("{name} is not a part of {aggregate}"));
        }
        for rule in rules_of(objects, name) {
            let writes =
                list(&rule["verbs"]).iter().any(|v| !["get", "list", "watch"].iter().any(|read| v == read));
            let of_files = has(rule, "resources", FILES);
            if of_files && list(&rule["verbs"]) != verbs {
                found.push(format!("{name} has other verbs on {FILES} than {verbs:?}"));
            }
            if writes && list(&rule["resources"]).iter().any(|resource| resource != FILES) {
                found.push(format!("{name} lets people of a namespace write our kinds"));
            }
        }
        if !rules_of(objects, name).any(|rule| has(rule, "resources", FILES)) {
            found.push(format!("{name} says nothing of {FILES}"));
        }
    }
    found
}

/// What a policy lacks that keeps an account's rights small.
fn loose(objects: &[Value], name: &str, account: &str) -> Option<&'static str> {
    let Some(policy) = named(objects, "ValidatingAdmissionPolicy", name) else {
        return Some("is missing");
    };
    let spec = &policy["spec"];
    let account = format!("'system:serviceaccount:workspacefs-system:{account}'");
    let looks = list(&spec["matchConstraints"]["resourceRules"]).iter().any(|rule| {
        has(rule, "resources", "deployments")
            && has(rule, "operations", "CREATE")
            && has(rule, "operations", "UPDATE")
    });
    let conditions = list(&spec["matchConditions"]);
    let ours = conditions.len() == 1
        && conditions[0]["expression"].as_str().is_some_and(|expression| expression.contains(&account));
    let holds = [
        (spec["failurePolicy"] == "Fail", "lets pass what it cannot evaluate"),
        (looks, "does not look at Deployments that are made and changed"),
        (ours, "is not about our accounts alone"),
        (list(&spec["validations"]).len() > 1, "asks for too little"),
    ];
    holds.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)
}

fn gateway(objects: &[Value]) -> Vec<String> {
    let Some(set) = named(objects, "StatefulSet", DASHBOARD) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let known = |rule: &&Value| {
        GATEWAYS.iter().any(|(resources, verbs)| {
            list(&rule["resources"]) == *resources && list(&rule["verbs"]) == *verbs
        })
    };
    let others = rules_of(objects, DASHBOARD).filter(|rule| !known(rule)).count();
    if others > 0 || rules_of(objects, DASHBOARD).count() != GATEWAYS.len() {
        found.push("the gateway may do something else than ask about people and read what it shows".into());
    }
    if named(objects, "Role", DASHBOARD).is_some() {
        found.push("the gateway has rights in a namespace of its own".into());
    }
    if set["spec"]["replicas"] != 1 {
        found.push("there may be two gateways, and one knows nothing of the other's sessions".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chart::{parse, rules};
    use crate::shell;

    fn read(file: &str) -> Vec<Value> {
        parse(&std::fs::read_to_string(shell::root().join(file)).unwrap()).unwrap()
    }

    /// The rights and the gateway, with both switched on.
    fn rendered() -> Vec<Value> {
        read("charts/rendered/files.yaml")
    }

    /// The objects after `change` of one of them.
    fn changed(kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Vec<Value> {
        let mut objects = rendered();
        let object = objects.iter_mut().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        change(object.unwrap_or_else(|| panic!("no {kind} {name}")));
        objects
    }

    #[test]
    fn as_it_is_rendered_nothing_is_broken() {
        assert_eq!(broken(&rendered(), true), Vec::<String>::new());
        let base = read("deploy/kustomize/workspacefs.yaml");
        assert_eq!(broken(&base, true), Vec::<String>::new());
        assert_eq!(rules::broken(&base), Vec::<String>::new());
        // Of the whole chart some of the objects.
        let mut of_some = rules::broken(&rendered());
        of_some.retain(|what| !what.starts_with("no "));
        assert_eq!(of_some, Vec::<String>::new());
    }

    #[test]
    fn switched_off_nobody_has_a_right_for_files_and_there_is_no_gateway() {
        let objects = read("deploy/kustomize/workspacefs.yaml");
        for role in [OPERATOR, RETIRE] {
            assert!(rules_of(&objects, role).next().is_some(), "{role}");
            for resource in ["deployments", "services", "networkpolicies", "secrets"] {
                assert!(
                    !rules_of(&objects, role).any(|rule| has(rule, "resources", resource)),
                    "{role} {resource}"
                );
            }
        }
        let is_of_files = |object: &Value| {
            object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("workspacefs-files"))
        };
        assert!(!objects.iter().any(is_of_files));
        assert!(!objects.iter().any(|object| object["metadata"]["name"] == DASHBOARD));
    }

    #[test]
    fn a_right_without_its_policy_is_found() {
        // The one keeps two accounts.
        for (policy, count) in [("workspacefs-files-objects", 2), ("workspacefs-files-pods", 1)] {
            let mut objects = rendered();
            objects.retain(|o| o["kind"] != "ValidatingAdmissionPolicy" || o["metadata"]["name"] != policy);
            assert_eq!(broken(&objects, true).len(), count, "{policy}");
            assert!(broken(&objects, false).is_empty());
            for (path, value) in [
                ("/spec/failurePolicy", json!("Ignore")),
                ("/spec/matchConditions/0/expression", json!("true")),
                ("/spec/matchConstraints/resourceRules/0/operations", json!(["DELETE"])),
                ("/spec/validations", json!([])),
            ] {
                let loosened = changed("ValidatingAdmissionPolicy", policy, |object| {
                    *object.pointer_mut(path).unwrap() = value;
                });
                assert_eq!(broken(&loosened, true).len(), count, "{policy} {path}");
            }
        }
    }

    #[test]
    fn one_right_more_for_the_gateway_is_found() {
        for rule in [
            json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),
            json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}),
            json!({"apiGroups": ["workspacefs.io"], "resources": ["filesystems"], "verbs": ["patch"]}),
        ] {
            let more =
                changed("ClusterRole", DASHBOARD, |role| role["rules"].as_array_mut().unwrap().push(rule));
            assert_eq!(broken(&more, true).len(), 1);
        }
        let two = changed("StatefulSet", DASHBOARD, |set| set["spec"]["replicas"] = json!(2));
        assert_eq!(broken(&two, true).len(), 1);
    }

    #[test]
    fn what_people_may_do_is_what_the_gateway_asks_for_and_never_our_kinds() {
        for (name, aggregate, verbs) in PEOPLES {
            let role = changed("ClusterRole", name, |role| {
                let rule = json!({"apiGroups": ["workspacefs.io"], "resources": ["filesystems"], "verbs": ["patch"]});
                role["rules"].as_array_mut().unwrap().push(rule);
            });
            assert_eq!(broken(&role, true).len(), 1, "{name}");
            let role = changed("ClusterRole", name, |role| {
                role["metadata"]["labels"] = json!({});
            });
            assert_eq!(broken(&role, true), [format!("{name} is not a part of {aggregate}")]);
            let role = changed("ClusterRole", name, |role| {
                let rule = role["rules"]
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .find(|rule| has(rule, "resources", FILES));
                rule.unwrap()["verbs"] = json!(verbs[1..]);
            });
            assert_eq!(broken(&role, true).len(), 1, "{name}");
        }
    }
}
