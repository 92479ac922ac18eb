//! Claims' volumes: folders of their own beside the workspaces' shares, each with a size that the disk has promised. One that
//! was ever made is found or lost, and never made again.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use workspacefs_sys::Errno;
use workspacefs_sys::beneath::{self, Links};

use super::held::Held;
use super::{Keeper, Usage, UsageError};
use crate::disk::{DiskError, Owner};
use crate::folders::Folders;
use crate::folders::error::{EnsureFileSystemError, ReadError, RemoveError, StepError};
use crate::folders::types::{Disposal, FileSystemView, FileSystemWish};
use crate::names::{EXPORT_FOLDER, Label, NameError, Uid};
use crate::sizes::BLOCK;

/// Like an emptyDir: whoever runs in the workspace's pods.
const OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0o777 };

/// What finds a volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VolumeKey {
    /// The LocalStorage's uid.
    pub storage_uid: String,
    /// The volume's name, which has the form of a uid.
    pub volume: String,
}

/// A volume as it should be.
#[derive(Clone, Debug)]
pub struct VolumeWish {
    /// Which.
    pub key: VolumeKey,
    /// The workspace's namespace, for people who look at the disk.
    pub namespace: String,
    /// How much may be written.
    pub size_bytes: u64,
    /// Whether it is made if it is not there.
    pub may_make: bool,
}

/// It was made, and is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("volume {0} is not on the disk that is in the node now")]
pub struct Lost(String);

/// The volume is not there, or not as large as it should be: of [`Keeper::ensure_volume`] and [`Keeper::grow_volume`].
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EnsureVolumeError {
    #[error("the storage is not ready: {0}")]
    NotReady(String),
    #[error("the storage enforces no project quota, so there are no volumes with a size on it")]
    NoQuota,
    #[error("the volume's name is not one")]
    Name(#[from] NameError),
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error(transparent)]
    Refused(#[from] EnsureFileSystemError),
}

impl EnsureVolumeError {
    /// The disk cannot hold what is asked for.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Refused(EnsureFileSystemError::NoRoom(_)) => true,
            Self::Refused(EnsureFileSystemError::Step(StepError::Disk(error))) => error.is_full(),
            _ => false,
        }
    }
}

/// The volume cannot be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum OpenVolumeError {
    #[error("the storage is not ready: {0}")]
    NotReady(String),
    #[error("the storage enforces no project quota now, and the volume has a size")]
    NoQuota,
    #[error("the volume's name is not one")]
    Name(#[from] NameError),
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error(transparent)]
    Refused(#[from] EnsureFileSystemError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The volume stays where it is.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RemoveVolumeError {
    #[error("the storage is not ready: {0}")]
    NotReady(String),
    #[error("the volume's name is not one")]
    Name(#[from] NameError),
    #[error(transparent)]
    Refused(#[from] RemoveError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Keeper {
    /// Makes a volume if it may, or finds it. Gives the size that it has, which may be another than is wished.
    ///
    /// # Errors
    /// [`EnsureVolumeError`].
    pub fn ensure_volume(&mut self, wish: &VolumeWish) -> Result<u64, EnsureVolumeError> {
        self.ready().map_err(EnsureVolumeError::NotReady)?.ensure_volume(wish)
    }

    /// Makes a volume at least so large. Gives the size that it has then.
    ///
    /// # Errors
    /// [`EnsureVolumeError`].
    pub fn grow_volume(&mut self, key: &VolumeKey, size_bytes: u64) -> Result<u64, EnsureVolumeError> {
        self.ready().map_err(EnsureVolumeError::NotReady)?.grow_volume(key, size_bytes)
    }

    /// Moves a volume into the trash. One that is not there is gone already.
    ///
    /// # Errors
    /// [`RemoveVolumeError`].
    pub fn remove_volume(&mut self, key: &VolumeKey) -> Result<(), RemoveVolumeError> {
        self.ready().map_err(RemoveVolumeError::NotReady)?.volumes().remove(key)
    }

    /// An open descriptor of a volume's folder.
    ///
    /// # Errors
    /// [`OpenVolumeError`].
    pub fn open_volume(&mut self, key: &VolumeKey) -> Result<OwnedFd, OpenVolumeError> {
        self.ready().map_err(OpenVolumeError::NotReady)?.open_volume(key)
    }

    /// How full a volume is; None if it is not there.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn volume_usage(&self, key: &VolumeKey) -> Result<Option<Usage>, UsageError> {
        self.held()?.volume_usage(key)
    }
}

impl Held {
    fn volumes(&self) -> Volumes<'_> {
        Volumes(self.folders())
    }

    fn ensure_volume(&mut self, wish: &VolumeWish) -> Result<u64, EnsureVolumeError> {
        if !self.has_quotas() {
            return Err(EnsureVolumeError::NoQuota);
        }
        let result = self.volumes().ensure(wish);
        self.told_anew(result)
    }

    fn grow_volume(&mut self, key: &VolumeKey, size_bytes: u64) -> Result<u64, EnsureVolumeError> {
        if !self.has_quotas() {
            return Err(EnsureVolumeError::NoQuota);
        }
        let result = self.volumes().grow(key, size_bytes);
        self.told_anew(result)
    }

    /// Whoever asked for more than there is believed what was told last: the next look tells what there is.
    fn told_anew<T>(&mut self, result: Result<T, EnsureVolumeError>) -> Result<T, EnsureVolumeError> {
        if result.as_ref().is_err_and(EnsureVolumeError::is_no_space) {
            self.told().forget();
        }
        result
    }

    fn open_volume(&self, key: &VolumeKey) -> Result<OwnedFd, OpenVolumeError> {
        if !self.has_quotas() {
            return Err(OpenVolumeError::NoQuota);
        }
        let name = Name::parse(key)?;
        let view = self.volumes().find(&name)?.ok_or_else(|| name.lost())?;
        let path = format!("{EXPORT_FOLDER}/{}", view.folder);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match beneath::open(self.disk().root(), &path, flags, Mode::empty(), Links::Refused) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT) => Err(name.lost().into()),
            Err(errno) => Err(DiskError::at("open", path)(errno).into()),
        }
    }

    fn volume_usage(&self, key: &VolumeKey) -> Result<Option<Usage>, UsageError> {
        let Ok(name) = Name::parse(key) else { return Ok(None) };
        match self.volumes().known(&name).map_err(UsageError::Read)? {
            Some(view) => self.usage_of(&view).map(Some),
            None => Ok(None),
        }
    }
}

/// The volumes among the folders of a disk.
pub struct Volumes<'a>(pub &'a Folders);

impl Volumes<'_> {
    /// As [`Keeper::ensure_volume`], where quotas hold.
    ///
    /// # Errors
    /// [`EnsureVolumeError`].
    pub fn ensure(&self, wish: &VolumeWish) -> Result<u64, EnsureVolumeError> {
        let name = Name::parse(&wish.key)?;
        if let Some(view) = self.find(&name)? {
            return Ok(view.capacity);
        }
        if !wish.may_make {
            return Err(name.lost().into());
        }
        let made = name.wish(Label::try_from(wish.namespace.clone())?, whole(wish.size_bytes))?;
        Ok(self.0.ensure_file_system(&made)?.capacity)
    }

    /// As [`Keeper::grow_volume`], where quotas hold.
    ///
    /// # Errors
    /// [`EnsureVolumeError`].
    pub fn grow(&self, key: &VolumeKey, size_bytes: u64) -> Result<u64, EnsureVolumeError> {
        let name = Name::parse(key)?;
        let view = self.find(&name)?.ok_or_else(|| name.lost())?;
        if size_bytes <= view.capacity {
            return Ok(view.capacity);
        }
        let grown = name.wish(view.namespace, whole(size_bytes))?;
        Ok(self.0.ensure_file_system(&grown)?.capacity)
    }

    /// As [`Keeper::remove_volume`].
    ///
    /// # Errors
    /// [`RemoveVolumeError`].
    pub fn remove(&self, key: &VolumeKey) -> Result<(), RemoveVolumeError> {
        let name = Name::parse(key)?;
        // What another storage left under that name, or a share, is none of this one's.
        let is_anothers = |view: FileSystemView| view.namespace_uid != name.storage;
        if self.0.file_system(&name.volume)?.is_some_and(is_anothers) {
            return Ok(());
        }
        match self.0.remove_file_system(&name.volume, Disposal::Trash) {
            // Somebody took it out of the trash by hand.
            Ok(_) | Err(RemoveError::Step(StepError::Missing(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// As its record says.
    fn known(&self, name: &Name) -> Result<Option<FileSystemView>, ReadError> {
        let view = self.0.file_system(&name.volume)?;
        Ok(view.filter(|view| view.namespace_uid == name.storage))
    }

    /// A volume whose folder is where it belongs, after a move that was cut is finished; None if it is not on this disk.
    fn find(&self, name: &Name) -> Result<Option<FileSystemView>, EnsureFileSystemError> {
        let Some(view) = self.known(name).map_err(|error| error.0)? else { return Ok(None) };
        let same = FileSystemWish {
            uid: view.uid,
            namespace_uid: view.namespace_uid,
            namespace: view.namespace,
            name: view.name,
            capacity: view.capacity,
            owner: OWNER,
            adopt: None,
        };
        match self.0.ensure_file_system(&same) {
            Ok(view) => Ok(Some(view)),
            // Its record is there, and its folder was taken away by hand.
            Err(EnsureFileSystemError::Step(StepError::Missing(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A key that was checked.
struct Name {
    storage: Uid,
    volume: Uid,
}

impl Name {
    fn parse(key: &VolumeKey) -> Result<Self, NameError> {
        Ok(Self { storage: key.storage_uid.clone().try_into()?, volume: key.volume.clone().try_into()? })
    }

    fn lost(&self) -> Lost {
        Lost(self.volume.to_string())
    }

    /// A volume is an own folder, with its storage for its namespace.
    fn wish(&self, namespace: Label, capacity: u64) -> Result<FileSystemWish, NameError> {
        Ok(FileSystemWish {
            uid: self.volume.clone(),
            namespace_uid: self.storage.clone(),
            namespace,
            name: Label::try_from(self.volume.to_string())?,
            capacity,
            owner: OWNER,
            adopt: None,
        })
    }
}

/// Quotas are kept in whole blocks.
fn whole(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX / BLOCK * BLOCK)
}
