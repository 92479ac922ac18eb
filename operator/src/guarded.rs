//! An object of ours as the API server delivers it: one that cannot be read must not end the watch of all others, and what
//! was said about it before is known all the same. (kube's own guard keeps the metadata only.)

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::object::HasStatus;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object of kind `K` with status `S`, or what is known of one that cannot be read.
#[derive(Clone, Debug)]
pub struct Guarded<K, S>(pub Result<K, Unreadable<S>>);

/// What is known of an object that is not of its kind as we know it.
#[derive(Clone, Debug)]
pub struct Unreadable<S> {
    /// Why it cannot be read.
    pub error: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its status, which is our own work; empty where not even that can be read.
    pub status: S,
}

impl<K: HasStatus<Status = S>, S: Clone + Default> Guarded<K, S> {
    /// Its status; empty before the first one is written.
    pub fn status(&self) -> S {
        match &self.0 {
            Ok(object) => object.status().cloned().unwrap_or_default(),
            Err(unreadable) => unreadable.status.clone(),
        }
    }
}

impl<'de, K: DeserializeOwned, S: DeserializeOwned + Default> Deserialize<'de> for Guarded<K, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let error = match K::deserialize(&value) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error.to_string(),
        };
        let metadata = ObjectMeta::deserialize(&value["metadata"]).map_err(D::Error::custom)?;
        let status = S::deserialize(&value["status"]).unwrap_or_default();
        Ok(Self(Err(Unreadable { error, metadata, status })))
    }
}

impl<K: Resource, S> Resource for Guarded<K, S> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_api::{FileSystem, FileSystemStatus};

    use super::*;

    fn read(spec: Value, status: Value) -> Guarded<FileSystem, FileSystemStatus> {
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem",
            "metadata": {"namespace": "a", "name": "data"}, "spec": spec, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_object_that_cannot_be_read_keeps_its_name_its_status_and_the_reason() {
        let object = read(json!({"backend": "none of your business"}), json!({"observedGeneration": 7}));
        assert_eq!(object.meta().name.as_deref(), Some("data"));
        assert_eq!(object.status().observed_generation, Some(7));
        assert!(object.0.unwrap_err().error.contains("none of your business"));
    }

    #[test]
    fn a_status_that_cannot_be_read_either_is_as_none() {
        for status in [json!("fine"), json!(null)] {
            let object = read(json!({"backend": 1}), status);
            assert!(object.0.is_err());
        }
        let readable = read(json!({"backend": {}}), json!({"observedGeneration": 3}));
        assert_eq!(readable.status().observed_generation, Some(3));
        assert!(readable.0.is_ok());
    }
}
