//! mount_setattr(2), Linux 5.12: the one call that neither rustix nor nix has. It changes a whole detached tree before
//! anybody can see it.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// The kernel's `struct mount_attr`, first version (MOUNT_ATTR_SIZE_VER0).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_SIZE_VER0: usize = 32;
const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;

/// Makes the mount that `tree` is the root of private, nosuid and nodev, and read-only where asked. Mounts nested in it
/// are left alone.
///
/// # Errors
/// The kernel's number; `NOSYS` before Linux 5.12.
pub fn seal(tree: BorrowedFd<'_>, read_only: bool) -> Result<(), Errno> {
    let attr = MountAttr {
        attr_set: NOSUID | NODEV | if read_only { RDONLY } else { 0 },
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    mount_setattr(tree, &attr)
}

/// Makes the mount what [`seal`] starts from: private, so that what is mounted inside it is copied nowhere, and neither
/// nosuid nor nodev nor read-only.
///
/// # Errors
/// As [`seal`].
pub fn unseal(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    let attr = MountAttr {
        attr_clr: NOSUID | NODEV | RDONLY,
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    mount_setattr(tree, &attr)
}

/// Takes the mount out of every peer group.
///
/// # Errors
/// As [`seal`].
pub fn make_private(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    let attr = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    mount_setattr(tree, &attr)
}

#[allow(unsafe_code)]
fn mount_setattr(tree: BorrowedFd<'_>, attr: &MountAttr) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the length of the call, the path is a NUL-terminated constant, and the kernel
    // reads exactly MOUNT_ATTR_SIZE_VER0 bytes of a structure of that size, which it does not keep.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attr),
            MOUNT_ATTR_SIZE_VER0,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_has_the_kernels_layout() {
        assert_eq!(size_of::<MountAttr>(), MOUNT_ATTR_SIZE_VER0);
        assert_eq!(std::mem::offset_of!(MountAttr, attr_clr), 8);
        assert_eq!(std::mem::offset_of!(MountAttr, propagation), 16);
        assert_eq!(std::mem::offset_of!(MountAttr, userns_fd), 24);
        assert_eq!(libc::SYS_mount_setattr, 442);
    }
}
