//! The label that lets pods onto a node, kept on exactly the nodes where the storage is ready. It is also what is remembered
//! of the Ready set: who joins or leaves is told when the label changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, ObjectReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use workspacefs_api::local_storage::READY;

use super::LocalStorages;
use super::nodes::{self, Change, Selected, because};
use super::objects::Identity;
use crate::FIELD_MANAGER;
use crate::error::PassError;
use crate::events::Happened;

impl LocalStorages {
    /// Sets and takes off labels. One node's failure holds no other up; the first is the result.
    pub(super) async fn keep_labels(
        &self,
        storage: &Identity,
        nodes: &[Arc<Node>],
        selected: &[Selected<'_>],
    ) -> Result<(), PassError> {
        let ready: BTreeSet<String> =
            selected.iter().filter(|node| node.is_ready()).map(|node| node.name.clone()).collect();
        let mut result = Ok(());
        for change in nodes::changes(&storage.ready_label(), &ready, nodes) {
            match self.set_label(storage, &change).await {
                Ok(true) => self.tell_of_node(storage, &change, selected).await,
                Ok(false) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// One label of exactly the node that was seen. False: that node is gone.
    async fn set_label(&self, storage: &Identity, change: &Change) -> Result<bool, PassError> {
        let value = change.ready.then_some(READY);
        let patch = json!({
            "metadata": {"uid": change.node.metadata.uid, "labels": {storage.ready_label(): value}},
        });
        let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let nodes: Api<Node> = Api::all(self.client.clone());
        match nodes.patch(&change.node.name_any(), &by_us, &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
            patched => patched.map(|_| true).map_err(PassError::api("set the label of a node")),
        }
    }

    async fn tell_of_node(&self, storage: &Identity, change: &Change, selected: &[Selected<'_>]) {
        let node = change.node.name_any();
        let happened = match (change.ready, selected.iter().find(|selected| selected.name == node)) {
            (true, _) => Happened {
                warning: false,
                reason: "NodeReady",
                note: format!("node {node} has it ready: pods with claim {} may go there", storage.name),
            },
            (false, Some(meant)) => {
                let (reason, message) = meant.why_not().unwrap_or_default();
                let note = format!(
                    "node {node} left the Ready set: {}. New pods go elsewhere, running ones are left alone",
                    because(&reason, &message)
                );
                Happened { warning: true, reason: "NodeNotReady", note }
            }
            (false, None) => Happened {
                warning: false,
                reason: "NodeLeft",
                note: format!(
                    "node {node} is not meant by it: pods with claim {} go elsewhere",
                    storage.name
                ),
            },
        };
        self.status.tell(storage, Some(reference(&change.node)), &happened).await;
    }
}

fn reference(node: &Node) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: node.metadata.name.clone(),
        uid: node.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
