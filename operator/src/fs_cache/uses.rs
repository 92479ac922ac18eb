//! Entries of `status.uses` of nodes that are gone: removed by their place, from exactly the version in which they
//! were seen there. Entries are the nodes' to write; the operator only ever takes one out, and only once the API
//! server itself has no such Node: until then it counts.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ObjectMeta, PartialObjectMeta, Patch, PatchParams};
use serde_json::{Value, from_value, json};
use workspacefs_api::{CacheUse, FsCache};

use super::FsCaches;
use super::objects::Identity;
use crate::FIELD_MANAGER;
use crate::error::PassError;

impl FsCaches {
    /// Removes them, the last first. Whether any was: the change brings the next pass.
    pub(super) async fn remove_uses(
        &self,
        cache: &Identity,
        meta: &ObjectMeta,
        uses: &[CacheUse],
    ) -> Result<bool, PassError> {
        let mut steps = Vec::new();
        for (place, entry) in uses.iter().enumerate().rev() {
            if self.caches.has_node(&entry.node) || self.is_there(&entry.node).await? {
                continue;
            }
            let path = format!("/status/uses/{place}");
            steps.push(json!({"op": "test", "path": format!("{path}/node"), "value": entry.node}));
            steps.push(json!({"op": "remove", "path": path}));
        }
        if steps.is_empty() {
            return Ok(false);
        }
        // Another version makes it a conflict: the places may be others'.
        steps.insert(
            0,
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": meta.resource_version}),
        );
        let patch = from_value(Value::Array(steps)).map_err(PassError::json("remove entries of nodes"))?;
        let api: Api<PartialObjectMeta<FsCache>> = Api::namespaced(self.client.clone(), &cache.namespace);
        let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        match api.patch_status(&cache.name, &by_us, &Patch::Json::<()>(patch)).await {
            // The places are others' by now, so something was written, which brings the next pass.
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(true),
            removed => removed.map(|_| true).map_err(PassError::api("remove entries of nodes")),
        }
    }

    async fn is_there(&self, node: &str) -> Result<bool, PassError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let found = api.get_metadata_opt(node).await.map_err(PassError::api("read a node"))?;
        Ok(found.is_some())
    }
}
