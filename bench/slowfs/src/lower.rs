//! The folder below: what is done to it, by the numbers that the kernel has for its files.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use fuser::{FileHandle, INodeNo};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, StatVfs, Timespec, Timestamps, Uid};
use rustix::io::{Errno, Result};

use crate::attributes::decoded_device;
use crate::directory::Directory;
use crate::handles::Handles;
use crate::nodes::Nodes;

/// Of the flags of an open, those that mean something below. Where an append goes, the kernel says.
const OPEN_FLAGS: OFlags = OFlags::ACCMODE
    .union(OFlags::TRUNC)
    .union(OFlags::EXCL)
    .union(OFlags::NOATIME)
    .union(OFlags::SYNC)
    .union(OFlags::DSYNC);

/// As lseek(2) numbers them.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// It, and what is known and open of it.
#[derive(Debug)]
pub struct Lower {
    /// What the kernel knows.
    pub nodes: Nodes,
    /// Open files.
    pub files: Handles<OwnedFd>,
    /// Open directories.
    pub directories: Handles<Directory>,
}

/// New attributes; None leaves one as it is.
#[derive(Debug, Default)]
pub struct Change {
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub owner: Option<u32>,
    /// Group.
    pub group: Option<u32>,
    /// Size.
    pub size: Option<u64>,
    /// Times of access and of modification.
    pub times: Option<(Timespec, Timespec)>,
}

impl Lower {
    /// Of this folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(folder, flags, Mode::empty())?;
        Ok(Self { nodes: Nodes::new(root)?, files: Handles::default(), directories: Handles::default() })
    }

    /// The file of that name. It is to be forgotten as often as this finds it.
    pub fn look_up(&self, parent: INodeNo, name: &OsStr) -> Result<Stat> {
        self.nodes.look_up(parent, self.nodes.get(parent)?.as_fd(), name)
    }

    /// Attributes.
    pub fn stat(&self, number: INodeNo, open: Option<FileHandle>) -> Result<Stat> {
        rustix::fs::fstat(self.target(number, open)?)
    }

    /// Changes attributes, and what they are then. The owner goes first: it takes bits of the mode away.
    pub fn change(&self, number: INodeNo, open: Option<FileHandle>, change: &Change) -> Result<Stat> {
        let node = self.nodes.get(number)?;
        if change.owner.is_some() || change.group.is_some() {
            let (owner, group) = (change.owner.map(Uid::from_raw), change.group.map(Gid::from_raw));
            rustix::fs::chownat(&node, "", owner, group, AtFlags::EMPTY_PATH)?;
        }
        if let Some(mode) = change.mode {
            rustix::fs::chmod(itself(&node), Mode::from_raw_mode(mode))?;
        }
        if let Some(size) = change.size {
            match open.and_then(|handle| self.files.get(handle).ok()) {
                Some(file) => rustix::fs::ftruncate(&*file, size)?,
                None => rustix::fs::ftruncate(reopen(&node, OFlags::WRONLY)?, size)?,
            }
        }
        if let Some((last_access, last_modification)) = change.times {
            let times = Timestamps { last_access, last_modification };
            rustix::fs::utimensat(&node, "", &times, AtFlags::EMPTY_PATH)?;
        }
        self.stat(number, open)
    }

    /// Where a symbolic link points to.
    pub fn read_link(&self, number: INodeNo) -> Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&*self.nodes.get(number)?, "", Vec::new())?.into_bytes())
    }

    /// Makes a file that is no directory.
    pub fn make_node(&self, parent: INodeNo, name: &OsStr, mode: u32, device: u32) -> Result<Stat> {
        let folder = self.nodes.get(parent)?;
        let (kind, permissions) = (FileType::from_raw_mode(mode), Mode::from_raw_mode(mode));
        rustix::fs::mknodat(&folder, name, kind, permissions, decoded_device(device))?;
        self.nodes.look_up(parent, folder.as_fd(), name)
    }

    /// Makes a directory.
    pub fn make_directory(&self, parent: INodeNo, name: &OsStr, mode: u32) -> Result<Stat> {
        let folder = self.nodes.get(parent)?;
        rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(mode))?;
        self.nodes.look_up(parent, folder.as_fd(), name)
    }

    /// Makes a symbolic link.
    pub fn make_symlink(&self, parent: INodeNo, name: &OsStr, target: &Path) -> Result<Stat> {
        let folder = self.nodes.get(parent)?;
        rustix::fs::symlinkat(target, &folder, name)?;
        self.nodes.look_up(parent, folder.as_fd(), name)
    }

    /// Gives a file one more name.
    pub fn link(&self, number: INodeNo, parent: INodeNo, name: &OsStr) -> Result<Stat> {
        let (node, folder) = (self.nodes.get(number)?, self.nodes.get(parent)?);
        rustix::fs::linkat(&node, "", &folder, name, AtFlags::EMPTY_PATH)?;
        self.nodes.look_up(parent, folder.as_fd(), name)
    }

    /// Removes a name.
    pub fn remove(&self, parent: INodeNo, name: &OsStr, flags: AtFlags) -> Result<()> {
        rustix::fs::unlinkat(&*self.nodes.get(parent)?, name, flags)
    }

    /// Opens a file.
    pub fn open_file(&self, number: INodeNo, flags: i32) -> Result<FileHandle> {
        let flags = OFlags::from_bits_retain(flags.cast_unsigned()) & OPEN_FLAGS;
        let file = Arc::new(reopen(&*self.nodes.get(number)?, flags - OFlags::EXCL)?);
        self.nodes.opened(number, &file);
        Ok(self.files.add(file))
    }

    /// Makes a file, if it is not there, and opens it.
    pub fn create(&self, parent: INodeNo, name: &OsStr, mode: u32, flags: i32) -> Result<(Stat, FileHandle)> {
        let flags = OFlags::from_bits_retain(flags.cast_unsigned()) & OPEN_FLAGS;
        let flags = flags | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = self.nodes.get(parent)?;
        let file = Arc::new(rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode))?);
        let stat = self.nodes.add_file(rustix::fs::fstat(&*file)?, parent, name)?;
        self.nodes.opened(INodeNo(stat.st_ino), &file);
        Ok((stat, self.files.add(file)))
    }

    /// Closes a file.
    pub fn close_file(&self, number: INodeNo, handle: FileHandle) {
        if let Some(file) = self.files.close(handle) {
            self.nodes.closed(number, &file);
        }
    }

    /// Opens a directory.
    pub fn open_directory(&self, number: INodeNo) -> Result<FileHandle> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*self.nodes.get(number)?, ".", flags, Mode::empty())?;
        Ok(self.directories.add(Arc::new(Directory::new(file))))
    }

    /// How much room there is.
    pub fn room(&self, number: INodeNo) -> Result<StatVfs> {
        rustix::fs::fstatvfs(&*self.nodes.get(number)?)
    }

    /// What is open under that number, or else the node.
    fn target(&self, number: INodeNo, open: Option<FileHandle>) -> Result<Arc<OwnedFd>> {
        match open.and_then(|handle| self.files.get(handle).ok()) {
            Some(file) => Ok(file),
            None => self.nodes.get(number),
        }
    }
}

/// Reads at most so many bytes there; fewer only at the end.
pub fn read(file: &OwnedFd, offset: u64, size: usize) -> Result<Vec<u8>> {
    let mut content = Vec::with_capacity(size);
    while content.len() < size {
        let place = offset + content.len() as u64;
        if rustix::io::pread(file, rustix::buffer::spare_capacity(&mut content), place)? == 0 {
            break;
        }
    }
    content.truncate(size);
    Ok(content)
}

/// Writes all of it there.
pub fn write(file: &OwnedFd, offset: u64, content: &[u8]) -> Result<()> {
    let mut done = 0;
    while done < content.len() {
        done += rustix::io::pwrite(file, &content[done..], offset + done as u64)?;
    }
    Ok(())
}

/// Where the next data or the next hole begins. All other ways to seek the kernel knows by itself; and nobody reads or
/// writes where a descriptor stands.
pub fn seek(file: &OwnedFd, offset: i64, whence: i32) -> Result<u64> {
    let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
    let place = match whence {
        SEEK_DATA => SeekFrom::Data(offset),
        SEEK_HOLE => SeekFrom::Hole(offset),
        _ => return Err(Errno::INVAL),
    };
    rustix::fs::seek(file, place)
}

/// Opens anew what a descriptor stands for.
fn reopen(file: impl AsFd, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(itself(file), flags | OFlags::CLOEXEC, Mode::empty())
}

/// A path that leads to what a descriptor stands for.
fn itself(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}
