//! The real disk, as crate `storage` keeps it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::fstat;
use workspacefs_api::{NodeStorage, Owner, RESERVED_FOLDER};
use workspacefs_runtime::chain;
use workspacefs_storage::local::image::{self, ImageError, ImageWish};
use workspacefs_storage::local::volume::{
    EnsureVolumeError, OpenVolumeError, RemoveVolumeError, VolumeKey, VolumeWish,
};
use workspacefs_storage::local::{Keeper, KeeperConfig, Usage, UsageError, WorkspaceError, WorkspaceWish};
use workspacefs_sys::beneath::{self, Links};
use workspacefs_sys::{Errno, unmount};

use super::helper::Disk;
use super::protocol::{Figures, Look, Place, Refusal, RefusalKind, Share, Shown, Volume, Wish};
use crate::share::CopyPart;

/// A disk of this node.
pub struct Kept {
    config: KeeperConfig,
    /// None after it was released.
    keeper: Option<Keeper>,
}

impl Kept {
    /// Nothing is looked at yet.
    pub fn new(mount_point: &Path) -> Self {
        let config = KeeperConfig {
            sys: "/sys".into(),
            dev: "/dev".into(),
            host_root: "/".into(),
            mount_point: mount_point.into(),
        };
        Self { config, keeper: None }
    }

    fn keeper(&mut self) -> &mut Keeper {
        self.keeper.get_or_insert_with(|| Keeper::new(self.config.clone()))
    }

    fn share(&mut self, share: &Share) -> Result<OwnedFd, WorkspaceError> {
        let wish = WorkspaceWish {
            namespace_uid: share.namespace_uid.clone(),
            namespace: share.namespace.clone(),
            quota_bytes: share.quota,
            // Like an emptyDir: whoever runs in the workspace's pods.
            owner: Owner::default(),
        };
        self.keeper().workspace(&wish)
    }
}

impl Disk for Kept {
    fn look(&mut self, look: &Look) -> NodeStorage {
        let keeper = self.keeper();
        keeper.remember(look.known.clone());
        keeper.look(&look.node, &look.spec)
    }

    fn folder(&mut self, shown: &Shown) -> Result<OwnedFd, Refusal> {
        match shown {
            Shown::Share(share) => self.share(share).map_err(|error| refusal(share_refused(&error), &error)),
            Shown::Volume(volume) => {
                let opened = self.keeper().open_volume(&key(volume));
                opened.map_err(|error| refusal(open_refused(&error), &error))
            }
            Shown::Copy(namespace, copy) => {
                let shares = self.keeper().shares_of(namespace);
                let shares = shares.map_err(|error| refusal(share_refused(&error), &error))?;
                copy_in(&shares, copy)
            }
        }
    }

    fn usage(&mut self, place: &Place) -> Result<Option<Figures>, Refusal> {
        let usage = match place {
            Place::Share(namespace_uid) => self.keeper().usage(namespace_uid),
            Place::Volume(volume) => self.keeper().volume_usage(&key(volume)),
        };
        let kind = |error: &UsageError| match error {
            UsageError::NotReady(_) => RefusalKind::NotReady,
            UsageError::Read(_) | UsageError::Disk(_) => RefusalKind::Io,
        };
        Ok(usage.map_err(|error| refusal(kind(&error), &error))?.map(figures))
    }

    fn ensure(&mut self, wish: &Wish) -> Result<u64, Refusal> {
        let wish = VolumeWish {
            key: key(&wish.volume),
            namespace: wish.namespace.clone(),
            size_bytes: wish.size,
            may_make: wish.may_make,
        };
        self.keeper().ensure_volume(&wish).map_err(|error| refusal(ensure_refused(&error), &error))
    }

    fn grow(&mut self, volume: &Volume, size: u64) -> Result<u64, Refusal> {
        let grown = self.keeper().grow_volume(&key(volume), size);
        grown.map_err(|error| refusal(ensure_refused(&error), &error))
    }

    fn remove(&mut self, volume: &Volume) -> Result<(), Refusal> {
        let kind = |error: &RemoveVolumeError| match error {
            RemoveVolumeError::NotReady(_) => RefusalKind::NotReady,
            RemoveVolumeError::Name(_) | RemoveVolumeError::Refused(_) | RemoveVolumeError::Read(_) => {
                RefusalKind::Io
            }
        };
        self.keeper().remove_volume(&key(volume)).map_err(|error| refusal(kind(&error), &error))
    }

    fn image(&mut self, wish: ImageWish, mount_point: &Path) -> Result<(), Refusal> {
        let done = match wish {
            // Also where the disk is gone, or has failed.
            ImageWish::Unmounted => image::unmount(mount_point),
            ImageWish::Mounted(_) | ImageWish::Gone => self.keeper().image(wish, mount_point),
        };
        let kind = |error: &ImageError| match error {
            ImageError::NotReady(_) => RefusalKind::NotReady,
            ImageError::NoRoom { .. } => RefusalKind::NoSpace,
            _ => RefusalKind::Io,
        };
        done.map_err(|error| refusal(kind(&error), &error))
    }

    fn release(&mut self) -> Result<(), Refusal> {
        self.keeper = None;
        match unmount::plain(&self.config.mount_point) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
            Err(errno) => Err(Refusal {
                kind: RefusalKind::Io,
                message: format!("the disk cannot be unmounted: {}", io::Error::from(errno)),
            }),
        }
    }
}

/// The copy in whichever of the workspace's folders has it: an FsCache's uid is in no other's. Believed only where
/// `.workspacefs` is root's and nobody else may write to it; no link is followed.
///
/// # Errors
/// [`Refusal`] of the kind Lost if none has it.
pub fn copy_in(shares: &[OwnedFd], copy: &CopyPart) -> Result<OwnedFd, Refusal> {
    let place = copy.place();
    let found = shares.iter().find_map(|share| {
        let ours = beneath::directory(share.as_fd(), RESERVED_FOLDER, Links::Refused).ok()?;
        let stat = fstat(&ours).ok()?;
        let is_believed = stat.st_uid == 0 && stat.st_mode & 0o022 == 0;
        is_believed.then(|| beneath::directory(ours.as_fd(), place.as_ref()?, Links::Refused).ok())?
    });
    let missing = || format!("the copy of {}, generation {}, is not on the disk", copy.path, copy.generation);
    found.ok_or_else(|| Refusal { kind: RefusalKind::Lost, message: missing() })
}

fn key(volume: &Volume) -> VolumeKey {
    VolumeKey { storage_uid: volume.storage_uid.clone(), volume: volume.name.clone() }
}

fn refusal(kind: RefusalKind, error: &dyn std::error::Error) -> Refusal {
    Refusal { kind, message: chain(error) }
}

fn share_refused(error: &WorkspaceError) -> RefusalKind {
    if error.is_not_ready() {
        RefusalKind::NotReady
    } else if error.is_no_space() {
        RefusalKind::NoSpace
    } else {
        RefusalKind::Io
    }
}

fn open_refused(error: &OpenVolumeError) -> RefusalKind {
    match error {
        OpenVolumeError::NotReady(_) => RefusalKind::NotReady,
        OpenVolumeError::NoQuota => RefusalKind::NoQuota,
        OpenVolumeError::Lost(_) => RefusalKind::Lost,
        OpenVolumeError::Name(_) | OpenVolumeError::Refused(_) | OpenVolumeError::Disk(_) => RefusalKind::Io,
    }
}

fn ensure_refused(error: &EnsureVolumeError) -> RefusalKind {
    match error {
        EnsureVolumeError::NotReady(_) => RefusalKind::NotReady,
        EnsureVolumeError::NoQuota => RefusalKind::NoQuota,
        EnsureVolumeError::Lost(_) => RefusalKind::Lost,
        EnsureVolumeError::Refused(_) if error.is_no_space() => RefusalKind::NoSpace,
        EnsureVolumeError::Name(_) | EnsureVolumeError::Refused(_) => RefusalKind::Io,
    }
}

fn figures(usage: Usage) -> Figures {
    Figures {
        bytes_total: usage.bytes_total,
        bytes_used: usage.bytes_used,
        bytes_available: usage.bytes_available,
        inodes_total: usage.inodes_total,
        inodes_used: usage.inodes_used,
    }
}
