//! Loop devices: what stands behind one (sysfs has only a path, as the namespace of whoever made the loop device knows it), and
//! files made into devices.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::inspect;
use crate::project::last_errno;

/// The kernel's `struct loop_info64`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    /// The device that the file behind it is, in the kernel's own encoding; 0 for a regular file.
    of: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    /// File name, name of the encryption, its key, and two numbers.
    rest: [u64; 22],
}

impl LoopInfo64 {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        of: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        rest: [0; 22],
    };

    /// Which file stands behind it.
    fn file(&self) -> inspect::Identity {
        let (major, minor) = decode(self.device);
        (rustix::fs::makedev(major, minor), self.inode)
    }
}

/// The kernel's `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
/// It is given back when nobody has it open any more, be that by a mount or a process.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// What is read through it lies in memory once, not once more as the file's own content. The kernel goes on without where the
/// file cannot be read so.
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// Others take loop devices, too: one that was free a moment ago may not be any more.
const TRIES_MAX: usize = 16;

/// A file as a block device, until it is unmounted and this is dropped.
#[derive(Debug)]
pub struct LoopDevice {
    _fd: OwnedFd,
    path: PathBuf,
}

impl LoopDevice {
    /// Its node.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a loop device of a file, whose descriptor can be written to. `dev` is where devices' nodes are: `/dev`. Source:
/// loop(4), LOOP_CONFIGURE (Linux 5.8).
///
/// # Errors
/// `NOENT` or `NODEV` where this kernel has no loop devices, `BUSY` where others are always quicker.
#[allow(unsafe_code)]
pub fn attach(file: BorrowedFd<'_>, dev: &Path) -> Result<LoopDevice, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control = open(dev.join("loop-control"), flags, Mode::empty())?;
    let info = LoopInfo64 { flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, ..LoopInfo64::EMPTY };
    let fd = u32::try_from(file.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let config = LoopConfig { fd, block_size: 0, info, reserved: [0; 8] };
    for _ in 0..TRIES_MAX {
        // SAFETY: this request takes no argument; the descriptor is open for the length of the call.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(last_errno());
        }
        let path = dev.join(format!("loop{number}"));
        let device = open(&path, flags, Mode::empty())?;
        // SAFETY: for this request the kernel reads a `struct loop_config`, which is what it is given and which it does not
        // keep; both descriptors are open for the length of the call.
        let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, std::ptr::from_ref(&config)) };
        match result {
            0 => return Ok(LoopDevice { _fd: device, path }),
            _ => match last_errno() {
                Errno::BUSY => {}
                errno => return Err(errno),
            },
        }
    }
    Err(Errno::BUSY)
}

/// The loop device that a file is already, whoever made it and wherever it is mounted; it stays one while this is held. None if it
/// is none.
///
/// # Errors
/// The file, or a system without sysfs.
pub fn attached(file: BorrowedFd<'_>, dev: &Path) -> Result<Option<LoopDevice>, Errno> {
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let wanted = inspect::identity(file)?;
    for block in std::fs::read_dir("/sys/block").map_err(failed)? {
        let block = block.map_err(failed)?;
        // Only loop devices have it, while a file stands behind them.
        if !block.path().join("loop/backing_file").exists() {
            continue;
        }
        let path = dev.join(block.file_name());
        // One that cannot be opened has gone meanwhile.
        let Ok(fd) = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { continue };
        if status(fd.as_fd()).is_ok_and(|info| info.is_some_and(|info| info.file() == wanted)) {
            return Ok(Some(LoopDevice { _fd: fd, path }));
        }
    }
    Ok(None)
}

/// Major and minor number of the block device that a loop device is another name of; none if a file stands behind it, or
/// nothing. Source: loop(4).
///
/// # Errors
/// `NOTTY` for what is no loop device.
pub fn device_behind(fd: BorrowedFd<'_>) -> Result<Option<(u32, u32)>, Errno> {
    Ok(status(fd)?.filter(|info| info.of != 0).map(|info| decode(info.of)))
}

/// None if nothing stands behind it.
#[allow(unsafe_code)]
fn status(fd: BorrowedFd<'_>) -> Result<Option<LoopInfo64>, Errno> {
    let mut info = LoopInfo64::EMPTY;
    // SAFETY: for this request the kernel writes a `struct loop_info64`, which is what it is given; the descriptor is open for
    // the length of the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), LOOP_GET_STATUS64, std::ptr::from_mut(&mut info)) };
    match result {
        0 => Ok(Some(info)),
        _ => match last_errno() {
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
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_structure_has_the_kernels_size_and_numbers_are_unpacked_as_it_packs_them() {
        assert_eq!(size_of::<LoopInfo64>(), 232);
        assert_eq!(std::mem::offset_of!(LoopInfo64, of), 16);
        assert_eq!(std::mem::offset_of!(LoopInfo64, flags), 52);
        assert_eq!((size_of::<LoopConfig>(), std::mem::offset_of!(LoopConfig, info)), (304, 8));
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
    fn a_file_is_a_device_of_its_size_until_nobody_has_it() {
        use std::io::{Read, Write};
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        file.as_file().write_all(b"what the file has").unwrap();
        let device = attach(file.as_fd(), Path::new("/dev")).unwrap();
        let path = device.path().to_owned();
        let mut first = [0; 17];
        std::fs::File::open(&path).unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"what the file has");
        let sectors = || {
            let name = path.file_name().unwrap().to_str().unwrap();
            std::fs::read_to_string(format!("/sys/block/{name}/size")).unwrap().trim().parse::<u64>().unwrap()
        };
        assert_eq!(sectors(), (1 << 20) / 512);
        let is_free = || {
            std::fs::File::open(&path).unwrap().as_fd().try_clone_to_owned().is_ok_and(|fd| {
                let mut info = LoopInfo64::EMPTY;
                #[allow(unsafe_code)]
                // SAFETY: as in `status`.
                let result =
                    unsafe { libc::ioctl(fd.as_raw_fd(), LOOP_GET_STATUS64, std::ptr::from_mut(&mut info)) };
                result != 0 && last_errno() == Errno::NXIO
            })
        };
        assert!(!is_free());
        drop(device);
        let started = std::time::Instant::now();
        // The kernel does it a moment later.
        while !is_free() && started.elapsed() < std::time::Duration::from_secs(5) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(is_free());
    }

    #[test]
    fn a_file_is_found_by_the_device_that_it_is_while_anybody_holds_that() {
        let dev = Path::new("/dev");
        let [file, other] = [(), ()].map(|()| {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(1 << 20).unwrap();
            file
        });
        assert!(attached(file.as_fd(), dev).unwrap().is_none());
        let device = attach(file.as_fd(), dev).unwrap();
        let found = attached(file.as_fd(), dev).unwrap().unwrap();
        assert_eq!(found.path(), device.path());
        drop(device);
        assert_eq!(attached(file.as_fd(), dev).unwrap().unwrap().path(), found.path());
        assert!(attached(other.as_fd(), dev).unwrap().is_none());
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
