//! The files that the kernel knows, by their inode numbers. Each is held by a descriptor without rights, so that it is found
//! under whatever name, and its number given to no other file, until the kernel forgets it.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::INodeNo;
use rustix::fs::{Stat, fstat};
use rustix::io::{Errno, Result};

/// All of them.
#[derive(Debug)]
pub struct Nodes {
    root: Arc<OwnedFd>,
    device: u64,
    known: Mutex<HashMap<u64, Node>>,
}

#[derive(Debug)]
struct Node {
    file: Arc<OwnedFd>,
    /// How often the kernel was told of it; it forgets it as often.
    lookups: u64,
}

impl Nodes {
    /// With this directory as the root.
    pub fn new(root: OwnedFd) -> Result<Self> {
        let device = fstat(&root)?.st_dev;
        Ok(Self { root: Arc::new(root), device, known: Mutex::default() })
    }

    /// The file of that number.
    pub fn get(&self, number: INodeNo) -> Result<Arc<OwnedFd>> {
        if number == INodeNo::ROOT {
            return Ok(self.root.clone());
        }
        let known = self.lock();
        known.get(&number.0).map(|node| node.file.clone()).ok_or(Errno::STALE)
    }

    /// Counts that the kernel is told of this file, which was opened by O_PATH.
    pub fn add(&self, file: OwnedFd) -> Result<Stat> {
        let stat = fstat(file.as_fd())?;
        // Numbers are only good on one file system, and one of them is the root's.
        if stat.st_dev != self.device || stat.st_ino == INodeNo::ROOT.0 {
            return Err(Errno::XDEV);
        }
        let mut known = self.lock();
        // That of the first time stays; closing the other one waits for the lock's end.
        let node = known.entry(stat.st_ino);
        let spare = match node {
            std::collections::hash_map::Entry::Occupied(mut node) => {
                node.get_mut().lookups += 1;
                Some(file)
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Node { file: Arc::new(file), lookups: 1 });
                None
            }
        };
        drop(known);
        drop(spare);
        Ok(stat)
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

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, OFlags, openat};

    use super::*;

    #[test]
    fn a_file_is_known_until_it_is_forgotten_as_often_as_it_was_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| openat(CWD, dir.path().join(name), OFlags::PATH, Mode::empty()).unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let nodes = Nodes::new(open("")).unwrap();
        let stat = nodes.add(open("file")).unwrap();
        let number = INodeNo(stat.st_ino);
        nodes.add(open("file")).unwrap();
        nodes.add(open("file")).unwrap();

        nodes.forget(number, 1);
        std::fs::rename(dir.path().join("file"), dir.path().join("elsewhere")).unwrap();
        assert_eq!(fstat(nodes.get(number).unwrap()).unwrap().st_ino, stat.st_ino);
        nodes.forget(number, 2);
        assert_eq!(nodes.get(number).unwrap_err(), Errno::STALE);
        assert_eq!(nodes.lock().len(), 0);
        nodes.forget(number, 1);
    }

    #[test]
    fn a_file_of_another_file_system_is_not_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &std::path::Path| openat(CWD, path, OFlags::PATH, Mode::empty()).unwrap();
        let nodes = Nodes::new(open(dir.path())).unwrap();
        assert_eq!(nodes.add(open("/proc/version".as_ref())).unwrap_err(), Errno::XDEV);
    }
}
