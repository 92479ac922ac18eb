//! Uploads that can go on after a lost connection: `uploads/<id>.data` is what is here, `<id>.json` what it will be, and
//! `finished/<id>.json` what it was. The offset is the size of the data, so nothing else need be kept in step with it.

mod hold;
mod meta;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use workspacefs_files_proto::types::Upload;
use workspacefs_files_proto::{FilePath, path};

pub use self::hold::{Held, Holds};
pub use self::meta::{Checksum, Digester, Meta, parse_mode, parse_modified};
use crate::error::Error;
use crate::facts::{Facts, now, rfc3339};
use crate::ids;
use crate::placing::{Existing, Placing};
use crate::record;
use crate::root::{Area, Root};
use crate::tree;
use crate::write::NewFile;

/// The most unfinished uploads at once, of all users and of one.
const OPEN_MAX: usize = 1_000;
const OPEN_OF_USER_MAX: usize = 200;
const NS_PER_DAY: i128 = 86_400 * 1_000_000_000;
/// A finished upload is remembered so long, for a caller who did not hear that it is.
const FINISHED_KEPT: i128 = NS_PER_DAY;
const READ_BYTES: usize = 1 << 20;

/// What is known of an upload beside its bytes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Info {
    /// Percent-encoded path of the file.
    path: String,
    /// Bytes in all.
    pub size: u64,
    /// Whose it is: nobody else sees it.
    pub user: String,
    modified: Option<i128>,
    mode: Option<u32>,
    overwrite: bool,
    /// Of the whole, in base64.
    sha256: Option<String>,
    /// `Upload-Metadata` as it came.
    pub metadata: String,
    /// It has its name.
    #[serde(default)]
    pub finished: bool,
}

/// An upload as it is now.
#[derive(Clone, Debug)]
pub struct State {
    /// Its id.
    pub id: String,
    /// What it will be.
    pub info: Info,
    /// Bytes that are here.
    pub offset: u64,
    /// When it is given up, if nothing comes meanwhile; nanoseconds since 1970.
    pub expires: i128,
}

fn data(id: &str) -> String {
    format!("{id}.data")
}

fn info(id: &str) -> String {
    format!("{id}.json")
}

/// Begins one.
///
/// # Errors
/// [`Error`]; `Busy` where there are too many.
pub fn create(root: &Arc<Root>, user: &str, size: u64, meta: &Meta, days: u32) -> Result<State, Error> {
    let info = Info {
        path: meta.path.encode(),
        size,
        user: user.into(),
        modified: meta.modified,
        mode: meta.mode,
        overwrite: meta.overwrite,
        sha256: meta.sha256.clone(),
        metadata: meta.text.clone(),
        finished: false,
    };
    info.placing()?.check(root)?;
    let area = root.area(Area::Uploads)?;
    let open = open_ids(&area)?;
    // Whose they are is not looked up as long as nobody can have too many.
    if open.len() >= OPEN_MAX
        || open.len() >= OPEN_OF_USER_MAX && open_of(&area, &open, user) >= OPEN_OF_USER_MAX
    {
        return Err(Error::Busy("too many uploads are unfinished: finish or give up some"));
    }
    let id = ids::new();
    record::write(area.as_fd(), &self::info(&id), &info)?;
    if let Err(error) = NewFile::create_kept(root, data(&id)) {
        let _ = unlinkat(&area, self::info(&id), AtFlags::empty());
        return Err(error);
    }
    Ok(State { id, info, offset: 0, expires: now() + i128::from(days) * NS_PER_DAY })
}

/// Looks one up.
///
/// # Errors
/// `NotFound` also for another user's.
pub fn find(root: &Root, id: &str, user: &str, days: u32) -> Result<State, Error> {
    if !ids::is_id(id) {
        return Err(Error::NotFound);
    }
    let info = read_info(root, id, user)?;
    if info.finished {
        return Ok(State { id: id.into(), offset: info.size, info, expires: now() + FINISHED_KEPT });
    }
    let area = root.area(Area::Uploads)?;
    let facts = Facts::at(area.as_fd(), data(id).as_bytes()).map_err(Error::at("look at the upload"))?;
    // Not by its time of modification, which the caller may have chosen.
    let expires = facts.changed + i128::from(days) * NS_PER_DAY;
    Ok(State { id: id.into(), info, offset: facts.size, expires })
}

/// Opens its data, to go on. It is held for as long as the data is open: what still writes when nobody waits for it any more does
/// so before whoever comes next.
///
/// # Errors
/// [`Error`].
pub fn open(root: &Arc<Root>, id: &str, held: Arc<Held>) -> Result<NewFile, Error> {
    NewFile::open_kept(root, data(id), held)
}

/// Gives the whole file its name; once more where a caller did not hear that it has it.
///
/// # Errors
/// [`Error`]; the upload stays, and can be finished later or given up.
pub fn finish(root: &Arc<Root>, id: &str, user: &str, held: Arc<Held>) -> Result<(), Error> {
    // Not what was known before it was held: it may be finished since.
    let info = read_info(root, id, user)?;
    if info.finished {
        return Ok(());
    }
    let file = open(root, id, held)?;
    let placing = info.placing()?;
    // Where a name is given by a link, a process may have ended between the two names.
    if !file.has_name(&placing.path)? {
        if let Some(expected) = &info.sha256 {
            let checksum = Checksum::sha256(expected).ok_or(Error::Checksum)?;
            if !checksum.is_of_file(&file)? {
                // It can never become right by more bytes.
                file.cut(0)?;
                return Err(Error::Checksum);
            }
        }
        file.place(&placing)?;
    }
    let finished = Info { finished: true, ..info };
    let remembered =
        root.area(Area::Finished).and_then(|area| record::write(area.as_fd(), &self::info(id), &finished));
    if let Err(error) = remembered {
        // It has its name all the same, and who asks again finds it there.
        tracing::warn!(id, %error, "a finished upload is not remembered");
    }
    forget(&root.area(Area::Uploads)?, id)
}

/// Gives one up.
///
/// # Errors
/// [`Error`].
pub fn remove(root: &Root, id: &str) -> Result<(), Error> {
    forget(&root.area(Area::Finished)?, id)?;
    forget(&root.area(Area::Uploads)?, id)
}

fn forget(area: &OwnedFd, id: &str) -> Result<(), Error> {
    for name in [data(id), info(id)] {
        match unlinkat(area, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::of("give up the upload", errno)),
        }
    }
    Ok(())
}

/// Its record. Those of finished ones lie apart, so that beginning one does not take the longer the more there were.
fn read_info(root: &Root, id: &str, user: &str) -> Result<Info, Error> {
    let read = |area| record::read::<Info>(root.area(area)?.as_fd(), &info(id));
    let info = match read(Area::Finished) {
        Err(Error::NotFound) => read(Area::Uploads)?,
        other => other?,
    };
    if info.user == user { Ok(info) } else { Err(Error::NotFound) }
}

/// The unfinished uploads of a user, the oldest first.
///
/// # Errors
/// [`Error`].
pub fn list(root: &Root, user: &str, days: u32) -> Result<Vec<Upload>, Error> {
    let mut ids = open_ids(&root.area(Area::Uploads)?)?;
    ids.sort_unstable();
    let states = ids.into_iter().filter_map(|id| find(root, &id, user, days).ok());
    Ok(states.filter(|state| !state.info.finished).map(State::told).collect())
}

fn open_ids(area: &OwnedFd) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    tree::names(area.as_fd(), |name| {
        let name = std::str::from_utf8(name).unwrap_or_default();
        ids.extend(id_of(name).filter(|_| name.ends_with(".data")));
    })?;
    Ok(ids)
}

/// How many of these are this user's.
fn open_of(area: &OwnedFd, ids: &[String], user: &str) -> usize {
    let owner = |id: &String| record::read::<Info>(area.as_fd(), &info(id)).map(|info| info.user);
    ids.iter().filter(|id| owner(id).is_ok_and(|owner| owner == user)).count()
}

/// Removes what rests for too long at the time `now`: uploads that nobody holds, what was left of a process that ended in the
/// middle, and the memory of finished ones. A file rests since its ctime: its time of modification the caller may have chosen.
///
/// # Errors
/// The first [`Error`]; all else that is due is removed.
pub fn expire(root: &Root, days: u32, now: i128, hold: impl Fn(&str) -> Option<Held>) -> Result<(), Error> {
    let days = i128::from(days.max(1)) * NS_PER_DAY;
    let mut first = Ok(());
    for (area, kept) in [(Area::Uploads, days), (Area::Finished, FINISHED_KEPT)] {
        let area = root.area(area)?;
        let mut names = Vec::new();
        tree::names(area.as_fd(), |name| names.extend(std::str::from_utf8(name).map(str::to_owned)))?;
        let rests = |name: &str, time: i128| !is_young(&area, name, now - time);
        for name in names {
            let removed = if name.ends_with(".put") || name.ends_with(".new") {
                // A copied folder has the name of a file that was put.
                let is_left = rests(&name, NS_PER_DAY) && !root.turns.has_temporary(&name);
                if is_left { tree::delete(area.as_fd(), name.as_ref()) } else { Ok(()) }
            } else if let Some(id) = id_of(&name).filter(|_| rests(&name, kept))
                && let Some(_held) = hold(&id)
            {
                // What was written before it was held counts. A record is as young as its data.
                if rests(&name, kept) && rests(&data(&id), kept) { forget(&area, &id) } else { Ok(()) }
            } else {
                Ok(())
            };
            first = first.and(removed);
        }
    }
    first
}

/// Whether it is there and was changed since `time`.
fn is_young(area: &OwnedFd, name: &str, time: i128) -> bool {
    Facts::at(area.as_fd(), name.as_bytes()).is_ok_and(|facts| facts.changed >= time)
}

/// Of the name of its data or its record.
fn id_of(name: &str) -> Option<String> {
    let (id, _) = name.split_once('.')?;
    ids::is_id(id).then(|| id.to_owned())
}

impl Info {
    fn placing(&self) -> Result<Placing, Error> {
        let existing = if self.overwrite { Existing::Replace } else { Existing::Keep };
        let (modified, mode) = (self.modified, self.mode);
        Ok(Placing { existing, modified, mode, ..Placing::new(FilePath::decode(&self.path)?) })
    }
}

impl State {
    fn told(self) -> Upload {
        Upload {
            created: rfc3339(ids::time(&self.id).unwrap_or(0)),
            id: self.id,
            path: self.info.path,
            size: self.info.size,
            offset: self.offset,
            expires_at: rfc3339(self.expires),
        }
    }
}

impl Checksum {
    fn is_of_file(&self, file: &NewFile) -> Result<bool, Error> {
        use std::os::unix::fs::FileExt as _;
        let mut digester = self.digester();
        let (mut buffer, mut at) = (vec![0; READ_BYTES], 0);
        loop {
            let read = file.file().read_at(&mut buffer, at);
            let read = read.map_err(|error| {
                Error::of("read it back", Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })?;
            if read == 0 {
                return Ok(self.matches(digester));
            }
            digester.update(&buffer[..read]);
            at += read as u64;
        }
    }
}

/// What a caller wrote as a path in metadata or JSON.
pub(crate) fn path_of(field: &'static str, text: &str) -> Result<FilePath, Error> {
    FilePath::decode(text)
        .map_err(|error: path::BadPath| Error::field(field, format!("the path is refused: {error}")))
}
