//! The volumes that CreateVolume makes: a folder in `.workspacefs/volumes/<FileSystem uid>/` each, with a record of what
//! was asked for beside the owners' records.

use std::os::fd::AsFd;

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use workspacefs_api::volume::{is_folder_name, is_uid};
use workspacefs_sys::beneath::{self, Links};

use super::super::ShareError;
use super::super::protocol::{CreatedVolume, PosixOwner, VolumeName, VolumeRecord};
use super::folder::{self, OWNERS};
use super::reserved::{self, Ours, squashed};
use super::resolve::{Folder, Share};

const VOLUMES: &str = "volumes";

/// `owners/<FileSystem uid>.<name>.json`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(flatten)]
    record: VolumeRecord,
    /// False from before its folder is made until it has its owner.
    created: bool,
}

/// Opens a volume's root.
pub(super) fn open(share: &Share, name: &VolumeName) -> Result<Folder, ShareError> {
    check(name)?;
    let missing = || ShareError::NotFound { path: format!("{} (volume {})", share.root().path, name.name) };
    let volumes = existing(share, name)?.ok_or_else(missing)?;
    let folder = volumes.folder();
    match beneath::directory(folder.fd.as_fd(), &name.name, Links::Refused) {
        Ok(fd) => Ok(Folder { fd, path: folder.join(&name.name) }),
        Err(Errno::NOENT) => Err(missing()),
        Err(errno) => Err(volumes.failed("open", &name.name, errno)),
    }
}

/// Makes a volume, or carries on with one that was begun.
pub(super) fn create(
    share: &Share,
    name: &VolumeName,
    record: VolumeRecord,
    owner: PosixOwner,
) -> Result<CreatedVolume, ShareError> {
    check(name)?;
    let ours = reserved::require(share)?;
    let owners = ours.directory(OWNERS)?;
    let file = record_name(name);
    let stored = Stored { record, created: false };
    let new = owners.claim(&file, &stored)?;
    let mut stored = match owners.read::<Stored>(&file)? {
        Some(Some(earlier)) => earlier,
        // Killed while it was written: nobody was told of it.
        Some(None) | None => stored,
    };
    let volumes = ours.directory(VOLUMES)?.directory(&name.file_system)?;
    let folder = beneath::directory(volumes.folder().fd.as_fd(), &name.name, Links::Refused);
    if stored.created && folder.is_err_and(|errno| errno == Errno::NOENT) {
        // Somebody removed it: until it is made again it is unfinished.
        stored.created = false;
        owners.replace(&file, &stored)?;
    }
    let made = match mkdirat(&volumes.folder().fd, &name.name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
            return Err(squashed("create", volumes.folder().join(&name.name), errno));
        }
        Err(errno) => return Err(volumes.failed("create", &name.name, errno)),
    };
    if made || !stored.created {
        folder::finish(volumes.folder(), &name.name, owner)?;
        let created = Stored { record: stored.record, created: true };
        owners.replace(&file, &created)?;
    }
    Ok(CreatedVolume { record: stored.record, new })
}

/// What was asked for when the volume was made; None if it was not, or not to the end.
pub(super) fn record(share: &Share, name: &VolumeName) -> Result<Option<VolumeRecord>, ShareError> {
    check(name)?;
    let owners = match reserved::open(share)? {
        Some(ours) => ours.find(OWNERS)?,
        None => None,
    };
    let Some(owners) = owners else {
        return Ok(None);
    };
    let stored = owners.read::<Stored>(&record_name(name))?.flatten();
    Ok(stored.filter(|s| s.created).map(|s| s.record))
}

/// The folder with the volumes of the FileSystem that `name` belongs to, if there is one.
pub(super) fn existing(share: &Share, name: &VolumeName) -> Result<Option<Ours>, ShareError> {
    let Some(ours) = reserved::open(share)? else {
        return Ok(None);
    };
    match ours.find(VOLUMES)? {
        Some(volumes) => volumes.find(&name.file_system),
        None => Ok(None),
    }
}

pub(super) fn record_name(name: &VolumeName) -> String {
    format!("{}.{}.json", name.file_system, name.name)
}

/// The names become parts of paths: they are checked here once more, whoever sent them.
pub(super) fn check(name: &VolumeName) -> Result<(), ShareError> {
    if is_uid(&name.file_system) && is_folder_name(&name.name) {
        return Ok(());
    }
    Err(ShareError::NotFound { path: "a volume with a name that is none of ours".into() })
}
