//! Project ids of XFS and ext4: the number in an inode under which its blocks and itself are counted, and the flag that
//! hands a folder's number down to whatever is made in it.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// The kernel's `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

const FS_IOC_FSGETXATTR: libc::Ioctl = 0x801c_581f_u32 as libc::Ioctl;
const FS_IOC_FSSETXATTR: libc::Ioctl = 0x401c_5820_u32 as libc::Ioctl;
/// FS_XFLAG_PROJINHERIT.
const INHERIT: u32 = 0x200;

/// Under which project a file or folder is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Project {
    /// 0 for none.
    pub id: u32,
    /// Of a folder: what is made in it gets the same id, and only what has it can be moved into it.
    pub inherited: bool,
}

/// Reads it of an open file or folder (not O_PATH).
///
/// # Errors
/// `NOTTY` or `OPNOTSUPP` where the file system knows no projects.
pub fn get(fd: BorrowedFd<'_>) -> Result<Project, Errno> {
    let attributes = read(fd)?;
    Ok(Project { id: attributes.projid, inherited: attributes.xflags & INHERIT != 0 })
}

/// Sets it; everything else about the file stays.
///
/// # Errors
/// As [`get`], and `PERM` inside a user namespace.
pub fn set(fd: BorrowedFd<'_>, project: Project) -> Result<(), Errno> {
    let mut attributes = read(fd)?;
    attributes.projid = project.id;
    attributes.xflags =
        if project.inherited { attributes.xflags | INHERIT } else { attributes.xflags & !INHERIT };
    write(fd, &attributes)
}

#[allow(unsafe_code)]
fn read(fd: BorrowedFd<'_>) -> Result<FsXattr, Errno> {
    let mut attributes = FsXattr::default();
    // SAFETY: the request's number says that the kernel writes a `struct fsxattr`, which is what it is given; the
    // descriptor is open for the length of the call.
    let result =
        unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_FSGETXATTR, std::ptr::from_mut(&mut attributes)) };
    if result == 0 { Ok(attributes) } else { Err(last_errno()) }
}

#[allow(unsafe_code)]
fn write(fd: BorrowedFd<'_>, attributes: &FsXattr) -> Result<(), Errno> {
    // SAFETY: the request's number says that the kernel reads a `struct fsxattr`, which is what it is given, and does
    // not keep it; the descriptor is open for the length of the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_FSSETXATTR, std::ptr::from_ref(attributes)) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// What the last failed call of this thread said.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_structure_has_the_kernels_layout() {
        assert_eq!(size_of::<FsXattr>(), 28);
        assert_eq!(std::mem::offset_of!(FsXattr, projid), 12);
        // The numbers of the requests carry the size in bits 16 to 29.
        assert_eq!((FS_IOC_FSGETXATTR as u32) >> 16 & 0x3fff, 28);
        assert_eq!((FS_IOC_FSSETXATTR as u32) >> 16 & 0x3fff, 28);
    }

    #[test]
    fn where_there_are_no_projects_it_is_said() {
        let null = std::fs::File::open("/proc/self/status").unwrap();
        assert!(matches!(get(null.as_fd()), Err(Errno::NOTTY | Errno::OPNOTSUPP)));
    }
}
