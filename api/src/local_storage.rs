//! Kind LocalStorage: the SSDs or HDDs attached to the nodes of one node group. Cluster-scoped: it names disks, so only
//! administrators may write it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the administrator wishes.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "workspacefs.io",
    version = "v1alpha1",
    kind = "LocalStorage",
    doc = "The SSDs or HDDs attached to the nodes of one node group: each pod sees its own node's disk.",
    shortname = "wsls",
    category = "workspacefs",
    status = "LocalStorageStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')")
        .message("a LocalStorage's name is a DNS label: at most 63 characters, no dots"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Media", type_ = "string", json_path = ".status.media"),
    printcolumn(name = "Nodes-Ready", type_ = "string", json_path = ".status.nodesReady"),
    printcolumn(name = "Capacity", type_ = "string", json_path = ".status.capacity"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.used"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "Node-Group", type_ = "string", json_path = ".spec.nodeGroup"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.nodeGroup == oldSelf.nodeGroup")
    .message("nodeGroup is immutable: what lies on its disks belongs to workloads that chose it; make a new LocalStorage"))]
#[x_kube(validation = Rule::new("(has(self.fsType) ? self.fsType : 'xfs') == (has(oldSelf.fsType) ? oldSelf.fsType : 'xfs')")
    .message("fsType is immutable: a disk is formatted once"))]
#[x_kube(validation = Rule::new("has(self.source.directory) == has(oldSelf.source.directory) && (!has(self.source.directory) || self.source.directory.path == oldSelf.source.directory.path)")
    .message("source is immutable, but for the approved devices and a directory's media: make a new LocalStorage"))]
#[x_kube(validation = Rule::new("!has(self.source.directory) || !has(self.fsType)")
    .message("fsType is for devices that are formatted; a directory's file system is there already"))]
pub struct LocalStorageSpec {
    /// The node group whose nodes have the disks: those with the node group label of this value.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"))]
    pub node_group: String,
    /// Of these, only the nodes that have all of these labels too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Which disks are meant. One of another medium is not used, even if it is approved.
    #[serde(default)]
    pub media: MediaFilter,
    /// Where on a node the storage is: exactly one member.
    pub source: LocalSource,
    /// What an approved blank device is formatted with. Default: xfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_type: Option<FsType>,
    /// The workspaces that may use it, by the name of their namespace. None is nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub workspaces: Vec<String>,
    /// How much each workspace may write on each node. Without it a workspace may fill the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("perWorkspaceQuota is a quantity above zero, such as 500Gi"))]
    pub per_workspace_quota: Option<Quantity>,
    /// A part of the disk is this node's one cache for FileSystems with `localCache`. A node has one: of several LocalStorages
    /// that ask for it the oldest gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_cache: Option<FsCacheSpace>,
}

/// The kernel's FS-Cache on each node's disk.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FsCacheSpace {
    /// Taken from the disk at once, and never more. Another size later makes the cache anew, empty.
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('128Mi'))")
        .message("fsCache.size is a quantity of at least 128Mi, such as 200Gi"))]
    pub size: Quantity,
}

/// Exactly one of the members is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.directory) != has(self.devices)")
    .message("source takes exactly one of: directory, devices"))]
pub struct LocalSource {
    /// A directory that the administrator has mounted on each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySource>,
    /// Disks that are found on the nodes, and used once they are approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<DevicesSource>,
}

/// A directory of a node.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectorySource {
    /// Absolute path on the node.
    #[schemars(length(min = 2, max = 1024))]
    #[x_kube(validation = Rule::new("self.startsWith('/') && !self.matches('(^|/)[.]{1,2}(/|$)') && !self.matches('[[:cntrl:]]')")
        .message("path is an absolute path without '.', '..' or control characters"))]
    pub path: String,
    /// What it is on, where the kernel does not know better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
}

/// Disks of the nodes. With none approved they are only listed in the status.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DevicesSource {
    /// The disks that may be used, and formatted if they are blank. One per node: several disks of a node are several
    /// LocalStorages, or one that the administrator has striped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["identity".into()]))]
    pub approved: Vec<ApprovedDevice>,
}

/// A disk that may be used.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovedDevice {
    /// What it is known by, as the status lists it: `wwn:`, `serial:`, `partuuid:` or `uuid:` (of a file system of ours), and the value.
    #[schemars(length(max = 256), regex(pattern = r"^(wwn|serial|partuuid|uuid):[!-~]([ -~]*[!-~])?$"))]
    pub identity: String,
    /// What it is, where the kernel is wrong about it: behind a RAID controller or a hypervisor it often is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
}

/// What a disk is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Media {
    /// Without moving parts.
    #[serde(rename = "SSD")]
    Ssd,
    /// The same, on PCI Express.
    #[serde(rename = "NVMe")]
    Nvme,
    /// With platters.
    #[serde(rename = "HDD")]
    Hdd,
}

/// Which media are meant.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum MediaFilter {
    /// SSD and NVMe.
    #[serde(rename = "SSD")]
    Ssd,
    /// HDD.
    #[serde(rename = "HDD")]
    Hdd,
    /// Whatever it is.
    #[default]
    Any,
}

impl MediaFilter {
    /// Whether a disk of that medium is meant.
    pub fn admits(self, media: Media) -> bool {
        match self {
            Self::Any => true,
            Self::Ssd => matches!(media, Media::Ssd | Media::Nvme),
            Self::Hdd => media == Media::Hdd,
        }
    }
}

/// A file system that a device is formatted with.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum FsType {
    /// xfs(5): project quotas hold for root too.
    #[default]
    #[serde(rename = "xfs")]
    Xfs,
    /// ext4(5): root is not held by project quotas.
    #[serde(rename = "ext4")]
    Ext4,
}

impl FsType {
    /// As mount(8) and blkid(8) call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xfs => "xfs",
            Self::Ext4 => "ext4",
        }
    }
}

/// What was observed. `nodes` is written by the nodes, each its own entry; everything else by the operator.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalStorageStatus {
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many of the group's nodes have it ready, as in `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_ready: Option<String>,
    /// What it is on: one word if all nodes agree, else several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// Of all ready nodes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Quantity>,
    /// Of all ready nodes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Quantity>,
    /// The worst of all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// One entry per node of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub nodes: Vec<NodeStorage>,
    /// Ready, WorkspacesReady, QuotaEnforced; CacheReady where `fsCache` is set; Degraded, SharesFileSystem and InUse where they
    /// are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The storage of one node, as that node sees it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStorage {
    /// The node's name.
    pub node: String,
    /// Whether pods can use it.
    pub ready: bool,
    /// Why, in one word: `Ready`, or what is in the way.
    pub reason: String,
    /// The same for a person, with what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What is known of its disk.
    #[serde(default)]
    pub health: Health,
    /// The disk in use, or the one that was, as long as it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<UsedDevice>,
    /// Size of its file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Quantity>,
    /// Taken on it, whoever's it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Quantity>,
    /// The largest volume of a claim that can still be made here. Absent where there are none: nothing enforces sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Quantity>,
    /// Taken by files that are in no share and no volume: of project 0, or of a project that nobody was given. An owner who
    /// changes a file's project id puts it there. Absent where nothing is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unaccounted: Option<Quantity>,
    /// The directory is not a file system of its own: what else lies there takes from the same space.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shares_file_system: bool,
    /// The node's cache for FileSystems with `localCache`. Only where `fsCache` asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<NodeCache>,
    /// Every disk of the node that could be meant, with what may be done with it. Only for `source.devices`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<FoundDevice>,
    /// When this was last seen to be so. Small changes do not renew it.
    pub observed_at: Time,
}

/// A node's FS-Cache.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCache {
    /// Whether what is mounted now reads through it.
    pub ready: bool,
    /// Why, in one word: `Ready`, `DeviceBusy` (another program has the kernel's cache), `Unsupported` (the kernel has none), or
    /// what else is in the way.
    pub reason: String,
    /// The same for a person, with what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What it has of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Taken in it. Small changes do not renew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Quantity>,
}

/// What is known of a disk.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Health {
    /// It was not looked at.
    #[default]
    Unknown,
    /// Nothing stands against it.
    Healthy,
    /// It reports errors, and works.
    Degraded,
    /// It is gone, or cannot be read or written.
    Failed,
}

/// The disk, or what a directory is on.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsedDevice {
    /// What it was approved by; empty for a directory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub identity: String,
    /// The kernel's name of it, for now: it may be another after the next start.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Of its file system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file_system_uuid: String,
    /// What it is formatted with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fs_type: String,
}

/// A disk of a node.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundDevice {
    /// The kernel's name of it, for now.
    pub name: String,
    /// All that it is known by, the best first: what `approved` takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// What the kernel takes it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Its size in bytes.
    pub size: i64,
    /// What its maker calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// What may be done with it.
    pub state: DeviceState,
    /// Why not more, for a person: what was found on it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What may be done with a disk.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeviceState {
    /// Nothing is on it: it is formatted once it is approved.
    Blank,
    /// A file system of ours is on it.
    Ours,
    /// Something else is on it, or uses it: it is never touched.
    #[default]
    Occupied,
    /// It has neither WWN nor serial: it is never touched, since nobody could tell it from another.
    NoIdentity,
}

impl LocalStorage {
    /// The entry of a node, if it was ever written.
    pub fn on_node(&self, node: &str) -> Option<&NodeStorage> {
        self.status.as_ref()?.nodes.iter().find(|entry| entry.node == node)
    }

    /// Whether it is on a node with these labels: one of the group, with the selector's labels.
    pub fn selects(&self, group_label: &str, labels: &BTreeMap<String, String>) -> bool {
        let has = |key: &str, value: &String| labels.get(key) == Some(value);
        has(group_label, &self.spec.node_group)
            && self.spec.node_selector.iter().flatten().all(|(key, value)| has(key, value))
    }

    /// The label of the nodes where it is ready.
    pub fn ready_label(name: &str) -> String {
        format!("{READY_LABEL_PREFIX}{name}")
    }

    /// The StorageClass of its volumes. No FileSystem's class can have that name: those have a dot in theirs.
    pub fn class_name(name: &str) -> String {
        format!("workspacefs-local-{name}")
    }
}

/// With a LocalStorage's name: the label of the nodes where that is ready. Its value is [`READY`].
pub const READY_LABEL_PREFIX: &str = "local.workspacefs.io/";
/// See [`READY_LABEL_PREFIX`].
pub const READY: &str = "ready";
/// Label on PersistentVolumes and claims: the uid of the LocalStorage they serve. It is how we know our own objects.
pub const LOCAL_STORAGE_UID_LABEL: &str = "workspacefs.io/local-storage-uid";
/// Kept on a LocalStorage while pods use it, or a PersistentVolume or a node's label of it exists.
pub const LOCAL_STORAGE_FINALIZER: &str = "workspacefs.io/local-storage";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_meant_if_it_is_of_the_group_and_has_the_selectors_labels() {
        let labels = |text: &str| -> BTreeMap<String, String> {
            text.split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .map(|(k, v)| (k.into(), v.into()))
                .collect()
        };
        let storage = |selector: &str| {
            let node_selector = (!selector.is_empty()).then(|| labels(selector));
            LocalStorage::new(
                "fast",
                LocalStorageSpec { node_group: "gpu".into(), node_selector, ..Default::default() },
            )
        };
        for (selector, node, meant) in [
            ("", "group=gpu", true),
            ("", "group=cpu", false),
            ("", "", false),
            ("rack=1", "group=gpu rack=1 more=x", true),
            ("rack=1", "group=gpu rack=2", false),
            ("rack=1", "rack=1", false),
        ] {
            assert_eq!(storage(selector).selects("group", &labels(node)), meant, "{selector:?} {node:?}");
        }
    }

    #[test]
    fn nvme_is_an_ssd_and_a_filter_says_what_it_says() {
        for (filter, media, admits) in [
            (MediaFilter::Ssd, Media::Nvme, true),
            (MediaFilter::Ssd, Media::Ssd, true),
            (MediaFilter::Ssd, Media::Hdd, false),
            (MediaFilter::Hdd, Media::Hdd, true),
            (MediaFilter::Hdd, Media::Nvme, false),
            (MediaFilter::Any, Media::Hdd, true),
        ] {
            assert_eq!(filter.admits(media), admits, "{filter:?} {media:?}");
        }
    }
}
