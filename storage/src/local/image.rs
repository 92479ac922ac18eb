//! The image of a node's FS-Cache: a file of a fixed size on the disk, all of which is taken at once, with an ext4 in it that is
//! mounted through a loop device. So the cache can never take more than it was given. What is in it can be had again from where
//! it came from: an image that is not as it should be is made anew.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, fallocate, fsync, renameat, unlinkat};
use serde::{Deserialize, Serialize};
use workspacefs_sys::beneath::{self, Links};
use workspacefs_sys::filesystem::{Access, Context};
use workspacefs_sys::tree::MountApi;
use workspacefs_sys::{Errno, SysError, inspect, loops};

use super::Keeper;
use crate::device::program::{self, ProgramError};
use crate::disk::DiskError;
use crate::disk::real::STATE_FOLDER;
use crate::folders::error::ReadError;

const NAME: &str = "fscache.img";
/// A file of this name is not whole.
const UNFINISHED: &str = "fscache.img.new";
/// Not that of disks of ours: nobody is to take the loop device for one.
const LABEL: &str = "wsfs-fscache";
/// What is discarded would be given back to the disk, and could be somebody else's when it is needed. So would be what ext4 zeroes
/// after it is mounted (lazily): the loop device makes holes of that.
const EXTENDED: &str = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";

/// What is wished of the image.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ImageWish {
    /// It is there, of so many bytes, and mounted.
    Mounted(u64),
    /// It is not mounted.
    Unmounted,
    /// It is not there.
    Gone,
}

/// What there is of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Present {
    /// Size of the file.
    pub bytes: Option<u64>,
    /// Whether anything is mounted where it is to be.
    pub mounted: bool,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Takes the mount off.
    Unmount,
    /// Removes the file, and one that is not whole.
    Remove,
    /// Makes the file, with an empty file system.
    Make(u64),
    /// Mounts it.
    Mount,
}

/// The image cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ImageError {
    #[error("the storage is not ready: {0}")]
    NotReady(String),
    #[error(
        "the disk can give {left} bytes, and the cache is to have {asked}: take fsCache.size down, or make room (claims, perWorkspaceQuota, the trash)"
    )]
    NoRoom { asked: u64, left: u64 },
    #[error("the disk's file system cannot set {0} bytes aside for it")]
    Reserve(u64, #[source] Errno),
    #[error("something still uses it")]
    Busy,
    #[error("cannot {0} its image")]
    Io(&'static str, #[source] Errno),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("this node's kernel gives no loop device for it (module loop)")]
    Loop(#[source] Errno),
    #[error(
        "it cannot be mounted as ext4: the node's kernel has none, or the image is damaged (its kernel log says so)"
    )]
    Mount(#[source] SysError),
    #[error("the folder {} cannot be mounted on", path.display())]
    MountPoint {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// From what there is to what is wished.
pub fn steps(wish: ImageWish, present: Present) -> Vec<Step> {
    let unmount = present.mounted.then_some(Step::Unmount);
    let remove = present.bytes.map(|_| Step::Remove);
    let more = match (wish, present.bytes) {
        (ImageWish::Mounted(size), Some(bytes)) if size == bytes => {
            return if present.mounted { Vec::new() } else { vec![Step::Mount] };
        }
        (ImageWish::Mounted(size), _) => vec![remove, Some(Step::Make(size)), Some(Step::Mount)],
        (ImageWish::Unmounted, _) => Vec::new(),
        // A file that is not whole may be there, too.
        (ImageWish::Gone, _) => vec![Some(Step::Remove)],
    };
    unmount.into_iter().chain(more.into_iter().flatten()).collect()
}

impl Keeper {
    /// The image of the node's FS-Cache on this disk, to be mounted at `mount_point`.
    ///
    /// # Errors
    /// [`ImageError`]; the next call goes on where this one stopped.
    pub fn image(&mut self, wish: ImageWish, mount_point: &Path) -> Result<(), ImageError> {
        let dev = self.config.dev.clone();
        let held = self.ready().map_err(ImageError::NotReady)?;
        let image = Image { root: held.disk().root(), mount_point, dev: &dev };
        let result = image.ensure(wish, || held.unpromised());
        // What it took, or gave back, is told at once.
        held.told().forget();
        result
    }
}

/// Takes an image's mount off, without its disk.
///
/// # Errors
/// [`ImageError::Busy`] while something uses it.
pub fn unmount(mount_point: &Path) -> Result<(), ImageError> {
    match workspacefs_sys::unmount::plain(mount_point) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {
            // It is made again with the next mount; one that is not empty is not ours.
            let _ = std::fs::remove_dir(mount_point);
            Ok(())
        }
        Err(Errno::BUSY) => Err(ImageError::Busy),
        Err(errno) => Err(ImageError::Io("unmount", errno)),
    }
}

/// Whether a loop device over this file is a node's cache, and so no disk that anybody means.
pub fn is_image(backing_file: &str) -> bool {
    let place = format!("/{STATE_FOLDER}/{NAME}");
    backing_file.trim_end().trim_end_matches(" (deleted)").ends_with(&place)
}

/// An image on a disk, mounted somewhere else.
#[derive(Debug)]
pub struct Image<'a> {
    /// The disk's root.
    pub root: BorrowedFd<'a>,
    /// Where it is mounted. Nobody else mounts there.
    pub mount_point: &'a Path,
    /// Where devices' nodes are.
    pub dev: &'a Path,
}

impl Image<'_> {
    /// What there is.
    ///
    /// # Errors
    /// The disk.
    pub fn present(&self) -> Result<Present, ImageError> {
        let bytes = match self.open(NAME, OFlags::RDONLY, Mode::empty()) {
            Ok(fd) => Some(metadata(&File::from(fd))?.len()),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(ImageError::Io("look at", errno)),
        };
        let mounted = match inspect::is_mount_root(self.mount_point) {
            Ok(mounted) => mounted,
            Err(Errno::NOENT) => false,
            Err(errno) => return Err(self.mount_point_failed(errno.into())),
        };
        Ok(Present { bytes, mounted })
    }

    /// Carries the wish out. `left` says how much of the disk can still be given away, and is asked when that is needed.
    ///
    /// # Errors
    /// [`ImageError`]; the next call goes on where this one stopped.
    pub fn ensure(
        &self,
        wish: ImageWish,
        left: impl Fn() -> Result<u64, ImageError>,
    ) -> Result<(), ImageError> {
        let steps = steps(wish, self.present()?);
        match (self.carry_out(&steps, &left), wish) {
            // It was there before, and is damaged.
            (Err(ImageError::Mount(error)), ImageWish::Mounted(bytes))
                if error.errno != Errno::NODEV && steps == [Step::Mount] =>
            {
                tracing::warn!(%error, cause = %error.errno, "the image of the node's cache is damaged: made anew");
                self.carry_out(&[Step::Remove, Step::Make(bytes), Step::Mount], &left)
            }
            (result, _) => result,
        }
    }

    fn carry_out(
        &self,
        steps: &[Step],
        left: &impl Fn() -> Result<u64, ImageError>,
    ) -> Result<(), ImageError> {
        for step in steps {
            match *step {
                Step::Unmount => unmount(self.mount_point)?,
                Step::Remove => {
                    self.remove(NAME)?;
                    self.remove(UNFINISHED)?;
                }
                Step::Make(asked) => {
                    self.remove(UNFINISHED)?;
                    let left = left()?;
                    if asked > left {
                        return Err(ImageError::NoRoom { asked, left });
                    }
                    self.make(asked).inspect_err(|_| drop(self.remove(UNFINISHED)))?;
                }
                Step::Mount => self.mount()?,
            }
        }
        Ok(())
    }

    fn make(&self, bytes: u64) -> Result<(), ImageError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let io = |action| move |errno| ImageError::Io(action, errno);
        let file = self.open(UNFINISHED, flags, Mode::from_raw_mode(0o600)).map_err(io("create"))?;
        set_aside(file.as_fd(), bytes)?;
        tracing::info!(bytes, "making the image of the node's cache");
        // By descriptor: the program resolves no path of the disk's.
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let arguments = ["-q", "-F", "-L", LABEL, "-m", "0", "-E", EXTENDED, path.as_str()];
        program::run("mkfs.ext4", &arguments)?;
        // The program, too, makes holes in a file where it is to be zero.
        set_aside(file.as_fd(), bytes)?;
        fsync(&file).map_err(io("write"))?;
        let folder = beneath::directory(self.root, STATE_FOLDER, Links::Refused).map_err(io("keep"))?;
        renameat(&folder, UNFINISHED, &folder, NAME).map_err(io("keep"))
    }

    fn mount(&self) -> Result<(), ImageError> {
        let file =
            self.open(NAME, OFlags::RDWR, Mode::empty()).map_err(|errno| ImageError::Io("open", errno))?;
        let file = File::from(file);
        // ext4 zeroes now and then while it is mounted, and a host's fstrim discards: both leave holes.
        set_aside(file.as_fd(), metadata(&file)?.len())?;
        std::fs::create_dir_all(self.mount_point).map_err(|error| self.mount_point_failed(error))?;
        // The mount namespace of a plugin before this one may have it mounted still. One device is one file system, however
        // often it is mounted; two over one file would be two, and each would write over the other.
        let device = match loops::attached(file.as_fd(), self.dev).map_err(ImageError::Loop)? {
            Some(device) => device,
            None => loops::attach(file.as_fd(), self.dev).map_err(ImageError::Loop)?,
        };
        let mount = || -> Result<(), SysError> {
            let name = || device.path().to_str().ok_or_else(|| SysError::at("name the device")(Errno::INVAL));
            let context = Context::open("ext4")?;
            context.set("source", name()?)?;
            context.set("errors", "remount-ro")?;
            let mount = context.mount(Access::NotedNoExec)?;
            MountApi::Modern.attach_private(mount.as_fd(), self.mount_point)
        };
        mount().map_err(ImageError::Mount)
    }

    fn remove(&self, name: &str) -> Result<(), ImageError> {
        let io = |errno| ImageError::Io("remove", errno);
        let folder = match beneath::directory(self.root, STATE_FOLDER, Links::Refused) {
            Err(Errno::NOENT) => return Ok(()),
            folder => folder.map_err(io)?,
        };
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(io(errno)),
        }
    }

    fn open(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let path = format!("{STATE_FOLDER}/{name}");
        beneath::open(self.root, &path, flags | OFlags::NOFOLLOW, mode, Links::Refused)
    }

    fn mount_point_failed(&self, source: std::io::Error) -> ImageError {
        ImageError::MountPoint { path: self.mount_point.into(), source }
    }
}

/// Bytes of the disk that an image on it takes, one that is not whole too; 0 if there is none. What is in no folder of anybody's is
/// told without them.
pub fn taken(root: BorrowedFd<'_>) -> u64 {
    let of = |name: &str| {
        let path = format!("{STATE_FOLDER}/{name}");
        let fd = beneath::open(root, &path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty(), Links::Refused);
        fd.map_err(std::io::Error::from).and_then(|fd| File::from(fd).metadata())
    };
    let found = [NAME, UNFINISHED].into_iter().filter_map(|name| of(name).ok());
    found.map(|metadata| metadata.blocks().saturating_mul(512)).sum()
}

/// Takes all bytes of the file from the disk, those too that were given back since. What is in it stays.
fn set_aside(file: BorrowedFd<'_>, bytes: u64) -> Result<(), ImageError> {
    fallocate(file, FallocateFlags::empty(), 0, bytes).map_err(|errno| match errno {
        Errno::NOSPC => ImageError::NoRoom { asked: bytes, left: 0 },
        errno => ImageError::Reserve(bytes, errno),
    })
}

fn metadata(file: &File) -> Result<std::fs::Metadata, ImageError> {
    let failed =
        |error: std::io::Error| ImageError::Io("look at", Errno::from_io_error(&error).unwrap_or(Errno::IO));
    file.metadata().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    /// The least that the API takes.
    const SIZE: u64 = 128 * MIB;

    #[test]
    fn the_way_from_what_there_is_to_what_is_wished() {
        use ImageWish::{Gone, Mounted, Unmounted};
        use Step::{Make, Mount, Remove, Unmount};
        for (wish, bytes, mounted, expected) in [
            (Mounted(5), None, false, &[Make(5), Mount][..]),
            (Mounted(5), Some(5), false, &[Mount]),
            (Mounted(5), Some(5), true, &[]),
            (Mounted(5), Some(7), true, &[Unmount, Remove, Make(5), Mount]),
            (Mounted(5), Some(7), false, &[Remove, Make(5), Mount]),
            // Somebody removed the file; what is mounted is still that.
            (Mounted(5), None, true, &[Unmount, Make(5), Mount]),
            (Unmounted, Some(5), true, &[Unmount]),
            (Unmounted, Some(5), false, &[]),
            (Gone, Some(5), true, &[Unmount, Remove]),
            (Gone, None, false, &[Remove]),
        ] {
            assert_eq!(steps(wish, Present { bytes, mounted }), expected, "{wish:?} {bytes:?} {mounted}");
        }
    }

    struct Disk {
        folder: tempfile::TempDir,
        root: OwnedFd,
    }

    impl Disk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("root").join(STATE_FOLDER)).unwrap();
            let root = crate::device::open_folder(&folder.path().join("root")).unwrap();
            Self { folder, root }
        }

        fn mount_point(&self) -> PathBuf {
            self.folder.path().join("cache")
        }

        fn ensure(&self, wish: ImageWish, left: u64) -> Result<(), ImageError> {
            let image =
                Image { root: self.root.as_fd(), mount_point: &self.mount_point(), dev: Path::new("/dev") };
            image.ensure(wish, || Ok(left))
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join("root").join(STATE_FOLDER).join(name)
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = workspacefs_sys::unmount::everything(&self.mount_point());
        }
    }

    #[test]
    fn an_image_has_its_size_at_once_keeps_its_files_and_never_takes_more() {
        let disk = Disk::new();
        let size = |bytes| ImageWish::Mounted(bytes);
        assert_eq!(taken(disk.root.as_fd()), 0);
        disk.ensure(size(SIZE), SIZE).unwrap();
        let image = std::fs::metadata(disk.file(NAME)).unwrap();
        assert_eq!(image.len(), SIZE);
        assert!(image.blocks() * 512 >= SIZE, "{} blocks: it is not set aside", image.blocks());
        assert_eq!(taken(disk.root.as_fd()), image.blocks() * 512);
        std::fs::write(disk.mount_point().join("kept"), "x").unwrap();
        // Again, after whoever made it died; and after a reboot.
        disk.ensure(size(SIZE), 0).unwrap();
        disk.ensure(ImageWish::Unmounted, 0).unwrap();
        assert!(!disk.mount_point().exists());
        disk.ensure(size(SIZE), 0).unwrap();
        assert!(disk.mount_point().join("kept").exists());
        // As much as fits, and the file behind it is as large as before.
        let filled = std::fs::write(disk.mount_point().join("much"), vec![1; SIZE as usize]);
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(std::fs::metadata(disk.file(NAME)).unwrap().len(), SIZE);
        disk.ensure(size(SIZE + MIB), SIZE + MIB).unwrap();
        assert!(!disk.mount_point().join("kept").exists(), "another size is another cache");
        disk.ensure(ImageWish::Gone, 0).unwrap();
        assert!(!disk.file(NAME).exists() && taken(disk.root.as_fd()) == 0);
    }

    #[test]
    fn all_its_bytes_are_the_disks_after_it_was_made_and_after_each_mount() {
        let disk = Disk::new();
        let mount_point = disk.mount_point();
        let image = Image { root: disk.root.as_fd(), mount_point: &mount_point, dev: Path::new("/dev") };
        let taken = || std::fs::metadata(disk.file(NAME)).unwrap().blocks() * 512;
        image.make(SIZE).unwrap();
        assert!(taken() >= SIZE, "{} bytes after mkfs", taken());
        // As the loop device does with what is zeroed through it; there are neither files nor ext4's own blocks.
        let file = File::options().write(true).open(disk.file(NAME)).unwrap();
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, hole, SIZE - 2 * MIB, MIB).unwrap();
        assert!(taken() < SIZE, "{} bytes with a hole", taken());
        disk.ensure(ImageWish::Mounted(SIZE), 0).unwrap();
        assert!(taken() >= SIZE, "{} bytes after a mount", taken());
    }

    #[test]
    fn one_that_is_mounted_elsewhere_still_is_the_same_file_system_here() {
        let disk = Disk::new();
        disk.ensure(ImageWish::Mounted(SIZE), SIZE).unwrap();
        let elsewhere = disk.folder.path().join("elsewhere");
        let image = Image { root: disk.root.as_fd(), mount_point: &elsewhere, dev: Path::new("/dev") };
        image.ensure(ImageWish::Mounted(SIZE), || Ok(0)).unwrap();
        let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
        let (here, there) = (device(&disk.mount_point()), device(&elsewhere));
        image.ensure(ImageWish::Unmounted, || Ok(0)).unwrap();
        assert_eq!(here, there);
    }

    #[test]
    fn readings_are_noted_since_the_longest_unread_goes_first() {
        let disk = Disk::new();
        disk.ensure(ImageWish::Mounted(SIZE), SIZE).unwrap();
        let file = disk.mount_point().join("file");
        std::fs::write(&file, "x").unwrap();
        let atime = || std::fs::metadata(&file).unwrap().accessed().unwrap();
        let first = atime();
        for _ in 0..2 {
            let before = atime();
            std::thread::sleep(std::time::Duration::from_millis(30));
            std::fs::read(&file).unwrap();
            assert!(atime() > before, "the second reading, too");
        }
        assert!(atime() > first);
    }

    #[test]
    fn what_the_disk_cannot_give_is_not_taken_and_what_a_cut_left_is_made_anew() {
        let disk = Disk::new();
        let refused = disk.ensure(ImageWish::Mounted(SIZE), SIZE - 1).unwrap_err();
        assert!(matches!(refused, ImageError::NoRoom { asked: SIZE, .. }), "{refused}");
        assert!(refused.to_string().contains("fsCache.size") && taken(disk.root.as_fd()) == 0);
        std::fs::write(disk.file(UNFINISHED), "half").unwrap();
        assert_ne!(taken(disk.root.as_fd()), 0);
        disk.ensure(ImageWish::Mounted(SIZE), SIZE).unwrap();
        assert!(!disk.file(UNFINISHED).exists());
    }

    #[test]
    fn what_a_cut_left_goes_too_when_none_is_wished_any_more() {
        let disk = Disk::new();
        std::fs::write(disk.file(UNFINISHED), "half").unwrap();
        disk.ensure(ImageWish::Gone, 0).unwrap();
        assert!(!disk.file(UNFINISHED).exists());
        disk.ensure(ImageWish::Gone, 0).unwrap();
        std::fs::remove_dir(disk.file("")).unwrap();
        disk.ensure(ImageWish::Gone, 0).unwrap();
    }

    #[test]
    fn a_damaged_one_is_made_anew() {
        let disk = Disk::new();
        disk.ensure(ImageWish::Mounted(SIZE), SIZE).unwrap();
        std::fs::write(disk.mount_point().join("lost"), "x").unwrap();
        disk.ensure(ImageWish::Unmounted, 0).unwrap();
        let file = File::options().write(true).open(disk.file(NAME)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 8192], 0).unwrap();
        disk.ensure(ImageWish::Mounted(SIZE), SIZE).unwrap();
        assert!(!disk.mount_point().join("lost").exists());
        std::fs::write(disk.mount_point().join("new"), "x").unwrap();
    }

    #[test]
    fn its_loop_device_is_told_from_disks_by_the_file_behind_it() {
        assert!(is_image("/var/lib/kubelet/plugins/x/disks/u/state/fscache.img\n"));
        assert!(is_image("/state/fscache.img (deleted)\n"));
        for other in ["/images/disk.img\n", "/fscache.img\n", "/mystate/fscache.img", ""] {
            assert!(!is_image(other), "{other}");
        }
    }

    #[test]
    fn one_in_use_stays_and_goes_later() {
        let disk = Disk::new();
        disk.ensure(ImageWish::Mounted(SIZE), SIZE).unwrap();
        let user = File::create(disk.mount_point().join("open")).unwrap();
        assert!(matches!(disk.ensure(ImageWish::Gone, 0), Err(ImageError::Busy)));
        drop(user);
        disk.ensure(ImageWish::Gone, 0).unwrap();
    }
}
