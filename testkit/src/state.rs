//! The fake server's memory: objects, the one counter of versions, and the history that watches replay. Every method is one
//! transaction under the server's lock; [`crate::cluster::settle`] runs at the end of each, so that what other parts of
//! a cluster would do has happened when the answer leaves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::settle;
use crate::resources::Resource;
use crate::rules;
use crate::status::Refusal;

/// What identifies an object: resource, namespace (empty for none), name.
pub type Key = (&'static str, String, String);

/// One change of one object, as watches see it.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub resource: &'static str,
    pub namespace: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<Key, Value>,
    pub history: Vec<Change>,
    pub version: u64,
    /// Changes up to this version can no longer be replayed.
    pub compacted: u64,
    uids: u64,
    /// What each (object, manager, subresource) applied last.
    pub applied: BTreeMap<(Key, String, String), Value>,
}

/// Preconditions of a delete.
#[derive(Debug, Default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

pub fn key(resource: &'static Resource, namespace: &str, name: &str) -> Key {
    (resource.plural, namespace.into(), name.into())
}

impl State {
    pub fn get(&self, key: &Key) -> Result<Value, Refusal> {
        self.objects.get(key).cloned().ok_or_else(|| Refusal::not_found(&describe(key)))
    }

    /// A new object, as POST makes it.
    pub fn create(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        mut object: Value,
    ) -> Result<Value, Refusal> {
        self.check_namespace(resource, namespace)?;
        self.uids += 1;
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.uids);
        let meta = &mut object["metadata"];
        if meta["name"].is_null() {
            let prefix = meta["generateName"].as_str().ok_or_else(|| Refusal::invalid("name is required"))?;
            meta["name"] = json!(format!("{prefix}{:x}", self.uids));
        }
        let name = meta["name"].as_str().unwrap_or_default().to_string();
        let key = key(resource, namespace, &name);
        if self.objects.contains_key(&key) {
            return Err(Refusal::already_exists(&describe(&key)));
        }
        if resource.namespaced {
            meta["namespace"] = json!(namespace);
        }
        meta["uid"] = json!(uid);
        meta["creationTimestamp"] = json!(now());
        meta["generation"] = json!(1);
        if let Some(meta) = meta.as_object_mut() {
            meta.remove("resourceVersion");
            meta.remove("managedFields");
            meta.remove("deletionTimestamp");
        }
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        if resource.has_status
            && let Some(object) = object.as_object_mut()
        {
            object.remove("status");
        }
        self.commit(&key, Some(object));
        settle(self);
        Ok(self.get(&key).unwrap_or(Value::Null))
    }

    /// Puts `new` in the place of the object of that key, as PUT and PATCH do.
    pub fn replace(
        &mut self,
        resource: &'static Resource,
        key: &Key,
        mut new: Value,
        status: bool,
    ) -> Result<Value, Refusal> {
        let old = self.get(key)?;
        let asked = new["metadata"]["resourceVersion"].as_str().unwrap_or("");
        if !asked.is_empty() && old["metadata"]["resourceVersion"] != asked {
            return Err(Refusal::conflict(&describe(key)));
        }
        let asked_uid = new["metadata"]["uid"].as_str().unwrap_or("");
        if !asked_uid.is_empty() && old["metadata"]["uid"] != asked_uid {
            return Err(Refusal::conflict(&describe(key)));
        }
        if status {
            let wished = new["status"].take();
            new = old.clone();
            put(&mut new, "status", wished);
        } else {
            if resource.has_status {
                put(&mut new, "status", old["status"].clone());
            }
            rules::check_change(resource.kind, &old, &new, |class| self.lets_claims_grow(class))?;
        }
        for field in
            ["uid", "creationTimestamp", "deletionTimestamp", "resourceVersion", "generation", "namespace"]
        {
            put(&mut new["metadata"], field, old["metadata"][field].clone());
        }
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
        }
        if new != old {
            self.commit(key, Some(new));
            settle(self);
        }
        Ok(self.get(key).unwrap_or(old))
    }

    /// Deletes, or marks for deletion where finalizers hold the object.
    pub fn delete(&mut self, key: &Key, preconditions: &Preconditions) -> Result<Value, Refusal> {
        let object = self.get(key)?;
        let meta = &object["metadata"];
        let differs = |wish: &Option<String>, is: &Value| wish.as_ref().is_some_and(|wish| is != wish);
        if differs(&preconditions.uid, &meta["uid"])
            || differs(&preconditions.resource_version, &meta["resourceVersion"])
        {
            return Err(Refusal::conflict(&describe(key)));
        }
        self.mark_deleted(key);
        settle(self);
        Ok(self.get(key).unwrap_or(object))
    }

    /// Sets the deletion time, if it is not set, and generation, as the API server does.
    pub fn mark_deleted(&mut self, key: &Key) {
        let Some(mut object) = self.objects.get(key).cloned() else {
            return;
        };
        if object["metadata"]["deletionTimestamp"].is_string() {
            return;
        }
        let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
        object["metadata"]["deletionTimestamp"] = json!(now());
        object["metadata"]["generation"] = json!(generation + 1);
        if key.0 == "namespaces" {
            object["status"]["phase"] = json!("Terminating");
        }
        self.commit(key, Some(object));
    }

    /// Records a change under a new version. An object marked for deletion that nothing holds any more goes.
    pub fn commit(&mut self, key: &Key, new: Option<Value>) {
        self.version += 1;
        let old = self.objects.get(key).cloned();
        let gone = |object: &Value| {
            let meta = &object["metadata"];
            let held = meta["finalizers"].as_array().is_some_and(|f| !f.is_empty());
            meta["deletionTimestamp"].is_string() && !held && key.0 != "namespaces"
        };
        let mut new = new.filter(|object| !gone(object));
        if let Some(object) = &mut new {
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.objects.insert(key.clone(), object.clone());
        } else {
            self.objects.remove(key);
            self.applied.retain(|(k, _, _), _| k != key);
        }
        let (resource, namespace) = (key.0, key.1.clone());
        self.history.push(Change { version: self.version, resource, namespace, old, new });
    }

    /// Whether there is a StorageClass of that name whose claims may grow.
    pub fn lets_claims_grow(&self, class: &str) -> bool {
        let class = self.objects.get(&("storageclasses", String::new(), class.to_string()));
        class.is_some_and(|class| class["allowVolumeExpansion"] == true)
    }

    fn check_namespace(&self, resource: &'static Resource, namespace: &str) -> Result<(), Refusal> {
        if !resource.namespaced {
            return Ok(());
        }
        let found = self.objects.get(&("namespaces", String::new(), namespace.to_string()));
        match found.map(|ns| ns["metadata"]["deletionTimestamp"].is_string()) {
            None => Err(Refusal::not_found(&format!("namespaces {namespace:?}"))),
            Some(true) => Err(Refusal::namespace_terminating(namespace)),
            Some(false) => Ok(()),
        }
    }
}

/// Sets a member, or removes it when the value is null.
pub fn put(object: &mut Value, field: &str, value: Value) {
    let Some(map) = object.as_object_mut() else { return };
    if value.is_null() {
        map.remove(field);
    } else {
        map.insert(field.into(), value);
    }
}

pub fn describe(key: &Key) -> String {
    format!("{} {:?}", key.0, key.2)
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
