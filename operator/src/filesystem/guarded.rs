//! A FileSystem as the API server delivers it: one object that cannot be read must not end the watch of all others, and
//! what was said about it before is known all the same. (kube's own guard keeps the metadata only.)

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use workspacefs_api::{FileSystem, FileSystemStatus};

/// A FileSystem, or what is known of one that cannot be read.
#[derive(Clone, Debug)]
pub struct Guarded(pub Result<FileSystem, Unreadable>);

/// What is known of an object that is no FileSystem as we know them.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Why it cannot be read.
    pub error: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its status, which is our own work; empty where not even that can be read.
    pub status: FileSystemStatus,
}

impl Guarded {
    /// Its status; empty before the first one is written.
    pub fn status(&self) -> FileSystemStatus {
        match &self.0 {
            Ok(fs) => fs.status.clone().unwrap_or_default(),
            Err(unreadable) => unreadable.status.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let error = match FileSystem::deserialize(&value) {
            Ok(fs) => return Ok(Self(Ok(fs))),
            Err(error) => error.to_string(),
        };
        let metadata = ObjectMeta::deserialize(&value["metadata"]).map_err(D::Error::custom)?;
        let status = FileSystemStatus::deserialize(&value["status"]).unwrap_or_default();
        Ok(Self(Err(Unreadable { error, metadata, status })))
    }
}

impl Resource for Guarded {
    type DynamicType = <FileSystem as Resource>::DynamicType;
    type Scope = <FileSystem as Resource>::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        FileSystem::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        FileSystem::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        FileSystem::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        FileSystem::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, FileSystem::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, FileSystem::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(spec: Value, status: Value) -> Guarded {
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
