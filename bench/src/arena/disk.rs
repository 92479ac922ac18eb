//! A disk of its own: a file system in a sparse file, mounted, and gone with the process.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::caches::drop_caches;
use super::loop_device::{LoopDevice, run};

/// How long an unmount may be refused because somebody who just ended still holds something.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// ext4 without a journal, read and written through the cache of the file that it lies in: a source.
    Source,
    /// ext4 with direct I/O, so that what is written goes to the computer's own disk: a destination.
    Ext4,
    /// XFS, likewise.
    Xfs,
}

/// What could not be done with a disk.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}")]
pub struct DiskError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A mounted disk. Dropped, it is unmounted and its file removed. If the process is killed, its mount goes with the mount
/// namespace and its device with the last mount; only the file stays, and [`Disk::make`] replaces it.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    device: LoopDevice,
    mountpoint: PathBuf,
    format: Format,
}

impl Disk {
    /// Makes a disk of so many bytes, which lies in the folder as `NAME.img` and is mounted there as `NAME`. Room for
    /// `files` is made where the format wants to know in advance.
    ///
    /// # Errors
    /// It cannot be made or mounted.
    pub fn make(
        folder: &Path,
        name: &str,
        format: Format,
        bytes: u64,
        files: u64,
    ) -> Result<Self, DiskError> {
        let (image, mountpoint) = (folder.join(format!("{name}.img")), folder.join(name));
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| DiskError { what, path, source }
        };
        fs::create_dir_all(&mountpoint).map_err(failed("make", &mountpoint))?;
        let made = remove_if_there(&image).and_then(|()| File::create_new(&image)?.set_len(bytes));
        made.map_err(failed("make", &image))?;
        run(&mut format.mkfs(&image, files)).map_err(failed("format", &image))?;
        let direct_io = format != Format::Source;
        let device = LoopDevice::attach(&image, direct_io).map_err(failed("attach", &image))?;
        let disk = Self { image, device, mountpoint, format };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mountpoint
    }

    /// Waits until everything is on it; how long that took.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn sync(&self) -> Result<Duration, DiskError> {
        let started = Instant::now();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let synced = rustix::fs::open(&self.mountpoint, flags, Mode::empty()).and_then(rustix::fs::syncfs);
        synced.map_err(|errno| self.error("sync", errno))?;
        Ok(started.elapsed())
    }

    /// Mounts these anew with nothing of them in any cache, as after a start of the computer.
    ///
    /// # Errors
    /// One is in use, or does not mount.
    pub fn chill(disks: &[&Self]) -> Result<(), DiskError> {
        disks.iter().try_for_each(|disk| disk.unmount())?;
        drop_caches().map_err(|source| DiskError {
            what: "drop the caches in",
            path: "/proc/sys/vm/drop_caches".into(),
            source,
        })?;
        disks.iter().try_for_each(|disk| disk.mount())
    }

    fn mount(&self) -> Result<(), DiskError> {
        let (kind, options) = self.format.mount();
        let options = CString::new(options).map_err(|error| DiskError {
            what: "mount",
            path: self.mountpoint.clone(),
            source: error.into(),
        })?;
        mount(self.device.path(), &self.mountpoint, kind, MountFlags::NOATIME, options.as_c_str())
            .map_err(|errno| self.error("mount", errno))
    }

    fn unmount(&self) -> Result<(), DiskError> {
        let started = Instant::now();
        loop {
            match unmount(&self.mountpoint, UnmountFlags::NOFOLLOW) {
                Err(Errno::BUSY) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                result => return result.map_err(|errno| self.error("unmount", errno)),
            }
        }
    }

    fn error(&self, what: &'static str, errno: Errno) -> DiskError {
        DiskError { what, path: self.mountpoint.clone(), source: errno.into() }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has something open keeps it until then; a name for it there is none.
        let _ = unmount(&self.mountpoint, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        let _ = fs::remove_dir(&self.mountpoint);
        let _ = fs::remove_file(&self.image);
    }
}

impl Format {
    fn mkfs(self, image: &Path, files: u64) -> Command {
        // Names, directories and what else takes an inode.
        let inodes = files + files / 10 + 10_000;
        let mut mkfs = match self {
            Self::Source | Self::Ext4 => {
                let mut mkfs = Command::new("mkfs.ext4");
                mkfs.arg("-q").arg("-F").arg("-b").arg("4096").arg("-N").arg(inodes.to_string());
                mkfs.arg("-E").arg("lazy_itable_init=1,lazy_journal_init=1,nodiscard");
                mkfs
            }
            Self::Xfs => {
                let mut mkfs = Command::new("mkfs.xfs");
                mkfs.arg("-q").arg("-f").arg("-K");
                mkfs
            }
        };
        if self == Self::Source {
            mkfs.arg("-O").arg("^has_journal");
        }
        mkfs.arg(image);
        mkfs
    }

    /// Its name for the kernel, and options. Nothing is written in the background meanwhile.
    fn mount(self) -> (&'static str, &'static str) {
        match self {
            Self::Source | Self::Ext4 => ("ext4", "noinit_itable"),
            Self::Xfs => ("xfs", "nouuid"),
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
