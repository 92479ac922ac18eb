//! A volume's root: found, or created with its owner the first time.
//!
//! Creating is a few steps on a server, and this process may be killed between any two of them, or another node may be at
//! the same folder. So the intention is written down first (`owners/<uid>.json`, which only one can create), then the
//! directory is made with mode 0700, gets its owner and mode through its descriptor, and the record says "created". Who
//! finds the intention without the end, finishes: but only a directory that looks as the first step left it.
//!
//! The way from the export's root to the folder is walked without following a symbolic link, whether it is found or made:
//! it may lead through folders that pods can write to.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, mkdirat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use workspacefs_api::path::RelativePath;
use workspacefs_sys::beneath::{self, Links};

use super::super::ShareError;
use super::super::protocol::{FolderRequest, PosixOwner};
use super::reserved::{self, Ours, squashed};
use super::resolve::{Folder, Share};
use super::{volumes, words};

/// The mode of a directory that is not finished.
const UNFINISHED: Mode = Mode::RWXU;
/// What lies between the export's root and the folder is nobody's in particular.
const BETWEEN: Mode = Mode::from_raw_mode(0o755);

/// `owners/<FileSystem uid>.json`: this folder was made by us for that FileSystem.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerRecord {
    /// Beneath the export.
    pub folder: String,
    /// False from before it is made until it has its owner.
    pub created: bool,
}

/// The folders that were found finished, by FileSystem: their records are not asked for again, which would be several calls
/// to the server for each volume that is mounted.
#[derive(Debug, Default)]
pub(super) struct Settled(HashMap<String, Finished>);

/// A folder is known by what it is, not only by its name: another node may have made a new one.
#[derive(Debug, Eq, PartialEq)]
struct Finished {
    path: String,
    device: u64,
    inode: u64,
}

impl Settled {
    /// More FileSystems than one share of one node is likely to have.
    const MAX: usize = 4096;

    /// Whether it is the folder that was found finished. One that has the mode of an unfinished one is looked at again: an
    /// inode's number may be given to a new folder.
    fn has(&self, file_system: &str, path: &str, stat: &Stat) -> bool {
        Mode::from_raw_mode(stat.st_mode) != UNFINISHED
            && self.0.get(file_system).is_some_and(|known| *known == Finished::new(path, stat))
    }

    fn add(&mut self, file_system: &str, path: &str, stat: &Stat) {
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(file_system.into(), Finished::new(path, stat));
    }
}

impl Finished {
    fn new(path: &str, stat: &Stat) -> Self {
        Self { path: path.into(), device: stat.st_dev, inode: stat.st_ino }
    }
}

/// Opens the root of a volume, creating a FileSystem's own folder if it is missing.
pub(super) fn open(
    share: &Share,
    settled: &mut Settled,
    request: &FolderRequest,
) -> Result<Folder, ShareError> {
    match request {
        FolderRequest::Own { path, file_system, owner } => own(share, settled, path, file_system, *owner),
        FolderRequest::Existing(path) => existing(share, path),
        FolderRequest::Volume(name) => volumes::open(share, name),
    }
}

/// The same, but nothing is created.
pub(super) fn find(share: &Share, request: &FolderRequest) -> Result<Folder, ShareError> {
    match request {
        FolderRequest::Own { path, .. } => share.walk(share.root(), path),
        FolderRequest::Existing(path) => existing(share, path),
        FolderRequest::Volume(name) => volumes::open(share, name),
    }
}

/// A folder of the embedded server's making. Nobody but that server writes above it, so a link on the way is no way.
fn existing(share: &Share, path: &str) -> Result<Folder, ShareError> {
    let full = share.root().join(path);
    // Checked here once more, whoever sent it: the root itself would be everybody's files.
    if !RelativePath::parse(path).is_ok_and(|parsed| !parsed.is_root() && parsed.as_str() == path) {
        return Err(ShareError::NotFound { path: full });
    }
    match beneath::directory(share.root().fd.as_fd(), path, Links::Refused) {
        Ok(fd) => Ok(Folder { fd, path: full }),
        Err(errno) => Err(words::at("open", &full, errno)),
    }
}

fn own(
    share: &Share,
    settled: &mut Settled,
    path: &str,
    file_system: &str,
    owner: PosixOwner,
) -> Result<Folder, ShareError> {
    match share.walk(share.root(), path) {
        Err(ShareError::NotFound { .. }) => {}
        Ok(found) if path.is_empty() => return Ok(found),
        Ok(found) => {
            let stat = fstat(&found.fd).map_err(|errno| words::at("look at", &found.path, errno))?;
            if !settled.has(file_system, path, &stat) {
                finish_if_unfinished(share, &found, path, file_system, owner)?;
                settled.add(file_system, path, &stat);
            }
            return Ok(found);
        }
        Err(error) => return Err(error),
    }
    let records = owner_records(share)?;
    let name = record_name(file_system);
    let intention = OwnerRecord { folder: path.into(), created: false };
    let claimed = match &records {
        Some(records) => records.claim(&name, &intention)? || begin_anew(records, &name, &intention)?,
        None => false,
    };
    match create(share, path, owner) {
        Ok(Made::ByUs) => {
            if let Some(records) = &records {
                let created = OwnerRecord { created: true, ..intention };
                records.replace(&name, &created)?;
            }
        }
        Ok(Made::ByAnother) => {
            // Another node of ours, or somebody by hand: what its record and its looks say decides.
            let found = share.walk(share.root(), path)?;
            finish_if_unfinished(share, &found, path, file_system, owner)?;
        }
        Err(error) => {
            if let (true, Some(records)) = (claimed, &records) {
                // The error of the creation is the one that explains.
                let _ = records.remove(&name);
            }
            return Err(error);
        }
    }
    share.walk(share.root(), path)
}

/// Somebody removed the folder that the record says was created: until it is created again it is unfinished.
fn begin_anew(records: &Ours, name: &str, intention: &OwnerRecord) -> Result<bool, ShareError> {
    let earlier = records.read::<OwnerRecord>(name)?.flatten();
    let removed = earlier.is_some_and(|record| record.created && record.folder == intention.folder);
    if removed {
        records.replace(name, intention)?;
    }
    Ok(removed)
}

enum Made {
    ByUs,
    ByAnother,
}

/// Makes the directories of `path` that are missing, and gives the last one its owner. On an error nothing that was made
/// here stays.
fn create(share: &Share, path: &str, owner: PosixOwner) -> Result<Made, ShareError> {
    let mut parent = share.root().again()?;
    let mut made: Vec<(Folder, String)> = Vec::new();
    let parts: Vec<&str> = path.split('/').collect();
    let mut outcome = Ok(Made::ByAnother);
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        match step(share, &parent, part, is_last.then_some(owner)) {
            Ok((child, new)) => {
                if new {
                    made.push((parent, (*part).to_string()));
                    outcome = Ok(if is_last { Made::ByUs } else { Made::ByAnother });
                }
                parent = child;
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if outcome.is_err() {
        for (parent, name) in made.iter().rev() {
            // Only what is empty goes, and what another node put into it meanwhile stays.
            let _ = unlinkat(&parent.fd, name, AtFlags::REMOVEDIR);
        }
    }
    outcome
}

/// One directory: opened if it is there, made if not. With an owner it is the last one.
fn step(
    share: &Share,
    parent: &Folder,
    name: &str,
    owner: Option<PosixOwner>,
) -> Result<(Folder, bool), ShareError> {
    match share.walk(parent, name) {
        Err(ShareError::NotFound { .. }) => {}
        other => return other.map(|folder| (folder, false)),
    }
    let path = parent.join(name);
    let mode = if owner.is_some() { UNFINISHED } else { BETWEEN };
    match mkdirat(&parent.fd, name, mode) {
        Ok(()) => {}
        Err(Errno::EXIST) => return share.walk(parent, name).map(|folder| (folder, false)),
        Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
            return Err(squashed("create", path, errno));
        }
        Err(errno) => return Err(words::at("create", &path, errno)),
    }
    let finished = match owner {
        Some(owner) => finish(parent, name, owner),
        None => Ok(()),
    };
    if let Err(error) = finished {
        // Left behind, it would be taken for somebody's finished folder the next time.
        let _ = unlinkat(&parent.fd, name, AtFlags::REMOVEDIR);
        return Err(error);
    }
    share.walk(parent, name).map(|folder| (folder, true))
}

/// Gives a directory its owner and mode, through its descriptor: it is the one that was made, whatever its name is by now.
pub(super) fn finish(parent: &Folder, name: &str, owner: PosixOwner) -> Result<(), ShareError> {
    let path = parent.join(name);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let fd = beneath::open(parent.fd.as_fd(), name, flags, Mode::empty(), Links::Refused)
        .map_err(|errno| words::at("open", &path, errno))?;
    set_owner(&fd, &path, owner)
}

fn set_owner(fd: &OwnedFd, path: &str, owner: PosixOwner) -> Result<(), ShareError> {
    let stat = fstat(fd).map_err(|errno| words::at("look at", path, errno))?;
    let refused = |action: &str, errno| match errno {
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::INVAL => squashed(action, path.to_string(), errno),
        errno => words::at(action, path, errno),
    };
    if (stat.st_uid, stat.st_gid) != (owner.uid, owner.gid) {
        fchown(fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
            .map_err(|errno| refused("set the owner of", errno))?;
    }
    if permissions(&stat) != owner.mode {
        // After the owner: a change of owner takes setgid away.
        fchmod(fd, Mode::from_raw_mode(owner.mode)).map_err(|errno| refused("set the mode of", errno))?;
    }
    Ok(())
}

/// Finishes what a killed helper began, if our record says that it was begun and the folder looks so.
fn finish_if_unfinished(
    share: &Share,
    folder: &Folder,
    path: &str,
    file_system: &str,
    owner: PosixOwner,
) -> Result<(), ShareError> {
    let Some(records) = existing_owner_records(share)? else {
        return Ok(());
    };
    let name = record_name(file_system);
    let record = match records.read::<OwnerRecord>(&name)? {
        None => return Ok(()),
        // Killed while it was written: as good as an intention.
        Some(None) => OwnerRecord { folder: path.into(), created: false },
        Some(Some(record)) => record,
    };
    if record.created || record.folder != path {
        return Ok(());
    }
    let fd = beneath::open(
        folder.fd.as_fd(),
        "",
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
        Links::Refused,
    )
    .map_err(|errno| words::at("open", &folder.path, errno))?;
    let stat = fstat(&fd).map_err(|errno| words::at("look at", &folder.path, errno))?;
    match looks(&stat, owner, is_empty(&fd, folder)?) {
        Looks::Somebodys => records.remove(&name),
        Looks::Unfinished => {
            set_owner(&fd, &folder.path, owner)?;
            records.replace(&name, &OwnerRecord { created: true, ..record })
        }
        Looks::Finished => records.replace(&name, &OwnerRecord { created: true, ..record }),
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Looks {
    /// As mkdir left it, or with its owner but not its mode yet.
    Unfinished,
    /// Everything but the record was done.
    Finished,
    /// Nothing of ours.
    Somebodys,
}

fn looks(stat: &Stat, owner: PosixOwner, empty: bool) -> Looks {
    let root_or_owner = stat.st_uid == 0 || stat.st_uid == owner.uid;
    if (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid) && permissions(stat) == owner.mode {
        Looks::Finished
    } else if empty && root_or_owner && permissions(stat) & 0o777 == UNFINISHED.as_raw_mode() {
        Looks::Unfinished
    } else {
        Looks::Somebodys
    }
}

fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

fn is_empty(fd: &OwnedFd, folder: &Folder) -> Result<bool, ShareError> {
    let failed = |errno| words::at("list", &folder.path, errno);
    let mut directory = rustix::fs::Dir::read_from(fd).map_err(failed)?;
    for entry in &mut directory {
        let entry = entry.map_err(failed)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn record_name(file_system: &str) -> String {
    format!("{file_system}.json")
}

fn owner_records(share: &Share) -> Result<Option<Ours>, ShareError> {
    match reserved::open_or_create(share)? {
        Some(ours) => ours.directory(OWNERS).map(Some),
        None => Ok(None),
    }
}

fn existing_owner_records(share: &Share) -> Result<Option<Ours>, ShareError> {
    match reserved::open(share)? {
        Some(ours) => ours.find(OWNERS),
        None => Ok(None),
    }
}

/// The folder of records about who created what.
pub(super) const OWNERS: &str = "owners";

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_finished_folder_is_known_by_file_system_path_and_inode_unless_it_looks_unfinished() {
        let dir = tempfile::tempdir().unwrap();
        let look = |mode| {
            let folder = File::open(dir.path()).unwrap();
            folder.set_permissions(Permissions::from_mode(mode)).unwrap();
            fstat(folder).unwrap()
        };
        let mut settled = Settled::default();
        assert!(!settled.has("uid", "a", &look(0o750)));
        settled.add("uid", "a", &look(0o750));
        assert!(settled.has("uid", "a", &look(0o755)));
        assert!(
            !settled.has("uid", "a", &look(0o700)),
            "another node may have given the inode to a new folder"
        );
        assert!(!settled.has("uid", "b", &look(0o750)));
        assert!(!settled.has("other", "a", &look(0o750)));
        let other = tempfile::tempdir().unwrap();
        assert!(!settled.has("uid", "a", &fstat(File::open(other.path()).unwrap()).unwrap()));
    }
}
