//! What the controller stands on, as traits: the API server's FileSystems, the volumes on their shares, and the embedded
//! NFS server's agent. Tests bring their own; `lookup`, `store` and `agent` are the real ones.

use std::error::Error;

use async_trait::async_trait;
use workspacefs_agent_proto::v1;
use workspacefs_api::mount_options::{self, MountOption, MountOptionError};
use workspacefs_api::path::RelativePath;
use workspacefs_api::volume::{AttributesError, Folder, VolumeAttributes};
use workspacefs_api::{FileSystem, ReclaimPolicy};
use workspacefs_storage::names::CLAIMS;

use super::agent::AgentError;
use crate::share::{
    Leaving, OwnFolder, ShareError, ShareSpec, Taken, TrashSlice, TrashSwept, Usage, VolumeRecord,
};

/// The FileSystems of the cluster.
#[async_trait]
pub trait FileSystems: Send + Sync + 'static {
    /// One by name; None if there is none.
    async fn by_name(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError>;
    /// One by uid; None if there is none.
    async fn by_uid(&self, uid: &str) -> Result<Option<FileSystem>, LookupError>;
    /// One by name, as the API server's cache has it: for figures, which are old anyway.
    async fn cached(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
        self.by_name(namespace, name).await
    }
}

/// The API server did not answer the question.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask the API server for the FileSystem")]
pub struct LookupError(#[source] pub Box<dyn Error + Send + Sync>);

/// The volumes beside a FileSystem's own folder on a share. Every call ends within the deadline of the share.
#[async_trait]
pub trait Volumes: Send + Sync + 'static {
    /// Makes the folder and its record, or carries on where an interrupted call stopped. Gives back the record that is
    /// there now: an older one is never overwritten.
    async fn create(
        &self,
        home: &Home,
        folder: &str,
        record: &VolumeRecord,
    ) -> Result<VolumeRecord, ShareError>;
    /// The record of a volume; None if there is no such volume.
    async fn record(&self, home: &Home, folder: &str) -> Result<Option<VolumeRecord>, ShareError>;
    /// Moves the folder away and removes its record. A volume that is not there is fine.
    async fn remove(&self, home: &Home, folder: &str, leaving: Leaving) -> Result<(), ShareError>;
    /// Moves a FileSystem's own folder away, if the share's records say that it is ours.
    async fn remove_own(&self, home: &Home, folder: OwnFolder, leaving: Leaving)
    -> Result<Taken, ShareError>;
    /// How many bytes can be written to the share.
    async fn bytes_available(&self, home: &Home) -> Result<u64, ShareError>;
}

/// Shares as a whole, as the upkeep looks after them. Every call ends within a deadline.
#[async_trait]
pub trait WholeShares: Send + Sync + 'static {
    /// How full it is.
    async fn usage(&self, share: &ShareSpec) -> Result<Usage, ShareError>;
    /// Removes a part of what has lain in its trash for long enough.
    async fn empty_trash(&self, share: &ShareSpec, slice: TrashSlice) -> Result<TrashSwept, ShareError>;
}

/// The embedded NFS server's agent, which keeps the folders and sizes of managed FileSystems. `server` is its address. Every
/// call ends within a deadline, may be repeated, and says in `agent.proto` what it promises.
#[async_trait]
pub trait Agents: Send + Sync + 'static {
    /// Makes a claim's folder with its quota, or finds it.
    async fn ensure_claim(
        &self,
        server: &str,
        request: v1::EnsureClaimRequest,
    ) -> Result<v1::Claim, AgentError>;
    /// What there is of a claim.
    async fn get_claim(&self, server: &str, request: v1::GetClaimRequest) -> Result<v1::Claim, AgentError>;
    /// Grows a claim; one that is large enough stays as it is.
    async fn grow_claim(&self, server: &str, request: v1::GrowClaimRequest) -> Result<v1::Claim, AgentError>;
    /// Moves a claim's folder away; one that is not there is fine.
    async fn remove_claim(
        &self,
        server: &str,
        request: v1::RemoveClaimRequest,
    ) -> Result<v1::Removed, AgentError>;
    /// All FileSystems that the agent knows.
    async fn list_file_systems(&self, server: &str) -> Result<Vec<v1::FileSystem>, AgentError>;
}

/// Who makes the volumes of a FileSystem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keeper {
    /// We do, on the share of an `nfs` backend. Nothing enforces a size there.
    Share,
    /// The embedded server's agent, of a `managed` backend, with sizes that are enforced.
    Agent,
}

/// The FileSystem beside which volumes live: how to reach it, and whose they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home {
    /// Attributes of the FileSystem's own folder.
    pub attributes: VolumeAttributes,
    /// Options to mount its share with.
    pub mount_options: Vec<MountOption>,
    /// Who makes the volumes.
    pub keeper: Keeper,
    /// What becomes of files.
    pub reclaim: ReclaimPolicy,
}

/// A FileSystem that cannot be a home of volumes.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum HomeError {
    /// Its backend is another driver's, or a value in it is not valid.
    #[error("FileSystem {0} has no volumes of this driver")]
    Attributes(String, #[source] AttributesError),
    /// The embedded server has not made its folder yet.
    #[error(
        "FileSystem {0} is not ready: its folder on the embedded NFS server is not made yet, see its conditions"
    )]
    NotMade(String),
    /// A mount option is not allowed.
    #[error("FileSystem {0} has a mount option that is not allowed")]
    MountOption(String, #[source] MountOptionError),
}

impl Home {
    /// How to reach the volumes of `fs`.
    ///
    /// # Errors
    /// The object is not one whose volumes we make.
    pub fn of(fs: &FileSystem) -> Result<Self, HomeError> {
        let name = || {
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{}/{}", text(&fs.metadata.namespace), text(&fs.metadata.name))
        };
        let attributes = VolumeAttributes::of_file_system(fs).map_err(|error| match error {
            AttributesError::NotMade => HomeError::NotMade(name()),
            error => HomeError::Attributes(name(), error),
        })?;
        let options = fs.spec.mount_options.as_deref().unwrap_or_default();
        Ok(Self {
            attributes,
            mount_options: mount_options::parse(options)
                .map_err(|error| HomeError::MountOption(name(), error))?,
            keeper: if fs.spec.backend.managed.is_some() { Keeper::Agent } else { Keeper::Share },
            reclaim: fs.spec.reclaim_policy,
        })
    }

    /// The attributes of its volume in `folder`, always the same.
    ///
    /// # Errors
    /// `folder` is no folder's name.
    pub fn volume(&self, folder: &str) -> Result<VolumeAttributes, HomeError> {
        let folder = match self.keeper {
            Keeper::Share => Folder::Volume(folder.into()),
            Keeper::Agent => {
                let path = format!("{CLAIMS}/{}/{folder}", self.attributes.file_system_uid);
                Folder::Existing(RelativePath::parse(&path).map_err(|error| {
                    HomeError::Attributes(self.attributes.file_system.clone(), AttributesError::Path(error))
                })?)
            }
        };
        Ok(VolumeAttributes { folder, ..self.attributes.clone() })
    }

    /// Address of the server, and of its agent.
    pub fn server(&self) -> &str {
        &self.attributes.server
    }

    /// `<namespace>.<name>`: neither has a slash, and a FileSystem's name has no dot.
    pub fn readable_name(&self) -> String {
        self.attributes.file_system.replace('/', ".")
    }
}
