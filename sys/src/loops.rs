//! Loop devices: what stands behind one. sysfs has only a path, as the namespace of whoever made the loop device knows it.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::project::last_errno;

/// The kernel's `struct loop_info64`, of which only the third number is read here.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    /// The device that the file behind it is, in the kernel's own encoding; 0 for a regular file.
    of: u64,
    rest: [u64; 26],
}

const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;

/// Major and minor number of the block device that a loop device is another name of; none if a file stands behind it, or
/// nothing. Source: loop(4).
///
/// # Errors
/// `NOTTY` for what is no loop device.
#[allow(unsafe_code)]
pub fn device_behind(fd: BorrowedFd<'_>) -> Result<Option<(u32, u32)>, Errno> {
    let mut info = LoopInfo64 { device: 0, inode: 0, of: 0, rest: [0; 26] };
    // SAFETY: for this request the kernel writes a `struct loop_info64`, which is what it is given; the descriptor is open for
    // the length of the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), LOOP_GET_STATUS64, std::ptr::from_mut(&mut info)) };
    match result {
        0 => Ok((info.of != 0).then(|| decode(info.of))),
        _ => match last_errno() {
            // Nothing stands behind it.
            Errno::NXIO => Ok(None),
            errno => Err(errno),
        },
    }
}

/// As the kernel's `huge_encode_dev` packs them: 12 bits of the major number between the parts of the minor one.
fn decode(device: u64) -> (u32, u32) {
    let device = u32::try_from(device & 0xffff_ffff).unwrap_or(0);
    ((device & 0x000f_ff00) >> 8, (device & 0xff) | ((device >> 12) & 0x000f_ff00))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_structure_has_the_kernels_size_and_numbers_are_unpacked_as_it_packs_them() {
        assert_eq!(size_of::<LoopInfo64>(), 232);
        assert_eq!(std::mem::offset_of!(LoopInfo64, of), 16);
        assert_eq!(decode(0x6210), (0x62, 0x10));
        assert_eq!(decode(0x1234_5abc & 0xfff0_00ff | 0x0001_0300), (0x103, 0x123bc));
    }

    /// Given back when it is dropped.
    struct Loop(String);

    impl Loop {
        fn over(path: &str) -> Self {
            let output = Command::new("losetup").args(["--find", "--show", path]).output().unwrap();
            assert!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
            Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        }

        fn number(&self) -> (u32, u32) {
            let number = std::fs::metadata(&self.0).unwrap().rdev();
            (rustix::fs::major(number), rustix::fs::minor(number))
        }

        fn behind(&self) -> Option<(u32, u32)> {
            device_behind(std::fs::File::open(&self.0).unwrap().as_fd()).unwrap()
        }
    }

    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = Command::new("losetup").args(["--detach", &self.0]).status();
        }
    }

    #[test]
    fn a_loop_device_over_a_device_names_it_and_one_over_a_file_names_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let disk = Loop::over(file.path().to_str().unwrap());
        let other_name = Loop::over(&disk.0);
        assert_eq!(disk.behind(), None);
        assert_eq!(other_name.behind(), Some(disk.number()));
        assert_eq!(device_behind(file.as_fd()).err(), Some(Errno::NOTTY));
    }
}
