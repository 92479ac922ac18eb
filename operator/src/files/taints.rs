//! What keeps other pods off the nodes of a group does not keep the `files` of the group's FileSystems off. Only taints that
//! all its nodes have in common are tolerated: what one alone has (it is drained, it is sick, it is about to go) is meant for
//! `files` as for everybody. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Value, json};

/// Kubernetes' own taints, and those of what adds and removes nodes, tell of a node's state, whatever its group: with what these begin.
const STATES: [&str; 6] = [
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
    "karpenter.sh/",
    "node.cluster.x-k8s.io/",
];
/// A wish only: no pod is kept off by it.
const WISH: &str = "PreferNoSchedule";
/// A pod with more tolerations than nodes of a group have for its sake is a mistake of somebody's.
const TAINTS_MAX: usize = 16;

/// What tolerates the taints of a group. None where nobody knows, since the group has no node.
pub fn tolerations<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Option<Vec<Value>> {
    let mut nodes = nodes.into_iter().map(taints);
    let first = nodes.next()?;
    let common = nodes.fold(first, |common, of_node| common.intersection(&of_node).cloned().collect());
    Some(common.into_iter().take(TAINTS_MAX).map(toleration).collect())
}

/// Key, value and effect, so that their order is always the same.
type Key = (String, String, String);

fn taints(node: &Node) -> BTreeSet<Key> {
    let all = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let lasting = all
        .iter()
        .filter(|taint| taint.effect != WISH && !STATES.iter().any(|state| taint.key.starts_with(state)));
    lasting
        .map(|Taint { key, value, effect, .. }| {
            (key.clone(), value.clone().unwrap_or_default(), effect.clone())
        })
        .collect()
}

fn toleration((key, value, effect): Key) -> Value {
    json!({"key": key, "operator": "Equal", "value": value, "effect": effect})
}

#[cfg(test)]
mod tests {
    use workspacefs_testkit::builders::object;

    use super::*;

    fn node(taints: &[(&str, &str, &str)]) -> Node {
        let taints: Vec<Value> = taints
            .iter()
            .map(|(key, value, effect)| json!({"key": key, "value": value, "effect": effect}))
            .collect();
        object(json!({"metadata": {"name": "n"}, "spec": {"taints": taints}}))
    }

    const DEDICATED: (&str, &str, &str) = ("example.com/team", "a", "NoSchedule");

    #[test]
    fn what_all_nodes_have_in_common_is_tolerated_and_what_one_has_alone_is_not() {
        let drained = ("node.kubernetes.io/unschedulable", "", "NoSchedule");
        let going = ("ToBeDeletedByClusterAutoscaler", "1700000000", "NoSchedule");
        let nodes = [node(&[going, DEDICATED]), node(&[DEDICATED, drained])];
        let tolerated =
            json!({"key": "example.com/team", "operator": "Equal", "value": "a", "effect": "NoSchedule"});
        assert_eq!(tolerations(&nodes), Some(vec![tolerated]));
        // Also where it is the only node, or all of them are: a state is no wish.
        let candidate = ("DeletionCandidateOfClusterAutoscaler", "1700000000", "PreferNoSchedule");
        let consolidated = ("karpenter.sh/disrupted", "", "NoSchedule");
        for state in [drained, going, candidate, consolidated] {
            assert_eq!(tolerations(&[node(&[state]), node(&[state])]), Some(vec![]), "{state:?}");
        }
    }

    #[test]
    fn what_keeps_no_pod_off_needs_no_toleration() {
        let soft = ("example.com/team", "a", "PreferNoSchedule");
        assert_eq!(tolerations(&[node(&[soft])]), Some(vec![]));
    }

    #[test]
    fn the_order_of_taints_makes_no_difference_and_a_group_without_nodes_says_nothing() {
        let other = ("b", "", "NoExecute");
        assert_eq!(tolerations(&[node(&[DEDICATED, other])]), tolerations(&[node(&[other, DEDICATED])]));
        assert_eq!(tolerations(&[]), None);
        assert_eq!(tolerations(&[node(&[DEDICATED]), node(&[])]), Some(vec![]));
    }
}
