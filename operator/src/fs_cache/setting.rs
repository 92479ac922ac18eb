//! What an FsCache is between: its source, its target, and the places where a copy of it may be. Pure: decided from
//! what the watches have seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::{Resource, ResourceExt};
use workspacefs_api::fs_cache::EVERYWHERE;
use workspacefs_api::local_storage::READY;
use workspacefs_api::{Backend, Exposure, FileSystem, FsCache, LocalStorage, NfsBackend, Usage};

use super::findings::{READY as READY_CONDITION, SOURCE_REACHABLE, TARGET_AVAILABLE};
use crate::conditions::Finding;

/// Of a server that names none.
const NFS_PORT: u16 = 2049;

/// Reason of a target that says of itself that it cannot be had: a FileSystem's server does not answer.
pub const NOT_REACHABLE: &str = "NotReachable";
/// The same of a LocalStorage: a disk is gone, or not there yet.
pub const NOT_READY: &str = "NotReady";

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
        let mut doubts: Vec<Finding> = doubts.into_iter().filter_map(|(fs, kind)| doubt(fs?, kind)).collect();
        if let Target::LocalStorage { name, .. } = &target
            && !places.iter().any(|place| place.is_ready)
        {
            let message = format!("no node has LocalStorage {name} ready: its status.nodes says why");
            doubts.push(Finding::new(TARGET_AVAILABLE, false, NOT_READY, message));
        }
        Ok(Self { source: None, source_uid: String::new(), target, places, doubts, room: room(around) })
    }

    /// Whether a copy at that place can be had now: its node has the storage.
    pub fn is_ready(&self, node: &str) -> bool {
        self.places.iter().any(|place| place.node == node && place.is_ready)
    }

    /// What the source, or the target, says of itself, if that is no good.
    pub fn doubt(&self, kind: &str) -> Option<&Finding> {
        self.doubts.iter().find(|doubt| doubt.kind == kind)
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
    if let Some(how) = around.source.and_then(|source| overlap(&source.spec.backend, &fs.spec.backend)) {
        let message = format!(
            "FileSystem {name} {how} of the same server: a copy there is not nearer, and would be copied itself"
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

/// How the target lies to the source, where both are folders of one server of which one is the other, or in it. Two names
/// of one server are not known as such.
fn overlap(source: &Backend, target: &Backend) -> Option<&'static str> {
    let (source, target) = (source.nfs.as_ref()?, target.nfs.as_ref()?);
    let server = |nfs: &NfsBackend| (nfs.server.to_ascii_lowercase(), nfs.port.unwrap_or(NFS_PORT));
    if server(source) != server(target) {
        return None;
    }
    let (source, target) = (folder(source), folder(target));
    match (source.starts_with(&target), target.starts_with(&source)) {
        (true, true) => Some("is the same folder as the source,"),
        (true, false) => Some("is a folder around the source,"),
        (false, true) => Some("is a folder inside the source,"),
        (false, false) => None,
    }
}

/// The names on the way from the server's root to the FileSystem's, however its parts are written.
fn folder(nfs: &NfsBackend) -> Vec<&str> {
    let parts = nfs.export.split('/').chain(nfs.folder.iter().flat_map(|folder| folder.split('/')));
    parts.filter(|part| !matches!(*part, "" | ".")).collect()
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
    Some(Finding::new(kind, false, NOT_REACHABLE, message))
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

    #[test]
    fn a_target_that_is_the_source_or_lies_in_it_or_around_it_is_refused_however_it_is_written() {
        let fs = |name: &str, nfs: serde_json::Value| {
            let mut all = json!({"server": "server", "export": "/export/shared"});
            nfs.as_object().unwrap().iter().for_each(|(field, value)| all[field] = value.clone());
            builders::file_system("a", name, json!({"backend": {"nfs": all}, "nodeGroup": "gpu"}))
        };
        let spec =
            json!({"source": {"fileSystem": "data", "paths": ["/x"]}, "target": {"fileSystem": "near"}});
        let cache = builders::fs_cache("a", "warm", spec);
        for (source, target, refused) in [
            (json!({"folder": "a"}), json!({"folder": "a"}), "same folder"),
            (json!({"folder": "a/b"}), json!({"export": "/export/shared/a", "folder": "b"}), "same folder"),
            (
                json!({"folder": "a"}),
                json!({"export": "/export//shared/", "folder": "a", "port": 2049}),
                "same",
            ),
            (json!({"folder": "a"}), json!({"server": "SERVER", "folder": "a", "version": "4.1"}), "same"),
            (json!({"folder": "a"}), json!({"folder": "a/fast"}), "inside the source"),
            (json!({}), json!({"folder": "fast"}), "inside the source"),
            (json!({"folder": "a"}), json!({}), "around the source"),
            (json!({"folder": "a"}), json!({"folder": "ab"}), ""),
            (json!({"folder": "a"}), json!({"server": "other", "folder": "a"}), ""),
            (json!({"folder": "a"}), json!({"port": 2050, "folder": "a"}), ""),
        ] {
            let (from, to) = (fs("data", source.clone()), fs("near", target.clone()));
            let around = Around { source: Some(&from), file_system: Some(&to), storage: None, nodes: &[] };
            match Setting::of(&cache, &around) {
                Ok(_) => assert_eq!(refused, "", "{source} {target}"),
                Err(finding) => {
                    assert_eq!(finding.reason, "TargetIsSource");
                    assert!(
                        !refused.is_empty() && finding.message.contains(refused),
                        "{source} {target}: {finding:?}"
                    );
                }
            }
        }
    }
}
