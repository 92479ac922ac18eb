//! The files that the kernel knows, by their inode numbers, until it forgets them.
//!
//! A directory is held by a descriptor, so that it is found wherever it is moved to. Of files there may be more than
//! descriptors: they are found by the names under which they were seen, or by what is open of them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use fuser::INodeNo;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, fstat, openat, renameat_with, statat};
use rustix::io::{Errno, Result};

/// All of them.
#[derive(Debug)]
pub struct Nodes {
    root: Arc<OwnedFd>,
    device: u64,
    known: Mutex<HashMap<u64, Node>>,
    /// Taken to write by whoever moves names, to read by whoever looks for a file by its names.
    moves: RwLock<()>,
}

#[derive(Debug)]
struct Node {
    held: Held,
    /// How often the kernel was told of it; it forgets it as often.
    lookups: u64,
}

/// How a file is found.
#[derive(Debug)]
enum Held {
    Directory(Arc<OwnedFd>),
    File {
        /// Some may be gone: whoever uses one looks whether it still is this file's.
        names: Vec<Name>,
        open: Vec<Arc<OwnedFd>>,
    },
}

#[derive(Clone, Debug, PartialEq)]
struct Name {
    folder: INodeNo,
    name: Box<OsStr>,
}

impl Nodes {
    /// With this directory as the root.
    pub fn new(root: OwnedFd) -> Result<Self> {
        let device = fstat(&root)?.st_dev;
        Ok(Self { root: Arc::new(root), device, known: Mutex::default(), moves: RwLock::default() })
    }

    /// A descriptor of the file of that number; it may be one without rights.
    pub fn get(&self, number: INodeNo) -> Result<Arc<OwnedFd>> {
        if number == INodeNo::ROOT {
            return Ok(self.root.clone());
        }
        let names = match &self.lock().get(&number.0).ok_or(Errno::STALE)?.held {
            Held::Directory(directory) => return Ok(directory.clone()),
            Held::File { names, open } => match open.last() {
                Some(open) => return Ok(open.clone()),
                None => names.clone(),
            },
        };
        self.find(number, names)
    }

    /// The file of that number, by one of these names: the newest are the likeliest.
    fn find(&self, number: INodeNo, names: Vec<Name>) -> Result<Arc<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let is_it = |file: &OwnedFd| {
            fstat(file).is_ok_and(|stat| stat.st_ino == number.0 && stat.st_dev == self.device)
        };
        let _still = self.moves.read().unwrap_or_else(PoisonError::into_inner);
        // Names that were given to it since the caller looked are seen now that nothing moves.
        let since = match self.lock().get(&number.0).map(|node| &node.held) {
            Some(Held::File { names, .. }) => names.clone(),
            _ => names,
        };
        for name in since.iter().rev() {
            let Ok(folder) = self.directory(name.folder) else { continue };
            match openat(&folder, &*name.name, flags, Mode::empty()) {
                Ok(file) if is_it(&file) => return Ok(Arc::new(file)),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::STALE)
    }

    fn directory(&self, number: INodeNo) -> Result<Arc<OwnedFd>> {
        if number == INodeNo::ROOT {
            return Ok(self.root.clone());
        }
        match self.lock().get(&number.0).map(|node| &node.held) {
            Some(Held::Directory(directory)) => Ok(directory.clone()),
            _ => Err(Errno::STALE),
        }
    }

    /// Finds the file of that name, and counts that the kernel is told of it.
    pub fn look_up(&self, number: INodeNo, folder: BorrowedFd<'_>, name: &OsStr) -> Result<Stat> {
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return self.add_file(stat, number, name);
        }
        if let Some(Node { held: Held::Directory(_), lookups }) = self.lock().get_mut(&stat.st_ino)
            && stat.st_dev == self.device
        {
            *lookups += 1;
            return Ok(stat);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(folder, name, flags, Mode::empty())?;
        let stat = fstat(&directory)?;
        self.add(stat, Held::Directory(Arc::new(directory)))
    }

    /// Counts that the kernel is told of a file that is no directory, and that has this name.
    pub fn add_file(&self, stat: Stat, folder: INodeNo, name: &OsStr) -> Result<Stat> {
        self.add(stat, Held::File { names: vec![Name { folder, name: name.into() }], open: Vec::new() })
    }

    fn add(&self, stat: Stat, found: Held) -> Result<Stat> {
        // Numbers are only good on one file system, and one of them is the root's.
        if stat.st_dev != self.device || stat.st_ino == INodeNo::ROOT.0 {
            return Err(Errno::XDEV);
        }
        let mut known = self.lock();
        let spare = match known.get_mut(&stat.st_ino) {
            Some(node) => {
                node.lookups += 1;
                node.held.take_in(found)
            }
            None => {
                known.insert(stat.st_ino, Node { held: found, lookups: 1 });
                None
            }
        };
        drop(known);
        // Closed when the lock is free again.
        drop(spare);
        Ok(stat)
    }

    /// Notes that this is open of a file: then it needs no name.
    pub fn opened(&self, number: INodeNo, file: &Arc<OwnedFd>) {
        if let Some(Node { held: Held::File { open, .. }, .. }) = self.lock().get_mut(&number.0) {
            open.push(file.clone());
        }
    }

    /// Notes that it is not any more.
    pub fn closed(&self, number: INodeNo, file: &Arc<OwnedFd>) {
        if let Some(Node { held: Held::File { open, .. }, .. }) = self.lock().get_mut(&number.0) {
            // The caller has it as well: nothing is closed in here.
            open.retain(|other| !Arc::ptr_eq(other, file));
        }
    }

    /// Moves a name below, and what is known of it.
    pub fn rename(&self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr), flags: RenameFlags) -> Result<()> {
        let (old, new) = (self.get(from.0)?, self.get(to.0)?);
        let _alone = self.moves.write().unwrap_or_else(PoisonError::into_inner);
        renameat_with(&old, from.1, &new, to.1, flags)?;
        self.moved(&old, from);
        self.moved(&new, to);
        Ok(())
    }

    /// Whatever has this name now, if anything has, is found under it.
    fn moved(&self, folder: &OwnedFd, (number, name): (INodeNo, &OsStr)) {
        let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        if let Some(Node { held: Held::File { names, .. }, .. }) = self.lock().get_mut(&stat.st_ino) {
            note(names, Name { folder: number, name: name.into() });
        }
    }

    /// Takes back that the kernel was told of it so many times.
    pub fn forget(&self, number: INodeNo, lookups: u64) {
        let mut known = self.lock();
        let forgotten = match known.get_mut(&number.0) {
            Some(node) if node.lookups > lookups => {
                node.lookups -= lookups;
                None
            }
            Some(_) => known.remove(&number.0),
            None => None,
        };
        drop(known);
        drop(forgotten);
    }

    /// No step under the lock leaves it half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Node>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// What is found once more; returns what is not needed.
    fn take_in(&mut self, found: Self) -> Option<Self> {
        match (&mut *self, found) {
            (Self::File { names, .. }, Self::File { names: more, .. }) => {
                more.into_iter().for_each(|name| note(names, name));
                None
            }
            (Self::Directory(_), found @ Self::Directory(_)) => Some(found),
            // The number was given away again before the kernel has said that it forgets the first one.
            (held, found) => Some(std::mem::replace(held, found)),
        }
    }
}

/// The newest comes last.
fn note(names: &mut Vec<Name>, name: Name) {
    names.retain(|other| *other != name);
    names.push(name);
}

impl AsFd for Nodes {
    /// The root.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::fs::CWD;

    use super::*;

    const ROOT: INodeNo = INodeNo::ROOT;

    fn nodes(folder: &Path) -> Nodes {
        Nodes::new(openat(CWD, folder, OFlags::PATH, Mode::empty()).unwrap()).unwrap()
    }

    fn look_up(nodes: &Nodes, name: &str) -> INodeNo {
        INodeNo(nodes.look_up(ROOT, nodes.as_fd(), name.as_ref()).unwrap().st_ino)
    }

    fn found(nodes: &Nodes, number: INodeNo) -> Result<bool> {
        Ok(fstat(nodes.get(number)?).unwrap().st_ino == number.0)
    }

    #[test]
    fn a_file_is_known_until_it_is_forgotten_as_often_as_it_was_told_of() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        let nodes = nodes(dir.path());
        for name in ["file", "dir"] {
            let number = look_up(&nodes, name);
            assert_eq!([look_up(&nodes, name), look_up(&nodes, name)], [number; 2]);
            nodes.forget(number, 1);
            assert_eq!(found(&nodes, number), Ok(true));
            nodes.forget(number, 2);
            assert_eq!(found(&nodes, number), Err(Errno::STALE));
            nodes.forget(number, 1);
        }
        assert_eq!(nodes.lock().len(), 0);
    }

    #[test]
    fn a_file_is_found_under_whatever_name_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        ["one", "two"].iter().for_each(|name| std::fs::write(path(name), name).unwrap());
        std::fs::create_dir(path("dir")).unwrap();
        let nodes = nodes(dir.path());
        let (one, two, folder) = (look_up(&nodes, "one"), look_up(&nodes, "two"), look_up(&nodes, "dir"));
        let rename = |from: (INodeNo, &str), to: (INodeNo, &str), flags| {
            nodes.rename((from.0, from.1.as_ref()), (to.0, to.1.as_ref()), flags).unwrap();
        };
        rename((ROOT, "one"), (folder, "moved"), RenameFlags::empty());
        rename((ROOT, "dir"), (ROOT, "elsewhere"), RenameFlags::empty());
        assert_eq!((found(&nodes, one), found(&nodes, folder)), (Ok(true), Ok(true)));
        rename((folder, "moved"), (ROOT, "two"), RenameFlags::EXCHANGE);
        assert_eq!((found(&nodes, one), found(&nodes, two)), (Ok(true), Ok(true)));
        // A second name, and the first one gone.
        std::fs::hard_link(path("two"), path("three")).unwrap();
        assert_eq!(look_up(&nodes, "three"), one);
        std::fs::remove_file(path("two")).unwrap();
        std::fs::write(path("two"), "another").unwrap();
        assert_eq!(found(&nodes, one), Ok(true));
        // No name is left, but it is open.
        let open = Arc::new(openat(CWD, path("three"), OFlags::RDONLY, Mode::empty()).unwrap());
        nodes.opened(one, &open);
        std::fs::remove_file(path("three")).unwrap();
        assert_eq!(found(&nodes, one), Ok(true));
        nodes.closed(one, &open);
        assert_eq!(found(&nodes, one), Err(Errno::STALE));
    }

    #[test]
    fn a_number_that_went_from_a_file_to_a_directory_is_the_directorys() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        let nodes = nodes(dir.path());
        let stat = statat(nodes.as_fd(), "dir", AtFlags::empty()).unwrap();
        nodes.add_file(stat, ROOT, "was here".as_ref()).unwrap();
        let number = look_up(&nodes, "dir");
        assert_eq!(found(&nodes, number), Ok(true));
        nodes.forget(number, 1);
        assert_eq!(found(&nodes, number), Ok(true));
        nodes.forget(number, 1);
        assert_eq!(nodes.lock().len(), 0);
    }

    #[test]
    fn a_file_of_another_file_system_is_not_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = nodes(dir.path());
        let elsewhere = openat(CWD, "/proc", OFlags::PATH, Mode::empty()).unwrap();
        for name in ["version", "self", "sys"] {
            let result = nodes.look_up(ROOT, elsewhere.as_fd(), name.as_ref());
            assert_eq!(result.unwrap_err(), Errno::XDEV, "{name}");
        }
    }
}
