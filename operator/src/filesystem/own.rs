//! What makes an object ours, and whether it is as it should be. An object of the right name that is not ours is never
//! touched.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use serde_json::Value;
use workspacefs_api::FILE_SYSTEM_UID_LABEL;

use workspacefs_api::quantity;

/// Label and value by which Kubernetes tools show whose an object is.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "workspacefs");

/// The name of a FileSystem's PersistentVolume.
pub fn volume_name(uid: &str) -> String {
    format!("wsfs-{uid}")
}

/// Whether we made this volume for the FileSystem of that uid.
pub fn is_our_volume(volume: &PersistentVolume, uid: &str) -> bool {
    volume.labels().get(FILE_SYSTEM_UID_LABEL).is_some_and(|label| label == uid)
}

/// Whether we made this claim for the FileSystem of that uid.
pub fn is_our_claim(claim: &PersistentVolumeClaim, uid: &str) -> bool {
    is_claim_of(claim, FILE_SYSTEM_UID_LABEL, uid)
}

/// Whether we made this claim for the object of that uid, which the label says: it names our volume, and the object by owner
/// or label. People of the namespace can set each of these; a claim that has them all serves them as ours would.
pub fn is_claim_of(claim: &PersistentVolumeClaim, label: &str, uid: &str) -> bool {
    let owned = claim.owner_references().iter().any(|owner| owner.uid == uid);
    let labelled = claim.labels().get(label).is_some_and(|label| label == uid);
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    (owned || labelled) && volume == Some(volume_name(uid).as_str())
}

/// Fields that hold quantities, which the API server writes in its own way.
const SIZES: [&str; 4] = ["storage", "cpu", "memory", "ephemeral-storage"];

/// Whether `actual` says everything that `wished` says. What others added does not matter; sizes are compared as numbers;
/// an empty list or map is the same as none.
pub fn covers(actual: &Value, wished: &Value) -> bool {
    match (actual, wished) {
        (Value::Object(actual), Value::Object(wished)) => {
            wished.iter().all(|(key, wish)| match actual.get(key) {
                Some(Value::String(is)) if SIZES.contains(&key.as_str()) => {
                    wish.as_str().is_some_and(|wish| same_size(is, wish))
                }
                Some(is) => covers(is, wish),
                None => is_empty(wish),
            })
        }
        (Value::Array(actual), Value::Array(wished)) => {
            actual.len() == wished.len() && actual.iter().zip(wished).all(|(is, wish)| covers(is, wish))
        }
        _ => actual == wished || (is_empty(actual) && is_empty(wished)),
    }
}

fn same_size(a: &str, b: &str) -> bool {
    a == b || quantity::milli(a).is_some_and(|size| quantity::milli(b) == Some(size))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_does_not_matter_and_what_we_wish_does() {
        let actual = json!({"a": 1, "labels": {"x": "1", "y": "2"}, "list": [{"n": 1, "extra": 2}], "storage": "1Ti", "cpu": "1", "memory": "1Gi"});
        for (wished, covered) in [
            (json!({"labels": {"x": "1"}}), true),
            (json!({"labels": {"x": "2"}}), false),
            (json!({"labels": {"z": "1"}}), false),
            (json!({"list": [{"n": 1}]}), true),
            (json!({"list": [{"n": 1}, {"n": 2}]}), false),
            (json!({"list": []}), false),
            (json!({"absent": []}), true),
            (json!({"storage": "1024Gi"}), true),
            (json!({"storage": "1023Gi"}), false),
            (json!({"cpu": "1000m", "memory": "1024Mi"}), true),
            (json!({"cpu": "999m"}), false),
        ] {
            assert_eq!(covers(&actual, &wished), covered, "{wished}");
        }
    }
}
