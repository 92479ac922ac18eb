//! The StorageClass of a FileSystem, for further claims on it, brought into the wished state.

use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use serde_json::Value;

use super::FileSystems;
use super::objects::{self, Identity};
use super::own::covers;
use super::plan::Wanted;
use crate::child::{self, Child};
use crate::error::PassError;

/// What Kubernetes never changes of a class.
const IMMUTABLE: [&str; 4] = ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"];

impl FileSystems {
    /// Makes the class, or brings it up to date.
    pub(super) async fn ensure_class(
        &self,
        fs: &Identity,
        wanted: &Wanted,
    ) -> Result<Child<StorageClass>, PassError> {
        let wish = objects::class(fs, wanted);
        match self.find_class(fs).await? {
            Child::Absent => self.create_class(wish).await,
            Child::Ours(class) => self.update_class(&class, wish).await,
            other => Ok(other),
        }
    }

    /// The class as the cache knows it, else as the API server does: a foreign one has no label, so no cache.
    async fn find_class(&self, fs: &Identity) -> Result<Child<StorageClass>, PassError> {
        let name = fs.class_name();
        let object = match self.caches.class(&name) {
            Some(object) => Some(object),
            None => {
                let found = self.classes().get_opt(&name).await;
                found.map_err(PassError::api("read the StorageClass"))?.map(Arc::new)
            }
        };
        Ok(Child::class(object))
    }

    async fn create_class(&self, wish: Value) -> Result<Child<StorageClass>, PassError> {
        child::create(&self.classes(), wish, "make the StorageClass").await
    }

    async fn update_class(
        &self,
        class: &Arc<StorageClass>,
        wish: Value,
    ) -> Result<Child<StorageClass>, PassError> {
        let actual =
            serde_json::to_value(class.as_ref()).map_err(PassError::json("read the StorageClass"))?;
        if covers(&actual, &wish) {
            return Ok(Child::Ours(class.clone()));
        }
        if IMMUTABLE.iter().any(|field| actual[field] != wish[field]) {
            // Claims that it made live on without it: only their making asks for the class.
            self.delete_class(class).await?;
            return self.create_class(wish).await;
        }
        child::update(&self.classes(), class.as_ref(), wish, "update the StorageClass").await
    }

    /// Takes the class away, so that no further claim begins.
    pub(super) async fn remove_class(&self, fs: &Identity) -> Result<(), PassError> {
        match self.find_class(fs).await? {
            Child::Ours(class) => self.delete_class(&class).await,
            Child::Absent | Child::Leaving | Child::Foreign | Child::Refused(_) => Ok(()),
        }
    }

    async fn delete_class(&self, class: &StorageClass) -> Result<(), PassError> {
        child::delete(&self.classes(), class, "delete the StorageClass").await
    }

    fn classes(&self) -> Api<StorageClass> {
        Api::all(self.client.clone())
    }
}
