//! Whether a disk still does what it should. Every way may wait as long as the disk makes it wait.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fdatasync};
use workspacefs_sys::Errno;
use workspacefs_sys::beneath::{self, Links};

use crate::discovery::sysfs;
use crate::disk::real::{RealDisk, STATE_FOLDER};
use crate::disk::{Disk, DiskError};

/// The file that is written, of one block, always in place: a full disk does not fail it.
const FILE: &str = "health";
const BLOCK_BYTES: usize = 4096;
/// How long an error is remembered after the last one.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// The disk does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its file system does not answer.
    #[error(transparent)]
    Asked(#[from] DiskError),
    /// Reading from the device.
    #[error("it cannot be read")]
    Read(#[source] std::io::Error),
    /// Writing to the file system.
    #[error("it cannot be written to")]
    Written(#[source] std::io::Error),
}

/// Asks the file system, reads from the device past every cache, and writes to the file system.
///
/// # Errors
/// [`Failure`].
pub fn check(disk: &RealDisk, device: Option<&Path>) -> Result<(), Failure> {
    disk.space()?;
    if let Some(device) = device {
        read_past_caches(device).map_err(Failure::Read)?;
    }
    write(disk.root()).map_err(Failure::Written)
}

fn read_past_caches(device: &Path) -> std::io::Result<()> {
    let fd = rustix::fs::open(device, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?;
    // The kernel wants such memory aligned.
    let mut memory = vec![0; 2 * BLOCK_BYTES];
    let start = memory.as_ptr().align_offset(BLOCK_BYTES);
    let buffer = memory.get_mut(start..start + BLOCK_BYTES).ok_or(std::io::ErrorKind::OutOfMemory)?;
    std::fs::File::from(fd).read_exact_at(buffer, 0)
}

fn write(root: BorrowedFd<'_>) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
    let path = format!("{STATE_FOLDER}/{FILE}");
    let written = || -> std::io::Result<()> {
        let fd = beneath::open(root, &path, flags, Mode::from_raw_mode(0o600), Links::Refused)?;
        let file = std::fs::File::from(fd);
        file.write_all_at(&[b' '; BLOCK_BYTES], 0)?;
        Ok(fdatasync(file.as_fd())?)
    };
    match written() {
        // It is full, which is no fault of the disk.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOSPC | Errno::DQUOT)) => Ok(()),
        other => other,
    }
}

/// Errors that the kernel has counted on a disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Errors {
    /// By ext4, since it was last checked. XFS counts none: it stops.
    pub file_system: u64,
    /// By the SCSI layer, since the disk was found.
    pub device: u64,
}

/// Reads them. `disk` is the whole disk's name, `part` that of what holds the file system.
pub fn errors(sys: &Path, disk: &str, part: &str) -> Errors {
    let number = |path: String| {
        let text = sysfs::text(&sys.join(path))?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    };
    Errors {
        file_system: number(format!("fs/ext4/{part}/errors_count")).unwrap_or(0),
        device: number(format!("block/{disk}/device/ioerr_cnt")).unwrap_or(0),
    }
}

/// Watches whether errors become more.
#[derive(Debug, Default)]
pub struct Watch {
    before: Option<Errors>,
    grew_at: Option<Instant>,
}

impl Watch {
    /// What is to be said of the disk, if it reports errors.
    pub fn look(&mut self, errors: Errors, now: Instant) -> Option<String> {
        let before = self.before.replace(errors).unwrap_or(errors);
        if errors.device > before.device || errors.file_system > before.file_system {
            self.grew_at = Some(now);
        }
        if errors.file_system > 0 {
            return Some(format!(
                "its file system has recorded {} errors since it was last checked: take it out of use and check it (e2fsck)",
                errors.file_system
            ));
        }
        let is_recent = self.grew_at.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED);
        is_recent.then(|| {
            format!(
                "it reports I/O errors ({} so far): plan to replace it; the node's kernel log says more",
                errors.device
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_count_if_they_become_more_and_those_of_a_file_system_until_it_is_checked() {
        let now = Instant::now();
        let of = |file_system, device| Errors { file_system, device };
        let mut watch = Watch::default();
        // What happened before we came is not held against it.
        assert_eq!(watch.look(of(0, 7), now), None);
        assert_eq!(watch.look(of(0, 7), now), None);
        assert!(watch.look(of(0, 8), now).unwrap().contains("(8 so far)"));
        assert!(watch.look(of(0, 8), now + REMEMBERED / 2).is_some());
        assert_eq!(watch.look(of(0, 8), now + REMEMBERED), None);
        assert!(watch.look(of(2, 8), now).unwrap().contains("2 errors"));
        assert!(watch.look(of(2, 8), now + 9 * REMEMBERED).is_some());
    }

    #[test]
    fn errors_are_where_the_kernel_says_and_none_where_it_says_nothing() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(errors(sys.path(), "sda", "sda1"), Errors::default());
        for (path, text) in [("fs/ext4/sda1/errors_count", "3\n"), ("block/sda/device/ioerr_cnt", "0x1f\n")] {
            let path = sys.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(errors(sys.path(), "sda", "sda1"), Errors { file_system: 3, device: 31 });
    }

    #[test]
    fn what_can_be_written_is_written_and_what_cannot_fails() {
        let dir = tempfile::tempdir().unwrap();
        let root =
            || rustix::fs::open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert!(write(root().as_fd()).is_err(), "nothing of ours is there");
        std::fs::create_dir(dir.path().join(STATE_FOLDER)).unwrap();
        write(root().as_fd()).unwrap();
        write(root().as_fd()).unwrap();
        let path = dir.path().join(STATE_FOLDER).join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), BLOCK_BYTES as u64);
        assert!(read_past_caches(Path::new("/proc/self/status")).is_err());
    }
}
