//! What status and conditions of a LocalStorage say, decided from what was seen. Pure.

mod cache;
mod disks;
mod quota;
mod unaccounted;
mod workspaces;

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use workspacefs_api::{Health, LocalStorage, LocalStorageStatus, Media, quantity};

pub use self::cache::cache_ready;
pub use self::disks::about_disks;
pub use self::quota::quota_enforced;
pub use self::unaccounted::{Unaccounted, unaccounted};
pub use self::workspaces::{Share, State, told, workspaces_ready};
use super::nodes::{Selected, because};
use crate::class::CLASS_READY;
use crate::conditions::Finding;
use crate::filesystem::users;

/// Some node has it ready.
pub const READY: &str = "Ready";
/// Every listed workspace has its claim.
pub const WORKSPACES_READY: &str = "WorkspacesReady";
/// The quota is a limit.
pub const QUOTA_ENFORCED: &str = "QuotaEnforced";
/// The nodes have the FS-Cache that is asked for. Said only where one is.
pub const CACHE_READY: &str = "CacheReady";
/// Some node's disk is ill, or a claim's volume is lost. Said only where that is so.
pub const DEGRADED: &str = "Degraded";
/// On some node it is not a file system of its own. Said only where that is so.
pub const SHARES_FILE_SYSTEM: &str = "SharesFileSystem";
/// It is being deleted, but pods use it, or claims have volumes on it.
pub const IN_USE: &str = "InUse";

/// Every condition that the operator writes. Others are others'.
pub const OURS: [&str; 8] =
    [READY, WORKSPACES_READY, QUOTA_ENFORCED, CACHE_READY, DEGRADED, SHARES_FILE_SYSTEM, IN_USE, CLASS_READY];

/// How many nodes a message speaks of.
const NODES_MAX: usize = 5;

/// The status beside conditions and nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// As in `2/3`.
    pub nodes_ready: Option<String>,
    /// What it is on.
    pub media: Option<String>,
    /// Of all ready nodes.
    pub capacity: Option<Quantity>,
    /// Of all ready nodes.
    pub used: Option<Quantity>,
    /// The worst of all nodes.
    pub health: Option<Health>,
}

impl Summary {
    /// What the status says already.
    pub fn as_before(old: &LocalStorageStatus) -> Self {
        Self {
            nodes_ready: old.nodes_ready.clone(),
            media: old.media.clone(),
            capacity: old.capacity.clone(),
            used: old.used.clone(),
            health: old.health,
        }
    }

    /// What all nodes together say.
    pub fn of(selected: &[Selected<'_>]) -> Self {
        let ready = || selected.iter().filter(|node| node.is_ready()).filter_map(|node| node.entry);
        let entries = || selected.iter().filter_map(|node| node.entry);
        let media: BTreeSet<&str> = entries()
            .filter_map(|entry| entry.device.as_ref()?.media)
            .map(|media| match media {
                Media::Ssd => "SSD",
                Media::Nvme => "NVMe",
                Media::Hdd => "HDD",
            })
            .collect();
        let media: Vec<&str> = media.into_iter().collect();
        Self {
            nodes_ready: Some(format!("{}/{}", ready().count(), selected.len())),
            media: (!media.is_empty()).then(|| media.join(", ")),
            capacity: sum(ready().map(|entry| entry.capacity.as_ref())),
            used: sum(ready().map(|entry| entry.used.as_ref())),
            health: entries().map(|entry| entry.health).max(),
        }
    }
}

/// None where nobody says a size.
fn sum<'a>(sizes: impl Iterator<Item = Option<&'a Quantity>>) -> Option<Quantity> {
    let known = sizes.flatten().filter_map(|size| quantity::bytes(&size.0));
    known.reduce(u64::saturating_add).map(quantity::exact)
}

/// Ready: whether pods can be placed anywhere. One node of many without it does not change that, and is named.
pub fn ready(storage: &LocalStorage, group_label: &str, selected: &[Selected<'_>]) -> Finding {
    let not_ready: Vec<String> = selected
        .iter()
        .filter_map(|node| node.why_not().map(|(reason, message)| (node, reason, message)))
        .map(|(node, reason, message)| format!("{}: {}", node.name, because(&reason, &message)))
        .collect();
    let total = selected.len();
    if total == 0 {
        let group = &storage.spec.node_group;
        let more = if storage.spec.node_selector.is_some() { ", and those of nodeSelector" } else { "" };
        let message = format!("no node has the label {group_label}={group}{more}");
        return Finding::new(READY, false, "NoNodes", message);
    }
    if not_ready.is_empty() {
        return Finding::new(
            READY,
            true,
            "Ready",
            format!("ready on all {total} nodes that it is meant for"),
        );
    }
    let which = first_few(&not_ready);
    match total - not_ready.len() {
        0 => Finding::new(READY, false, "NoneReady", format!("ready on none of {total} nodes. {which}")),
        some => {
            Finding::new(READY, true, "SomeNotReady", format!("ready on {some} of {total} nodes. {which}"))
        }
    }
}

/// Ready, of an object that asks for what cannot be.
pub fn invalid(why: &str) -> Finding {
    Finding::new(READY, false, "Invalid", format!("the spec is not valid: {why}"))
}

/// Ready, of one that is being deleted.
pub fn terminating(message: impl Into<String>) -> Finding {
    Finding::new(READY, false, "Terminating", message)
}

/// Ready and InUse, of one that is being deleted while pods, or claims with volumes on it, use it.
pub fn in_use(pods: &[String], claims: &[String]) -> Option<[Finding; 2]> {
    let (reason, waits) = match (pods.is_empty(), claims.is_empty()) {
        (true, true) => return None,
        (false, _) => ("PodsUseIt", "waits for the pods that use it"),
        (true, false) => ("ClaimsUseIt", "waits for the claims that have volumes on it"),
    };
    let said = [("pod", pods), ("claim", claims)].into_iter().filter(|(_, users)| !users.is_empty());
    let said: Vec<String> = said.map(|(kind, users)| users::message(kind, users)).collect();
    Some([terminating(waits), Finding::new(IN_USE, true, reason, said.join(". "))])
}

/// Sentences, as far as a message takes them.
fn first_few(sentences: &[String]) -> String {
    let text = sentences.iter().take(NODES_MAX).cloned().collect::<Vec<_>>().join("; ");
    match sentences.len().saturating_sub(NODES_MAX) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_api::NodeStorage;
    use workspacefs_testkit::builders;

    use super::*;

    fn storage() -> LocalStorage {
        let spec = json!({"nodeGroup": "gpu", "source": {"devices": {}}});
        LocalStorage::new("fast", serde_json::from_value(spec).unwrap())
    }

    fn entry(node: &str, ready: bool, more: serde_json::Value) -> NodeStorage {
        let mut entry = serde_json::to_value(builders::node_storage(node, ready)).unwrap();
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(entry).unwrap()
    }

    fn on(entries: &[NodeStorage]) -> Vec<Selected<'_>> {
        let selected =
            |entry| Selected { name: NodeStorage::clone(entry).node, entry: Some(entry), is_alive: true };
        entries.iter().map(selected).collect()
    }

    #[test]
    fn ready_says_how_many_nodes_and_why_not_the_others() {
        let (a, b) = (entry("a", true, json!({})), entry("b", false, json!({})));
        for (entries, status, reason, word) in [
            (vec![], "False", "NoNodes", "group=gpu"),
            (vec![b.clone()], "False", "NoneReady", "b: NoDisk: no disk"),
            (vec![a.clone(), b], "True", "SomeNotReady", "1 of 2 nodes. b: NoDisk"),
            (vec![a], "True", "Ready", "all 1"),
        ] {
            let finding = ready(&storage(), "group", &on(&entries));
            assert_eq!((finding.status, finding.reason), (status, reason));
            assert!(finding.message.contains(word), "{}", finding.message);
        }
    }

    #[test]
    fn only_the_first_few_nodes_are_named() {
        let entries: Vec<_> = (0..8).map(|n| entry(&format!("n{n}"), false, json!({}))).collect();
        let message = ready(&storage(), "group", &on(&entries)).message;
        assert!(
            message.contains("n4: ") && !message.contains("n5: ") && message.ends_with("and 3 more"),
            "{message}"
        );
    }

    #[test]
    fn sizes_are_those_of_ready_nodes_and_health_is_the_worst_of_all() {
        let device = |media: &str| json!({"name": "sdb", "media": media});
        let entries = [
            entry(
                "a",
                true,
                json!({"capacity": "1Ti", "used": "1Gi", "health": "Healthy", "device": device("NVMe")}),
            ),
            entry("b", true, json!({"capacity": "1024Gi", "used": "512Mi", "device": device("NVMe")})),
            entry(
                "c",
                false,
                json!({"capacity": "9Ti", "used": "9Ti", "health": "Failed", "device": device("HDD")}),
            ),
        ];
        let summary = Summary::of(&on(&entries));
        let text = |size: &Option<Quantity>| size.clone().map(|size| size.0);
        assert_eq!(summary.nodes_ready.as_deref(), Some("2/3"));
        assert_eq!(summary.media.as_deref(), Some("HDD, NVMe"));
        assert_eq!(
            (text(&summary.capacity).as_deref(), text(&summary.used).as_deref()),
            (Some("2Ti"), Some("1536Mi"))
        );
        assert_eq!(summary.health, Some(Health::Failed));
        let none = Summary::of(&on(&entries[2..]));
        assert_eq!((none.nodes_ready.as_deref(), none.capacity, none.used), (Some("0/1"), None, None));
        assert_eq!(Summary::of(&[]).health, None);
    }

    #[test]
    fn who_holds_one_that_is_deleted_is_counted_and_named_pods_first() {
        let (pod, claims) = (["a/p".to_string()], ["a/x on n1".to_string(), "a/y on n2".to_string()]);
        for (pods, claims, reason, message) in [
            (&pod[..], &[][..], "PodsUseIt", "1 pod uses it: a/p. It goes when they are gone"),
            (
                &[],
                &claims,
                "ClaimsUseIt",
                "2 claims use it: a/x on n1, a/y on n2. It goes when they are gone",
            ),
            (&pod, &claims, "PodsUseIt", "gone. 2 claims use it"),
        ] {
            let [ready, held] = in_use(pods, claims).unwrap();
            assert_eq!((ready.reason, held.kind, held.reason), ("Terminating", IN_USE, reason));
            assert!(held.message.contains(message), "{}", held.message);
        }
        assert_eq!(in_use(&[], &[]), None);
    }
}
