//! NodePublishVolume and NodeUnpublishVolume of the local driver: guard, "is it done?", may it be here, decision, record,
//! view, attach; and the same backwards. Whatever fails undoes what was done before it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use thiserror::Error;
use tokio::time::Instant;
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::volume::{AttributesError, VolumeIdError};
use workspacefs_api::{LocalStorage, quantity};
use workspacefs_csi_proto::csi::v1::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest};
use workspacefs_sys::SysError;

use super::disks::DiskError;
use super::protocol::Share;
use super::service::{LocalNode, OnDisk};
use crate::node::arguments::{self, ArgumentError, Publish};
use crate::node::publish::guard_key;
use crate::node::target::{Target, TargetError};
use crate::node::targets::{BeginError, Begun, Record};
use crate::node::unpublish::UnpublishError;
use crate::op_guard::Busy;
use crate::rpc;

/// What kubelet adds to a volume's attributes (podInfoOnMount).
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";
const POD_NAMESPACE: &str = "csi.storage.k8s.io/pod.namespace";

/// A publish failed, and nothing of it is left.
#[derive(Debug, Error)]
pub(super) enum PublishError {
    /// The request is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// Another call works at this target.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Written into the pod itself.
    #[error(
        "a local volume is a workspace's whole share of its node's disk: there is no inline volume and no mountFrom. Use the claim that is named like the LocalStorage"
    )]
    Inline,
    /// Not an id of ours.
    #[error("there is no such volume")]
    NotOurs(#[source] VolumeIdError),
    /// A PersistentVolume that we did not make.
    #[error("the PersistentVolume's attributes are not acceptable")]
    Attributes(#[source] AttributesError),
    /// Its claim is of another namespace than the pod.
    #[error("the volume is workspace {0:?}'s, and the pod is not of that namespace")]
    OtherNamespace(String),
    /// The API server was not reached since this process started.
    #[error(
        "the LocalStorages are not known yet: the API server has not been reached since the node plugin started"
    )]
    NotKnown,
    /// It is gone, or another one has its name.
    #[error("there is no LocalStorage {0:?}, or it is another than the one this volume was made for")]
    Missing(String),
    /// The workspace may not use it.
    #[error("LocalStorage {storage:?} does not list workspace {namespace:?} in spec.workspaces")]
    NotAllowed {
        /// Its name.
        storage: String,
        /// The workspace.
        namespace: String,
    },
    /// The wrong node.
    #[error(
        "LocalStorage {storage:?} is on nodes of node group {group:?}{more}, and node {node:?} is not one of them: give the pod no nodeName, the scheduler knows where it may run"
    )]
    Outside {
        /// Its name.
        storage: String,
        /// Its node group.
        group: String,
        /// The selector beside the group, in words.
        more: &'static str,
        /// This node.
        node: String,
    },
    /// The right node, whose disk cannot be used now.
    #[error("LocalStorage {storage:?} of node group {group:?} is not ready on node {node:?}: {reason}")]
    NotReady {
        /// Its name.
        storage: String,
        /// Its node group.
        group: String,
        /// This node.
        node: String,
        /// What the latest look found.
        reason: String,
    },
    /// What is published here already stands against it.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The last step.
    #[error("cannot attach the volume at its target")]
    Attach(#[source] SysError),
}

/// A volume of a PersistentVolume that the operator made.
#[derive(Debug, Eq, PartialEq)]
struct Claimed {
    storage: String,
    namespace: String,
    attributes: LocalVolumeAttributes,
}

impl Claimed {
    fn parse(volume_id: &str, context: &BTreeMap<String, String>) -> Result<Self, PublishError> {
        if context.get(EPHEMERAL).map(String::as_str) == Some("true") {
            return Err(PublishError::Inline);
        }
        let LocalVolumeId::Share { storage, namespace } =
            LocalVolumeId::parse(volume_id).map_err(PublishError::NotOurs)?
        else {
            return Err(PublishError::NotOurs(VolumeIdError));
        };
        let attributes = LocalVolumeAttributes::from_map(context).map_err(PublishError::Attributes)?;
        match context.get(POD_NAMESPACE) {
            Some(namespace) if *namespace != attributes.namespace => {
                Err(PublishError::OtherNamespace(attributes.namespace))
            }
            _ => Ok(Self { storage, namespace, attributes }),
        }
    }
}

impl LocalNode {
    /// See the module.
    ///
    /// # Errors
    /// [`PublishError`], at the latest at the RPC's deadline.
    pub(super) async fn publish(&self, request: NodePublishVolumeRequest) -> Result<(), PublishError> {
        rpc::note(&request.volume_id, Some(&request.target_path));
        let deadline = Instant::now() + self.0.config.rpc_deadline;
        let asked = Publish::parse(request)?;
        let _guard = self.0.guards.try_acquire(&guard_key(&asked.target))?;
        let here = asked.target.state()?;
        // Before anybody is asked for leave: what is mounted stays so, whatever became of its LocalStorage since.
        if self.0.targets.is_done(&asked.target, here, &asked.volume_id, &asked.fingerprint) {
            return Ok(());
        }
        let claimed = Claimed::parse(&asked.volume_id, &asked.context)?;
        let storage = self.allowed(&claimed)?;
        let place = OnDisk { storage_uid: claimed.storage.clone(), namespace_uid: claimed.namespace.clone() };
        let record = Record {
            target: asked.target.path().to_path_buf(),
            volume_id: asked.volume_id.clone(),
            fingerprint: asked.fingerprint.clone(),
            mode: asked.capability.mode.into(),
            place,
        };
        if self.0.targets.begin(here, record)? == Begun::Done {
            return Ok(());
        }
        let undo = Undo { node: self, target: Some(&asked.target) };
        let quota = storage.spec.per_workspace_quota.as_ref();
        let share = Share {
            namespace_uid: claimed.namespace,
            namespace: claimed.attributes.namespace,
            quota: quota.and_then(|quota| quantity::bytes(&quota.0)),
            read_only: asked.read_only,
        };
        // Only where the record and the mount table disagree is there anything to take off.
        asked.target.unmount()?;
        let folder = asked.target.make()?;
        let view = self.0.config.disks.view(&claimed.storage, share, deadline).await?;
        view.attach(folder.as_fd()).map_err(PublishError::Attach)?;
        undo.keep();
        Ok(())
    }

    /// The LocalStorage, if the volume may be used on this node now.
    fn allowed(&self, claimed: &Claimed) -> Result<Arc<LocalStorage>, PublishError> {
        let config = &self.0.config;
        let attributes = &claimed.attributes;
        let name = || attributes.storage.clone();
        let known = config.storages.current().ok_or(PublishError::NotKnown)?;
        let storage = known
            .get(&attributes.storage)
            .filter(|storage| storage.metadata.uid.as_deref() == Some(&claimed.storage))
            .ok_or_else(|| PublishError::Missing(name()))?;
        let labels = config.labels.current().ok_or(PublishError::NotKnown)?;
        if !storage.selects(&config.group_label, &labels) {
            return Err(PublishError::Outside {
                storage: name(),
                group: storage.spec.node_group.clone(),
                more: if storage.spec.node_selector.is_some() {
                    " with its nodeSelector's labels"
                } else {
                    ""
                },
                node: config.node_name.clone(),
            });
        }
        if !storage.spec.workspaces.contains(&attributes.namespace) {
            return Err(PublishError::NotAllowed {
                storage: name(),
                namespace: attributes.namespace.clone(),
            });
        }
        match config.disks.entry(&claimed.storage) {
            Some(entry) if entry.ready => Ok(storage.clone()),
            entry => Err(PublishError::NotReady {
                storage: name(),
                group: storage.spec.node_group.clone(),
                node: config.node_name.clone(),
                reason: entry.map_or_else(
                    || "its disk has not been looked at yet".into(),
                    |entry| if entry.message.is_empty() { entry.reason } else { entry.message },
                ),
            }),
        }
    }

    /// See the module. The disk is not asked for anything: what hangs cannot keep a pod from going.
    ///
    /// # Errors
    /// [`UnpublishError`].
    pub(super) fn unpublish(&self, request: &NodeUnpublishVolumeRequest) -> Result<(), UnpublishError> {
        rpc::note(&request.volume_id, Some(&request.target_path));
        let volume_id = arguments::volume_id(&request.volume_id)?;
        let target = arguments::target(&request.target_path)?;
        let _guard = self.0.guards.try_acquire(&guard_key(&target))?;
        match self.0.targets.at(&target) {
            // What is there is another volume: the one that was asked about is not, and that is what was asked for.
            Some(record) if record.volume_id != volume_id => Ok(()),
            _ => self.0.targets.take_away(&target),
        }
    }
}

/// Unless it is kept: takes the target's mounts, folder and record away again, on every way out of a publish.
struct Undo<'a> {
    node: &'a LocalNode,
    target: Option<&'a Target>,
}

impl Undo<'_> {
    fn keep(mut self) {
        self.target = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(target) = self.target.take()
            && let Err(error) = self.node.0.targets.take_away(target)
        {
            tracing::warn!(target_path = %target.path().display(), %error, "a failed publish could not be undone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "v1.ls.0f8fad5b-d9cb-469f-a165-70867728950e.7c9e6679-7425-40de-944b-e07fc1f90ae7";

    fn context(more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let attributes = LocalVolumeAttributes {
            storage: "fast".into(),
            namespace: "team-a".into(),
            node_group: "gpu".into(),
            node: None,
        };
        let mut map = attributes.to_map();
        map.extend(more.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        map
    }

    #[test]
    fn a_claims_volume_is_taken_and_nothing_that_a_pods_author_writes() {
        assert!(Claimed::parse(ID, &context(&[(POD_NAMESPACE, "team-a")])).is_ok());
        let error = |id: &str, more: &[(&str, &str)]| Claimed::parse(id, &context(more)).unwrap_err();
        assert!(matches!(error("csi-0123", &[(EPHEMERAL, "true")]), PublishError::Inline));
        assert!(matches!(error("csi-0123", &[]), PublishError::NotOurs(_)));
        assert!(matches!(error(ID, &[("mountFrom", "a")]), PublishError::Attributes(_)));
        assert!(matches!(error(ID, &[(POD_NAMESPACE, "team-b")]), PublishError::OtherNamespace(_)));
    }
}
