//! The path at which kubelet wants a volume: checked, and worked on through its parent's descriptor.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use thiserror::Error;
use workspacefs_sys::{inspect, unmount};

/// PATH_MAX without its final NUL.
const TARGET_BYTES_MAX: usize = 4095;

/// An absolute path without `..`, `.` or empty parts, below the root.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Target(PathBuf);

/// The path cannot be a target.
#[derive(Debug, Error, Eq, PartialEq)]
#[error("the target path is not an absolute path of at most 4095 bytes without \"..\" and NUL")]
pub struct BadTarget;

/// Something at the target path is in the way, or is missing.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The caller makes the parent.
    #[error("the target's parent folder {0} cannot be opened")]
    Parent(PathBuf, #[source] Errno),
    /// A file or symbolic link has its name.
    #[error("{0} is in the way of the volume: it is not a folder")]
    NotAFolder(PathBuf),
    /// There are files in it that no volume brought.
    #[error("{0} has files in it that are not the volume's: nothing of it was removed; move them away")]
    NotEmpty(PathBuf),
    /// Anything else.
    #[error("cannot {action} the target folder {path}")]
    Failed {
        /// What was done.
        action: &'static str,
        /// The target.
        path: PathBuf,
        /// Why not.
        #[source]
        errno: Errno,
    },
}

/// What is at a target path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Nothing is mounted there.
    Free,
    /// A mount.
    Mounted,
    /// A mount whose root the server has forgotten.
    Stale,
}

impl Target {
    /// Checks a path as the caller gave it.
    ///
    /// # Errors
    /// [`BadTarget`]; the path is not echoed: it may be long and hostile.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        let parts: Vec<&str> = text.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        let good = text.starts_with('/')
            && text.len() <= TARGET_BYTES_MAX
            && !text.contains('\0')
            && !parts.is_empty()
            && !parts.contains(&"..");
        if good { Ok(Self(PathBuf::from(format!("/{}", parts.join("/"))))) } else { Err(BadTarget) }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is there now. Never waits for a server.
    ///
    /// # Errors
    /// The path cannot be walked at all.
    pub fn state(&self) -> Result<State, TargetError> {
        match inspect::is_mount_root(&self.0) {
            Ok(true) => Ok(State::Mounted),
            Ok(false) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(State::Free),
            Err(Errno::STALE) => Ok(State::Stale),
            Err(errno) => Err(self.failed("look at", errno)),
        }
    }

    /// Makes the folder, whose parent must exist, or finds it made, and opens it. What is mounted there must have been
    /// taken off before.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn make(&self) -> Result<OwnedFd, TargetError> {
        let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name()) else {
            return Err(self.failed("open", Errno::INVAL));
        };
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent_fd = openat(CWD, parent, folder, Mode::empty())
            .map_err(|errno| TargetError::Parent(parent.to_path_buf(), errno))?;
        match mkdirat(&parent_fd, name, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed("create", errno)),
        }
        match openat(parent_fd.as_fd(), name, folder | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => Err(TargetError::NotAFolder(self.0.clone())),
            other => other.map_err(|errno| self.failed("open", errno)),
        }
    }

    /// Takes every mount off the target; none is fine. Never waits for a server.
    ///
    /// # Errors
    /// What the kernel says beyond "in use": a mount in use goes when its last user does.
    pub fn unmount(&self) -> Result<usize, TargetError> {
        unmount::everything(&self.0).map_err(|errno| self.failed("unmount", errno))
    }

    /// Removes the folder. One that is gone is fine; one that has files in it is left alone, always.
    ///
    /// # Errors
    /// [`TargetError::NotEmpty`], [`TargetError::NotAFolder`].
    pub fn remove(&self) -> Result<(), TargetError> {
        match rustix::fs::rmdir(&self.0) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(TargetError::NotEmpty(self.0.clone())),
            // Also where a part of the way is a file: then there is no such folder.
            Err(Errno::NOTDIR) if rustix::fs::lstat(&self.0).is_err() => Ok(()),
            Err(Errno::NOTDIR) => Err(TargetError::NotAFolder(self.0.clone())),
            Err(errno) => Err(self.failed("remove", errno)),
        }
    }

    fn failed(&self, action: &'static str, errno: Errno) -> TargetError {
        TargetError::Failed { action, path: self.0.clone(), errno }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_absolute_climb_nowhere_and_have_one_spelling() {
        for good in ["/a/b", "/a//b/", "/./a/b"] {
            assert_eq!(Target::parse(good).unwrap().path(), Path::new("/a/b"), "{good}");
        }
        let long = format!("/{}", "a/".repeat(2048));
        for bad in ["", "a", "/", "/..", "/a/../b", "/a\0", &long] {
            assert_eq!(Target::parse(bad), Err(BadTarget), "{bad:?}");
        }
    }

    #[test]
    fn a_folder_is_made_once_and_removed_only_when_it_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::parse(&format!("{}/mount", dir.path().display())).unwrap();
        target.make().unwrap();
        target.make().unwrap();
        std::fs::write(target.path().join("precious"), "x").unwrap();
        assert!(matches!(target.remove(), Err(TargetError::NotEmpty(_))));
        assert!(target.path().join("precious").exists());
        std::fs::remove_file(target.path().join("precious")).unwrap();
        target.remove().unwrap();
        target.remove().unwrap();
        assert!(!target.path().exists());
    }

    #[test]
    fn what_has_the_targets_name_but_is_no_folder_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Target::parse(&format!("{}/{name}", dir.path().display())).unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        for name in ["file", "link"] {
            assert!(matches!(at(name).make(), Err(TargetError::NotAFolder(_))), "{name}");
            assert!(matches!(at(name).remove(), Err(TargetError::NotAFolder(_))), "{name}");
            assert!(at(name).path().symlink_metadata().is_ok(), "{name}");
        }
        assert!(matches!(at("missing/mount").make(), Err(TargetError::Parent(..))));
        at("file/mount").remove().unwrap();
        assert_eq!(at("file/mount").state().unwrap(), State::Free);
    }
}
