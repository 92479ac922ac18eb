//! Changes that a real API server refuses and on which our programs' correctness rests: what is immutable, and when a claim
//! may grow.

use serde_json::Value;

use crate::status::Refusal;

/// `expandable` says whether a StorageClass is there and lets claims grow.
///
/// # Errors
/// 422, naming the field.
pub fn check_change(
    kind: &str,
    old: &Value,
    new: &Value,
    expandable: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    match kind {
        "PersistentVolume" => {
            same(kind, "spec.csi", &old["spec"]["csi"], &new["spec"]["csi"])?;
            let affinity = &old["spec"]["nodeAffinity"];
            if affinity.is_null() {
                return Ok(());
            }
            same(kind, "spec.nodeAffinity", affinity, &new["spec"]["nodeAffinity"])
        }
        "PersistentVolumeClaim" => {
            let mut was = old["spec"].clone();
            // The binder may set it once.
            if was["volumeName"].is_null() && !new["spec"]["volumeName"].is_null() {
                was["volumeName"] = new["spec"]["volumeName"].clone();
            }
            let request = |claim: &Value| bytes(&claim["resources"]["requests"]["storage"]);
            let grows = request(&new["spec"]) > request(&was);
            if grows
                && old["status"]["phase"] == "Bound"
                && expandable(was["storageClassName"].as_str().unwrap_or_default())
            {
                was["resources"] = new["spec"]["resources"].clone();
            }
            same(kind, "spec", &was, &new["spec"])
        }
        "StorageClass" => ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"]
            .into_iter()
            .try_for_each(|field| same(kind, field, &old[field], &new[field])),
        "Secret" => same(kind, "type", &old["type"], &new["type"]),
        _ => Ok(()),
    }
}

/// The number of bytes that a quantity says, of those that our programs write.
pub fn bytes(quantity: &Value) -> Option<u64> {
    let text = quantity.as_str()?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_shl(shift)
}

fn same(kind: &str, field: &str, old: &Value, new: &Value) -> Result<(), Refusal> {
    if old == new {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{kind}: {field} is immutable after creation: was {old}, is {new}")))
}
