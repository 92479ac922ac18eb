//! A new file system by fsopen, fsconfig and fsmount: options go in one by one, and the kernel's own sentences come out
//! when it refuses one.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use crate::SysError;

/// What the mount is allowed to be, beside nosuid and nodev, which every mount of ours is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Files can be written and executed.
    Full,
    /// Files can be written and not executed, and each reading of one is noted (strictatime): for what throws the longest
    /// unread away first.
    NotedNoExec,
    /// Nothing can be written or executed.
    ReadOnlyNoExec,
}

/// A file system that is being configured.
pub struct Context(OwnedFd);

impl Context {
    /// Begins one of the given type ("nfs", "tmpfs").
    ///
    /// # Errors
    /// `NODEV` where this kernel has no such file system.
    pub fn open(kind: &str) -> Result<Self, SysError> {
        fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
            .map(Self)
            .map_err(SysError::at("open a file system context"))
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// With the kernel's sentence about it.
    pub fn set(&self, key: &str, value: &str) -> Result<(), SysError> {
        fsconfig_set_string(self.0.as_fd(), key, value)
            .map_err(|errno| self.refused("set a mount option", errno))
    }

    /// Sets the flag `key`.
    ///
    /// # Errors
    /// With the kernel's sentence about it.
    pub fn set_flag(&self, key: &str) -> Result<(), SysError> {
        fsconfig_set_flag(self.0.as_fd(), key).map_err(|errno| self.refused("set a mount option", errno))
    }

    /// Makes the superblock, which may speak to a server and wait for it, and gives back a mount of it that is attached
    /// nowhere: private, nosuid, nodev.
    ///
    /// # Errors
    /// With the kernel's sentences.
    pub fn mount(self, access: Access) -> Result<OwnedFd, SysError> {
        fsconfig_create(self.0.as_fd()).map_err(|errno| self.refused("mount", errno))?;
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        attributes |= match access {
            Access::Full => MountAttrFlags::empty(),
            Access::NotedNoExec => MountAttrFlags::MOUNT_ATTR_STRICTATIME | MountAttrFlags::MOUNT_ATTR_NOEXEC,
            Access::ReadOnlyNoExec => MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        };
        fsmount(self.0.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| self.refused("make a mount of the file system", errno))
    }

    fn refused(&self, step: &'static str, errno: Errno) -> SysError {
        SysError { step, kernel: self.messages(), errno }
    }

    /// Reads the context's log until it is empty: lines like `e NFS: ...`, of which the letter (e, w or i) is left out.
    fn messages(&self) -> String {
        let mut lines = Vec::new();
        let mut buffer = [0u8; 4096];
        while let Ok(length @ 1..) = rustix::io::read(&self.0, &mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let text = text.trim();
            lines.push(text.get(2..).unwrap_or(text).to_string());
        }
        lines.join("; ")
    }
}

/// An empty read-only tmpfs that is attached nowhere: what hides a folder.
///
/// # Errors
/// Only where mounting is not permitted.
pub fn empty_tmpfs() -> Result<OwnedFd, SysError> {
    let context = Context::open("tmpfs")?;
    context.set("source", "workspacefs-hidden")?;
    context.set("size", "4096")?;
    context.set("nr_inodes", "1")?;
    context.set("mode", "0555")?;
    context.mount(Access::ReadOnlyNoExec)
}
