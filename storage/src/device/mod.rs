//! A block device as storage: looked at, formatted if it is blank, mounted, grown.

pub mod content;
pub mod program;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use workspacefs_sys::filesystem::{Access, Context};
use workspacefs_sys::tree::MountApi;
use workspacefs_sys::{Errno, SysError, inspect, unmount};

use content::{BLANK_BYTES, Content, LABEL, Refusal, Verdict, judge, parse_blkid};
use program::ProgramError;

/// `blkid -p` found nothing.
const BLKID_NOTHING: i32 = 2;
/// It found more than one thing.
const BLKID_AMBIVALENT: i32 = 8;
const HEAD_BYTES: usize = 512;
/// What mkfs.xfs of 2023 and later insists on.
const DEVICE_BYTES_MIN: u64 = 300 << 20;

/// A device cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DeviceError {
    #[error("it cannot be {0}")]
    Io(&'static str, #[source] std::io::Error),
    #[error("it is not a block device")]
    NotADevice,
    #[error("it has {0} bytes; XFS needs at least {DEVICE_BYTES_MIN}")]
    Small(u64),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("the folder {} cannot be mounted on", path.display())]
    MountPoint {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("something else is mounted on {}", .0.display())]
    Occupied(PathBuf),
    #[error(
        "it cannot be mounted as XFS with project quota; either this node's kernel has no XFS quota (CONFIG_XFS_QUOTA), or the file system is damaged (the node's kernel log says so; xfs_repair)"
    )]
    Mount(#[source] SysError),
}

/// A device with an XFS of ours, or what may be.
#[derive(Clone, Debug)]
pub struct Device {
    path: PathBuf,
    /// Major and minor number.
    pub number: u64,
}

impl Device {
    /// Opens a path that must be a block device.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let found = std::fs::metadata(path).map_err(|error| DeviceError::Io("found", error))?;
        if !found.file_type().is_block_device() {
            return Err(DeviceError::NotADevice);
        }
        Ok(Self { path: path.into(), number: found.rdev() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bytes(&self) -> Result<u64, DeviceError> {
        let mut file = File::open(&self.path).map_err(|error| DeviceError::Io("opened", error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| DeviceError::Io("measured", error))
    }

    /// Formats it if it is blank, and refuses it if it is neither that nor ours.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn prepare(&self) -> Result<(), DeviceError> {
        let device = self.path.as_os_str();
        let mut arguments = ["-q", "-L", LABEL].map(std::ffi::OsStr::new).to_vec();
        match judge(&self.look()?)? {
            Verdict::Mount => return Ok(()),
            Verdict::Format => {}
            // mkfs.xfs wants to be told that what it left itself may go.
            Verdict::FormatAgain => arguments.push("-f".as_ref()),
        }
        let bytes = self.bytes()?;
        if bytes < DEVICE_BYTES_MIN {
            return Err(DeviceError::Small(bytes));
        }
        arguments.push(device);
        tracing::info!(device = ?self.path, bytes, "blank: formatting");
        program::run("mkfs.xfs", &arguments)?;
        Ok(())
    }

    /// Looks in two ways.
    fn look(&self) -> Result<Content, DeviceError> {
        let arguments = ["-p", "-o", "export"].map(std::ffi::OsStr::new);
        let output = program::output("blkid", &[&arguments[..], &[self.path.as_os_str()]].concat())?;
        let (signatures, ambivalent) = match output.status.code() {
            Some(0) => (parse_blkid(&String::from_utf8_lossy(&output.stdout)), false),
            Some(BLKID_NOTHING) => (Default::default(), false),
            Some(BLKID_AMBIVALENT) => (Default::default(), true),
            _ => return Err(program::failed("blkid", &output).into()),
        };
        let (head, ends_are_zero) = read_ends(&self.path).map_err(|error| DeviceError::Io("read", error))?;
        Ok(Content { signatures, ambivalent, ends_are_zero, head })
    }

    /// Mounts it on `target` with project quota, unless it is mounted there already, and opens its root.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn mount(&self, target: &Path) -> Result<OwnedFd, DeviceError> {
        let failed = |source| DeviceError::MountPoint { path: target.into(), source };
        std::fs::create_dir_all(target).map_err(failed)?;
        let is_mounted = inspect::is_mount_root(target).map_err(|errno| failed(errno.into()))?;
        if is_mounted {
            let mounted = std::fs::metadata(target).map_err(failed)?.dev();
            if mounted != self.number {
                return Err(DeviceError::Occupied(target.into()));
            }
        } else {
            self.mount_new(target).map_err(DeviceError::Mount)?;
        }
        open_folder(target).map_err(|errno| failed(errno.into()))
    }

    fn mount_new(&self, target: &Path) -> Result<(), SysError> {
        let source = self.path.to_str().ok_or_else(|| SysError::at("name the device")(Errno::INVAL))?;
        let context = Context::open("xfs")?;
        context.set("source", source)?;
        context.set_flag("prjquota")?;
        let mount = context.mount(Access::Full)?;
        MountApi::Modern.attach_private(mount.as_fd(), target)
    }

    /// Lets the mounted file system take all of a device that has grown.
    ///
    /// # Errors
    /// xfs_growfs says no.
    pub fn grow(&self, target: &Path) -> Result<(), DeviceError> {
        let said = program::run("xfs_growfs", &["-d".as_ref(), target.as_os_str()])?;
        if let Some(line) = said.lines().find(|line| line.contains("changed from")) {
            tracing::info!(device = ?self.path, "grown: {line}");
        }
        Ok(())
    }
}

/// Takes the file system off again: plainly if nobody uses it.
pub fn unmount_if_mounted(target: &Path) {
    if let Err(errno) = unmount::everything(target) {
        tracing::warn!(?target, %errno, "cannot be unmounted");
    }
}

/// Opens a folder, to be the root of a disk.
///
/// # Errors
/// What the kernel says.
pub fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The first bytes of a device, and whether its first and last MiB hold only zeros.
fn read_ends(path: &Path) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let bytes = file.seek(SeekFrom::End(0))?;
    let mut read_at = |offset| -> std::io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(offset))?;
        let mut part = Vec::new();
        Read::by_ref(&mut file).take(BLANK_BYTES).read_to_end(&mut part)?;
        Ok(part)
    };
    let first = read_at(0)?;
    let last = read_at(bytes.saturating_sub(BLANK_BYTES))?;
    let zero = first.iter().chain(&last).all(|byte| *byte == 0);
    let head = first.into_iter().take(HEAD_BYTES).collect();
    Ok((head, zero))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn blank_means_both_ends() {
        for (offset, blank) in
            [(None, true), (Some(0), false), (Some((4 << 20) - 1), false), (Some(2 << 20), true)]
        {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(4 << 20).unwrap();
            if let Some(offset) = offset {
                file.seek(SeekFrom::Start(offset)).unwrap();
                file.write_all(b"x").unwrap();
            }
            let (head, zero) = read_ends(file.path()).unwrap();
            assert_eq!((head.len(), zero), (HEAD_BYTES, blank), "{offset:?}");
        }
    }

    #[test]
    fn what_is_no_device_is_said_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Device::open(file.path()), Err(DeviceError::NotADevice)));
        assert!(matches!(Device::open(Path::new("/nothing")), Err(DeviceError::Io("found", _))));
    }
}
