//! Kind LocalVolume: one volume of a claim on one node's disk. Internal: the CSI controller writes the wish, that node's plugin
//! carries it out and says so in the status, and nobody else has anything to do with it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Field by field: one rule over all of them is reckoned too dear by API servers.
const STAYS: &str = "only sizeBytes can be changed: a volume stays on its disk";

/// What the controller asks of the node. Deletion is asked for by deleting the object: [`LOCAL_VOLUME_FINALIZER`] keeps it
/// until the node has moved the files away.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[expect(clippy::duplicated_attributes, reason = "columns have the same attributes, each for itself")]
#[kube(
    group = "workspacefs.io",
    version = "v1alpha1",
    kind = "LocalVolume",
    doc = "Internal to workspacefs: a claim's volume on one node's disk. Made and deleted by the CSI controller, through claims.",
    shortname = "wslv",
    category = "workspacefs",
    status = "LocalVolumeStatus",
    derive = "PartialEq",
    selectable = ".spec.node",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".spec.storage"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".spec.claim"),
    printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.sizeBytes"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalVolumeSpec {
    /// Name of the LocalStorage.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(STAYS))]
    pub storage: String,
    /// Its uid: one that is made again under the same name is another.
    #[schemars(length(equal = 36))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(STAYS))]
    pub storage_uid: String,
    /// Name of the Node on whose disk it lies.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(STAYS))]
    pub node: String,
    /// The name by which CSI asked for it.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(STAYS))]
    pub volume: String,
    /// The workspace whose claim it is for.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(STAYS))]
    pub namespace: String,
    /// The claim, for people; empty where it was not told.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(STAYS))]
    pub claim: String,
    /// How much may be written: a multiple of 4096.
    #[schemars(range(min = 4096))]
    pub size_bytes: i64,
}

/// What the node has done. Written by that node's plugin alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalVolumeStatus {
    /// The generation that the node has looked at. A deletion is a generation too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What became of it.
    #[serde(default)]
    pub phase: LocalVolumePhase,
    /// How much may be written now; absent before it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Why the latest wish was not carried out; absent if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<LocalVolumeReason>,
    /// The same for a person, with numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
}

/// What became of a volume.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum LocalVolumePhase {
    /// It was not made yet.
    #[default]
    Pending,
    /// Its folder is there, with a limit of `sizeBytes`. From here on it is never made again: what is missing then is lost,
    /// and not to be replaced by something empty.
    Ready,
    /// It was made, and is not on the disk that is in the node now.
    Lost,
    /// It was moved into the disk's trash, or never made, and will not be.
    Removed,
}

/// Why a wish was not carried out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum LocalVolumeReason {
    /// The LocalStorage is not ready on this node, or does not mean it. Tried again when it is.
    NotReady,
    /// The disk cannot hold so much.
    NoSpace,
    /// The disk holds nobody to a limit, so it has no volumes with sizes.
    NoQuota,
    /// The disk or the kernel failed. Tried again.
    Failed,
}

impl LocalVolume {
    /// Whether the node has looked at what the object asks for now.
    pub fn is_observed(&self) -> bool {
        let observed = self.status.as_ref().and_then(|status| status.observed_generation);
        observed.is_some() && observed == self.metadata.generation
    }

    /// What became of it.
    pub fn phase(&self) -> LocalVolumePhase {
        self.status.as_ref().map(|status| status.phase).unwrap_or_default()
    }
}

/// Kept on a LocalVolume by the controller until its node says Removed, or the Node object is gone.
pub const LOCAL_VOLUME_FINALIZER: &str = "workspacefs.io/local-volume";
/// Annotation that the controller sets before it deletes a LocalVolume. A deletion without it is not one that a claim's end asked
/// for (somebody deleted the object, or its kind): then the node leaves the files where they are.
pub const DISCARD_FILES_ANNOTATION: &str = "workspacefs.io/discard-files";
/// Label on LocalVolumes: which volume of CSI's it is, by which a repeated CreateVolume finds it on whatever node it was made.
pub const LOCAL_VOLUME_NAME_LABEL: &str = "workspacefs.io/local-volume-name";
/// StorageClass parameter that names the LocalStorage.
pub const LOCAL_STORAGE_PARAMETER: &str = "localStorage";
/// The only topology key: a Node's name.
pub const LOCAL_TOPOLOGY_KEY: &str = "topology.local.csi.workspacefs.io/node";
