//! The label by which pods prefer nodes that have a copy of their own: on those that have one to show, and no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use workspacefs_api::local_storage::READY;
use workspacefs_api::{CacheCopy, Exposure, FsCache};

use super::objects::Identity;
use super::survey::Survey;
use super::{FsCaches, findings};
use crate::FIELD_MANAGER;
use crate::error::PassError;
use crate::local_storage::nodes::changes;

/// What is said where there is no such label.
pub const TOO_LONG: &str =
    "Nodes get no label cache.workspacefs.io/<namespace>.<name>: a label's name has at most 63 characters";

impl FsCaches {
    /// Sets and takes off the labels of `nodes`. One node's failure holds no other up; the first is the result.
    pub(super) async fn keep_labels(
        &self,
        cache: &Identity,
        nodes: &[Arc<Node>],
        warm: &BTreeSet<String>,
    ) -> Result<(), PassError> {
        let Some(label) = FsCache::warm_label(&cache.namespace, &cache.name) else { return Ok(()) };
        let mut result = Ok(());
        for change in changes(&label, warm, nodes) {
            let value = change.ready.then_some(READY);
            let patch =
                json!({"metadata": {"uid": change.node.metadata.uid, "labels": {(label.as_str()): value}}});
            let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            let api: Api<Node> = Api::all(self.client.clone());
            match api.patch(&change.node.name_any(), &by_us, &Patch::Merge(&patch)).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                patched => {
                    result = result.and(patched.map(drop).map_err(PassError::api("set the label of a node")))
                }
            }
        }
        result
    }
}

/// The nodes whose own copy has something to show: by a claim, all or nothing. A copy for a whole group is near to none of
/// its nodes.
///
/// `is_had` says whether pods that start now can get a copy: its disk is there, and it is young enough.
pub fn warm(exposure: Exposure, survey: &Survey, is_had: impl Fn(&CacheCopy) -> bool) -> BTreeSet<String> {
    let copies = &survey.copies;
    let shows = |copy: &&CacheCopy| {
        let has_some = copy.generation.is_some() && !copy.whole.is_empty();
        let shows = match exposure {
            Exposure::Transparent => has_some,
            Exposure::Claim => findings::is_whole(copy, &survey.paths),
        };
        shows && is_had(copy)
    };
    copies.iter().filter(shows).map(|copy| copy.node.clone()).collect()
}
