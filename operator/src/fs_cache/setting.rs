//! What an FsCache is between: its source, its target, and the places where a copy of it may be. Pure: decided from
//! what the watches have seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::{Resource, ResourceExt};
use workspacefs_api::fs_cache::EVERYWHERE;
use workspacefs_api::local_storage::READY;
use workspacefs_api::{Exposure, FileSystem, FsCache, LocalStorage, Usage};

use super::findings::{READY as READY_CONDITION, SOURCE_REACHABLE, TARGET_AVAILABLE};
use crate::conditions::Finding;

/// Where copies lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A FileSystem of that node group.
    FileSystem {
        /// Its name.
        name: String,
        /// Its node group.
        group: String,
    },
    /// A LocalStorage.
    LocalStorage {
        /// Its name.
        name: String,
        /// Its node group.
        group: String,
        /// What it asks of the group's nodes beside.
        selector: BTreeMap<String, String>,
    },
}

impl Target {
    /// The node group whose pods see the cache.
    pub fn group(&self) -> &str {
        let (Self::FileSystem { group, .. } | Self::LocalStorage { group, .. }) = self;
        group
    }

    /// What the labels of a node have to be, beside that of its group, for copies on the target to be shown there.
    fn selector(&self) -> impl Iterator<Item = (&String, &String)> {
        let selector = match self {
            Self::FileSystem { .. } => None,
            Self::LocalStorage { selector, .. } => Some(selector),
        };
        selector.into_iter().flatten()
    }
}

/// A place where a copy may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The node, or [`EVERYWHERE`].
    pub node: String,
    /// Whether a mover can work there now.
    pub is_ready: bool,
}

/// What is copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// The FileSystem of this name.
    FileSystem(String),
    /// A bucket: what is known of it stands in the spec, and whether it is there only the mover sees.
    Bucket,
}

/// What an FsCache is between.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What is copied. None where only the target matters.
    pub source: Option<Source>,
    /// Its uid: one that is made again under the same name has other files.
    pub source_uid: String,
    /// Where copies lie.
    pub target: Target,
    /// Every place: of a LocalStorage the nodes that are there, be they ready or not.
    pub places: Vec<Place>,
    /// What the source and the target say of themselves, where that is no good.
    pub doubts: Vec<Finding>,
    /// How much room there is on the target, for a person. Empty where nobody knows.
    pub room: String,
}

/// What there is around an FsCache.
pub struct Around<'a> {
    /// The source, if it is there.
    pub source: Option<&'a FileSystem>,
    /// The target, if it is a FileSystem and there.
    pub file_system: Option<&'a FileSystem>,
    /// The target, if it is a LocalStorage and there.
    pub storage: Option<&'a LocalStorage>,
    /// All nodes.
    pub nodes: &'a [Arc<Node>],
}

impl Setting {
    /// Looks around.
    ///
    /// # Errors
    /// What keeps it from being a cache: the condition that says so.
    pub fn of(cache: &FsCache, around: &Around<'_>) -> Result<Self, Finding> {
        let on = Self::on_target(cache, around)?;
        if let Some(bucket) = &cache.spec.source.s3 {
            if cache.spec.exposure != Exposure::Claim {
                return Err(not_supported(
                    "source.s3: a bucket has no place in a FileSystem where it could appear: exposure must be Claim",
                ));
            }
            return Ok(Self { source: Some(Source::Bucket), source_uid: bucket.identity(), ..on });
        }
        let source = Some(Source::FileSystem(source(cache, around)?));
        let source_uid = around.source.and_then(|fs| fs.uid()).unwrap_or_default();
        Ok(Self { source, source_uid, ..on })
    }

    /// The same for one that only takes away what lies on its target: its source may be gone.
    ///
    /// # Errors
    /// Its target is gone, or not for it.
    pub fn on_target(cache: &FsCache, around: &Around<'_>) -> Result<Self, Finding> {
        let target = target(cache, around)?;
        let places = match &target {
            Target::FileSystem { .. } => vec![Place { node: EVERYWHERE.into(), is_ready: true }],
            Target::LocalStorage { name, .. } => places(name, around.nodes),
        };
        let doubts = [(around.source, SOURCE_REACHABLE), (around.file_system, TARGET_AVAILABLE)];
        let doubts = doubts.into_iter().filter_map(|(fs, kind)| doubt(fs?, kind)).collect();
        Ok(Self { source: None, source_uid: String::new(), target, places, doubts, room: room(around) })
    }

    /// Whether a node may expose what lies on the target: as the node plugin there decides it too.
    pub fn shows_on(&self, group_label: &str, node: &Node) -> bool {
        let has = |key: &str, value: &str| node.labels().get(key).is_some_and(|label| label == value);
        has(group_label, self.target.group()) && self.target.selector().all(|(key, value)| has(key, value))
    }
}

fn not_supported(message: &str) -> Finding {
    Finding::new(READY_CONDITION, false, "NotSupported", message)
}

fn source(cache: &FsCache, around: &Around<'_>) -> Result<String, Finding> {
    let not = |reason, message| Finding::new(SOURCE_REACHABLE, false, reason, message);
    let name = cache.spec.source.file_system.clone().unwrap_or_default();
    let Some(fs) = around.source.filter(|fs| fs.meta().deletion_timestamp.is_none()) else {
        return Err(not(
            "SourceMissing",
            format!("there is no FileSystem {name} in this namespace, or it is being deleted"),
        ));
    };
    if fs.spec.backend.persistent_volume_claim.is_some() {
        let message = format!(
            "FileSystem {name} is another driver's volume, in which nothing can be nested: use backend nfs or managed"
        );
        return Err(not("SourceNotSupported", message));
    }
    Ok(name)
}

fn target(cache: &FsCache, around: &Around<'_>) -> Result<Target, Finding> {
    let not = |reason, message| Finding::new(TARGET_AVAILABLE, false, reason, message);
    let wanted = &cache.spec.target;
    if let Some(name) = &wanted.local_storage {
        let Some(storage) = around.storage.filter(|storage| storage.meta().deletion_timestamp.is_none())
        else {
            return Err(not(
                "TargetMissing",
                format!("there is no LocalStorage {name}, or it is being deleted"),
            ));
        };
        let workspace = cache.namespace().unwrap_or_default();
        if !storage.spec.workspaces.contains(&workspace) {
            let message = format!(
                "LocalStorage {name} does not list workspace {workspace}: an administrator adds it to spec.workspaces"
            );
            return Err(not("NotListed", message));
        }
        let selector = storage.spec.node_selector.clone().unwrap_or_default();
        let group = storage.spec.node_group.clone();
        return Ok(Target::LocalStorage { name: name.clone(), group, selector });
    }
    let name = wanted.file_system.clone().unwrap_or_default();
    let Some(fs) = around.file_system.filter(|fs| fs.meta().deletion_timestamp.is_none()) else {
        return Err(not(
            "TargetMissing",
            format!("there is no FileSystem {name} in this namespace, or it is being deleted"),
        ));
    };
    if fs.spec.backend.persistent_volume_claim.is_some() {
        let message =
            format!("FileSystem {name} is another driver's volume: use one of backend nfs or managed");
        return Err(not("TargetNotSupported", message));
    }
    if around
        .source
        .is_some_and(|source| source.spec.backend == fs.spec.backend && fs.spec.backend.nfs.is_some())
    {
        let message = format!(
            "FileSystem {name} is the same folder of the same server as the source: a copy there is not nearer"
        );
        return Err(not("TargetIsSource", message));
    }
    let Some(group) = fs.spec.node_group.clone() else {
        let message = format!(
            "FileSystem {name} has no nodeGroup: a cache is for one group's nodes; use one that is dedicated to it"
        );
        return Err(not("TargetNotDedicated", message));
    };
    Ok(Target::FileSystem { name, group })
}

/// The nodes that are there. Those without the label have copies too, perhaps, from when they had it.
fn places(storage: &str, nodes: &[Arc<Node>]) -> Vec<Place> {
    let label = LocalStorage::ready_label(storage);
    let is_ready = |node: &Node| node.labels().get(&label).is_some_and(|value| value == READY);
    let mut places: Vec<Place> =
        nodes.iter().map(|node| Place { node: node.name_any(), is_ready: is_ready(node) }).collect();
    places.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    places
}

/// What a FileSystem's own condition Reachable says against it.
fn doubt(fs: &FileSystem, kind: &'static str) -> Option<Finding> {
    let reachable = fs.condition("Reachable").filter(|condition| condition.status == "False")?;
    let message = format!("FileSystem {}: {}", fs.name_any(), reachable.message);
    Some(Finding::new(kind, false, "NotReachable", message))
}

fn room(around: &Around<'_>) -> String {
    if let Some(fs) = around.file_system {
        let usage = fs.status.as_ref().and_then(|status| status.usage.as_ref());
        return usage.map_or(String::new(), |Usage { capacity, available, .. }| {
            format!("FileSystem {} has {} of {} left", fs.name_any(), available.0, capacity.0)
        });
    }
    let quota =
        around.storage.and_then(|storage| Some((storage, storage.spec.per_workspace_quota.as_ref()?)));
    quota.map_or(String::new(), |(storage, quota)| {
        format!("LocalStorage {} gives each workspace {} on each node", storage.name_any(), quota.0)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_testkit::builders;

    use super::*;

    /// Else it is waited for, though its plugin has nothing to say of the cache.
    #[test]
    fn a_node_that_the_local_storage_does_not_select_shows_no_copy() {
        let storage = json!({"nodeGroup": "gpu", "nodeSelector": {"disk": "new"}, "workspaces": ["a"],
                             "source": {"directory": {"path": "/mnt"}}});
        let storage = builders::local_storage("nvme", storage);
        let source = builders::file_system("a", "data", builders::nfs("server", 2049));
        let spec =
            json!({"source": {"fileSystem": "data", "paths": ["/x"]}, "target": {"localStorage": "nvme"}});
        let cache = builders::fs_cache("a", "warm", spec);
        let around = Around { source: Some(&source), file_system: None, storage: Some(&storage), nodes: &[] };
        let setting = Setting::of(&cache, &around).unwrap();
        for (labels, shows) in [
            (json!({"group": "gpu", "disk": "new"}), true),
            (json!({"group": "gpu", "disk": "old"}), false),
            (json!({"group": "gpu"}), false),
            (json!({"disk": "new"}), false),
        ] {
            let node: Node = builders::object(json!({"metadata": {"name": "n1", "labels": labels}}));
            assert_eq!(setting.shows_on("group", &node), shows, "{labels}");
        }
    }

    #[test]
    fn a_bucket_is_a_source_of_claims_and_of_nothing_else() {
        let mut near = builders::nfs("server", 2049);
        near["nodeGroup"] = json!("gpu");
        let near = builders::file_system("a", "near", near);
        let around = Around { source: None, file_system: Some(&near), storage: None, nodes: &[] };
        let setting = |exposure: &str| {
            let s3 = json!({"bucket": "abc", "secretRef": {"name": "s"}});
            let spec = json!({"source": {"s3": s3}, "target": {"fileSystem": "near"}, "exposure": exposure});
            Setting::of(&builders::fs_cache("a", "warm", spec), &around)
        };
        let claim = setting("Claim").unwrap();
        assert_eq!((claim.source, &*claim.source_uid), (Some(Source::Bucket), "s3:abc"));
        assert!(setting("Transparent").is_err());
    }
}
