//! What the kernel asks, in the order in which FUSE lists it: counted, paused, handed to the folder below.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, FallocateFlags};

use crate::attributes::{told, wanted};
use crate::listing;
use crate::lower::{self, Change, Lower};
use crate::operation::Operation;
use crate::slowly::{SlowFilesystem, error};

/// How long the kernel believes names and attributes: as long as NFS does at least.
pub const BELIEVED: Duration = Duration::from_secs(3);
/// The most that is written at once.
const MAX_WRITE: u32 = 1 << 20;
/// How many reads ahead the kernel has on the way at the same time.
const MAX_BACKGROUND: u16 = 256;
/// A number is given to another file only once the first one is removed, which the kernel does by itself.
pub const GENERATION: Generation = Generation(0);

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
        let name = name.to_owned();
        self.entry(Operation::Lookup, reply, move |lower| lower.look_up(parent, &name));
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.pace.count(Operation::Forget);
        self.lower.nodes.forget(number, lookups);
    }

    fn getattr(&self, _request: &Request, number: INodeNo, open: Option<FileHandle>, reply: ReplyAttr) {
        self.attributes(Operation::GetAttr, reply, move |lower| lower.stat(number, open));
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
        self.attributes(Operation::SetAttr, reply, move |lower| lower.change(number, open, &change));
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        let read = move |lower: &Lower| lower.read_link(number);
        self.take(Operation::ReadLink, read, |read| match read {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        });
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
        let name = name.to_owned();
        self.entry(Operation::MkNod, reply, move |lower| lower.make_node(parent, &name, mode, device));
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
        let name = name.to_owned();
        self.entry(Operation::MkDir, reply, move |lower| lower.make_directory(parent, &name, mode));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.empty(Operation::Unlink, reply, move |lower| lower.remove(parent, &name, AtFlags::empty()));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.empty(Operation::RmDir, reply, move |lower| lower.remove(parent, &name, AtFlags::REMOVEDIR));
    }

    fn symlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (name, target) = (name.to_owned(), target.to_owned());
        self.entry(Operation::Symlink, reply, move |lower| lower.make_symlink(parent, &name, &target));
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
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        self.empty(Operation::Rename, reply, move |lower| {
            lower.nodes.rename((parent, &name), (new_parent, &new_name), flags)
        });
    }

    fn link(&self, _request: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.entry(Operation::Link, reply, move |lower| lower.link(number, parent, &name));
    }

    fn open(&self, _request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.opened(Operation::Open, reply, move |lower| lower.open_file(number, flags.0));
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
        let read = move |lower: &Lower| lower::read(&*lower.files.get(handle)?, offset, size as usize);
        self.take(Operation::Read, read, |read| match read {
            Ok(content) => reply.data(&content),
            Err(error) => reply.error(error),
        });
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
        let (content, written) = (content.to_owned(), content.len() as u32);
        let write = move |lower: &Lower| lower::write(&*lower.files.get(handle)?, offset, &content);
        self.take(Operation::Write, write, move |done| match done {
            Ok(()) => reply.written(written),
            Err(error) => reply.error(error),
        });
    }

    fn flush(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::Flush, reply, |_| Ok(()));
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
        self.empty(Operation::Release, reply, move |lower| {
            lower.close_file(number, handle);
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
        self.empty(Operation::Fsync, reply, move |lower| {
            let file = lower.files.get(handle)?;
            if only_data { rustix::fs::fdatasync(&*file) } else { rustix::fs::fsync(&*file) }
        });
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.opened(Operation::OpenDir, reply, move |lower| lower.open_directory(number));
    }

    fn readdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.slowly(Operation::ReadDir, move |lower| {
            match listing::fill(lower, handle, offset, &mut reply) {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(error(errno)),
            }
        });
    }

    fn readdirplus(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.slowly(Operation::ReadDirPlus, move |lower| {
            match listing::fill_plus(lower, (number, handle), offset, &mut reply) {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(error(errno)),
            }
        });
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.empty(Operation::ReleaseDir, reply, move |lower| {
            drop(lower.directories.close(handle));
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
        self.empty(Operation::FsyncDir, reply, move |lower| {
            rustix::fs::fsync(&*lower.directories.get(handle)?)
        });
    }

    fn statfs(&self, _request: &Request, number: INodeNo, reply: ReplyStatfs) {
        let room = move |lower: &Lower| lower.room(number);
        self.take(Operation::StatFs, room, |room| match room {
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
        });
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
        self.empty(Operation::Xattr, reply, |_| Err(rustix::io::Errno::NOSYS));
    }

    fn getxattr(&self, _request: &Request, _number: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        self.slowly(Operation::Xattr, |_| reply.error(Errno::ENOSYS));
    }

    fn listxattr(&self, _request: &Request, _number: INodeNo, _size: u32, reply: ReplyXattr) {
        self.slowly(Operation::Xattr, |_| reply.error(Errno::ENOSYS));
    }

    fn removexattr(&self, _request: &Request, _number: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        self.empty(Operation::Xattr, reply, |_| Err(rustix::io::Errno::NOSYS));
    }

    fn access(&self, _request: &Request, _number: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // Only root is let in, who may everything.
        self.empty(Operation::Access, reply, |_| Err(rustix::io::Errno::NOSYS));
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
        let name = name.to_owned();
        let create = move |lower: &Lower| lower.create(parent, &name, mode, flags);
        self.take(Operation::Create, create, |created| match created {
            Ok((stat, handle)) => {
                reply.created(&BELIEVED, &told(&stat), GENERATION, handle, FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        });
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
        self.slowly(Operation::Ioctl, |_| reply.error(Errno::ENOSYS));
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
        self.empty(Operation::Fallocate, reply, move |lower| {
            rustix::fs::fallocate(&*lower.files.get(handle)?, flags, offset, length)
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
        let seek = move |lower: &Lower| lower::seek(&*lower.files.get(handle)?, offset, whence);
        self.take(Operation::Lseek, seek, |found| match found {
            Ok(place) => reply.offset(place.cast_signed()),
            Err(error) => reply.error(error),
        });
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
        let copy = move |lower: &Lower| {
            let (from, to) = (lower.files.get(from)?, lower.files.get(to)?);
            rustix::fs::copy_file_range(&*from, Some(&mut from_offset), &*to, Some(&mut to_offset), length)
        };
        self.take(Operation::CopyFileRange, copy, |copied| match copied {
            Ok(copied) => reply.written(copied as u32),
            Err(error) => reply.error(error),
        });
    }
}
