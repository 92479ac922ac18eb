//! A directory on one side of a run, held by descriptor. There can be more directories in work than the process may have
//! descriptors: those that only wait for what lies below them are closed, and opened again from above when they are
//! needed, if they are still the same directories.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use workspacefs_sys::beneath;

use crate::locked::lock;
use crate::stat::{Id, Stat};

/// A path given to the kernel stays below PATH_MAX (4096 with its NUL).
const PATH_BYTES_MAX: usize = 4000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Place {
    parent: Option<Arc<Place>>,
    name: CString,
    id: Id,
    crossing: Crossing,
    handle: Mutex<Option<Arc<Handle>>>,
    budget: Arc<Budget>,
}

/// Whether a directory in which another file system is mounted is entered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Crossing {
    /// On the side that is read.
    Allowed,
    /// On the side that is written to and deleted from: XDEV.
    Refused,
}

/// The descriptors that a run may keep open for directories.
#[derive(Debug)]
pub(crate) struct Budget {
    open: AtomicUsize,
    max: usize,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Handle {
    descriptor: OwnedFd,
    budget: Arc<Budget>,
}

impl Place {
    /// The root of a side. Its descriptor is never closed.
    pub fn root(
        of: BorrowedFd<'_>,
        crossing: Crossing,
        budget: &Arc<Budget>,
    ) -> Result<(Arc<Self>, Stat), Errno> {
        let descriptor = open_directory(of, c".", crossing)?;
        Self::new(None, c".", crossing, Handle::new(descriptor, budget))
    }

    fn new(
        parent: Option<Arc<Self>>,
        name: &CStr,
        crossing: Crossing,
        handle: Handle,
    ) -> Result<(Arc<Self>, Stat), Errno> {
        let stat = Stat::of_open(handle.as_fd())?;
        let budget = Arc::clone(&handle.budget);
        let handle = Mutex::new(Some(Arc::new(handle)));
        Ok((Arc::new(Self { parent, name: name.to_owned(), id: stat.id, crossing, handle, budget }), stat))
    }

    /// Opens a directory in this one.
    pub fn enter(self: &Arc<Self>, name: &CStr) -> Result<(Arc<Self>, Stat), Errno> {
        let descriptor = open_directory(self.handle()?.as_fd(), name, self.crossing)?;
        Self::new(Some(Arc::clone(self)), name, self.crossing, Handle::new(descriptor, &self.budget))
    }

    /// Its descriptor, opened again if it was closed. NOENT if another directory has taken its place.
    pub fn handle(&self) -> Result<Arc<Handle>, Errno> {
        let mut slot = lock(&self.handle);
        if let Some(handle) = slot.as_ref() {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(self.reopen()?);
        *slot = Some(Arc::clone(&handle));
        Ok(handle)
    }

    /// Closes it if there are too many.
    pub fn park(&self) {
        if self.parent.is_some() && self.budget.is_spent() {
            *lock(&self.handle) = None;
        }
    }

    /// Closes it: nothing more is to be done in it, as far as is known.
    pub fn close(&self) {
        if self.parent.is_some() {
            *lock(&self.handle) = None;
        }
    }

    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// Relative to its side's root, which is the empty path.
    pub fn path(&self) -> PathBuf {
        let mut names = Vec::new();
        let mut place = self;
        while let Some(parent) = place.parent.as_deref() {
            names.push(place.name.as_bytes());
            place = parent;
        }
        names.iter().rev().map(|name| OsStr::from_bytes(name)).collect()
    }

    /// The path of something in it.
    pub fn path_of(&self, name: &CStr) -> PathBuf {
        let mut path = self.path();
        path.push(Path::new(OsStr::from_bytes(name.to_bytes())));
        path
    }

    /// From the nearest ancestor that is open, many names at a time.
    fn reopen(&self) -> Result<Handle, Errno> {
        let mut names = vec![self.name.as_bytes()];
        let mut above = self.parent.as_ref();
        let base = loop {
            let place = above.ok_or(Errno::NOENT)?;
            if let Some(handle) = lock(&place.handle).as_ref() {
                break Arc::clone(handle);
            }
            names.push(place.name.as_bytes());
            above = place.parent.as_ref();
        };
        let mut reached: Option<OwnedFd> = None;
        let mut path: Vec<u8> = Vec::new();
        while let Some(name) = names.pop() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let next = names.last().map_or(PATH_BYTES_MAX, |next| next.len());
            if path.len() + next >= PATH_BYTES_MAX {
                let from = reached.as_ref().map_or(base.as_fd(), AsFd::as_fd);
                let text = CString::new(std::mem::take(&mut path)).map_err(|_| Errno::INVAL)?;
                reached = Some(open_directory(from, &text, self.crossing)?);
            }
        }
        let descriptor = reached.ok_or(Errno::NOENT)?;
        if Stat::of_open(descriptor.as_fd())?.id != self.id {
            return Err(Errno::NOENT);
        }
        Ok(Handle::new(descriptor, &self.budget))
    }
}

impl Drop for Place {
    /// One after the other: a tree can be deeper than the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(place) = next {
            next = Arc::into_inner(place).and_then(|mut place| place.parent.take());
        }
    }
}

impl Budget {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), max })
    }

    fn is_spent(&self) -> bool {
        self.open.load(Ordering::Relaxed) > self.max
    }
}

impl Handle {
    fn new(descriptor: OwnedFd, budget: &Arc<Budget>) -> Self {
        budget.open.fetch_add(1, Ordering::Relaxed);
        Self { descriptor, budget: Arc::clone(budget) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.budget.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn open_directory(from: BorrowedFd<'_>, path: &CStr, crossing: Crossing) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    open_beneath(from, path, flags, Mode::empty(), crossing)
}

/// Opens a path beneath a directory, through no link.
pub(crate) fn open_beneath(
    from: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    crossing: Crossing,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | match crossing {
            Crossing::Allowed => ResolveFlags::empty(),
            Crossing::Refused => ResolveFlags::NO_XDEV,
        };
    beneath::resolved(from, path, flags, mode, resolve)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(budget: usize) -> (tempfile::TempDir, Arc<Place>) {
        let dir = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let (place, _) = Place::root(fd.as_fd(), Crossing::Refused, &Budget::new(budget)).unwrap();
        (dir, place)
    }

    #[test]
    fn a_closed_directory_opens_again_from_above_however_deep_it_lies() {
        let (_dir, mut place) = root(0);
        let name = CString::new(vec![b'd'; 200]).unwrap();
        for _ in 0..1000 {
            rustix::fs::mkdirat(&*place.handle().unwrap(), &name, Mode::RWXU).unwrap();
            let below = place.enter(&name).unwrap().0;
            place.park();
            place = below;
        }
        let before = place.id;
        place.park();
        assert!(lock(&place.handle).is_none());
        assert_eq!(Stat::of_open(place.handle().unwrap().as_fd()).unwrap().id, before);
        assert_eq!(place.path().as_os_str().len(), 1000 * 201 - 1);
    }

    #[test]
    fn another_directory_in_its_place_is_not_taken_for_it() {
        let (dir, root) = root(0);
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let a = root.enter(c"a").unwrap().0;
        let b = a.enter(c"b").unwrap().0;
        a.park();
        b.park();
        std::fs::rename(dir.path().join("a"), dir.path().join("old")).unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        assert_eq!(b.handle().err(), Some(Errno::NOENT));
        std::fs::remove_dir_all(dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("old", dir.path().join("a")).unwrap();
        assert_eq!(b.handle().err(), Some(Errno::LOOP));
    }

    #[test]
    fn as_long_as_there_are_few_they_stay_open() {
        let (dir, root) = root(2);
        std::fs::create_dir(dir.path().join("a")).unwrap();
        let a = root.enter(c"a").unwrap().0;
        a.park();
        assert!(lock(&a.handle).is_some());
    }
}
