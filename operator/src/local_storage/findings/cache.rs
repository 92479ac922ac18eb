//! Condition CacheReady: whether the nodes have the FS-Cache that `fsCache` asks for.

use std::collections::BTreeSet;

use workspacefs_api::{LocalStorage, NodeCache};

use super::{CACHE_READY, first_few};
use crate::conditions::Finding;
use crate::local_storage::nodes::{Selected, because};

/// What nodes say that a condition's reason repeats where all of them say the same.
const REASONS: [&str; 9] = [
    "AnotherStorage",
    "BindFailed",
    "DeviceBusy",
    "DiskNotReady",
    "Failed",
    "HelperFailed",
    "Leaving",
    "NoImage",
    "Unsupported",
];
const NO_REPORT: &str = "NoReport";

/// None where no cache is asked for.
pub fn cache_ready(storage: &LocalStorage, selected: &[Selected<'_>]) -> Option<Finding> {
    let size = &storage.spec.fs_cache.as_ref()?.size.0;
    let total = selected.len();
    let not: Vec<(&str, String)> = selected.iter().filter_map(missing).collect();
    let reasons: BTreeSet<&str> = not.iter().map(|(reason, _)| *reason).collect();
    let which: Vec<String> = not.into_iter().map(|(_, sentence)| sentence).collect();
    let finding = match (total, total - which.len()) {
        (0, _) => Finding::new(CACHE_READY, false, "NoNodes", "there is no node that it is meant for"),
        (_, ready) if ready == total => Finding::new(
            CACHE_READY,
            true,
            "Ready",
            format!("{size} on all {total} nodes that it is meant for"),
        ),
        (_, 0) => {
            let reason = match (reasons.len(), reasons.first()) {
                (1, Some(&NO_REPORT)) => NO_REPORT,
                (1, Some(only)) => REASONS.into_iter().find(|known| known == only).unwrap_or("NoneReady"),
                _ => "NoneReady",
            };
            let message = format!("on none of {total} nodes. {}", first_few(&which));
            Finding::new(CACHE_READY, false, reason, message)
        }
        (_, some) => {
            let message = format!("{size} on {some} of {total} nodes. {}", first_few(&which));
            Finding::new(CACHE_READY, true, "SomeNotReady", message)
        }
    };
    Some(finding)
}

/// Why a node has no cache: reason and sentence.
fn missing<'a>(node: &Selected<'a>) -> Option<(&'a str, String)> {
    let say = |reason: &'a str, message: &str| {
        Some((reason, format!("{}: {}", node.name, because(reason, message))))
    };
    if !node.is_alive {
        return say(NO_REPORT, "its Node is not Ready");
    }
    match node.entry.and_then(|entry| entry.cache.as_ref()) {
        Some(NodeCache { ready: true, .. }) => None,
        Some(cache) => say(&cache.reason, &cache.message),
        None => say(
            NO_REPORT,
            "its node plugin says nothing of a cache: the chart's value caches.localCache is off, or it has just started",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_api::NodeStorage;
    use workspacefs_testkit::builders;

    use super::*;

    fn storage(cache: bool) -> LocalStorage {
        let mut spec = json!({"nodeGroup": "gpu", "source": {"devices": {}}});
        if cache {
            spec["fsCache"] = json!({"size": "200Gi"});
        }
        builders::local_storage("fast", spec)
    }

    fn found(entries: &[(&str, Value)]) -> Finding {
        let entry = |(node, cache): &(&str, Value)| {
            let mut entry = serde_json::to_value(builders::node_storage(node, true)).unwrap();
            entry["cache"] = cache.clone();
            builders::object::<NodeStorage>(entry)
        };
        let entries: Vec<NodeStorage> = entries.iter().map(entry).collect();
        let on =
            |entry| Selected { name: NodeStorage::clone(entry).node, entry: Some(entry), is_alive: true };
        cache_ready(&storage(true), &entries.iter().map(on).collect::<Vec<_>>()).unwrap()
    }

    fn not(reason: &str) -> Value {
        json!({"ready": false, "reason": reason, "message": "do this"})
    }

    #[test]
    fn a_reason_that_all_nodes_give_is_the_conditions_and_each_node_is_named() {
        let ready = || json!({"ready": true, "reason": "Ready"});
        for (entries, status, reason, words) in [
            (vec![("a", ready()), ("b", ready())], "True", "Ready", "200Gi on all 2 nodes"),
            (
                vec![("a", ready()), ("b", not("DeviceBusy"))],
                "True",
                "SomeNotReady",
                "1 of 2 nodes. b: DeviceBusy: do this",
            ),
            (
                vec![("a", not("DeviceBusy")), ("b", not("DeviceBusy"))],
                "False",
                "DeviceBusy",
                "a: DeviceBusy",
            ),
            (vec![("a", not("Unsupported"))], "False", "Unsupported", "a: Unsupported: do this"),
            (
                vec![("a", not("DeviceBusy")), ("b", not("Unsupported"))],
                "False",
                "NoneReady",
                "b: Unsupported",
            ),
            (vec![("a", not("SomethingLater"))], "False", "NoneReady", "SomethingLater"),
            (vec![("a", Value::Null)], "False", "NoReport", "caches.localCache"),
            (vec![], "False", "NoNodes", "no node"),
        ] {
            let finding = found(&entries);
            assert_eq!((finding.status, finding.reason), (status, reason), "{}", finding.message);
            assert!(finding.message.contains(words), "{}", finding.message);
        }
    }

    #[test]
    fn nothing_is_said_of_a_cache_that_nobody_asked_for_and_a_lost_node_says_nothing() {
        assert_eq!(cache_ready(&storage(false), &[]), None);
        let mut entry = builders::node_storage("a", true);
        entry.cache = Some(NodeCache { ready: true, reason: "Ready".into(), ..NodeCache::default() });
        let lost = Selected { name: "a".into(), entry: Some(&entry), is_alive: false };
        let finding = cache_ready(&storage(true), &[lost]).unwrap();
        assert_eq!((finding.status, finding.reason), ("False", "NoReport"));
    }
}
