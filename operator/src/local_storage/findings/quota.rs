//! Condition QuotaEnforced: what a quota on a local disk holds, and what it does not.

use std::collections::BTreeSet;

use workspacefs_api::{FsType, LocalStorage};

use super::QUOTA_ENFORCED;
use super::unaccounted::{Unaccounted, sentence};
use crate::conditions::Finding;
use crate::local_storage::nodes::Selected;

const ESCAPE: &str = "a file's owner can change its project id, and so write beyond it. It stops accidents; what must hold \
                      takes a LocalStorage of its own for each workspace";
const ROOT: &str = "on ext4 root is not held by it";

/// Whether the quota is a limit, in words that promise no more than the kernel does, and where somebody has got around it.
pub fn quota_enforced(storage: &LocalStorage, selected: &[Selected<'_>], escaped: &[Unaccounted]) -> Finding {
    let mut finding = promised(storage, selected);
    if let Some(escaped) = sentence(escaped) {
        finding.message = format!("{}. {escaped}", finding.message);
        if finding.status == "True" {
            (finding.status, finding.reason) = ("False", "Advisory");
        }
    }
    finding
}

fn promised(storage: &LocalStorage, selected: &[Selected<'_>]) -> Finding {
    let not = |reason, message| Finding::new(QUOTA_ENFORCED, false, reason, message);
    let Some(quota) = &storage.spec.per_workspace_quota else {
        let message = "without perWorkspaceQuota each workspace may fill the disk; the size on its claim is a placeholder";
        return not("NoQuota", message.to_string());
    };
    let quota = &quota.0;
    let kinds = file_systems(storage, selected);
    let others: Vec<&str> = kinds.iter().copied().filter(|kind| !["xfs", "ext4"].contains(kind)).collect();
    if kinds.is_empty() {
        let message =
            format!("no node has said yet what its directory is on, and so whether {quota} can be held");
        return Finding::unknown(QUOTA_ENFORCED, "NoReport", message);
    }
    if !others.is_empty() {
        let message = format!("{quota} is not held on {}: that takes XFS or ext4", others.join(", "));
        return not("NotSupported", message);
    }
    let many = storage.spec.workspaces.len() > 1;
    match (many, kinds.contains("ext4")) {
        (true, false) => not("Advisory", format!("{quota} for each workspace on each node, but {ESCAPE}")),
        (true, true) => {
            not("Advisory", format!("{quota} for each workspace on each node, but {ROOT}, and {ESCAPE}"))
        }
        (false, true) => not("Advisory", format!("{quota} on each node, but {ROOT}")),
        (false, false) => {
            let message = format!("{quota} on each node; no second workspace is there to be harmed");
            Finding::new(QUOTA_ENFORCED, true, "Enforced", message)
        }
    }
}

/// What the disks are formatted with: as nodes say, else as it is wished for.
fn file_systems<'a>(storage: &LocalStorage, selected: &[Selected<'a>]) -> BTreeSet<&'a str> {
    let mut kinds: BTreeSet<&str> = selected
        .iter()
        .filter_map(|node| node.entry?.device.as_ref())
        .map(|device| device.fs_type.as_str())
        .filter(|kind| !kind.is_empty())
        .collect();
    if storage.spec.source.devices.is_some() {
        kinds.insert(storage.spec.fs_type.unwrap_or(FsType::Xfs).as_str());
    }
    kinds
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use serde_json::{Value, json};
    use workspacefs_api::NodeStorage;
    use workspacefs_testkit::builders;

    use super::super::unaccounted::unaccounted;
    use super::*;

    fn finding(more: Value, entries: &[NodeStorage]) -> Finding {
        let mut spec = json!({"nodeGroup": "gpu", "source": {"devices": {}}, "perWorkspaceQuota": "10Gi"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let storage = LocalStorage::new("fast", serde_json::from_value(spec).unwrap());
        let on = |entry| Selected { name: "n".into(), entry: Some(entry), is_alive: true };
        let selected: Vec<_> = entries.iter().map(on).collect();
        quota_enforced(&storage, &selected, &unaccounted(&selected, ""))
    }

    fn formatted(kind: &str) -> Vec<NodeStorage> {
        let mut entry = builders::node_storage("n", true);
        entry.device.get_or_insert_default().fs_type = kind.into();
        vec![entry]
    }

    #[test]
    fn a_quota_is_called_a_limit_only_where_nobody_can_get_around_it_at_anothers_cost() {
        let directory = json!({"directory": {"path": "/mnt"}});
        for (spec, entries, status, reason, words) in [
            (json!({"perWorkspaceQuota": null}), vec![], "False", "NoQuota", &["placeholder"][..]),
            (json!({"workspaces": ["a"]}), vec![], "True", "Enforced", &["10Gi"]),
            (json!({}), vec![], "True", "Enforced", &[]),
            (json!({"workspaces": ["a", "b"]}), vec![], "False", "Advisory", &["project id", "of its own"]),
            (json!({"workspaces": ["a"], "fsType": "ext4"}), vec![], "False", "Advisory", &["root"]),
            (
                json!({"workspaces": ["a", "b"], "fsType": "ext4"}),
                vec![],
                "False",
                "Advisory",
                &["root", "project id"],
            ),
            (json!({"source": directory}), vec![], "Unknown", "NoReport", &[]),
            (json!({"source": directory}), formatted("xfs"), "True", "Enforced", &[]),
            (json!({"source": directory}), formatted("ext4"), "False", "Advisory", &["root"]),
            (json!({"source": directory}), formatted("btrfs"), "False", "NotSupported", &["btrfs"]),
        ] {
            let finding = finding(spec.clone(), &entries);
            assert_eq!((finding.status, finding.reason), (status, reason), "{spec}");
            for word in words {
                assert!(finding.message.contains(word), "{spec}: {}", finding.message);
            }
        }
    }

    #[test]
    fn a_quota_that_somebody_got_around_is_no_limit_whatever_else_is_true_of_it() {
        let escaped = |kind: &str| {
            let mut entries = formatted(kind);
            entries[0].unaccounted = Some(Quantity("3Gi".into()));
            entries
        };
        let directory = json!({"directory": {"path": "/mnt"}});
        for (spec, kind, reason) in [
            (json!({"workspaces": ["a"]}), "xfs", "Advisory"),
            (json!({"workspaces": ["a", "b"]}), "xfs", "Advisory"),
            (json!({"perWorkspaceQuota": null}), "xfs", "NoQuota"),
            (json!({"source": directory}), "btrfs", "NotSupported"),
        ] {
            let finding = finding(spec.clone(), &escaped(kind));
            assert_eq!((finding.status, finding.reason), ("False", reason), "{spec}");
            assert!(finding.message.contains("node n: at least 2Gi"), "{}", finding.message);
        }
    }
}
