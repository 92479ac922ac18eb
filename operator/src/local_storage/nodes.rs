//! The nodes of a LocalStorage: which are meant, which of them have it ready, whose label is not as it should be, and whose
//! entry speaks of nobody. Pure: decided from what the watches have seen. How old an entry is says nothing, since nodes
//! write only what changes; so a node counts as long as Kubernetes itself takes it for Ready.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use workspacefs_api::local_storage::READY;
use workspacefs_api::{Health, LocalStorage, NodeStorage};

/// What is said of a disk that works and reports errors.
pub const NO_NEW_PODS: &str = "reports I/O errors: no new pods";

/// A node that the LocalStorage is meant for.
#[derive(Clone, Debug)]
pub struct Selected<'a> {
    /// Its name.
    pub name: String,
    /// What its plugin says, if it has said anything.
    pub entry: Option<&'a NodeStorage>,
    /// Whether Kubernetes takes it for Ready.
    pub is_alive: bool,
}

impl Selected<'_> {
    /// Whether new pods may go there.
    pub fn is_ready(&self) -> bool {
        self.why_not().is_none()
    }

    /// Why not: reason and sentence. A disk that reports errors still works, and its node says ready for the pods that it has;
    /// further ones are not to trust their files to it.
    pub fn why_not(&self) -> Option<(String, String)> {
        let told = |entry: &NodeStorage| (entry.reason.clone(), entry.message.clone());
        if !self.is_alive {
            let message = "its Node is not Ready, so nothing is known of its disk";
            return Some(("NodeNotReady".into(), message.into()));
        }
        match self.entry {
            None => Some(("NoReport".into(), "its node plugin has not reported yet".into())),
            Some(entry) if !entry.ready => Some(told(entry)),
            Some(entry) => match entry.health {
                Health::Failed => Some(("DiskFailed".into(), entry.message.clone())),
                Health::Degraded => Some(("DiskErrors".into(), because(NO_NEW_PODS, &entry.message))),
                Health::Healthy | Health::Unknown => None,
            },
        }
    }
}

/// A reason and its sentence, as one.
pub fn because(reason: &str, message: &str) -> String {
    let message = message.trim_end_matches('.');
    if message.is_empty() { reason.into() } else { format!("{reason}: {message}") }
}

/// Those that are meant, by name.
pub fn selected<'a>(storage: &'a LocalStorage, group_label: &str, nodes: &[Arc<Node>]) -> Vec<Selected<'a>> {
    let mut selected: Vec<Selected<'a>> = nodes
        .iter()
        .filter(|node| storage.selects(group_label, node.labels()))
        .map(|node| {
            let name = node.name_any();
            Selected { entry: storage.on_node(&name), is_alive: is_alive(node), name }
        })
        .collect();
    selected.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    selected
}

fn is_alive(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// A node whose label is to change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The node as it was seen.
    pub node: Arc<Node>,
    /// Whether it is to have the label.
    pub ready: bool,
}

/// The nodes that have the label and should not, or should and have not.
pub fn changes(label: &str, ready: &BTreeSet<String>, nodes: &[Arc<Node>]) -> Vec<Change> {
    let is_as_wished = |node: &Node, wished: bool| match node.labels().get(label) {
        Some(value) => wished && value == READY,
        None => !wished,
    };
    let mut changes: Vec<Change> = nodes
        .iter()
        .map(|node| Change { node: node.clone(), ready: ready.contains(&node.name_any()) })
        .filter(|change| !is_as_wished(&change.node, change.ready))
        .collect();
    changes.sort_unstable_by_key(|change| (change.ready, change.node.name_any()));
    changes
}

/// An entry of a node that is gone, or is not meant any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stale {
    /// Its place in `status.nodes`.
    pub place: usize,
    /// The node's name.
    pub node: String,
}

/// All such entries, the last first: so each can be removed by its place.
pub fn stale(storage: &LocalStorage, selected: &[Selected<'_>]) -> Vec<Stale> {
    let entries = storage.status.iter().flat_map(|status| status.nodes.iter().enumerate());
    let mut stale: Vec<Stale> = entries
        .filter(|(_, entry)| !selected.iter().any(|node| node.name == entry.node))
        .map(|(place, entry)| Stale { place, node: entry.node.clone() })
        .collect();
    stale.reverse();
    stale
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_testkit::builders;

    use super::*;

    const LABEL: &str = "local.workspacefs.io/fast";

    fn node(name: &str, group: &str, ready: &str, label: Option<&str>) -> Arc<Node> {
        let mut node = builders::node(name, ready);
        node.labels_mut().insert("group".into(), group.into());
        if let Some(value) = label {
            node.labels_mut().insert(LABEL.into(), value.into());
        }
        Arc::new(node)
    }

    fn storage(entries: &[(&str, bool)]) -> LocalStorage {
        let entries: Vec<_> =
            entries.iter().map(|(node, ready)| builders::node_storage(node, *ready)).collect();
        builders::object(json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage", "metadata": {"name": "fast"},
            "spec": {"nodeGroup": "gpu", "source": {"devices": {}}}, "status": {"nodes": entries},
        }))
    }

    #[test]
    fn a_node_is_ready_if_it_says_so_and_kubernetes_takes_it_for_ready() {
        let storage = storage(&[("a", true), ("b", false), ("c", true), ("d", true), ("e", true)]);
        let nodes = [
            node("a", "gpu", "True", None),
            node("b", "gpu", "True", None),
            node("c", "gpu", "Unknown", None),
            node("d", "gpu", "False", None),
            node("e", "cpu", "True", None),
            node("f", "gpu", "True", None),
        ];
        let selected = selected(&storage, "group", &nodes);
        let seen: Vec<_> = selected.iter().map(|n| (n.name.as_str(), n.why_not().map(|why| why.0))).collect();
        let why = |reason: &str| Some(reason.to_string());
        assert_eq!(
            seen,
            [
                ("a", None),
                ("b", why("NoDisk")),
                ("c", why("NodeNotReady")),
                ("d", why("NodeNotReady")),
                ("f", why("NoReport"))
            ]
        );
        assert!(selected.iter().all(|node| node.is_ready() == node.why_not().is_none()));
    }

    #[test]
    fn a_disk_that_reports_errors_or_failed_takes_no_new_pods_even_if_its_node_says_ready() {
        for (ready, health, why) in [
            (true, Health::Unknown, None),
            (true, Health::Healthy, None),
            (true, Health::Degraded, Some(("DiskErrors", "reports I/O errors: no new pods: 3 so far"))),
            (true, Health::Failed, Some(("DiskFailed", "3 so far"))),
            (false, Health::Degraded, Some(("NoDisk", "3 so far"))),
            (false, Health::Healthy, Some(("NoDisk", "3 so far"))),
        ] {
            let mut entry = builders::node_storage("a", ready);
            (entry.health, entry.message) = (health, "3 so far".into());
            let node = Selected { name: "a".into(), entry: Some(&entry), is_alive: true };
            let said = node.why_not();
            let said = said.as_ref().map(|(reason, message)| (reason.as_str(), message.as_str()));
            assert_eq!((said, node.is_ready()), (why, why.is_none()), "{ready} {health:?}");
        }
    }

    #[test]
    fn only_labels_that_are_wrong_are_changed_and_those_that_must_go_first() {
        let ready = BTreeSet::from(["a".to_string(), "b".to_string(), "c".to_string()]);
        let nodes = [
            node("a", "", "True", None),
            node("b", "", "True", Some("ready")),
            node("c", "", "True", Some("no")),
            node("d", "", "True", Some("ready")),
            node("e", "", "True", Some("no")),
            node("f", "", "True", None),
        ];
        let changes = changes(LABEL, &ready, &nodes);
        let names: Vec<_> = changes.iter().map(|c| (c.node.name_any(), c.ready)).collect();
        let of = |name: &str, ready| (name.to_string(), ready);
        assert_eq!(names, [of("d", false), of("e", false), of("a", true), of("c", true)]);
    }

    #[test]
    fn entries_of_nodes_that_are_gone_or_not_meant_are_stale_the_last_first() {
        let storage = storage(&[("gone", true), ("a", true), ("left", false)]);
        let nodes = [node("a", "gpu", "False", None), node("left", "cpu", "True", None)];
        let stale = stale(&storage, &selected(&storage, "group", &nodes));
        let places: Vec<_> = stale.iter().map(|s| (s.place, s.node.as_str())).collect();
        assert_eq!(places, [(2, "left"), (0, "gone")]);
    }
}
