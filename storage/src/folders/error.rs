//! Why an operation on folders fails: one enum per operation, and the parts they share.

use super::model::RecordError;
use crate::disk::DiskError;
use crate::names::{Key, NameError};
use crate::sizes::SizeError;

/// Our record says that a folder is there, and it is not: somebody removed it by hand.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the folder {0} is not on the disk, though our record says so")]
pub struct Missing(pub String);

/// The disk cannot back what was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{asked} bytes are more than the {left} bytes that the disk has left to promise; {removed} bytes are in trash, archive and retained folders"
)]
pub struct NoRoom {
    /// What was asked for.
    pub asked: u64,
    /// What is left.
    pub left: u64,
    /// What removed folders take.
    pub removed: u64,
}

/// A step of any operation failed on the disk, or a record cannot be written as text: what is on the disk is not known
/// until it has been looked at again.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A folder.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Every project id is taken.
    #[error("all project ids are in use")]
    NoProject,
}

/// EnsureFileSystem.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EnsureFileSystemError {
    #[error("the capacity is 0")]
    NoCapacity,
    #[error("the folder of FileSystem {uid} belongs to {namespace}/{name}")]
    OtherObject { uid: String, namespace: String, name: String },
    #[error("the folder {key} belongs to FileSystem {namespace}/{name}, which is not removed yet")]
    InUse { key: Key, namespace: String, name: String },
    #[error(
        "the folder {key} is retained for FileSystem {namespace}/{name} of another namespace; an administrator can adopt it"
    )]
    Anothers { key: Key, namespace: String, name: String },
    #[error("there is no retained folder {0}")]
    NothingToAdopt(Key),
    #[error("something that is not ours lies at {0}")]
    Occupied(String),
    #[error(
        "a capacity of {capacity} bytes is below the {needed} bytes that are in use: {used} in its own folder, {claims} given to claims"
    )]
    BelowUsage { capacity: u64, needed: u64, used: u64, claims: u64 },
    #[error("a capacity of {capacity} bytes allows {limit} files and folders, and there are {used}")]
    BelowInodes { capacity: u64, limit: u64, used: u64 },
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// RemoveFileSystem and RemoveClaim.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RemoveError {
    #[error("a claim is not retained: its folder would be found by nobody")]
    RetainedClaim,
    #[error("it cannot be named in trash or archive")]
    Name(#[from] NameError),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// EnsureClaim.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EnsureClaimError {
    #[error("there is no FileSystem {0}")]
    NoFileSystem(String),
    #[error("the claim exists with {size} bytes, which is not between {required} and {limit}")]
    OtherSize { size: u64, required: u64, limit: u64 },
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error("something that is not ours lies at {0}")]
    Occupied(String),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// GetClaim.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GetClaimError {
    #[error("there is no claim {0}")]
    NoClaim(String),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// GrowClaim.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GrowClaimError {
    #[error("there is no claim {0}")]
    NoClaim(String),
    #[error("its FileSystem {0} is gone, so there is nothing that it could grow into")]
    NoFileSystem(String),
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Restore.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RestoreError {
    #[error("there is no removed folder {0:?}; `nfs-server removed` lists them")]
    NotFound(String),
    #[error("its files are being deleted")]
    Emptying,
    #[error("its place {0} is taken by another folder")]
    Taken(String),
    #[error("it has {size} bytes, and its FileSystem has {left} bytes left")]
    NoneLeft { size: u64, left: u64 },
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Discard.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DiscardError {
    #[error("there is no folder {0:?} that is kept; `nfs-server removed` lists them")]
    NotFound(String),
    #[error(
        "it is the folder of FileSystem {namespace}/{name}, which is there: delete that, and its reclaimPolicy decides"
    )]
    InUse { namespace: String, name: String },
    #[error(
        "it is a claim of FileSystem {namespace}/{name}, which is there: delete the claim, with \
         persistentVolumeReclaimPolicy Delete in its PersistentVolume"
    )]
    ClaimInUse { namespace: String, name: String },
    #[error("it is in the trash already, and goes when its time there is over")]
    InTrash,
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

impl From<StepError> for DiscardError {
    fn from(error: StepError) -> Self {
        RemoveError::from(error).into()
    }
}

/// What only reads.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(#[from] pub StepError);

/// Emptying the trash.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TrashError(#[from] pub StepError);

/// An error after which the memory of what is on the disk may be wrong.
pub(super) trait Doubt {
    fn step(&self) -> Option<&StepError>;

    fn leaves_doubt(&self) -> bool {
        matches!(self.step(), Some(StepError::Disk(_) | StepError::Record(_) | StepError::Missing(_)))
    }
}

macro_rules! doubt {
    ($($enum:ident),+) => {$(
        impl Doubt for $enum {
            fn step(&self) -> Option<&StepError> {
                match self {
                    Self::Step(error) => Some(error),
                    _ => None,
                }
            }
        }
    )+};
}

doubt!(EnsureFileSystemError, RemoveError, EnsureClaimError, GetClaimError, GrowClaimError, RestoreError);

impl Doubt for DiscardError {
    fn step(&self) -> Option<&StepError> {
        match self {
            Self::Remove(error) => error.step(),
            _ => None,
        }
    }
}

impl Doubt for ReadError {
    fn step(&self) -> Option<&StepError> {
        Some(&self.0)
    }
}

impl Doubt for TrashError {
    fn step(&self) -> Option<&StepError> {
        Some(&self.0)
    }
}

macro_rules! from_parts {
    ($($enum:ident),+) => {$(
        impl From<DiskError> for $enum {
            fn from(error: DiskError) -> Self {
                StepError::from(error).into()
            }
        }

        impl From<Missing> for $enum {
            fn from(error: Missing) -> Self {
                StepError::from(error).into()
            }
        }
    )+};
}

from_parts!(
    EnsureFileSystemError,
    RemoveError,
    EnsureClaimError,
    GetClaimError,
    GrowClaimError,
    RestoreError,
    DiscardError,
    ReadError,
    TrashError
);
