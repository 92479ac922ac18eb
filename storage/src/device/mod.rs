//! A block device as storage: looked at, formatted if it is blank, mounted, grown.

pub mod content;
pub mod hold;
pub mod prepare;
pub mod program;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use content::{BLANK_BYTES, Content, LABEL, Refusal, parse_blkid};
use hold::{Hold, Lock};
use prepare::{DEVICE_BYTES_MIN, Formattable};
use program::ProgramError;
use rustix::fs::{Mode, OFlags};
use workspacefs_api::FsType;
use workspacefs_sys::filesystem::{Access, Context};
use workspacefs_sys::tree::MountApi;
use workspacefs_sys::{Errno, SysError, inspect, unmount};

/// `blkid -p` found nothing.
const BLKID_NOTHING: i32 = 2;
/// It found more than one thing.
const BLKID_AMBIVALENT: i32 = 8;
const HEAD_BYTES: usize = 512;

/// A device cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DeviceError {
    #[error("it cannot be {0}")]
    Io(&'static str, #[source] std::io::Error),
    #[error("it is not a block device")]
    NotADevice,
    #[error("{} is the node of another device", .0.display())]
    OtherNode(PathBuf),
    #[error("it has {0} bytes; at least {DEVICE_BYTES_MIN} are needed")]
    Small(u64),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(
        "it was used with file system UUID {0}, and looks blank now: nothing was written to it; find out why first (it was wiped, another disk has its identity, its controller answers wrongly); take it off the approved list for a look, then approve it again, to have it formatted"
    )]
    WasUsed(String),
    #[error(
        "something on this node uses it: it is mounted, swap space, or part of a RAID, LVM or multipath device; nothing was written to it"
    )]
    Busy,
    #[error(
        "another process has locked it, to look at it or to format it; nothing was written to it, and it is looked at again"
    )]
    Locked,
    #[error("it changed while it was looked at; nothing was written to it")]
    Changed,
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
        "it cannot be mounted as {} with project quota; either this node's kernel has no {} with quotas (CONFIG_XFS_QUOTA, CONFIG_QUOTA), or the file system is damaged (the node's kernel log says so; xfs_repair, e2fsck)",
        .0.as_str(), .0.as_str()
    )]
    Mount(FsType, #[source] SysError),
}

/// A device with a file system of ours, or what may be.
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

    /// Major and minor number, as sysfs writes them.
    pub fn numbers(&self) -> (u32, u32) {
        (rustix::fs::major(self.number), rustix::fs::minor(self.number))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mounts it on `target` as `fs` with project quota, unless it is mounted there already, and opens its root.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn mount(&self, target: &Path, fs: FsType) -> Result<OwnedFd, DeviceError> {
        let failed = |source| DeviceError::MountPoint { path: target.into(), source };
        std::fs::create_dir_all(target).map_err(failed)?;
        let is_mounted = inspect::is_mount_root(target).map_err(|errno| failed(errno.into()))?;
        if is_mounted {
            let mounted = std::fs::metadata(target).map_err(failed)?.dev();
            if mounted != self.number {
                return Err(DeviceError::Occupied(target.into()));
            }
        } else {
            // To mount it is to take it: somebody who looks at it just now would be in the way.
            let _lock = Lock::take(&self.path)?;
            self.mount_new(target, fs).map_err(|error| DeviceError::Mount(fs, error))?;
        }
        open_folder(target).map_err(|errno| failed(errno.into()))
    }

    fn mount_new(&self, target: &Path, fs: FsType) -> Result<(), SysError> {
        let source = self.path.to_str().ok_or_else(|| SysError::at("name the device")(Errno::INVAL))?;
        let context = Context::open(fs.as_str())?;
        context.set("source", source)?;
        context.set_flag("prjquota")?;
        if fs == FsType::Ext4 {
            // A damaged file system is not written to any further, and is seen to be damaged.
            context.set("errors", "remount-ro")?;
        }
        let mount = context.mount(Access::Full)?;
        MountApi::Modern.attach_private(mount.as_fd(), target)
    }

    /// Lets the mounted XFS take all of a device that has grown.
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

impl Formattable for Device {
    type Hold = Hold;

    /// Looks in two ways.
    fn look(&self) -> Result<Content, DeviceError> {
        let arguments = ["-p", "-o", "export"].map(OsStr::new);
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

    fn bytes(&self) -> Result<u64, DeviceError> {
        let mut file = File::open(&self.path).map_err(|error| DeviceError::Io("opened", error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| DeviceError::Io("measured", error))
    }

    fn hold(&self) -> Result<Hold, DeviceError> {
        Hold::take(&self.path)
    }

    fn format(&self, hold: Hold, fs: FsType, again: bool) -> Result<(), DeviceError> {
        tracing::info!(device = ?self.path, fs = fs.as_str(), again, "blank: formatting");
        // mkfs takes the device for itself, and fails if somebody was quicker.
        let _lock = hold.into_lock();
        let (program, arguments) = mkfs(fs, again);
        let mut arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        arguments.push(self.path.as_os_str());
        program::run(program, &arguments)?;
        Ok(())
    }
}

/// Both programs open the device with O_EXCL, and write what makes it a file system last. mkfs.xfs also looks for signatures by
/// itself. Nothing is discarded (-K, nodiscard): a blank device holds nothing, and on some it takes minutes.
fn mkfs(fs: FsType, again: bool) -> (&'static str, Vec<&'static str>) {
    match fs {
        // It wants to be told that what it left itself may go.
        FsType::Xfs if again => ("mkfs.xfs", vec!["-q", "-K", "-L", LABEL, "-f"]),
        FsType::Xfs => ("mkfs.xfs", vec!["-q", "-K", "-L", LABEL]),
        // Nothing kept for root (-m): our own accounts have a reserve. Inodes that have room for a project id (-I).
        FsType::Ext4 => (
            "mkfs.ext4",
            vec![
                "-q",
                "-L",
                LABEL,
                "-m",
                "0",
                "-I",
                "256",
                "-O",
                "quota,project",
                "-E",
                "quotatype=prjquota,nodiscard",
            ],
        ),
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

    use content::{Verdict, judge};
    use prepare::prepare;

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
    fn both_file_systems_get_our_label_and_project_quota_and_only_a_cut_xfs_is_forced() {
        for (fs, again, program) in [
            (FsType::Xfs, false, "mkfs.xfs"),
            (FsType::Xfs, true, "mkfs.xfs"),
            (FsType::Ext4, true, "mkfs.ext4"),
        ] {
            let (found, arguments) = mkfs(fs, again);
            assert_eq!(found, program);
            let label = arguments.iter().position(|argument| *argument == "-L").unwrap();
            assert_eq!(arguments[label + 1], LABEL);
            let forced = arguments.iter().any(|argument| ["-f", "-F"].contains(argument));
            assert_eq!(forced, fs == FsType::Xfs && again, "{arguments:?}");
        }
        assert!(mkfs(FsType::Ext4, false).1.contains(&"quota,project"));
    }

    #[test]
    fn an_ext4_made_so_is_one_of_ours() {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(DEVICE_BYTES_MIN).unwrap();
        let device = Device { path: image.path().into(), number: 0 };
        prepare(&device, FsType::Ext4).unwrap();
        let content = device.look().unwrap();
        assert_eq!(judge(&content), Ok(Verdict::Mount(FsType::Ext4)));
        // It is left alone from now on, also by a wish for the other file system.
        prepare(&device, FsType::Ext4).unwrap();
        assert!(matches!(prepare(&device, FsType::Xfs), Err(DeviceError::Refused(_))));
        assert_eq!(device.look().unwrap().signatures["UUID"], content.signatures["UUID"]);
    }

    #[test]
    fn what_is_no_device_is_said_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Device::open(file.path()), Err(DeviceError::NotADevice)));
        assert!(matches!(Device::open(Path::new("/nothing")), Err(DeviceError::Io("found", _))));
    }
}
