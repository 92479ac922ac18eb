//! Binding a folder somewhere: the volume's own private view of one directory of a share. Two ways with the same result,
//! chosen by trying the system calls.
//!
//! Either way nobody ever sees a view that is not finished. A mount that is attached below a shared mount (kubelet's
//! folders are shared) is copied to that mount's peers as it is at that moment, and later changes of its flags are not
//! copied: a view is therefore made nosuid, nodev, read-only and has its folder hidden *before* it is attached.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use sys_mount::{Mount, MountFlags};
use thiserror::Error;

use crate::beneath::{self, Links};
use crate::{SysError, attributes, filesystem, inspect, lock, unmount};

/// How views are made on this kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MountApi {
    /// open_tree, mount_setattr, move_mount: a view is finished while it is attached nowhere (Linux 5.12).
    Modern,
    /// mount(2) on descriptors under /proc/self/fd: a view is finished on a staging place that is private to us, and
    /// bound from there (Linux 5.6 to 5.11).
    Legacy,
}

/// This kernel cannot keep our promises.
#[derive(Debug, Error)]
pub enum Unsupported {
    /// Without openat2 a path can be changed under our feet.
    #[error(
        "this kernel does not let us open paths safely: openat2 (Linux 5.6) is missing or filtered; workspacefs does not run without it"
    )]
    NoOpenat2(#[source] Errno),
    /// Mount system calls are missing or forbidden.
    #[error(
        "this process may not mount: it needs CAP_SYS_ADMIN and the system calls fsopen, open_tree and move_mount (Linux 5.6)"
    )]
    NoMounts(#[source] SysError),
}

/// What a view is to be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ViewOptions<'a> {
    /// Nothing can be written through it.
    pub read_only: bool,
    /// A folder right below its root that is covered by an empty read-only one, if it exists; no bind of the view without
    /// what is mounted inside it shows it ([`lock`]).
    pub hidden: Option<&'a str>,
}

impl MountApi {
    /// Finds out by trying what this kernel and this container allow. With `force_legacy` the older way is taken even
    /// where the newer one works.
    ///
    /// # Errors
    /// [`Unsupported`], in words for the log.
    pub fn detect(force_legacy: bool) -> Result<Self, Unsupported> {
        beneath::probe().map_err(Unsupported::NoOpenat2)?;
        let tmpfs = filesystem::empty_tmpfs().map_err(Unsupported::NoMounts)?;
        if force_legacy {
            return Ok(Self::Legacy);
        }
        match attributes::seal(tmpfs.as_fd(), true) {
            Ok(()) => Ok(Self::Modern),
            // A container's filter answers EPERM to calls it does not know.
            Err(Errno::NOSYS | Errno::PERM) => Ok(Self::Legacy),
            Err(errno) => Err(Unsupported::NoMounts(SysError::at("mount_setattr")(errno))),
        }
    }

    /// Makes the view of `folder`: private, nosuid, nodev. The descriptor is a detached tree (Modern) or the root of a
    /// mount on `place` (Legacy) and goes to [`MountApi::attach`]. May wait for the server that `folder` lives on.
    ///
    /// # Errors
    /// [`SysError`]; then nothing is left behind.
    pub fn view(
        self,
        folder: BorrowedFd<'_>,
        options: ViewOptions<'_>,
        place: &StagingPlace,
    ) -> Result<OwnedFd, SysError> {
        match (self, options.hidden) {
            (Self::Modern, None) => detached_view(folder, options.read_only),
            (Self::Modern, Some(hidden)) => {
                let tree = clone_tree(folder, OpenTreeFlags::empty())?;
                attributes::unseal(tree.as_fd()).map_err(SysError::at("clear the view's attributes"))?;
                let staged = place.occupy()?;
                attach_tree(tree.as_fd(), staged.fd.as_fd())?;
                hide(tree.as_fd(), hidden)?;
                sealed(lock::clone_locked(place.path())?, options.read_only)
            }
            (Self::Legacy, hidden) => {
                let mut staged = place.occupy()?;
                bind(folder, staged.fd.as_fd(), MountFlags::BIND)?;
                if let Some(hidden) = hidden {
                    let root = place.open()?;
                    change(root.as_fd(), MsFlags::MS_PRIVATE, "make the view private")?;
                    change(
                        root.as_fd(),
                        MsFlags::MS_REMOUNT | MsFlags::MS_BIND,
                        "clear the view's attributes",
                    )?;
                    hide(root.as_fd(), hidden)?;
                    let locked = lock::clone_locked(place.path())?;
                    drop(staged);
                    staged = place.occupy()?;
                    attach_tree(locked.as_fd(), staged.fd.as_fd())?;
                }
                let root = place.open()?;
                seal_by_remount(folder, root.as_fd(), options.read_only)?;
                staged.keep();
                Ok(root)
            }
        }
    }

    /// Puts a finished view on `target`, a directory. Never waits for a server.
    ///
    /// # Errors
    /// [`SysError`]; then nothing is attached.
    pub fn attach(self, view: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), SysError> {
        match self {
            Self::Modern => attach_tree(view, target),
            Self::Legacy => bind(view, target, MountFlags::BIND | MountFlags::REC),
        }
    }

    /// Puts a finished view on `place`, where other views can be nested in it: one that is attached nowhere takes none
    /// before Linux 6.15. A view of the legacy way stands on its place already.
    ///
    /// # Errors
    /// [`SysError`]; then the view is as it was.
    pub fn stage(self, view: BorrowedFd<'_>, place: &StagingPlace) -> Result<(), SysError> {
        if self == Self::Modern {
            let staged = place.occupy()?;
            attach_tree(view, staged.fd.as_fd())?;
            staged.keep();
        }
        Ok(())
    }

    /// The view of `root`, which stands on a staging place, with all that was nested in it: goes to
    /// [`MountApi::attach`]. Never waits for a server.
    ///
    /// # Errors
    /// [`SysError`].
    pub fn unstage(self, root: OwnedFd) -> Result<OwnedFd, SysError> {
        match self {
            Self::Modern => clone_tree(root.as_fd(), OpenTreeFlags::AT_RECURSIVE),
            // It is bound from there with what is in it.
            Self::Legacy => Ok(root),
        }
    }

    /// Puts a new file system's detached mount on the directory `path` and takes it out of the peer group that a shared
    /// parent puts it in: what is cloned from it must have no peers.
    ///
    /// # Errors
    /// [`SysError`]; then nothing is attached.
    pub fn attach_private(self, mount: BorrowedFd<'_>, path: &Path) -> Result<(), SysError> {
        let directory = open_place(path)?;
        attach_tree(mount, directory.as_fd())?;
        let made_private = match self {
            Self::Modern => attributes::make_private(mount).map_err(SysError::at("make the mount private")),
            Self::Legacy => change(mount, MsFlags::MS_PRIVATE, "make the mount private"),
        };
        made_private.inspect_err(|_| {
            // The first error is the one that explains.
            let _ = unmount::detached(path);
        })
    }
}

/// A directory of ours where a view is put together, on a mount without peers. One per view.
#[derive(Clone, Debug)]
pub struct StagingPlace(PathBuf);

impl StagingPlace {
    /// The place `name` in the staging area `area`, see [`StagingPlace::prepare_area`].
    pub fn new(area: &Path, name: &str) -> Self {
        Self(area.join(name))
    }

    /// The place at `path`, when another process chose it.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes `area` a small private file system, so that nothing staged there is ever copied to another mount
    /// namespace. What an earlier process left there goes.
    ///
    /// # Errors
    /// [`SysError`] if it cannot be made.
    pub fn prepare_area(api: MountApi, area: &Path) -> Result<(), SysError> {
        std::fs::create_dir_all(area).map_err(SysError::io("create the staging area"))?;
        while inspect::is_mount_root(area).map_err(SysError::at("look at the staging area"))? {
            unmount::detached(area).map_err(SysError::at("clear the staging area"))?;
        }
        let context = filesystem::Context::open("tmpfs")?;
        context.set("source", "workspacefs-staging")?;
        context.set("size", "64k")?;
        context.set("mode", "0700")?;
        let mount = context.mount(filesystem::Access::Full)?;
        api.attach_private(mount.as_fd(), area)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes off whatever is mounted there and removes the directory: for whoever attached the view that stood on it, or
    /// gave it up. Never waits for a server.
    pub fn remove(&self) {
        // Nothing there is the usual case, and what cannot be removed goes with the area.
        let _ = unmount::detached(&self.0);
        let _ = std::fs::remove_dir(&self.0);
    }

    fn occupy(&self) -> Result<Staged<'_>, SysError> {
        let made = std::fs::create_dir(&self.0).or_else(|error| match error.kind() {
            // Left by a process that was killed while it made this very view.
            std::io::ErrorKind::AlreadyExists => {
                self.remove();
                std::fs::create_dir(&self.0)
            }
            _ => Err(error),
        });
        made.map_err(SysError::io("create the staging place"))?;
        Ok(Staged { fd: self.open()?, place: self, kept: false })
    }

    fn open(&self) -> Result<OwnedFd, SysError> {
        open_place(&self.0)
    }
}

/// Clears the place again unless the mount on it is to stay.
struct Staged<'a> {
    fd: OwnedFd,
    place: &'a StagingPlace,
    kept: bool,
}

impl Staged<'_> {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.place.remove();
        }
    }
}

fn open_place(path: &Path) -> Result<OwnedFd, SysError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(SysError::at("open the mount point"))
}

fn detached_view(folder: BorrowedFd<'_>, read_only: bool) -> Result<OwnedFd, SysError> {
    sealed(clone_tree(folder, OpenTreeFlags::empty())?, read_only)
}

fn sealed(tree: OwnedFd, read_only: bool) -> Result<OwnedFd, SysError> {
    attributes::seal(tree.as_fd(), read_only).map_err(SysError::at("set the view's attributes"))?;
    Ok(tree)
}

fn clone_tree(folder: BorrowedFd<'_>, more: OpenTreeFlags) -> Result<OwnedFd, SysError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | more;
    open_tree(folder, "", flags).map_err(SysError::at("clone the folder's mount"))
}

fn attach_tree(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), SysError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", flags).map_err(SysError::at("attach the mount"))
}

/// Covers the folder `name` at the root of an attached mount. Where there is none, or where a link or file has its name,
/// there is nothing of ours to cover.
fn hide(root: BorrowedFd<'_>, name: &str) -> Result<(), SysError> {
    let folder = match beneath::directory(root, name, Links::Refused) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
        other => other.map_err(SysError::at("open the folder that is to be hidden"))?,
    };
    attach_tree(filesystem::empty_tmpfs()?.as_fd(), folder.as_fd())
}

fn link(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn bind(source: BorrowedFd<'_>, target: BorrowedFd<'_>, flags: MountFlags) -> Result<(), SysError> {
    Mount::builder()
        .fstype("none")
        .flags(flags)
        .mount(link(source), link(target))
        .map(drop)
        .map_err(SysError::io("bind the folder"))
}

/// Sets a bind's attributes after the fact, once it is certain that `root` is that bind.
fn seal_by_remount(folder: BorrowedFd<'_>, root: BorrowedFd<'_>, read_only: bool) -> Result<(), SysError> {
    let step = "look at the bound folder";
    if inspect::identity(folder).map_err(SysError::at(step))?
        != inspect::identity(root).map_err(SysError::at(step))?
    {
        return Err(SysError::at("the bound folder is not the one that was resolved")(Errno::STALE));
    }
    change(root, MsFlags::MS_PRIVATE, "make the view private")?;
    let read_only = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | read_only;
    change(root, flags, "set the view's attributes")
}

fn change(mount: BorrowedFd<'_>, flags: MsFlags, step: &'static str) -> Result<(), SysError> {
    nix::mount::mount(None::<&str>, &link(mount), None::<&str>, flags, None::<&str>)
        .map_err(SysError::nix(step))
}

/// Opens the directory `path` wherever it is, for a mount that is already attached: O_PATH never waits for a server.
///
/// # Errors
/// `NOENT`, `NOTDIR`, or `LOOP` for a symbolic link.
pub fn open_mounted(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}
