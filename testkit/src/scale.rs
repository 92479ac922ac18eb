//! The subresource `scale`: how many replicas a workload should have, without the rest of it.

use serde_json::{Value, json};

use crate::merge;
use crate::path::Target;
use crate::state::{Key, State};
use crate::status::Refusal;

/// A workload's scale.
pub fn of(object: &Value) -> Value {
    let meta = &object["metadata"];
    let status = object["status"]["replicas"].as_u64().unwrap_or(0);
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "spec": {"replicas": object["spec"]["replicas"]}, "status": {"replicas": status},
    })
}

/// A merge patch of the scale.
pub fn patch(state: &mut State, target: &Target, key: &Key, patch: &Value) -> Result<Value, Refusal> {
    let mut object = state.get(key)?;
    let scale = merge::merge_patch(&of(&object), patch);
    object["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
    object["spec"]["replicas"] = scale["spec"]["replicas"].clone();
    state.replace(target.resource, key, object, false).map(|object| of(&object))
}
