//! Conditions Degraded and SharesFileSystem: which nodes' disks are ill, which volumes were lost with one, and where others
//! take from the same space.

use workspacefs_api::{Health, LocalVolume, NodeStorage};

use super::{DEGRADED, SHARES_FILE_SYSTEM, first_few};
use crate::conditions::Finding;
use crate::filesystem::users::named;
use crate::local_storage::nodes::{NO_NEW_PODS, Selected};
use crate::local_storage::volumes;

/// Degraded and SharesFileSystem, where they are.
pub fn about_disks(selected: &[Selected<'_>], lost: &[&LocalVolume]) -> Vec<Finding> {
    let shared: Vec<String> =
        entries(selected).filter(|entry| entry.shares_file_system).map(|entry| entry.node.clone()).collect();
    let shared = (!shared.is_empty()).then(|| {
        let message = format!(
            "on {} the directory is not a file system of its own: what else lies there takes from the same space",
            named(&shared)
        );
        Finding::new(SHARES_FILE_SYSTEM, true, "NotOwnFileSystem", message)
    });
    degraded(selected, lost).into_iter().chain(shared).collect()
}

fn degraded(selected: &[Selected<'_>], lost: &[&LocalVolume]) -> Option<Finding> {
    let ill: Vec<&NodeStorage> = entries(selected).filter(|entry| entry.health >= Health::Degraded).collect();
    let has_failed = ill.iter().any(|entry| entry.health == Health::Failed);
    let reason = match (has_failed, lost.is_empty(), ill.is_empty()) {
        (true, ..) => "DiskFailed",
        (false, false, _) => "VolumesLost",
        (false, true, false) => "DiskErrors",
        (false, true, true) => return None,
    };
    let ill: Vec<String> = ill.into_iter().map(illness).collect();
    let nodes = (!ill.is_empty()).then(|| first_few(&ill));
    let sentences: Vec<String> = nodes.into_iter().chain(volumes::sentence(lost)).collect();
    Some(Finding::new(DEGRADED, true, reason, sentences.join(". ")))
}

fn illness(entry: &NodeStorage) -> String {
    let what = if entry.health == Health::Failed { "failed" } else { NO_NEW_PODS };
    let message = entry.message.trim_end_matches('.');
    let more = if message.is_empty() { String::new() } else { format!(" ({message})") };
    format!("{}: its disk {what}{more}", entry.node)
}

fn entries<'a>(selected: &'a [Selected<'a>]) -> impl Iterator<Item = &'a NodeStorage> {
    selected.iter().filter_map(|node| node.entry)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_testkit::builders;

    use super::*;

    fn entry(node: &str, more: Value) -> NodeStorage {
        let mut entry = serde_json::to_value(builders::node_storage(node, true)).unwrap();
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        builders::object(entry)
    }

    fn said(entries: &[NodeStorage], lost: &[&LocalVolume]) -> Vec<(&'static str, &'static str, String)> {
        let on = |entry| Selected { name: "n".into(), entry: Some(entry), is_alive: true };
        let selected: Vec<_> = entries.iter().map(on).collect();
        about_disks(&selected, lost).into_iter().map(|f| (f.kind, f.reason, f.message)).collect()
    }

    #[test]
    fn ill_disks_and_shared_file_systems_are_named() {
        let entries = [
            entry("a", json!({"health": "Healthy"})),
            entry("b", json!({"health": "Degraded", "message": "3 so far."})),
        ];
        assert!(said(&entries[..1], &[]).is_empty());
        let message = "b: its disk reports I/O errors: no new pods (3 so far)".to_string();
        assert_eq!(said(&entries, &[]), [(DEGRADED, "DiskErrors", message)]);
        let failed = [entry("c", json!({"health": "Failed", "message": ""}))];
        assert_eq!(said(&failed, &[]), [(DEGRADED, "DiskFailed", "c: its disk failed".to_string())]);
        let shared = [entry("d", json!({"sharesFileSystem": true}))];
        let said = said(&shared, &[]);
        assert_eq!((said[0].0, said.len()), (SHARES_FILE_SYSTEM, 1));
        assert!(said[0].2.starts_with("on d "), "{}", said[0].2);
    }

    #[test]
    fn lost_volumes_are_graver_than_errors_and_a_failed_disk_is_graver_than_both() {
        let volume = builders::local_volume("uid", "b", "data");
        let lost = [&volume];
        let sentence = volumes::sentence(&lost).unwrap();
        let healthy = [entry("a", json!({"health": "Healthy"}))];
        assert_eq!(said(&healthy, &lost), [(DEGRADED, "VolumesLost", sentence.clone())]);
        for (health, reason) in [("Degraded", "VolumesLost"), ("Failed", "DiskFailed")] {
            let said = said(&[entry("b", json!({"health": health}))], &lost);
            assert_eq!((said[0].1, said.len()), (reason, 1));
            assert!(said[0].2.starts_with("b: ") && said[0].2.ends_with(&sentence), "{}", said[0].2);
        }
    }
}
