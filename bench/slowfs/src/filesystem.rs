//! What the kernel asks, in the order in which FUSE lists it: counted, paused, handed to the folder below.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, FallocateFlags, Stat};
use rustix::io::Result;

use crate::attributes::{told, wanted};
use crate::listing;
use crate::lower::{self, Change, Lower};
use crate::operation::Operation;
use crate::pace::Pace;

/// How long the kernel believes names and attributes: as long as NFS does at least.
pub const BELIEVED: Duration = Duration::from_secs(3);
/// The most that is written at once.
const MAX_WRITE: u32 = 1 << 20;
/// How many reads ahead the kernel has on the way at the same time.
const MAX_BACKGROUND: u16 = 256;
/// A number is given to another file only once the first one is removed, which the kernel does by itself.
pub const GENERATION: Generation = Generation(0);

/// The file system.
#[derive(Debug)]
pub struct SlowFilesystem {
    /// What is below.
    pub lower: Lower,
    /// Pause and count.
    pub pace: Arc<Pace>,
    /// Whether attributes come with the listing.
    pub plus: bool,
}

impl SlowFilesystem {
    fn take<T>(
        &self,
        operation: Operation,
        action: impl FnOnce() -> Result<T>,
    ) -> std::result::Result<T, Errno> {
        self.pace.take(operation);
        action().map_err(|errno| Errno::from_i32(errno.raw_os_error()))
    }

    fn entry(&self, operation: Operation, reply: ReplyEntry, action: impl FnOnce() -> Result<Stat>) {
        match self.take(operation, action) {
            Ok(stat) => reply.entry(&BELIEVED, &told(&stat), GENERATION),
            Err(error) => reply.error(error),
        }
    }

    fn attributes(&self, operation: Operation, reply: ReplyAttr, action: impl FnOnce() -> Result<Stat>) {
        match self.take(operation, action) {
            Ok(stat) => reply.attr(&BELIEVED, &told(&stat)),
            Err(error) => reply.error(error),
        }
    }

    fn empty(&self, operation: Operation, reply: ReplyEmpty, action: impl FnOnce() -> Result<()>) {
        match self.take(operation, action) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn opened(&self, operation: Operation, reply: ReplyOpen, action: impl FnOnce() -> Result<FileHandle>) {
        match self.take(operation, action) {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }
}

impl Filesystem for SlowFilesystem {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted =
            InitFlags::FUSE_PARALLEL_DIROPS | InitFlags::FUSE_ASYNC_READ | InitFlags::FUSE_ATOMIC_O_TRUNC;
        if self.plus {
            // Without AUTO: always.
            wanted |= InitFlags::FUSE_DO_READDIRPLUS;
        }
        let missing = |flags| io::Error::other(format!("this kernel's FUSE lacks {flags:?}"));
        config.add_capabilities(wanted).map_err(missing)?;
        let nearest = |value| io::Error::other(format!("a limit of this kernel's FUSE: {value}"));
        config.set_max_write(MAX_WRITE).map_err(nearest)?;
        config.set_max_background(MAX_BACKGROUND).map_err(|value| nearest(value.into()))?;
        config.set_congestion_threshold(MAX_BACKGROUND).map_err(|value| nearest(value.into()))?;
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(Operation::Lookup, reply, || self.lower.look_up(parent, name));
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.pace.take(Operation::Forget);
        self.lower.nodes.forget(number, lookups);
    }

    fn getattr(&self, _request: &Request, number: INodeNo, open: Option<FileHandle>, reply: ReplyAttr) {
        self.attributes(Operation::GetAttr, reply, || self.lower.stat(number, open));
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        owner: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        open: Option<FileHandle>,
        _created: Option<SystemTime>,
        _changed_on_macos: Option<SystemTime>,
        _backed_up: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let is_timed = accessed.is_some() || modified.is_some();
        let times = is_timed.then(|| (wanted(accessed), wanted(modified)));
        let change = Change { mode, owner, group, size, times };
        self.attributes(Operation::SetAttr, reply, || self.lower.change(number, open, &change));
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        match self.take(Operation::ReadLink, || self.lower.read_link(number)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        self.entry(Operation::MkNod, reply, || self.lower.make_node(parent, name, mode, device));
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        self.entry(Operation::MkDir, reply, || self.lower.make_directory(parent, name, mode));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Operation::Unlink, reply, || self.lower.remove(parent, name, AtFlags::empty()));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Operation::RmDir, reply, || self.lower.remove(parent, name, AtFlags::REMOVEDIR));
    }

    fn symlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.entry(Operation::Symlink, reply, || self.lower.make_symlink(parent, name, target));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
        self.empty(Operation::Rename, reply, || {
            self.lower.nodes.rename((parent, name), (new_parent, new_name), flags)
        });
    }

    fn link(&self, _request: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(Operation::Link, reply, || self.lower.link(number, parent, name));
    }

    fn open(&self, _request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.opened(Operation::Open, reply, || self.lower.open_file(number, flags.0));
    }

    fn read(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = || lower::read(&*self.lower.files.get(handle)?, offset, size as usize);
        match self.take(Operation::Read, read) {
            Ok(content) => reply.data(&content),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        content: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let write = || lower::write(&*self.lower.files.get(handle)?, offset, content);
        match self.take(Operation::Write, write) {
            Ok(()) => reply.written(content.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::Flush, reply, || Ok(()));
    }

    fn release(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::Release, reply, || {
            self.lower.close_file(number, handle);
            Ok(())
        });
    }

    fn fsync(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        only_data: bool,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::Fsync, reply, || {
            let file = self.lower.files.get(handle)?;
            if only_data { rustix::fs::fdatasync(&*file) } else { rustix::fs::fsync(&*file) }
        });
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.opened(Operation::OpenDir, reply, || self.lower.open_directory(number));
    }

    fn readdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.take(Operation::ReadDir, || listing::fill(&self.lower, handle, offset, &mut reply)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        match self.take(Operation::ReadDirPlus, || {
            listing::fill_plus(&self.lower, (number, handle), offset, &mut reply)
        }) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::ReleaseDir, reply, || {
            drop(self.lower.directories.close(handle));
            Ok(())
        });
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _only_data: bool,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::FsyncDir, reply, || rustix::fs::fsync(&*self.lower.directories.get(handle)?));
    }

    fn statfs(&self, _request: &Request, number: INodeNo, reply: ReplyStatfs) {
        match self.take(Operation::StatFs, || self.lower.room(number)) {
            Ok(room) => reply.statfs(
                room.f_blocks,
                room.f_bfree,
                room.f_bavail,
                room.f_files,
                room.f_ffree,
                room.f_bsize as u32,
                room.f_namemax as u32,
                room.f_frsize as u32,
            ),
            Err(error) => reply.error(error),
        }
    }

    // What is not known is answered once: then the kernel asks no more.

    fn setxattr(
        &self,
        _request: &Request,
        _number: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::Xattr, reply, || Err(rustix::io::Errno::NOSYS));
    }

    fn getxattr(&self, _request: &Request, _number: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        self.pace.take(Operation::Xattr);
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _request: &Request, _number: INodeNo, _size: u32, reply: ReplyXattr) {
        self.pace.take(Operation::Xattr);
        reply.error(Errno::ENOSYS);
    }

    fn removexattr(&self, _request: &Request, _number: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        self.empty(Operation::Xattr, reply, || Err(rustix::io::Errno::NOSYS));
    }

    fn access(&self, _request: &Request, _number: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // Only root is let in, who may everything.
        self.empty(Operation::Access, reply, || Err(rustix::io::Errno::NOSYS));
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        match self.take(Operation::Create, || self.lower.create(parent, name, mode, flags)) {
            Ok((stat, handle)) => {
                reply.created(&BELIEVED, &told(&stat), GENERATION, handle, FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn ioctl(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _data: &[u8],
        _size: u32,
        reply: ReplyIoctl,
    ) {
        self.pace.take(Operation::Ioctl);
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let flags = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        self.empty(Operation::Fallocate, reply, || {
            rustix::fs::fallocate(&*self.lower.files.get(handle)?, flags, offset, length)
        });
    }

    fn lseek(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let seek = || lower::seek(&*self.lower.files.get(handle)?, offset, whence);
        match self.take(Operation::Lseek, seek) {
            Ok(place) => reply.offset(place.cast_signed()),
            Err(error) => reply.error(error),
        }
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _from_number: INodeNo,
        from: FileHandle,
        mut from_offset: u64,
        _to_number: INodeNo,
        to: FileHandle,
        mut to_offset: u64,
        length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The answer has 32 bits.
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(1 << 30);
        let copy = || {
            let (from, to) = (self.lower.files.get(from)?, self.lower.files.get(to)?);
            rustix::fs::copy_file_range(&*from, Some(&mut from_offset), &*to, Some(&mut to_offset), length)
        };
        match self.take(Operation::CopyFileRange, copy) {
            Ok(copied) => reply.written(copied as u32),
            Err(error) => reply.error(error),
        }
    }
}
