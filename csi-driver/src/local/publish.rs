//! NodePublishVolume and NodeUnpublishVolume of the local driver: guard, "is it done?", may it be here, decision, record,
//! view, attach; and the same backwards. Whatever fails undoes what was done before it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use thiserror::Error;
use tokio::time::Instant;
use workspacefs_api::fs_cache::MOVER_NAME_PREFIX;
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::volume::{AttributesError, EPHEMERAL, POD_NAMESPACE, VolumeIdError};
use workspacefs_api::{LocalStorage, NodeStorage, quantity};
use workspacefs_csi_proto::csi::v1::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest};
use workspacefs_sys::SysError;

use super::disks::DiskError;
use super::protocol::{Share, Shown, View, Volume};
use super::service::{LocalNode, OnDisk};
use super::storages;
use crate::cache::Target as CacheTarget;
use crate::node::arguments::{self, ArgumentError, Publish};
use crate::node::publish::guard_key;
use crate::node::target::{Target, TargetError};
use crate::node::targets::{BeginError, Begun, Record};
use crate::node::unpublish::UnpublishError;
use crate::op_guard::Busy;
use crate::rpc;

/// The attribute that names a claim's volume's node.
const NODE: &str = "node";
/// The pod's name, as kubelet says it in the attributes (podInfoOnMount).
const POD_NAME: &str = "csi.storage.k8s.io/pod.name";

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
        "local volumes are mounted by claims only: there is no inline volume and no mountFrom. Use the claim that is named like the LocalStorage, which is the workspace's whole share of its node's disk, or a claim of the LocalStorage's StorageClass"
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
    /// A claim's volume, on the disk of another node.
    #[error(
        "the volume is on node {there:?}, on LocalStorage {storage:?} of node group {group:?}, and this node is {node:?}: give the pod no nodeName, the scheduler knows where it may run"
    )]
    Elsewhere {
        /// Its LocalStorage.
        storage: String,
        /// Its node group.
        group: String,
        /// Where it is.
        there: String,
        /// This node.
        node: String,
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

/// A volume of a PersistentVolume that the operator or the controller made.
#[derive(Debug, Eq, PartialEq)]
struct Claimed {
    place: OnDisk,
    attributes: LocalVolumeAttributes,
}

impl Claimed {
    fn parse(volume_id: &str, context: &BTreeMap<String, String>) -> Result<Self, PublishError> {
        if context.get(EPHEMERAL).map(String::as_str) == Some("true") {
            return Err(PublishError::Inline);
        }
        let id = LocalVolumeId::parse(volume_id).map_err(PublishError::NotOurs)?;
        let attributes = LocalVolumeAttributes::from_map(context).map_err(PublishError::Attributes)?;
        let place = match (id, &attributes.node) {
            (LocalVolumeId::Share { storage, namespace }, None) => {
                OnDisk::Share { storage_uid: storage, namespace_uid: namespace }
            }
            (LocalVolumeId::Volume { storage, volume }, Some(_)) => {
                OnDisk::Volume { storage_uid: storage, local_volume: volume }
            }
            // A share is on every node, and a claim's volume on one.
            (LocalVolumeId::Share { .. }, Some(_)) => {
                return Err(PublishError::Attributes(AttributesError::Unknown(NODE.into())));
            }
            (LocalVolumeId::Volume { .. }, None) => {
                return Err(PublishError::Attributes(AttributesError::Missing(NODE)));
            }
        };
        match context.get(POD_NAMESPACE) {
            Some(namespace) if *namespace != attributes.namespace => {
                Err(PublishError::OtherNamespace(attributes.namespace))
            }
            _ => Ok(Self { place, attributes }),
        }
    }

    /// What is to be shown, by what the LocalStorage says now.
    fn shown(&self, storage: &LocalStorage) -> Shown {
        match self.place.clone() {
            OnDisk::Share { namespace_uid, .. } => {
                let quota = storage.spec.per_workspace_quota.as_ref();
                Shown::Share(Share {
                    namespace_uid,
                    namespace: self.attributes.namespace.clone(),
                    quota: quota.and_then(|quota| quantity::bytes(&quota.0)),
                })
            }
            OnDisk::Volume { storage_uid, local_volume } => {
                Shown::Volume(Volume { storage_uid, name: local_volume })
            }
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
        let record = Record {
            target: asked.target.path().to_path_buf(),
            volume_id: asked.volume_id.clone(),
            fingerprint: asked.fingerprint.clone(),
            mode: asked.capability.mode.into(),
            place: claimed.place.clone(),
        };
        if self.0.targets.begin(here, record)? == Begun::Done {
            return Ok(());
        }
        let undo = Undo { node: self, target: Some(&asked.target) };
        let of = View {
            of: claimed.shown(&storage),
            read_only: asked.read_only,
            hide: self.hides_copies(&claimed, &asked.context),
        };
        // Only where the record and the mount table disagree is there anything to take off.
        asked.target.unmount()?;
        let folder = asked.target.make()?;
        let view = self.0.config.disks.view(claimed.place.storage_uid(), of, deadline).await?;
        view.attach(folder.as_fd()).map_err(PublishError::Attach)?;
        undo.keep();
        Ok(())
    }

    /// Whether copies of FsCaches lie in the volume, or may, and it is not the mover's who makes them.
    fn hides_copies(&self, claimed: &Claimed, context: &BTreeMap<String, String>) -> bool {
        let OnDisk::Share { .. } = claimed.place else {
            return false;
        };
        let attributes = &claimed.attributes;
        let is_movers = context.get(POD_NAME).is_some_and(|name| name.starts_with(MOVER_NAME_PREFIX));
        let target = CacheTarget::LocalStorage(attributes.storage.clone());
        !is_movers && self.0.config.caches.lie_in(&attributes.namespace, &target)
    }

    /// The LocalStorage, if the volume may be used on this node now.
    fn allowed(&self, claimed: &Claimed) -> Result<Arc<LocalStorage>, PublishError> {
        let config = &self.0.config;
        let attributes = &claimed.attributes;
        let name = || attributes.storage.clone();
        if let Some(there) = attributes.node.as_ref().filter(|there| **there != config.node_name) {
            return Err(PublishError::Elsewhere {
                storage: name(),
                group: attributes.node_group.clone(),
                there: there.clone(),
                node: config.node_name.clone(),
            });
        }
        let known = config.storages.current().ok_or(PublishError::NotKnown)?;
        let uid = claimed.place.storage_uid();
        let storage =
            storages::find(&known, &attributes.storage, uid).ok_or_else(|| PublishError::Missing(name()))?;
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
        match config.disks.entry(uid) {
            Some(entry) if entry.ready => Ok(storage.clone()),
            entry => Err(PublishError::NotReady {
                storage: name(),
                group: storage.spec.node_group.clone(),
                node: config.node_name.clone(),
                reason: entry.map_or_else(|| "its disk has not been looked at yet".into(), why_not_ready),
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

/// Of an entry that is not ready.
pub(super) fn why_not_ready(entry: NodeStorage) -> String {
    if entry.message.is_empty() { entry.reason } else { entry.message }
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
    const VOLUME: &str = "v1.lv.0f8fad5b-d9cb-469f-a165-70867728950e.7c9e6679-7425-40de-944b-e07fc1f90ae7";

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

    #[test]
    fn a_claims_volume_has_a_node_and_a_share_has_none() {
        assert!(Claimed::parse(VOLUME, &context(&[("node", "n1"), (POD_NAMESPACE, "team-a")])).is_ok());
        let error = |id: &str, more: &[(&str, &str)]| Claimed::parse(id, &context(more)).unwrap_err();
        assert!(matches!(error(VOLUME, &[]), PublishError::Attributes(AttributesError::Missing(NODE))));
        assert!(matches!(
            error(ID, &[("node", "n1")]),
            PublishError::Attributes(AttributesError::Unknown(_))
        ));
        let of_others = error(VOLUME, &[("node", "n1"), (POD_NAMESPACE, "team-b")]);
        assert!(matches!(of_others, PublishError::OtherNamespace(_)));
    }
}
