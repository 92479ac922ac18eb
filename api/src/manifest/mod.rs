//! Manifests that mount file systems: what `wfs manifest` and the dashboard's Mount page write for `kubectl apply`. Pure: from
//! [`Manifest`] to objects as JSON; whoever prints them chooses the form. What Kubernetes or the driver would refuse is refused
//! here, with the name of the input that is wrong ([`ManifestError::field`]).

mod asked;
mod mounts;
mod objects;

use thiserror::Error;

pub use asked::{Name, image, label_key, label_value, name, place};
pub use objects::objects;

use crate::path::RelativePath;

/// The port of an Endpoint's container, if nothing else is said.
pub const PORT: u16 = 8080;

/// What it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// A Pod.
    #[default]
    Pod,
    /// A Job: it runs to its end, once.
    Job,
    /// A Deployment of one replica.
    Deployment,
    /// An Endpoint: a Deployment and the Service in front of it.
    Endpoint,
    /// A Dev Pod: a StatefulSet of one pod, which waits for its user where no command is given.
    DevPod,
}

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// What it is.
    pub kind: Kind,
    /// Of the object, and of its container.
    pub name: Name,
    /// None: whatever kubectl's context says.
    pub namespace: Option<Name>,
    /// The container's image; see [`image`].
    pub image: String,
    /// What the container runs, instead of what its image says.
    pub command: Vec<String>,
    /// Where an Endpoint's container listens.
    pub port: u16,
    /// Only on nodes of this node group: the label's value.
    pub node_group: Option<String>,
    /// Key of the label that names a node's group.
    pub node_group_label: String,
    /// In the order in which they are to be written.
    pub mounts: Vec<Mount>,
    /// FileSystems are written into the pod itself, without claims.
    pub inline: bool,
    /// Rather on nodes that have a copy of these FsCaches on their own disk.
    pub caches: Vec<Name>,
    /// Only on such nodes.
    pub require_warm: bool,
}

impl Manifest {
    /// One without mounts, on any node.
    pub fn new(kind: Kind, name: Name, image: String) -> Self {
        Self {
            kind,
            name,
            namespace: None,
            image,
            command: Vec::new(),
            port: PORT,
            node_group: None,
            node_group_label: crate::NODE_GROUP_LABEL.into(),
            mounts: Vec::new(),
            inline: false,
            caches: Vec::new(),
            require_warm: false,
        }
    }
}

/// One place in the container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// What is mounted.
    pub what: What,
    /// Mount From: a folder of it.
    pub from: RelativePath,
    /// Mount As; see [`place`].
    pub at: String,
    /// Nothing can be written.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// A FileSystem, or an FsCache whose exposure is Claim.
    FileSystem(Name),
    /// The workspace's share of a LocalStorage, on each node its own.
    LocalStorage(Name),
}

impl What {
    /// Its name, which is also that of its claim.
    pub fn name(&self) -> &Name {
        match self {
            Self::FileSystem(name) | Self::LocalStorage(name) => name,
        }
    }
}

/// Why no manifest is written. Numbers of mounts count from 0.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ManifestError {
    /// Two mounts at one place.
    #[error("two mounts at {at}")]
    TwoAt {
        /// The second of them.
        mount: usize,
        /// Where.
        at: String,
    },
    /// A folder of a LocalStorage.
    #[error("LocalStorage {storage} can only be mounted as a whole, without a folder")]
    PartOfLocalStorage {
        /// Which mount.
        mount: usize,
        /// Of what.
        storage: String,
    },
    /// A LocalStorage without node group.
    #[error("LocalStorage {storage} is on the nodes of a node group: choose the node group first")]
    NoNodeGroup {
        /// Of what.
        storage: String,
    },
    /// A cache by name, without its namespace.
    #[error("nodes with a copy of an FsCache are found by its namespace too: give it")]
    NoNamespace,
    /// The label of its nodes would be too long.
    #[error("nodes have no label for FsCache {0}: both names together have more than 62 characters")]
    CacheName(String),
}

impl ManifestError {
    /// The input that is wrong, such as `mounts[1].as`.
    pub fn field(&self) -> String {
        match self {
            Self::TwoAt { mount, .. } => format!("mounts[{mount}].as"),
            Self::PartOfLocalStorage { mount, .. } => format!("mounts[{mount}].from"),
            Self::NoNodeGroup { .. } => "nodeGroup".into(),
            Self::NoNamespace => "namespace".into(),
            Self::CacheName(_) => "caches".into(),
        }
    }
}

#[cfg(test)]
mod tests;
