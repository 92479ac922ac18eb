//! The trash of one file system: `trash/<id>/` holds `data`, which is what was deleted, and `info.json`, which says where it was.
//! Deleting is one rename, whatever the size. The record is written first, so that nothing lies here of which nobody
//! knows where it belongs.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, mkdirat};
use serde::{Deserialize, Serialize};
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{Entry, EntryType, TrashEntry, TrashListing, TrashUsage};

use crate::error::Error;
use crate::facts::{Facts, now, rfc3339};
use crate::ids;
use crate::place::{self, At};
use crate::record;
use crate::root::{Area, Root, child};
use crate::tree;

const DATA: &[u8] = b"data";
const INFO: &str = "info.json";
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
    let id = ids::new();
    let place = make(&trash, &id)?;
    let moved = write_info(place.as_fd(), &info).and_then(|()| {
        let from = At { folder: folder.as_fd(), name };
        place::add(from, At { folder: place.as_fd(), name: DATA })
            .map_err(|errno| root.denied("move it into the trash", errno, folder.as_fd()))
    });
    if let Err(error) = moved {
        // The first error is the one that explains.
        let _ = erase(&trash, &id);
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
    let place = open(&trash, id)?;
    let info = read_info(&place)?;
    let to = match to {
        Some(to) => to,
        None => FilePath::decode(&info.path)?,
    };
    let (folder, name) = root.parent(&to, true)?;
    let target = At { folder: folder.as_fd(), name };
    place::add(At { folder: place.as_fd(), name: DATA }, target)
        .map_err(|errno| root.denied("put it back", errno, folder.as_fd()))?;
    // An empty place that cannot be removed now goes by its age.
    let _ = erase(&trash, id);
    let facts = Facts::at(folder.as_fd(), name).map_err(Error::at("look at what was restored"))?;
    Ok(facts.entry(&to))
}

/// Deletes it for good.
///
/// # Errors
/// [`Error`].
pub fn delete(root: &Root, id: &str) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    open(&trash, id)?;
    erase(&trash, id)
}

/// Deletes everything for good.
///
/// # Errors
/// [`Error`]; then some is left.
pub fn empty(root: &Root) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    ids_in(&trash)?.iter().try_for_each(|id| erase(&trash, id))
}

/// What was deleted first, if anything was.
///
/// # Errors
/// [`Error`].
pub fn oldest(root: &Root) -> Result<Option<String>, Error> {
    Ok(ids_in(&root.area(Area::Trash)?)?.into_iter().min())
}

/// Deletes what lies there for more than `days`.
///
/// # Errors
/// [`Error`]; what else is due goes with the next call.
pub fn expire(root: &Root, days: u32) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    let due = |id: &String| expires(id, days).is_some_and(|time| time <= now());
    ids_in(&trash)?.iter().filter(|id| due(id)).try_for_each(|id| erase(&trash, id))
}

/// Measures the folders whose size is not known yet.
///
/// # Errors
/// [`Error`].
pub fn measure(root: &Root) -> Result<(), Error> {
    let trash = root.area(Area::Trash)?;
    for id in ids_in(&trash)? {
        let Ok(place) = open(&trash, &id) else { continue };
        let Ok(mut info) = read_info(&place) else { continue };
        if info.size.is_none() {
            // Restored or deleted meanwhile: then there is nothing to say.
            let Ok(folder) = child(place.as_fd(), DATA) else { continue };
            let Ok(size) = tree::measure(folder.as_fd()) else { continue };
            info.size = Some(size);
            write_info(place.as_fd(), &info)?;
        }
    }
    Ok(())
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

/// How much lies in it.
///
/// # Errors
/// [`Error`].
pub fn usage(root: &Root) -> Result<TrashUsage, Error> {
    let trash = root.area(Area::Trash)?;
    let mut usage = TrashUsage::default();
    for id in ids_in(&trash)? {
        if let Ok(info) = open(&trash, &id).and_then(|place| read_info(&place)) {
            usage.entries += 1;
            usage.bytes += info.size.unwrap_or(0);
        }
    }
    Ok(usage)
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
    mkdirat(trash, id, Mode::RWXU).map_err(Error::at("make a place in the trash"))?;
    child(trash.as_fd(), id.as_bytes())
}

fn open(trash: &OwnedFd, id: &str) -> Result<OwnedFd, Error> {
    if ids::is_id(id) { child(trash.as_fd(), id.as_bytes()) } else { Err(Error::NotFound) }
}

fn erase(trash: &OwnedFd, id: &str) -> Result<(), Error> {
    tree::delete(trash.as_fd(), OsStr::new(id))
}

fn write_info(place: BorrowedFd<'_>, info: &Info) -> Result<(), Error> {
    record::write(place, INFO, info)
}

fn read_info(place: &OwnedFd) -> Result<Info, Error> {
    record::read(place.as_fd(), INFO)
}
