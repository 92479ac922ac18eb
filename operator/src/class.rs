//! A StorageClass that is kept for one of our objects: brought into the wished state, taken away again, and what is said where
//! it is not as it should be.

use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::child::{self, Child};
use crate::conditions::Finding;
use crate::error::PassError;
use crate::filesystem::own::{MANAGED_BY, covers};

/// Claims can be made by the StorageClass. Said only where they cannot.
pub const CLASS_READY: &str = "StorageClassReady";

/// What Kubernetes never changes of a class.
const IMMUTABLE: [&str; 4] = ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"];

/// The classes that one of our kinds has.
pub struct Classes<'a> {
    /// All classes.
    pub api: Api<StorageClass>,
    /// What the watch keeps: those with the label.
    pub known: &'a Store<StorageClass>,
    /// The label that says for which object one was made.
    pub label: &'static str,
}

impl Classes<'_> {
    /// Makes the class, or brings it up to date.
    ///
    /// # Errors
    /// The API server's.
    pub async fn ensure(&self, wish: Value) -> Result<Child<StorageClass>, PassError> {
        let name = wish["metadata"]["name"].as_str().unwrap_or_default();
        match self.find(name).await? {
            Child::Absent => self.create(wish).await,
            Child::Ours(class) => self.update(&class, wish).await,
            other => Ok(other),
        }
    }

    /// Takes the class away, so that no further claim begins.
    ///
    /// # Errors
    /// The API server's.
    pub async fn remove(&self, name: &str) -> Result<(), PassError> {
        match self.find(name).await? {
            Child::Ours(class) => self.delete(&class).await,
            Child::Absent | Child::Leaving | Child::Foreign | Child::Refused(_) => Ok(()),
        }
    }

    /// The class as the cache knows it, else as the API server does: a foreign one has no label, so no cache.
    async fn find(&self, name: &str) -> Result<Child<StorageClass>, PassError> {
        let object = match self.known.get(&ObjectRef::new(name)) {
            Some(object) => Some(object),
            None => {
                let found = self.api.get_opt(name).await;
                found.map_err(PassError::api("read the StorageClass"))?.map(Arc::new)
            }
        };
        Ok(Child::of(object, |class| is_ours(class, self.label)))
    }

    async fn create(&self, wish: Value) -> Result<Child<StorageClass>, PassError> {
        child::create(&self.api, wish, "make the StorageClass").await
    }

    async fn update(&self, class: &Arc<StorageClass>, wish: Value) -> Result<Child<StorageClass>, PassError> {
        let actual =
            serde_json::to_value(class.as_ref()).map_err(PassError::json("read the StorageClass"))?;
        if covers(&actual, &wish) {
            return Ok(Child::Ours(class.clone()));
        }
        if IMMUTABLE.iter().any(|field| actual[field] != wish[field]) {
            // Claims that it made live on without it: only their making asks for the class.
            self.delete(class).await?;
            return self.create(wish).await;
        }
        child::update(&self.api, class.as_ref(), wish, "update the StorageClass").await
    }

    async fn delete(&self, class: &StorageClass) -> Result<(), PassError> {
        child::delete(&self.api, class, "delete the StorageClass").await
    }
}

/// Whether we made this class. Only administrators make classes, and the name says for which object it is: one that an earlier
/// object of that name left behind serves this one.
fn is_ours(class: &StorageClass, label: &str) -> bool {
    let labels = class.labels();
    labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1) && labels.contains_key(label)
}

/// StorageClassReady, where it is not. `kind` is what it is kept for.
pub fn not_ready(name: &str, kind: &str, class: &Child<StorageClass>) -> Option<Finding> {
    let not = |reason, message| Some(Finding::new(CLASS_READY, false, reason, message));
    match class {
        Child::Ours(_) | Child::Absent | Child::Leaving => None,
        Child::Foreign => not(
            "NameTaken",
            format!(
                "StorageClass {name} exists and was not made for this {kind}. It is left alone; delete it, and it is \
                 made as it should be"
            ),
        ),
        Child::Refused(why) => not("Refused", format!("StorageClass {name} was refused: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_api::{FILE_SYSTEM_UID_LABEL, local_storage::LOCAL_STORAGE_UID_LABEL};
    use workspacefs_testkit::builders::object;

    use super::*;

    #[test]
    fn a_class_is_ours_if_we_manage_it_and_it_is_labelled_as_of_that_kind() {
        let class = |labels: Value| -> StorageClass {
            object(json!({"metadata": {"name": "c", "labels": labels}, "provisioner": "p"}))
        };
        let ours = "app.kubernetes.io/managed-by";
        for (labels, is) in [
            (json!({(ours): "workspacefs", (FILE_SYSTEM_UID_LABEL): "x"}), true),
            (json!({(ours): "workspacefs", (LOCAL_STORAGE_UID_LABEL): "x"}), false),
            (json!({(ours): "Helm", (FILE_SYSTEM_UID_LABEL): "x"}), false),
            (json!({(ours): "workspacefs"}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_ours(&class(labels.clone()), FILE_SYSTEM_UID_LABEL), is, "{labels}");
        }
    }
}
