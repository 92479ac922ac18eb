//! The mounted directory that is served, and nothing else. Whatever a caller names is resolved by the kernel beneath its
//! descriptor, and what was resolved is looked at once more: the hidden folders are reached by no link either.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, mkdirat, openat, readlinkat};
use rustix::io::Errno;
use workspacefs_files_proto::types::EntryType;
use workspacefs_files_proto::{BadPath, Code, FilePath};
use workspacefs_sys::beneath;

use crate::error::Error;
use crate::facts::Facts;
use crate::turns::Turns;

/// Copies of caches: nobody's business here.
const CACHES: &[u8] = b".workspacefs";
/// What this process keeps.
const OWN: &[u8] = b".workspacefs-files";
const HIDDEN: [&[u8]; 2] = [CACHES, OWN];
const OWN_MODE: Mode = Mode::RWXU;

/// The parts of the process's own folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Area {
    /// Files under construction.
    Uploads,
    /// Records of uploads that are finished.
    Finished,
    /// What was deleted.
    Trash,
    /// Records of imports.
    Imports,
}

impl Area {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Uploads => b"uploads",
            Self::Finished => b"finished",
            Self::Trash => b"trash",
            Self::Imports => b"imports",
        }
    }
}

/// Who gets what is made here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits of a new folder; a new file has the same without execution.
    pub mode: u32,
}

impl Owner {
    /// Permission bits of a new file.
    pub fn file_mode(self) -> u32 {
        self.mode & 0o666
    }
}

/// See the module.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    owner: Owner,
    pub(crate) turns: Turns,
}

impl Root {
    /// Opens the directory to serve and makes the process's own folder in it.
    ///
    /// # Errors
    /// It is no directory, the kernel has no openat2, or something is in the way of the own folder.
    pub fn open(path: &Path, owner: Owner) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty()).map_err(Error::at("open the root"))?;
        let root = Self { directory, owner, turns: Turns::default() };
        beneath::probe().map_err(Error::at("resolve paths safely: openat2 is missing"))?;
        match root.area(Area::Uploads) {
            Ok(_) => Ok(root),
            // What cannot be written to can be read all the same.
            Err(error) if matches!(error.code(), Code::Forbidden | Code::QuotaExceeded) => {
                tracing::warn!(%error, "nothing can be written");
                Ok(root)
            }
            Err(error) => Err(error),
        }
    }

    /// Who gets what is made here.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The directory itself, as O_PATH.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The folder `path`, for the calls that take a descriptor and a name (O_PATH). Links in the path are followed while they
    /// stay beneath.
    ///
    /// # Errors
    /// [`Error`]; `NotFound` also for what leads out or is hidden.
    pub fn folder(&self, path: &FilePath) -> Result<OwnedFd, Error> {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The folder `path`, to be listed.
    ///
    /// # Errors
    /// As [`Root::folder`].
    pub fn listing(&self, path: &FilePath) -> Result<OwnedFd, Error> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK)
    }

    /// The folder `path`; it and the folders above it are made where they are missing.
    ///
    /// # Errors
    /// As [`Root::folder`]; `NotDirectory` where something else has one of the names.
    pub fn folder_made(&self, path: &FilePath) -> Result<OwnedFd, Error> {
        let mut missing: Vec<Vec<u8>> = Vec::new();
        let mut above = path.clone();
        let mut folder = loop {
            match self.folder(&above) {
                Err(Error::NotFound) => {
                    self.refuse_hidden(&above)?;
                    let Some((parent, name)) = above.split() else { return Err(Error::NotFound) };
                    missing.push(name.to_vec());
                    above = parent;
                }
                other => break other?,
            }
        };
        while let Some(name) = missing.pop() {
            // A link may have led to the root.
            if self.hides_in(folder.as_fd(), &name) {
                return Err(Error::NotFound);
            }
            match self.make_folder(folder.as_fd(), &name) {
                Ok(()) | Err(Error::Exists) => {}
                Err(error) => return Err(error),
            }
            folder = child(folder.as_fd(), &name)?;
        }
        Ok(folder)
    }

    /// Makes one folder.
    ///
    /// # Errors
    /// [`Error`]; `Exists` where the name is taken.
    pub fn make_folder(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Error> {
        // Closed to others until it is whose it is to be.
        mkdirat(parent, name, OWN_MODE).map_err(|errno| self.denied("make the folder", errno, parent))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let made = beneath::resolved(parent, name, flags, Mode::empty(), strict())
            .map_err(|errno| self.denied("open the new folder", errno, parent))?;
        self.give(made.as_fd(), self.owner.mode)
    }

    /// The folder that `path` lies in (O_PATH), and its name there. With `made` the folders above it are made.
    ///
    /// # Errors
    /// As [`Root::folder`]; `IsDirectory` for the root, which lies nowhere.
    pub fn parent<'p>(&self, path: &'p FilePath, made: bool) -> Result<(OwnedFd, &'p [u8]), Error> {
        self.refuse_hidden(path)?;
        let name = path.segments().last().ok_or(Error::IsDirectory)?;
        let (parent, _) = path.split().ok_or(Error::IsDirectory)?;
        let folder = if made { self.folder_made(&parent)? } else { self.folder(&parent)? };
        // A link may have led to the root, where two names are ours.
        if self.hides_in(folder.as_fd(), name) {
            return Err(Error::NotFound);
        }
        Ok((folder, name))
    }

    /// Whether [`Root::folder_made`] would get to the folder that `path` lies in: what is there of it is folders.
    pub fn parent_can_be_made(&self, path: &FilePath) -> bool {
        let mut above = path.split().map(|(parent, _)| parent);
        let mut missing: Option<Vec<u8>> = None;
        while let Some(at) = above {
            match self.folder(&at) {
                // A link that leads nowhere is no folder, and has the name all the same. Nor is a folder missing any more that
                // somebody, who writes into it too, has made since.
                Ok(folder) => {
                    return missing.is_none_or(|name| {
                        let is_in_the_way =
                            Facts::at(folder.as_fd(), &name).is_ok_and(|facts| facts.kind != EntryType::Dir);
                        !is_in_the_way && !self.hides_in(folder.as_fd(), &name)
                    });
                }
                Err(Error::NotFound) if self.refuse_hidden(&at).is_ok() => {}
                Err(_) => return false,
            }
            missing = at.split().map(|(_, name)| name.to_vec());
            above = at.split().map(|(parent, _)| parent);
        }
        false
    }

    /// What is known of `path` itself: a link at its end is not followed.
    ///
    /// # Errors
    /// As [`Root::folder`].
    pub fn facts(&self, path: &FilePath) -> Result<Facts, Error> {
        if path.is_root() {
            return Facts::of(&self.directory).map_err(Error::at("look at the root"));
        }
        let (folder, name) = self.parent(path, false)?;
        Facts::at(folder.as_fd(), name).map_err(|errno| self.denied("look at it", errno, folder.as_fd()))
    }

    /// A regular file, to be read. FIFOs, sockets and devices are never opened: to open one can hang, or do something.
    ///
    /// # Errors
    /// As [`Root::folder`]; `IsDirectory`, `NotRegular`.
    pub fn file(&self, path: &FilePath) -> Result<(OwnedFd, Facts), Error> {
        opened(&self.resolve(path, OFlags::PATH)?, || path.to_string())
    }

    /// One part of the process's own folder (O_PATH), made where it is missing: people with the same uid may have removed it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn area(&self, area: Area) -> Result<OwnedFd, Error> {
        let own = own_folder(self.as_fd(), OWN)?;
        own_folder(own.as_fd(), area.name())
    }

    /// Gives a new file or folder its owner, group and permission bits.
    ///
    /// # Errors
    /// [`Error`]. An owner that may not be given is none: the server decides who owns what this process makes.
    pub fn give(&self, made: BorrowedFd<'_>, mode: u32) -> Result<(), Error> {
        let facts = Facts::of(made).map_err(Error::at("look at what was made"))?;
        if (facts.uid, facts.gid) != (self.owner.uid, self.owner.gid) {
            let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
            match fchown(made, Some(uid), Some(gid)) {
                Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
                Err(errno) => return Err(refused_by("it", "set the owner", errno, made)),
            }
        }
        if facts.mode != mode {
            fchmod(made, Mode::from_raw_mode(mode))
                .map_err(|errno| refused_by("it", "set the mode", errno, made))?;
        }
        Ok(())
    }

    /// For `map_err` of a call on a name in `folder`: a refusal names the folder's owner and mode.
    pub fn denied(&self, step: &'static str, errno: Errno, folder: BorrowedFd<'_>) -> Error {
        refused_by("its folder", step, errno, folder)
    }

    /// Whether a name in a listing of this folder is not to be told.
    pub fn hides(&self, folder: &Facts, name: &[u8]) -> bool {
        has_hidden_name(name)
            && Facts::of(&self.directory).is_ok_and(|root| (root.dev, root.ino) == (folder.dev, folder.ino))
    }

    /// Whether a caller's name in this folder is, or would be, one of the hidden folders.
    fn hides_in(&self, folder: BorrowedFd<'_>, name: &[u8]) -> bool {
        let is_root = Facts::of(folder).is_ok_and(|facts| self.hides(&facts, OWN));
        is_root && self.is_hidden(name)
    }

    /// Whether this name at the root is hidden: by its bytes, or because the server takes it for a hidden one, as those do that
    /// fold more than ASCII's case.
    fn is_hidden(&self, name: &[u8]) -> bool {
        let place = |name: &[u8]| Facts::at(self.as_fd(), name).ok().map(|facts| (facts.dev, facts.ino));
        has_hidden_name(name)
            || place(name).is_some_and(|found| HIDDEN.iter().any(|hidden| place(hidden) == Some(found)))
    }

    fn refuse_hidden(&self, path: &FilePath) -> Result<(), Error> {
        match path.segments().next() {
            Some(name) if self.is_hidden(name) => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    fn resolve(&self, path: &FilePath, flags: OFlags) -> Result<OwnedFd, Error> {
        self.refuse_hidden(path)?;
        let bytes = if path.is_root() { b"." } else { path.as_bytes() };
        match beneath::resolved(self.as_fd(), bytes, flags, Mode::empty(), strict()) {
            Ok(found) => Ok(found),
            // There is a link in the path. The kernel keeps it beneath; where it led is then looked at.
            Err(Errno::LOOP) => {
                let found = beneath::resolved(self.as_fd(), bytes, flags, Mode::empty(), followed())
                    .map_err(|errno| self.unresolved(path, errno))?;
                self.refuse_led_to_hidden(found.as_fd())?;
                Ok(found)
            }
            Err(errno) => Err(self.unresolved(path, errno)),
        }
    }

    /// What came of a resolution that failed. A refusal names the folder that refuses.
    fn unresolved(&self, path: &FilePath, errno: Errno) -> Error {
        match errno {
            // It leads out, in circles, or to a device that the mount does not have: for the caller there is nothing.
            Errno::XDEV | Errno::LOOP | Errno::NXIO | Errno::NODEV => Error::NotFound,
            Errno::AGAIN => Error::Busy("the folders above it are being renamed"),
            Errno::NAMETOOLONG => Error::BadPath(BadPath::Long),
            errno if Error::is_refusal(errno) => {
                let mut above = Some(path.clone());
                while let Some(at) = above {
                    let bytes = if at.is_root() { b"." } else { at.as_bytes() };
                    let found =
                        beneath::resolved(self.as_fd(), bytes, OFlags::PATH, Mode::empty(), followed());
                    if let Ok(facts) = found.and_then(Facts::of) {
                        return refused("open it", errno, at.to_string(), facts);
                    }
                    above = at.split().map(|(parent, _)| parent);
                }
                Error::of("open it", errno)
            }
            errno => Error::of("open it", errno),
        }
    }

    fn refuse_led_to_hidden(&self, found: BorrowedFd<'_>) -> Result<(), Error> {
        let (root, found) = (place(self.as_fd())?, place(found)?);
        let below = match root.as_slice() {
            b"/" => found.strip_prefix(b"/"),
            _ => found.strip_prefix(&root[..]),
        };
        // Moved away since: it is not ours any more.
        let below = below.ok_or(Error::NotFound)?;
        match below.split(|byte| *byte == b'/').find(|name| !name.is_empty()) {
            Some(name) if self.is_hidden(name) => Err(Error::NotFound),
            _ => Ok(()),
        }
    }
}

/// Also in other letters: some servers take those for the same name.
fn has_hidden_name(name: &[u8]) -> bool {
    HIDDEN.iter().any(|hidden| name.eq_ignore_ascii_case(hidden))
}

/// One name further, which must be a real folder.
pub(crate) fn child(folder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    beneath::resolved(folder, name, flags, Mode::empty(), strict()).map_err(|errno| match errno {
        Errno::LOOP => Error::NotDirectory,
        errno => refused_by("its folder", "open the folder", errno, folder),
    })
}

/// A regular file in a folder, to be read; see [`Root::file`].
pub(crate) fn regular(folder: BorrowedFd<'_>, name: &[u8]) -> Result<(OwnedFd, Facts), Error> {
    let found = beneath::resolved(folder, name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty(), strict())
        .map_err(|errno| refused_by("its folder", "open the file", errno, folder))?;
    opened(&found, || String::from_utf8_lossy(name).into_owned())
}

/// Opens for reading what was found, if it has content.
fn opened(found: &OwnedFd, name: impl FnOnce() -> String) -> Result<(OwnedFd, Facts), Error> {
    let facts = Facts::of(found).map_err(Error::at("look at the file"))?;
    match facts.kind {
        EntryType::File => {}
        EntryType::Dir => return Err(Error::IsDirectory),
        EntryType::Symlink => return Err(Error::NotFound),
        EntryType::Other => return Err(Error::NotRegular),
    }
    match reopened(found.as_fd()) {
        Ok(file) => Ok((file, facts)),
        Err(errno) => Err(refused("open the file", errno, name(), facts)),
    }
}

/// The same open file, opened for reading. Its descriptor says which it is, so nothing is resolved again.
pub(crate) fn reopened(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty())
}

/// Our own paths and new names: no links at all.
pub(crate) fn strict() -> ResolveFlags {
    followed() | ResolveFlags::NO_SYMLINKS
}

fn followed() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS
}

fn place(file: BorrowedFd<'_>) -> Result<Vec<u8>, Error> {
    let link = readlinkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), Vec::new());
    Ok(link.map_err(Error::at("see where a link led"))?.into_bytes())
}

/// For `map_err` of a call that this file or folder can refuse: a refusal names its owner and mode. `what` it is, for people.
pub(crate) fn refused_by(what: &str, step: &'static str, errno: Errno, by: impl AsFd) -> Error {
    match Facts::of(by) {
        Ok(facts) => refused(step, errno, what.into(), facts),
        Err(_) => Error::of(step, errno),
    }
}

fn refused(step: &'static str, errno: Errno, what: String, facts: Facts) -> Error {
    if Error::is_refusal(errno) {
        Error::Denied { what, uid: facts.uid, mode: facts.mode }
    } else {
        Error::of(step, errno)
    }
}

fn own_folder(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Error> {
    match child(parent, name) {
        Err(Error::NotFound) => match mkdirat(parent, name, OWN_MODE) {
            Ok(()) | Err(Errno::EXIST) => child(parent, name),
            // As under root_squash, where the folder is root's and this process is nobody.
            Err(errno) => {
                Err(refused_by("the folder above", "make the folder of this process", errno, parent))
            }
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Of many files that are written into a new folder at once, each finds it missing or made since; none hears that there is none.
    #[test]
    fn a_folder_that_somebody_makes_meanwhile_is_not_in_the_way_and_a_file_or_a_dead_link_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path(), Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap();
        let path = |path: &str| FilePath::from_bytes(path.as_bytes()).unwrap();
        let (new, over) = (dir.path().join("new"), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let comes_and_goes = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    fs::create_dir(&new).unwrap();
                    fs::remove_dir(&new).unwrap();
                }
            });
            let answers = (0..2000).filter(|_| root.parent_can_be_made(&path("new/f"))).count();
            over.store(true, Ordering::Relaxed);
            comes_and_goes.join().unwrap();
            assert_eq!(answers, 2000);
        });
        fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        for in_the_way in ["file/f", "link/f", "link/deeper/f"] {
            assert!(!root.parent_can_be_made(&path(in_the_way)), "{in_the_way}");
        }
    }
}
