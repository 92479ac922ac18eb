//! The three ways of patching: server-side apply (near enough), JSON merge patch and JSON patch.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::status::Refusal;

/// Server-side apply of one manager, always with force: what it applied before and leaves out now goes, what it
/// applies now is set, the rest stays. Lists are replaced whole, but for finalizers, ownerReferences, conditions and
/// what nodes write.
pub fn apply(live: &Value, before: &Value, now: &Value) -> Value {
    let mut result = live.clone();
    remove_left_out(&mut result, before, now);
    set(&mut result, now, "");
    result
}

fn remove_left_out(live: &mut Value, before: &Value, now: &Value) {
    let (Value::Object(live), Value::Object(before)) = (live, before) else {
        return;
    };
    for (key, old) in before {
        if let (Some(Value::Array(live)), Some(id), Value::Array(old)) =
            (live.get_mut(key), identity(key), old)
        {
            let named = |list: &[Value], item: &Value| list.iter().any(|c| c[id] == item[id]);
            let now = now.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            live.retain(|item| !named(old, item) || named(&now, item));
            continue;
        }
        match now.get(key) {
            None if old.is_object() => {
                if let Some(child) = live.get_mut(key) {
                    remove_left_out(child, old, &Value::Null);
                    if child.as_object().is_some_and(Map::is_empty) {
                        live.remove(key);
                    }
                }
            }
            None => drop(live.remove(key)),
            Some(new) => {
                if let Some(child) = live.get_mut(key) {
                    remove_left_out(child, old, new);
                }
            }
        }
    }
}

/// The field by which the items of a list are told apart.
fn identity(key: &str) -> Option<&'static str> {
    match key {
        "conditions" => Some("type"),
        "nodes" | "copies" | "uses" => Some("node"),
        _ => None,
    }
}

fn set(live: &mut Value, now: &Value, key: &str) {
    match (live, now) {
        (Value::Object(live), Value::Object(now)) => {
            for (key, value) in now {
                set(live.entry(key.clone()).or_insert(Value::Null), value, key);
            }
        }
        (Value::Array(live), Value::Array(now)) if key == "finalizers" => {
            let missing: Vec<Value> = now.iter().filter(|item| !live.contains(item)).cloned().collect();
            live.extend(missing);
        }
        (Value::Array(live), Value::Array(now)) if identity(key).is_some() => {
            let id = identity(key).unwrap_or_default();
            for new in now {
                match live.iter_mut().find(|item| item[id] == new[id]) {
                    Some(item) => *item = new.clone(),
                    None => live.push(new.clone()),
                }
            }
        }
        (Value::Array(live), Value::Array(now)) if key == "ownerReferences" => {
            let mut by_uid: BTreeMap<String, Value> = BTreeMap::new();
            for item in live.iter().chain(now) {
                by_uid.insert(item["uid"].to_string(), item.clone());
            }
            *live = by_uid.into_values().collect();
        }
        (live, now) => *live = now.clone(),
    }
}

/// JSON merge patch (RFC 7386).
pub fn merge_patch(live: &Value, patch: &Value) -> Value {
    let mut result = live.clone();
    json_patch::merge(&mut result, patch);
    result
}

/// JSON patch (RFC 6902); a failed `test` is the 422 that the API server answers.
pub fn json_patch(live: &Value, patch: Value) -> Result<Value, Refusal> {
    // A `test` of an absent member against null holds in the API server; RFC 6902 has no such thing.
    let mut result = live.clone();
    let steps = patch.as_array().cloned().unwrap_or_default();
    let kept: Vec<Value> = steps
        .into_iter()
        .filter(|step| {
            let absent = step["path"].as_str().is_some_and(|path| live.pointer(path).is_none());
            !(step["op"] == "test" && step["value"].is_null() && absent)
        })
        .collect();
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(kept))
        .map_err(|error| Refusal::bad_request(format!("not a JSON patch: {error}")))?;
    json_patch::patch(&mut result, &patch).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn apply_takes_back_only_what_the_same_manager_applied() {
        let live = json!({"a": 1, "m": {"ours": 1, "theirs": 2}, "gone": {"x": 1}});
        let before = json!({"m": {"ours": 1}, "gone": {"x": 1}});
        let now = json!({"m": {"new": 3}});
        assert_eq!(apply(&live, &before, &now), json!({"a": 1, "m": {"theirs": 2, "new": 3}}));
    }

    #[test]
    fn finalizers_of_others_stay() {
        let live = json!({"metadata": {"finalizers": ["theirs"]}});
        let now = json!({"metadata": {"finalizers": ["ours"]}});
        assert_eq!(apply(&live, &Value::Null, &now), json!({"metadata": {"finalizers": ["theirs", "ours"]}}));
    }

    #[test]
    fn conditions_are_those_of_whoever_applied_them() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
        let live = json!({"conditions": [condition("Ours", "True"), condition("Theirs", "True")]});
        let before = json!({"conditions": [condition("Ours", "True")]});
        let changed = json!({"conditions": [condition("Ours", "False")]});
        let expected = json!({"conditions": [condition("Ours", "False"), condition("Theirs", "True")]});
        assert_eq!(apply(&live, &before, &changed), expected);
        for now in [json!({}), json!({"conditions": []})] {
            assert_eq!(apply(&live, &before, &now), json!({"conditions": [condition("Theirs", "True")]}));
        }
    }

    #[test]
    fn entries_of_nodes_are_those_of_whoever_applied_them_and_stay_in_their_place() {
        let entry = |node: &str, ready: bool| json!({"node": node, "ready": ready});
        let live = json!({"nodes": [entry("a", true), entry("b", true)]});
        let before = json!({"nodes": [entry("a", true)]});
        let changed = apply(&live, &before, &json!({"nodes": [entry("a", false)]}));
        assert_eq!(changed, json!({"nodes": [entry("a", false), entry("b", true)]}));
        assert_eq!(apply(&live, &before, &json!({})), json!({"nodes": [entry("b", true)]}));
        let third = apply(&live, &Value::Null, &json!({"nodes": [entry("c", true)]}));
        assert_eq!(third["nodes"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_failed_test_changes_nothing() {
        let live = json!({"f": ["a"]});
        let patch = json!([{"op": "test", "path": "/f", "value": ["b"]}, {"op": "remove", "path": "/f"}]);
        assert_eq!(json_patch(&live, patch).unwrap_err().code, 422);
        let absent =
            json!([{"op": "test", "path": "/g", "value": null}, {"op": "add", "path": "/g", "value": 1}]);
        assert_eq!(json_patch(&live, absent).unwrap(), json!({"f": ["a"], "g": 1}));
    }
}
