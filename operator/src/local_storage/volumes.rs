//! The volumes that claims have on its disks, one LocalVolume each: which are a LocalStorage's, what messages call them, and
//! which are lost. Pure: the CSI controller and the nodes write them, the operator only reads.

use std::sync::Arc;

use kube::ResourceExt;
use workspacefs_api::local_storage::LOCAL_STORAGE_UID_LABEL;
use workspacefs_api::{LocalVolume, LocalVolumePhase, LocalVolumeStatus};

use crate::filesystem::users::named;

/// A LocalVolume, or what is known of one that cannot be read.
pub type Volume = crate::guarded::Guarded<LocalVolume, LocalVolumeStatus>;

/// Whether it lies on the disks of the LocalStorage of that uid.
pub fn is_of(volume: &Volume, uid: &str) -> bool {
    let by_spec = volume.0.as_ref().is_ok_and(|volume| volume.spec.storage_uid == uid);
    by_spec || volume.labels().get(LOCAL_STORAGE_UID_LABEL).is_some_and(|label| label == uid)
}

/// As a message calls it: by its claim and its node.
pub fn name(volume: &Volume) -> String {
    volume.0.as_ref().map_or_else(|_| volume.name_any(), name_of)
}

fn name_of(volume: &LocalVolume) -> String {
    let spec = &volume.spec;
    let what = if spec.claim.is_empty() { &spec.volume } else { &spec.claim };
    format!("{}/{what} on {}", spec.namespace, spec.node)
}

/// Those whose files are not on the disk that is in their node now. Of one that is being deleted nobody misses them. A volume
/// whose node is not ready for now is not lost; that its node left is told by itself, once for all.
pub fn lost(volumes: &[Arc<Volume>]) -> Vec<&LocalVolume> {
    let mut lost: Vec<&LocalVolume> = volumes
        .iter()
        .filter_map(|volume| volume.0.as_ref().ok())
        .filter(|volume| volume.metadata.deletion_timestamp.is_none())
        .filter(|volume| volume.phase() == LocalVolumePhase::Lost)
        .collect();
    lost.sort_unstable_by_key(|volume| (name_of(volume), volume.name_any()));
    lost
}

/// What is to be said of all that are lost. It is the same as long as they are.
pub fn sentence(lost: &[&LocalVolume]) -> Option<String> {
    let names: Vec<String> = lost.iter().map(|volume| name_of(volume)).collect();
    let what = match names.len() {
        0 => return None,
        1 => "1 claim's volume is lost: it is not on the disk that is in its node now".to_string(),
        many => {
            format!("{many} claims' volumes are lost: they are not on the disks that are in their nodes now")
        }
    };
    Some(format!("{what} ({})", named(&names)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_testkit::builders;

    use super::*;

    fn volume(claim: &str, change: Value) -> Arc<Volume> {
        let mut volume = serde_json::to_value(builders::local_volume("fast-uid", "n1", claim)).unwrap();
        for (section, fields) in change.as_object().unwrap() {
            for (field, new) in fields.as_object().unwrap() {
                volume[section][field] = new.clone();
            }
        }
        Arc::new(builders::object(volume))
    }

    #[test]
    fn a_volume_is_of_the_storage_that_its_spec_names_whatever_became_of_its_label() {
        let plain = volume("a", json!({}));
        assert!(is_of(&plain, "fast-uid") && !is_of(&plain, "other-uid"));
        let unlabelled = volume("a", json!({"metadata": {"labels": {}}}));
        assert!(is_of(&unlabelled, "fast-uid"));
        // One that cannot be read has but its label.
        let unreadable = volume("a", json!({"spec": {"sizeBytes": "much"}}));
        assert!(unreadable.0.is_err() && is_of(&unreadable, "fast-uid") && !is_of(&unreadable, "other-uid"));
        assert_eq!(name(&plain), "work/a on n1");
        assert_eq!(name(&unreadable), unreadable.name_any());
        assert_eq!(name(&volume("", json!({}))), "work/pvc- on n1");
    }

    #[test]
    fn only_what_was_made_and_is_not_there_any_more_is_lost() {
        let phase = |phase: &str| json!({"status": {"phase": phase}});
        let volumes = [
            volume("d", phase("Lost")),
            volume("a", phase("Ready")),
            volume("b", phase("Pending")),
            volume("c", phase("Lost")),
            volume("e", phase("Removed")),
            volume("f", json!({"status": {"phase": "Ready", "reason": "NotReady"}})),
            volume(
                "g",
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Lost"}}),
            ),
        ];
        let lost = lost(&volumes);
        assert_eq!(lost.iter().map(|volume| volume.spec.claim.as_str()).collect::<Vec<_>>(), ["c", "d"]);
        let said = sentence(&lost).unwrap();
        assert!(
            said.starts_with("2 claims' volumes") && said.ends_with("(work/c on n1, work/d on n1)"),
            "{said}"
        );
        assert!(sentence(&lost[..1]).unwrap().starts_with("1 claim's volume is lost"));
        assert_eq!(sentence(&[]), None);
    }
}
