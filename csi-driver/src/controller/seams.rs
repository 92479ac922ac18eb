//! What the controller stands on, as traits: the API server's FileSystems and the volumes on their shares. Tests bring
//! their own; `lookup` and `store` are the real ones.

use std::error::Error;

use async_trait::async_trait;
use workspacefs_api::FileSystem;
use workspacefs_api::mount_options::{self, MountOption, MountOptionError};
use workspacefs_api::volume::{AttributesError, VolumeAttributes};

use crate::share::{ShareError, VolumeRecord};

/// The FileSystems of the cluster.
#[async_trait]
pub trait FileSystems: Send + Sync + 'static {
    /// One by name; None if there is none.
    async fn by_name(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError>;
    /// One by uid; None if there is none.
    async fn by_uid(&self, uid: &str) -> Result<Option<FileSystem>, LookupError>;
}

/// The API server did not answer the question.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask the API server for the FileSystem")]
pub struct LookupError(#[source] pub Box<dyn Error + Send + Sync>);

/// The volumes beside a FileSystem's own folder. Every call ends within the deadline of the share.
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
    /// Moves the folder into the share's trash and removes its record. A volume that is not there is fine.
    async fn trash(&self, home: &Home, folder: &str) -> Result<(), ShareError>;
}

/// The FileSystem beside which volumes live: how to reach its share, and whose they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home {
    /// Attributes of the FileSystem's own folder.
    pub attributes: VolumeAttributes,
    /// Options to mount its share with.
    pub mount_options: Vec<MountOption>,
}

/// A FileSystem that cannot be a home of volumes.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum HomeError {
    /// Its backend is another driver's, or a value in it is not valid.
    #[error("FileSystem")]
    Attributes(#[source] AttributesError),
    /// A mount option is not allowed.
    #[error("FileSystem")]
    MountOption(#[source] MountOptionError),
}

impl Home {
    /// How to reach the share of `fs`.
    ///
    /// # Errors
    /// The object is not one whose share we mount.
    pub fn of(fs: &FileSystem) -> Result<Self, HomeError> {
        Ok(Self {
            attributes: VolumeAttributes::of_file_system(fs).map_err(HomeError::Attributes)?,
            mount_options: mount_options::parse(fs.spec.mount_options.as_deref().unwrap_or_default())
                .map_err(HomeError::MountOption)?,
        })
    }
}
