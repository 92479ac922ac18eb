//! Entries of `status.nodes` that speak of nobody: removed by their place, from exactly the version in which they were seen
//! there. Entries are the nodes' to write; the operator only ever takes one out.

use kube::Api;
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use serde_json::{Value, from_value, json};
use workspacefs_api::LocalStorage;

use super::LocalStorages;
use super::nodes::Stale;
use super::objects::Identity;
use super::status::of_node;
use crate::FIELD_MANAGER;
use crate::error::PassError;
use crate::events::Happened;

impl LocalStorages {
    /// Removes them, the last first as they come.
    pub(super) async fn remove_entries(
        &self,
        storage: &Identity,
        version: Option<&str>,
        stale: &[Stale],
    ) -> Result<(), PassError> {
        if stale.is_empty() {
            return Ok(());
        }
        // Another version makes it a conflict: the places may be others'.
        let mut steps = vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})];
        for Stale { place, node } in stale {
            steps.push(json!({"op": "test", "path": format!("/status/nodes/{place}/node"), "value": node}));
            steps.push(json!({"op": "remove", "path": format!("/status/nodes/{place}")}));
        }
        let patch = from_value(Value::Array(steps)).map_err(PassError::json("remove entries of nodes"))?;
        let api: Api<PartialObjectMeta<LocalStorage>> = Api::all(self.client.clone());
        let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        match api.patch_status(&storage.name, &by_us, &Patch::Json::<()>(patch)).await {
            // The places are others' by now, so something was written, which brings the next pass. (Or a policy forbids it.)
            Err(kube::Error::Api(status)) if status.code == 422 => {
                tracing::info!("entries of nodes not removed: {}", status.message);
                return Ok(());
            }
            removed => drop(removed.map_err(PassError::api("remove entries of nodes"))?),
        }
        for Stale { node, .. } in stale.iter().filter(|stale| !self.caches.has_node(&stale.node)) {
            let note = format!("there is no node {node} any more: its entry was removed");
            let happened = Happened { warning: false, reason: "NodeGone", note };
            self.status.tell(storage, Some(of_node(node)), &happened).await;
        }
        Ok(())
    }
}
