//! The trash of one file system: `trash/<id>/` holds `data`, which is what was deleted, and `info.json`, which says where it was.
//! Deleting is one rename, whatever the size. The record is written first, so that nothing lies here of which nobody
//! knows where it belongs.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, mkdirat, renameat};
use serde::{Deserialize, Serialize};
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{Entry, EntryType, TrashEntry, TrashListing, TrashUsage};

use crate::error::Error;
use crate::facts::{Facts, rfc3339};
use crate::ids;
use crate::place::{self, At};
use crate::record;
use crate::root::{Area, Root, child, refused_by};
use crate::tree;

const DATA: &str = "data";
const INFO: &str = "info.json";
/// After an id: it is being deleted, and nobody finds it any more.
const GOING: &str = ".going";
const NS_PER_DAY: i128 = 86_400 * 1_000_000_000;

/// What is written beside a deleted thing.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Info {
    path: String,
    #[serde(rename = "type")]
    kind: EntryType,
    size: Option<u64>,
    by: String,
}

/// Moves `path` into the trash: the id it gets.
///
/// # Errors
/// [`Error`]; nothing happened then.
pub fn put(root: &Root, path: &FilePath, recursive: bool, by: &str) -> Result<String, Error> {
    let (folder, name) = root.parent(path, false)?;
    let facts =
        Facts::at(folder.as_fd(), name).map_err(|errno| root.denied("look at it", errno, folder.as_fd()))?;
    if facts.kind == EntryType::Dir && !recursive && !tree::is_empty(folder.as_fd(), name)? {
        return Err(Error::NotEmpty);
    }
    let size = (facts.kind != EntryType::Dir).then_some(facts.size);
    let info = Info { path: path.encode(), kind: facts.kind, size, by: by.into() };
    let trash = root.area(Area::Trash)?;
    let _turn = root.turns.trash();
    let id = ids::new();
    let place = make(&trash, &id)?;
    let moved = write_info(place.as_fd(), &info).and_then(|()| {
        let from = At { folder: folder.as_fd(), name };
        // The place is new and ours: there is nothing to replace.
        place::replace(from, At { folder: place.as_fd(), name: DATA.as_bytes() })
            .map_err(|errno| root.denied("move it into the trash", errno, folder.as_fd()))
    });
    if let Err(error) = moved {
        // The first error is the one that explains.
        let _ = clear(&trash, &id);
        return Err(error);
    }
    Ok(id)
}

/// Puts it back, by default where it was.
///
/// # Errors
/// [`Error`]; `Exists` where the place is taken.
pub fn restore(root: &Root, id: &str, to: Option<FilePath>) -> Result<Entry, Error> {
    let trash = root.area(Area::Trash)?;
    let _turn = root.turns.trash();
    let place = open(&trash, id)?;
    let info = read_info(&place)?;
    let to = match to {
        Some(to) => to,
        None => FilePath::decode(&info.path)?,
    };
    let (folder, name) = root.parent(&to, true)?;
    let target = At { folder: folder.as_fd(), name };
    place::add(At { folder: place.as_fd(), name: DATA.as_bytes() }, target)
        .map_err(|errno| root.denied("put it back", errno, folder.as_fd()))?;
    // An empty place that cannot be removed now goes by its age.
    let _ = clear(&trash, id);
    let facts = Facts::at(folder.as_fd(), name).map_err(Error::at("look at what was restored"))?;
    Ok(facts.entry(&to))
}

/// Deletes it for good.
///
/// # Errors
/// [`Error`].
pub fn delete(root: &Root, id: &str) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    if ids::is_id(id) { erase(root, &trash, id) } else { Err(Error::NotFound) }
}

/// Deletes everything for good.
///
/// # Errors
/// The first [`Error`] of what could not be deleted; all else is.
pub fn empty(root: &Root) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    each(ids_in(&trash)?, |id| erase(root, &trash, &id))
}

/// What went for good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Went {
    /// Its id.
    pub id: String,
    /// Bytes; 0 if they were never measured.
    pub bytes: u64,
}

/// Deletes for good what was deleted first, of what can be: which, if there was any.
///
/// # Errors
/// [`Error`].
pub fn delete_oldest(root: &Root) -> Result<Option<Went>, Error> {
    let trash = root.area(Area::Trash)?;
    let mut ids = ids_in(&trash)?;
    ids.sort_unstable();
    Ok(ids.into_iter().find_map(|id| {
        let info = open(&trash, &id).and_then(|place| read_info(&place));
        let bytes = info.ok().and_then(|info| info.size).unwrap_or(0);
        match erase(root, &trash, &id) {
            // Somebody else deleted it, or put it back: in any case there is one less.
            Ok(()) | Err(Error::NotFound) => Some(Went { id, bytes }),
            Err(error) => {
                tracing::warn!(id, %error, "this cannot be deleted from the trash");
                None
            }
        }
    }))
}

/// Deletes what lies there for more than `days` at the time `now`, and what is left of deletions that did not end.
///
/// # Errors
/// The first [`Error`] of what could not be deleted; all else is.
pub fn expire(root: &Root, days: u32, now: i128) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    let mut going = Vec::new();
    tree::names(trash.as_fd(), |name| {
        let name = std::str::from_utf8(name).unwrap_or_default();
        going.extend(name.strip_suffix(GOING).filter(|id| ids::is_id(id)).map(|_| name.to_owned()));
    })?;
    let due = |id: &String| expires(id, days).is_some_and(|time| time <= now);
    let left = each(going, |name| clear(&trash, &name));
    left.and(each(ids_in(&trash)?.into_iter().filter(due), |id| erase(root, &trash, &id)))
}

/// Measures the folders whose size is not known yet.
///
/// # Errors
/// The first [`Error`] of a size that could not be written down; all else is.
pub fn measure(root: &Root) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    each(ids_in(&trash)?, |id| {
        let place = open(&trash, &id)?;
        let Ok(info @ Info { size: None, .. }) = read_info(&place) else { return Ok(()) };
        // Restored or deleted meanwhile, or closed to us: then there is nothing to say.
        let folder = child(place.as_fd(), DATA.as_bytes());
        let Ok(size) = folder.and_then(|folder| tree::measure(folder.as_fd())) else { return Ok(()) };
        write_info(place.as_fd(), &Info { size: Some(size), ..info })
    })
}

/// A page of it, the latest first. `cursor` is the id that the page before ended with.
///
/// # Errors
/// [`Error`].
pub fn list(root: &Root, days: u32, limit: usize, cursor: Option<&str>) -> Result<TrashListing, Error> {
    let trash = root.area(Area::Trash)?;
    let mut ids = ids_in(&trash)?;
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.retain(|id| cursor.is_none_or(|cursor| id.as_str() < cursor));
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next = if more { ids.last().cloned() } else { None };
    let entries = ids.into_iter().filter_map(|id| told(&trash, id, days)).collect();
    Ok(TrashListing { entries, next })
}

/// How much lies in it, and whether everything in it was measured.
///
/// # Errors
/// [`Error`].
pub fn usage(root: &Root) -> Result<(TrashUsage, bool), Error> {
    let trash = root.area(Area::Trash)?;
    let (mut usage, mut all_known) = (TrashUsage::default(), true);
    for id in ids_in(&trash)? {
        if let Ok(info) = open(&trash, &id).and_then(|place| read_info(&place)) {
            usage.entries += 1;
            usage.bytes += info.size.unwrap_or(0);
            all_known &= info.size.is_some();
        }
    }
    Ok((usage, all_known))
}

fn told(trash: &OwnedFd, id: String, days: u32) -> Option<TrashEntry> {
    let info = open(trash, &id).and_then(|place| read_info(&place)).ok()?;
    let path = FilePath::decode(&info.path).ok()?;
    let name = path.split().map(|(_, name)| String::from_utf8_lossy(name).into_owned())?;
    let (deleted, expires) = (ids::time(&id)?, expires(&id, days)?);
    Some(TrashEntry {
        id,
        path: info.path,
        name,
        kind: info.kind,
        size: info.size,
        deleted_at: rfc3339(deleted),
        expires_at: rfc3339(expires),
        deleted_by: info.by,
    })
}

fn expires(id: &str, days: u32) -> Option<i128> {
    Some(ids::time(id)? + i128::from(days) * NS_PER_DAY)
}

fn ids_in(trash: &OwnedFd) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    tree::names(trash.as_fd(), |name| {
        found.extend(std::str::from_utf8(name).ok().filter(|name| ids::is_id(name)).map(str::to_owned));
    })?;
    Ok(found)
}

fn make(trash: &OwnedFd, id: &str) -> Result<OwnedFd, Error> {
    mkdirat(trash, id, Mode::RWXU)
        .map_err(|errno| refused_by("the trash", "make a place in the trash", errno, trash))?;
    child(trash.as_fd(), id.as_bytes())
}

fn open(trash: &OwnedFd, id: &str) -> Result<OwnedFd, Error> {
    if ids::is_id(id) { child(trash.as_fd(), id.as_bytes()) } else { Err(Error::NotFound) }
}

/// First it gets a name under which nobody finds it: nothing is put back of which half is gone already.
fn erase(root: &Root, trash: &OwnedFd, id: &str) -> Result<(), Error> {
    let going = format!("{id}{GOING}");
    let turn = root.turns.trash();
    renameat(trash, id, trash, going.as_str())
        .map_err(|errno| refused_by("the trash", "take it out of the trash", errno, trash))?;
    drop(turn);
    clear(trash, &going).inspect_err(|_| {
        // What cannot be deleted is not hidden, and is tried again. The first error is the one that explains.
        let _ = renameat(trash, going.as_str(), trash, id);
    })
}

/// The record goes last: what cannot be deleted is still known.
fn clear(trash: &OwnedFd, name: &str) -> Result<(), Error> {
    tree::delete(child(trash.as_fd(), name.as_bytes())?.as_fd(), OsStr::new(DATA))?;
    tree::delete(trash.as_fd(), OsStr::new(name))
}

/// Does it with all, past those that fail. What is not there any more is done.
fn each<T>(all: impl IntoIterator<Item = T>, work: impl Fn(T) -> Result<(), Error>) -> Result<(), Error> {
    let mut first = Ok(());
    for result in all.into_iter().map(work) {
        if result != Err(Error::NotFound) {
            first = first.and(result);
        }
    }
    first
}

fn write_info(place: BorrowedFd<'_>, info: &Info) -> Result<(), Error> {
    record::write(place, INFO, info)
}

fn read_info(place: &OwnedFd) -> Result<Info, Error> {
    record::read(place.as_fd(), INFO)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::path::Path;

    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    use super::*;
    use crate::facts::now;
    use crate::room;
    use crate::root::Owner;

    fn root(dir: &Path) -> Root {
        Root::open(dir, Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap()
    }

    fn put_folder(root: &Root, dir: &Path, name: &str) -> String {
        std::fs::create_dir_all(dir.join(name).join("inner")).unwrap();
        std::fs::write(dir.join(name).join("inner/x"), "four").unwrap();
        put(root, &FilePath::decode(name).unwrap(), true, "jane").unwrap()
    }

    /// As in a pod: root without capabilities, for whom a folder of somebody else's is closed.
    fn without_capabilities(work: impl FnOnce() + Send) {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                set_capabilities(None, sets).unwrap();
                work();
            });
            worker.join().unwrap();
        });
    }

    #[test]
    fn what_cannot_be_deleted_stays_known_and_stands_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = root(dir.path());
        let closed = put_folder(&root, dir.path(), "a");
        let inner = dir.path().join(".workspacefs-files/trash").join(&closed).join("data/inner");
        chown(&inner, Some(1234), Some(1234)).unwrap();
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o700)).unwrap();
        let [_, _, last] = ["b", "c", "d"].map(|name| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            put_folder(&root, dir.path(), name)
        });
        without_capabilities(|| {
            let left = || {
                let entries = list(&root, 30, 9, None).unwrap().entries.into_iter();
                entries.map(|entry| (entry.path, entry.size)).collect::<Vec<_>>()
            };
            measure(&root).unwrap();
            assert_eq!(left().iter().filter(|(_, size)| size.is_some()).count(), 4, "{:?}", left());
            assert_eq!(room::empty_one(&root, 0), Ok(true));
            assert_eq!(left().len(), 3, "the next oldest goes: {:?}", left());
            assert!(left().iter().all(|(path, _)| path != "b"));
            let day = NS_PER_DAY + 1;
            assert!(expire(&root, 1, now() + day).is_err());
            assert_eq!(left().into_iter().map(|(path, _)| path).collect::<Vec<_>>(), ["a"]);
            assert!(empty(&root).is_err() && delete(&root, &last) == Err(Error::NotFound));
            assert_eq!(room::empty_one(&root, 1), Ok(false), "nothing can go any more");
            assert_eq!(left()[0].0, "a");
        });
        empty(&root).unwrap();
    }

    #[test]
    fn what_is_left_of_a_deletion_that_did_not_end_is_not_put_back_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = root(dir.path());
        let id = put_folder(&root, dir.path(), "a");
        let trash = dir.path().join(".workspacefs-files/trash");
        std::fs::rename(trash.join(&id), trash.join(format!("{id}{GOING}"))).unwrap();
        assert_eq!(restore(&root, &id, None), Err(Error::NotFound));
        assert_eq!(usage(&root).unwrap().0.entries, 0);
        expire(&root, 1, now()).unwrap();
        assert_eq!(std::fs::read_dir(trash).unwrap().count(), 0);
    }

    #[test]
    fn what_is_put_back_while_it_is_deleted_is_whole_or_gone() {
        for _ in 0..200 {
            let dir = tempfile::tempdir().unwrap();
            let root = root(dir.path());
            let id = put_folder(&root, dir.path(), "a");
            let (restored, deleted) = std::thread::scope(|scope| {
                let deleting = scope.spawn(|| delete(&root, &id));
                (restore(&root, &id, None), deleting.join().unwrap())
            });
            assert!(deleted.is_ok() != restored.is_ok(), "{deleted:?} {restored:?}");
            assert_eq!(dir.path().join("a/inner/x").exists(), restored.is_ok());
        }
    }
}
