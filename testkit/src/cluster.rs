//! What the rest of a cluster does with objects, as far as our programs lean on it: the PersistentVolume binder, the two
//! protection controllers, the external-resizer, the garbage collector and the end of namespaces. It runs inside every
//! write until nothing changes any more, so tests are deterministic.

use serde_json::{Value, json};

use crate::rules::bytes;
use crate::state::{Key, State, put};

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";
const CLAIM_HELD: &str = "kubernetes.io/pvc-protection";
const VOLUME_HELD: &str = "kubernetes.io/pv-protection";
const BOUND: &str = "pv.kubernetes.io/bind-completed";
/// More rounds than any chain of consequences in a test is long.
const ROUNDS_MAX: usize = 100;

/// Runs every imitated controller until none has anything to do.
pub fn settle(state: &mut State) {
    for _ in 0..ROUNDS_MAX {
        let before = state.version;
        for key in keys(state, CLAIMS) {
            protect_claim(state, &key);
            bind_claim(state, &key);
            grow_volume(state, &key);
        }
        for key in keys(state, VOLUMES) {
            watch_volume(state, &key);
        }
        collect_garbage(state);
        end_namespaces(state);
        if state.version == before {
            return;
        }
    }
    unreachable!("the imitated controllers of the cluster contradict each other");
}

fn keys(state: &State, resource: &str) -> Vec<Key> {
    state.objects.keys().filter(|key| key.0 == resource).cloned().collect()
}

/// Commits `new` if it differs.
fn update(state: &mut State, key: &Key, new: Value) {
    if state.objects.get(key).is_some_and(|old| *old != new) {
        state.commit(key, Some(new));
    }
}

fn deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn with_finalizer(object: &Value, name: &str, wanted: bool) -> Value {
    let mut new = object.clone();
    let mut list = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    list.retain(|item| item != name);
    if wanted {
        list.push(json!(name));
    }
    let list = if list.is_empty() { Value::Null } else { Value::Array(list) };
    put(&mut new["metadata"], "finalizers", list);
    new
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|item| item == name))
}

/// A claim that a live, scheduled pod uses does not vanish.
fn protect_claim(state: &mut State, key: &Key) {
    let Some(claim) = state.objects.get(key).cloned() else {
        return;
    };
    if deleting(&claim) {
        if has_finalizer(&claim, CLAIM_HELD) && !is_used(state, key) {
            update(state, key, with_finalizer(&claim, CLAIM_HELD, false));
        }
    } else if !has_finalizer(&claim, CLAIM_HELD) {
        update(state, key, with_finalizer(&claim, CLAIM_HELD, true));
    }
}

fn is_used(state: &State, claim: &Key) -> bool {
    state.objects.iter().filter(|(key, _)| key.0 == "pods" && key.1 == claim.1).any(|(_, pod)| {
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let names_it = volumes.iter().any(|v| v["persistentVolumeClaim"]["claimName"] == claim.2.as_str());
        names_it && !ended && pod["spec"]["nodeName"].is_string()
    })
}

/// Binds a claim that names its volume, as the binder does with a volume that names its claim.
fn bind_claim(state: &mut State, key: &Key) {
    let Some(claim) = state.objects.get(key).cloned() else {
        return;
    };
    let Some(volume_name) = claim["spec"]["volumeName"].as_str() else {
        return;
    };
    let bound = claim["metadata"]["annotations"][BOUND].is_string();
    let volume_key: Key = (VOLUMES, String::new(), volume_name.into());
    let volume = state.objects.get(&volume_key).cloned();
    let mut new = claim.clone();
    match volume {
        Some(volume) if fits(&claim, &volume) => {
            let mut volume = volume;
            volume["spec"]["claimRef"]["uid"] = claim["metadata"]["uid"].clone();
            if volume["spec"]["claimRef"]["resourceVersion"].is_null() {
                volume["spec"]["claimRef"]["resourceVersion"] = claim["metadata"]["resourceVersion"].clone();
            }
            volume["status"]["phase"] = json!("Bound");
            new["metadata"]["annotations"][BOUND] = json!("yes");
            new["status"] = json!({
                "phase": "Bound",
                "accessModes": volume["spec"]["accessModes"],
                "capacity": volume["spec"]["capacity"],
            });
            update(state, &volume_key, volume);
        }
        _ => new["status"] = json!({"phase": if bound { "Lost" } else { "Pending" }}),
    }
    update(state, key, new);
}

/// What the external-resizer does with a claim that asks for more than its volume has. (A volume that says so much already
/// is left alone, and no driver is called.)
fn grow_volume(state: &mut State, key: &Key) {
    let Some(claim) = state.objects.get(key).cloned() else {
        return;
    };
    let (spec, wish) = (&claim["spec"], &claim["spec"]["resources"]["requests"]["storage"]);
    let class = spec["storageClassName"].as_str().unwrap_or_default();
    if claim["status"]["phase"] != "Bound" || !state.lets_claims_grow(class) {
        return;
    }
    let volume_key: Key = (VOLUMES, String::new(), spec["volumeName"].as_str().unwrap_or_default().into());
    if let Some(mut volume) = state.objects.get(&volume_key).cloned()
        && bytes(wish) > bytes(&volume["spec"]["capacity"]["storage"])
    {
        volume["spec"]["capacity"]["storage"] = wish.clone();
        update(state, &volume_key, volume);
    }
}

fn fits(claim: &Value, volume: &Value) -> bool {
    let wanted = &volume["spec"]["claimRef"];
    let uid = &wanted["uid"];
    wanted["namespace"] == claim["metadata"]["namespace"]
        && wanted["name"] == claim["metadata"]["name"]
        && (uid.is_null() || *uid == claim["metadata"]["uid"])
        // A class that is empty is not stored on a volume.
        && volume["spec"]["storageClassName"].as_str().unwrap_or_default()
            == claim["spec"]["storageClassName"].as_str().unwrap_or_default()
        && !deleting(volume)
}

/// Available, Bound or Released; a volume marked for deletion goes once no claim holds it.
fn watch_volume(state: &mut State, key: &Key) {
    let Some(volume) = state.objects.get(key).cloned() else {
        return;
    };
    let claim = &volume["spec"]["claimRef"];
    let text = |field: &str| claim[field].as_str().unwrap_or_default().to_string();
    let holder = state.objects.get(&(CLAIMS, text("namespace"), text("name")));
    let held = holder.is_some_and(|holder| holder["metadata"]["uid"] == claim["uid"]);
    let phase = match (claim["uid"].is_null(), held) {
        (true, _) => "Available",
        (false, true) => "Bound",
        (false, false) => "Released",
    };
    let mut new = volume.clone();
    new["status"]["phase"] = json!(phase);
    let protect = !deleting(&volume) || phase == "Bound";
    if protect != has_finalizer(&volume, VOLUME_HELD) {
        new = with_finalizer(&new, VOLUME_HELD, protect);
    }
    update(state, key, new);
}

/// An object whose owners are all gone goes too.
fn collect_garbage(state: &mut State) {
    let uids: Vec<Value> = state.objects.values().map(|object| object["metadata"]["uid"].clone()).collect();
    let orphans: Vec<Key> = state
        .objects
        .iter()
        .filter(|(_, object)| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|o| !o.is_empty() && !o.iter().any(|owner| uids.contains(&owner["uid"])))
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in orphans {
        state.mark_deleted(&key);
    }
}

/// A namespace being deleted takes what is in it along, and goes when it is empty.
fn end_namespaces(state: &mut State) {
    let ending: Vec<Key> = state
        .objects
        .iter()
        .filter(|(k, ns)| k.0 == "namespaces" && deleting(ns))
        .map(|(k, _)| k.clone())
        .collect();
    for namespace in ending {
        let inside: Vec<Key> = state.objects.keys().filter(|key| key.1 == namespace.2).cloned().collect();
        if inside.is_empty() {
            state.commit(&namespace, None);
        }
        for key in inside {
            state.mark_deleted(&key);
        }
    }
}
