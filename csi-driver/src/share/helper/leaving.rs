//! Folders that leave: a volume's, or a FileSystem's own, moved by one rename into `.workspacefs/trash` or
//! `.workspacefs/archive`, where no volume reaches. Nothing is removed here; `trash` does that, much later.
//!
//! A FileSystem's own folder is at a place that people chose, so it leaves only if the records say that we made it for that
//! very FileSystem and that no other FileSystem's folder is in it, around it, or the same. Where it goes is written down
//! first (`leaving/<uid>.json`): a repetition then knows a folder that has left from one that somebody has made at its old
//! place since.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, renameat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use workspacefs_api::RESERVED_FOLDER;
use workspacefs_api::path::RelativePath;
use workspacefs_api::volume::is_uid;
use workspacefs_sys::beneath::{self, Links};

use super::super::ShareError;
use super::super::protocol::{Leaving, OwnFolder, Taken, VolumeName};
use super::folder::{self, OWNERS, OwnerRecord};
use super::reserved::{self, Ours};
use super::resolve::Share;
use super::{volumes, words};

pub(super) const TRASH: &str = "trash";
const ARCHIVE: &str = "archive";
/// Records of own folders on their way.
const ON_THEIR_WAY: &str = "leaving";
/// NAME_MAX.
const NAME_BYTES_MAX: usize = 255;
/// What a name in the trash gets added: `.<unix seconds>.<eight digits>`.
const TRASH_ENDING_BYTES_MAX: usize = 1 + 20 + 1 + 8;

/// `leaving/<FileSystem uid>.json`.
#[derive(Debug, Deserialize, Serialize)]
struct OnItsWay {
    /// `trash` or `archive`.
    place: String,
    /// Its name there.
    name: String,
}

/// Moves a volume's folder away, then forgets its record. Says where it is now; None if there was none.
pub(super) fn volume(share: &Share, name: &VolumeName, to: &Leaving) -> Result<Option<String>, ShareError> {
    volumes::check(name)?;
    let to = destination(to)?;
    let Some(ours) = reserved::open(share)? else {
        return Ok(None);
    };
    let moved = match volumes::existing(share, name)? {
        Some(volumes) => {
            let place = ours.directory(&to.place)?;
            match renameat(&volumes.folder().fd, &name.name, &place.folder().fd, &to.name) {
                Ok(()) => Some(to.path()),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(volumes.failed("move away", &name.name, errno)),
            }
        }
        None => None,
    };
    if let Some(owners) = ours.find(OWNERS)? {
        owners.remove(&volumes::record_name(name))?;
    }
    Ok(moved)
}

/// Moves a FileSystem's own folder away, if it is ours to move.
pub(super) fn own(share: &Share, folder: &OwnFolder, to: &Leaving) -> Result<Taken, ShareError> {
    let path = RelativePath::parse(&folder.path).ok().filter(|path| path.as_str() == folder.path);
    let Some(path) = path.filter(|path| !path.is_root() && is_uid(&folder.file_system)) else {
        return Ok(Taken::NotOurs("a whole export is never taken away".into()));
    };
    let Some(ours) = reserved::open(share)? else {
        return absent_or(share, &path, "there are no records on the share of what the driver made");
    };
    let record = folder::record_name(&folder.file_system);
    let owners = ours.directory(OWNERS)?;
    let ways = ours.directory(ON_THEIR_WAY)?;
    let begun = ways.read::<OnItsWay>(&record)?.flatten();
    if let Some(begun) = &begun
        && has_arrived(&ours, begun)?
    {
        let place = begun.path();
        forget(&owners, &ways, &record)?;
        return Ok(Taken::Moved(place));
    }
    if let Some(objection) = objection(&owners, &path, &folder.file_system)? {
        ways.remove(&record)?;
        return absent_or(share, &path, &objection);
    }
    let to = match begun {
        Some(begun) => begun,
        None => {
            let to = destination(to)?;
            // One that was never written to its end: then nothing was moved yet.
            ways.remove(&record)?;
            ways.claim(&record, &to)?;
            to
        }
    };
    let taken = take(share, &ours, &path, &to)?;
    match &taken {
        Taken::NotOurs(_) => ways.remove(&record)?,
        Taken::Moved(_) | Taken::Absent => forget(&owners, &ways, &record)?,
    }
    Ok(taken)
}

/// The rename itself.
fn take(share: &Share, ours: &Ours, path: &RelativePath, to: &OnItsWay) -> Result<Taken, ShareError> {
    let full = share.root().join(path.as_str());
    let (parent, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    let parent: OwnedFd = match beneath::directory(share.root().fd.as_fd(), parent, Links::Refused) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Taken::Absent),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return Ok(Taken::NotOurs(format!("a symbolic link or a file is on the way to {full}")));
        }
        Err(errno) => return Err(words::at("open", &full, errno)),
    };
    match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
        Ok(_) => return Ok(Taken::NotOurs(format!("{full} is no directory any more"))),
        Err(Errno::NOENT) => return Ok(Taken::Absent),
        Err(errno) => return Err(words::at("look at", &full, errno)),
    }
    let place = ours.directory(&to.place)?;
    match renameat(&parent, name, &place.folder().fd, &to.name) {
        Ok(()) => Ok(Taken::Moved(to.path())),
        Err(Errno::NOENT) => Ok(Taken::Absent),
        Err(Errno::XDEV | Errno::BUSY) => {
            Ok(Taken::NotOurs(format!("{full} is a file system of its own on the server")))
        }
        Err(errno) => Err(words::at("move away", &full, errno)),
    }
}

/// What speaks against taking `path` away for the FileSystem `uid`.
fn objection(owners: &Ours, path: &RelativePath, uid: &str) -> Result<Option<String>, ShareError> {
    let made = match owners.read::<OwnerRecord>(&folder::record_name(uid))?.flatten() {
        Some(record) => record.created && record.folder == path.as_str(),
        None => false,
    };
    if !made {
        return Ok(Some(
            "there is no record on the share that the driver made this folder for this FileSystem".into(),
        ));
    }
    for other in file_systems(owners)? {
        if other == uid {
            continue;
        }
        let record = owners.read::<OwnerRecord>(&folder::record_name(&other))?;
        if let Some(Some(record)) = record
            && overlap(&record.folder, path.as_str())
        {
            return Ok(Some(format!(
                "the folder {:?} that was made for the FileSystem with uid {other} has a part in it ({}/{OWNERS}/{other}.json)",
                record.folder, RESERVED_FOLDER
            )));
        }
    }
    Ok(None)
}

/// The uids of the FileSystems that have a record.
fn file_systems(owners: &Ours) -> Result<Vec<String>, ShareError> {
    let failed = |errno| owners.failed("list", "", errno);
    let mut found = Vec::new();
    for entry in Dir::read_from(&owners.folder().fd).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let uid = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(".json"));
        found.extend(uid.filter(|uid| is_uid(uid)).map(str::to_owned));
    }
    Ok(found)
}

/// Whether one path is the other, or leads to something in it.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    one.split('/').zip(other.split('/')).all(|(a, b)| a == b)
}

/// Nothing to take away, or a reason not to.
fn absent_or(share: &Share, path: &RelativePath, reason: &str) -> Result<Taken, ShareError> {
    let root = share.root().fd.as_fd();
    match beneath::directory(root, path.as_str(), Links::Beneath) {
        Err(Errno::NOENT) => Ok(Taken::Absent),
        _ => Ok(Taken::NotOurs(reason.into())),
    }
}

fn has_arrived(ours: &Ours, way: &OnItsWay) -> Result<bool, ShareError> {
    Ok(match ours.find(&way.place)? {
        Some(place) => place.find(&way.name)?.is_some(),
        None => false,
    })
}

fn forget(owners: &Ours, ways: &Ours, record: &str) -> Result<(), ShareError> {
    owners.remove(record)?;
    ways.remove(record)
}

impl OnItsWay {
    /// Beneath the export.
    fn path(&self) -> String {
        format!("{RESERVED_FOLDER}/{}/{}", self.place, self.name)
    }
}

/// Two folders of one name, one after the other, do not meet in the trash; in the archive the name says when.
fn destination(leaving: &Leaving) -> Result<OnItsWay, ShareError> {
    let (place, name) = match leaving {
        Leaving::Trash(name) => (TRASH, name.as_str()),
        Leaving::Archive(name) => (ARCHIVE, name.as_str()),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let room = NAME_BYTES_MAX - if place == TRASH { TRASH_ENDING_BYTES_MAX } else { 0 };
    if name.is_empty() || name.starts_with('.') || name.len() > room || !name.bytes().all(plain) {
        return Err(ShareError::Local {
            action: format!("name the folder in the {place}"),
            reason: "it has a name that is none of ours".into(),
        });
    }
    let name = match leaving {
        Leaving::Trash(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("{name}.{}.{:08x}", now.as_secs(), now.subsec_nanos() ^ std::process::id())
        }
        Leaving::Archive(_) => name.to_owned(),
    };
    Ok(OnItsWay { place: place.into(), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_where_one_is_in_the_other_and_not_where_names_only_begin_alike() {
        for (one, other, wanted) in [
            ("a", "a", true),
            ("a", "a/b", true),
            ("a/b", "a", true),
            ("a/b", "a/c", false),
            ("a", "ab", false),
            ("a/b/c", "a/b", true),
            ("team", "team-a", false),
        ] {
            assert_eq!(overlap(one, other), wanted, "{one} {other}");
            assert_eq!(overlap(other, one), wanted, "{other} {one}");
        }
    }

    #[test]
    fn a_place_has_a_plain_name_that_fits() {
        let archive = |name: &str| destination(&Leaving::Archive(name.into())).map(|to| to.path());
        assert_eq!(archive("a.b.20260801T120000Z"), Ok(".workspacefs/archive/a.b.20260801T120000Z".into()));
        for bad in ["", ".", "..", ".hidden", "a/b", "a\0", "ä", &"a".repeat(256)] {
            assert!(archive(bad).is_err(), "{bad:?}");
        }
        let trash = |name: &str| destination(&Leaving::Trash(name.into())).map(|to| to.name);
        let longest = trash(&"a".repeat(NAME_BYTES_MAX - TRASH_ENDING_BYTES_MAX)).unwrap();
        assert!(longest.len() <= NAME_BYTES_MAX);
        assert!(trash(&"a".repeat(NAME_BYTES_MAX - TRASH_ENDING_BYTES_MAX + 1)).is_err());
        // The mark of one that is being removed fits too, for the next thousand years.
        assert!(longest.len() + super::super::trash::MARK.len() <= NAME_BYTES_MAX, "{}", longest.len());
        assert!(
            super::super::trash::is_ours(&longest),
            "and what is moved there can be known again: {longest}"
        );
    }
}
