//! The block device's node in /dev. Ganesha puts the file system's UUID into its file handles only if it can read it, for
//! which libblkid must find a node of the device: otherwise the handles carry the device number, and a server that comes
//! back under another number gives ESTALE to every open file.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, major, minor, mknodat};
use workspacefs_storage::device::program::{ProgramError, run};

/// Used when the kernel's own name is taken by another device.
const OWN_NODE: &str = "/dev/workspacefs-disk";

/// The UUID cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The kernel does not know the device.
    #[error(
        "the file system is not on a block device ({0}:{1}): its NFS handles would not survive a restart"
    )]
    NoDevice(u32, u32),
    /// No node.
    #[error("cannot make {}, the node of the file system's device: the container needs MKNOD, or to be privileged", path.display())]
    Make {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No right to read it, or no UUID.
    #[error("cannot read the UUID of the file system from {}: the container needs access to the device", path.display())]
    Unread {
        /// Which node.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<ProgramError>,
    },
}

/// Makes sure that the device `number` has a node that can be read, and gives back its path. `known` is where it may be.
///
/// # Errors
/// [`NodeError`].
pub fn ensure_visible(number: u64, known: Option<&Path>) -> Result<PathBuf, NodeError> {
    let path = match known.filter(|path| is_node_of(path, number)) {
        Some(path) => path.to_path_buf(),
        None => make(number)?,
    };
    let arguments = ["-p", "-s", "UUID", "-o", "value"].map(std::ffi::OsStr::new);
    let all = [&arguments[..], &[path.as_os_str()]].concat();
    match run("blkid", &all) {
        Ok(uuid) if !uuid.trim().is_empty() => Ok(path),
        Ok(_) => Err(NodeError::Unread { path, source: None }),
        Err(error) => Err(NodeError::Unread { path, source: Some(error) }),
    }
}

fn is_node_of(path: &Path, number: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device() && found.rdev() == number)
}

fn make(number: u64) -> Result<PathBuf, NodeError> {
    let name = kernel_name(number).ok_or(NodeError::NoDevice(major(number), minor(number)))?;
    for path in [Path::new("/dev").join(name), PathBuf::from(OWN_NODE)] {
        if is_node_of(&path, number) {
            return Ok(path);
        }
        if path.exists() {
            continue;
        }
        let made = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| Ok(mknodat(CWD, &path, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, number)?));
        return match made {
            Ok(()) => Ok(path),
            Err(source) => Err(NodeError::Make { path, source }),
        };
    }
    Err(NodeError::Make { path: OWN_NODE.into(), source: std::io::ErrorKind::AlreadyExists.into() })
}

/// `sda1`, as sysfs has it.
fn kernel_name(number: u64) -> Option<String> {
    let path = format!("/sys/dev/block/{}:{}/uevent", major(number), minor(number));
    let text = std::fs::read_to_string(path).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    let plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    plain.then(|| name.to_string())
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_no_block_device_is_said_so() {
        let number = std::fs::metadata("/proc").unwrap().dev();
        assert!(matches!(ensure_visible(number, None), Err(NodeError::NoDevice(..))));
    }
}
