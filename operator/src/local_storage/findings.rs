//! What status and conditions of a LocalStorage say, decided from what was seen. Pure.

mod quota;
mod workspaces;

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use workspacefs_api::{Health, LocalStorage, LocalStorageStatus, Media, quantity};

pub use self::quota::quota_enforced;
pub use self::workspaces::{Share, State, told, workspaces_ready};
use super::labels::because;
use super::nodes::Selected;
use crate::conditions::Finding;
use crate::filesystem::users::named;

/// Some node has it ready.
pub const READY: &str = "Ready";
/// Every listed workspace has its claim.
pub const WORKSPACES_READY: &str = "WorkspacesReady";
/// The quota is a limit.
pub const QUOTA_ENFORCED: &str = "QuotaEnforced";
/// Some node's disk is ill. Said only where that is so.
pub const DEGRADED: &str = "Degraded";
/// On some node it is not a file system of its own. Said only where that is so.
pub const SHARES_FILE_SYSTEM: &str = "SharesFileSystem";
/// It is being deleted, but pods use it.
pub const IN_USE: &str = "InUse";

/// Every condition that the operator writes. Others are others'.
pub const OURS: [&str; 6] = [READY, WORKSPACES_READY, QUOTA_ENFORCED, DEGRADED, SHARES_FILE_SYSTEM, IN_USE];

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

/// Degraded and SharesFileSystem, where they are.
pub fn about_disks(selected: &[Selected<'_>]) -> Vec<Finding> {
    let entries = || selected.iter().filter_map(|node| node.entry);
    let mut findings = Vec::new();
    let ill: Vec<String> = entries()
        .filter(|entry| entry.health >= Health::Degraded)
        .map(|entry| {
            let what = if entry.health == Health::Failed { "failed" } else { "reports errors" };
            let message = entry.message.trim_end_matches('.');
            let more = if message.is_empty() { String::new() } else { format!(" ({message})") };
            format!("{}: its disk {what}{more}", entry.node)
        })
        .collect();
    if !ill.is_empty() {
        let failed = entries().any(|entry| entry.health == Health::Failed);
        let reason = if failed { "DiskFailed" } else { "DiskErrors" };
        findings.push(Finding::new(DEGRADED, true, reason, first_few(&ill)));
    }
    let shared: Vec<String> =
        entries().filter(|entry| entry.shares_file_system).map(|entry| entry.node.clone()).collect();
    if !shared.is_empty() {
        let message = format!(
            "on {} the directory is not a file system of its own: what else lies there takes from the same space",
            named(&shared)
        );
        findings.push(Finding::new(SHARES_FILE_SYSTEM, true, "NotOwnFileSystem", message));
    }
    findings
}

/// Ready, of an object that asks for what cannot be.
pub fn invalid(why: &str) -> Finding {
    Finding::new(READY, false, "Invalid", format!("the spec is not valid: {why}"))
}

/// Ready, of one that is being deleted.
pub fn terminating(message: impl Into<String>) -> Finding {
    Finding::new(READY, false, "Terminating", message)
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
    fn ill_disks_and_shared_file_systems_are_named() {
        let entries = [
            entry("a", true, json!({"health": "Healthy"})),
            entry("b", true, json!({"health": "Degraded", "message": "3 I/O errors."})),
        ];
        let said = |entries: &[NodeStorage]| -> Vec<(&str, &str, String)> {
            about_disks(&on(entries)).into_iter().map(|f| (f.kind, f.reason, f.message)).collect()
        };
        assert!(said(&entries[..1]).is_empty());
        assert_eq!(
            said(&entries),
            [(DEGRADED, "DiskErrors", "b: its disk reports errors (3 I/O errors)".to_string())]
        );
        let failed = [entry("c", false, json!({"health": "Failed", "message": ""}))];
        assert_eq!(said(&failed), [(DEGRADED, "DiskFailed", "c: its disk failed".to_string())]);
        let shared = [entry("d", true, json!({"sharesFileSystem": true}))];
        let said = said(&shared);
        assert_eq!((said[0].0, said.len()), (SHARES_FILE_SYSTEM, 1));
        assert!(said[0].2.starts_with("on d "), "{}", said[0].2);
    }
}
