//! Changes that a real API server refuses and on which our programs' correctness rests: what is immutable.

use serde_json::Value;

use crate::status::Refusal;

/// # Errors
/// 422, naming the field.
pub fn check_change(kind: &str, old: &Value, new: &Value) -> Result<(), Refusal> {
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
            // The binder may set it once; requests may grow, under conditions that the fake does not know.
            if was["volumeName"].is_null() && !new["spec"]["volumeName"].is_null() {
                was["volumeName"] = new["spec"]["volumeName"].clone();
            }
            same(kind, "spec", &was, &new["spec"])
        }
        _ => Ok(()),
    }
}

fn same(kind: &str, field: &str, old: &Value, new: &Value) -> Result<(), Refusal> {
    if old == new {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{kind}: {field} is immutable after creation: was {old}, is {new}")))
}
