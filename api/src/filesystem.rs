//! Kind FileSystem: a POSIX file system that a workspace's workloads mount from many nodes at once.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::mount_options;

/// What the administrator wishes.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "workspacefs.io",
    version = "v1alpha1",
    kind = "FileSystem",
    doc = "A POSIX file system that the workloads of its namespace mount from many nodes at once.",
    namespaced,
    shortname = "wsfs",
    category = "workspacefs",
    status = "FileSystemStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')")
        .message("a FileSystem's name is a DNS label: at most 63 characters, no dots"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".status.claimName"),
    printcolumn(name = "Capacity", type_ = "string", json_path = ".status.usage.capacity"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.usage.used"),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.backend.nfs.server"),
    printcolumn(name = "Node-Group", type_ = "string", json_path = ".spec.nodeGroup"),
    printcolumn(name = "Export", type_ = "string", json_path = ".spec.backend.nfs.export", priority = 1),
    printcolumn(name = "Usage-Of", type_ = "string", json_path = ".status.usage.scope", priority = 1),
    printcolumn(name = "Folder", type_ = "string", json_path = ".spec.backend.nfs.folder", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
// Of a managed backend only the size may change; it is left out of the comparison by name.
#[x_kube(validation = Rule::new("has(self.backend.managed) == has(oldSelf.backend.managed) && (has(self.backend.managed) ? has(self.backend.managed.adopt) == has(oldSelf.backend.managed.adopt) && (!has(self.backend.managed.adopt) || self.backend.managed.adopt == oldSelf.backend.managed.adopt) : self.backend == oldSelf.backend)")
    .message("backend is immutable, but for managed.capacity: a PersistentVolume's source is; make a new FileSystem"))]
#[x_kube(validation = Rule::new("has(self.owner) == has(oldSelf.owner) && (!has(self.owner) || self.owner == oldSelf.owner)")
    .message("owner is immutable: it is applied once, when the folder is created"))]
#[x_kube(validation = Rule::new("has(self.nodeGroup) == has(oldSelf.nodeGroup) && (!has(self.nodeGroup) || self.nodeGroup == oldSelf.nodeGroup)")
    .message("nodeGroup is immutable: a PersistentVolume's node affinity is"))]
#[x_kube(validation = Rule::new("!has(self.backend.persistentVolumeClaim) || (!has(self.owner) && !has(self.nodeGroup) && !has(self.mountOptions) && !has(self.capacity) && !(has(self.localCache) && self.localCache))")
    .message("a persistentVolumeClaim backend is used as its own driver mounts it: owner, nodeGroup, capacity, mountOptions and localCache do not apply"))]
#[x_kube(validation = Rule::new("!has(self.backend.managed) || !has(self.capacity)")
    .message("the size of a managed backend is backend.managed.capacity"))]
#[x_kube(validation = Rule::new("!has(self.reclaimPolicy) || self.reclaimPolicy == 'Retain' || has(self.backend.managed) || (has(self.backend.nfs) && has(self.backend.nfs.folder))")
    .message("reclaimPolicy Delete and Archive are for folders that the driver makes: a managed backend, or nfs with a folder"))]
pub struct FileSystemSpec {
    /// Where the bytes live: exactly one member.
    pub backend: Backend,
    /// Owner and mode of the folder, applied when the driver creates it and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Only nodes of this node group may mount the file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"))]
    pub node_group: Option<String>,
    /// Size shown on the claim. An `nfs` backend cannot enforce it: condition QuotaEnforced says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("capacity is a quantity above zero, such as 500Gi"))]
    pub capacity: Option<Quantity>,
    /// Mount options of nfs(5) from an allow list, one per entry (`key` or `key=value`). Default: hard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new(mount_options::cel_rule()).message(mount_options::cel_message().as_str()))]
    pub mount_options: Option<Vec<String>>,
    /// Read through the kernel's FS-Cache (mount option fsc) on nodes that have one: `fsCache` of a LocalStorage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local_cache: bool,
    /// What becomes of the files when the FileSystem is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
}

/// Numeric owner and permissions of a folder that the driver creates.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// User id.
    #[serde(default)]
    pub uid: u32,
    /// Group id.
    #[serde(default)]
    pub gid: u32,
    /// Permission bits in octal, as chmod(1) takes them.
    #[serde(default = "default_mode")]
    #[schemars(regex(pattern = r"^[0-7]{3,4}$"))]
    pub mode: String,
}

impl Default for Owner {
    /// 0:0 and 0777, like an emptyDir.
    fn default() -> Self {
        Self { uid: 0, gid: 0, mode: default_mode() }
    }
}

impl Owner {
    /// The permission bits, or None where `mode` is not three or four octal digits.
    pub fn mode_bits(&self) -> Option<u32> {
        let digits = self.mode.as_bytes();
        let octal = matches!(digits.len(), 3 | 4) && digits.iter().all(|d| (b'0'..=b'7').contains(d));
        octal.then(|| u32::from_str_radix(&self.mode, 8).ok()).flatten()
    }
}

fn default_mode() -> String {
    "0777".into()
}

/// What becomes of the files when the FileSystem is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ReclaimPolicy {
    /// They stay on the server.
    #[default]
    Retain,
    /// They go into the trash, which is emptied after a time. Only a folder that the driver made goes.
    Delete,
    /// They are kept under a readable name. Only a folder that the driver made is moved.
    Archive,
}

/// What was observed.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystemStatus {
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The claim that workloads name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_name: Option<String>,
    /// Where its folder lies, once the embedded server has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<SharePlace>,
    /// How full it is: on the embedded server by its own folder; with an `nfs` backend by its whole share (`scope`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Where its file API listens within the cluster, as `address:port`, where files are shown in browsers: the gateway needs no DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_address: Option<String>,
    /// Ready, Reachable, QuotaEnforced, Isolated, LocksLocal; Resized and StorageClassReady where they are False; SpaceLow
    /// where it is True; FilesReady where files are shown in browsers; while it is being deleted, InUse and NotOurs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A folder of an NFS export.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharePlace {
    /// Host name or address of the server.
    pub server: String,
    /// What it exports.
    pub export: String,
    /// The FileSystem's own folder in that.
    pub folder: String,
}

/// How full a FileSystem is, or its share.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Of what these are the figures.
    #[serde(default)]
    pub scope: UsageScope,
    /// The size that is enforced; of a share, its size.
    pub capacity: Quantity,
    /// Taken by its own files; of a share, by whatever lies on it, whoever's it is.
    pub used: Quantity,
    /// What can still be written, or given to a further claim: capacity less claims less used. Of a share, what its server
    /// says that users can still write.
    pub available: Quantity,
    /// Files and folders that there may be; 0 where a share's server does not count them.
    pub inodes: i64,
    /// Files and folders that there are.
    pub inodes_used: i64,
    /// Further claims, the fullest first; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimUsage>,
    /// When this was asked of the server. Small changes do not renew it.
    pub observed_at: Time,
}

/// Of what the figures of a usage are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum UsageScope {
    /// Of this FileSystem alone: backend `managed`.
    #[default]
    FileSystem,
    /// Of the export that it lies on, as a whole: backend `nfs`. Other FileSystems, and files that are nobody's here, are in
    /// them.
    Share,
}

/// How full a further claim of a FileSystem is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimUsage {
    /// Name of its folder: that of its PersistentVolume.
    pub volume: String,
    /// The size that is enforced.
    pub capacity: Quantity,
    /// Taken by its files.
    pub used: Quantity,
    /// Files and folders that there may be.
    pub inodes: i64,
    /// Files and folders that there are.
    pub inodes_used: i64,
}

impl FileSystem {
    /// The status of the condition `kind` ("True", "False", "Unknown"), if it was ever set.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.as_ref()?.conditions.iter().find(|c| c.type_ == kind)
    }
}
