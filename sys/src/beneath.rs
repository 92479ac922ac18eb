//! Opening what lies beneath a directory and nowhere else: openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS.
//! The kernel resolves, so a path that changes while it is walked cannot lead out.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::path::Arg;

/// How often a resolution is repeated that raced with a rename anywhere on the machine (EAGAIN), as openat2(2) advises.
const RACES_MAX: usize = 128;

/// Whether symbolic links may be part of the path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Links {
    /// Followed as long as they stay beneath the root: for people's paths.
    Beneath,
    /// An error (LOOP): for our own paths, where nobody should have put one.
    Refused,
}

/// Opens the directory `path` beneath `root` as O_PATH.
///
/// # Errors
/// `XDEV` where the path leads out of `root`, `LOOP` for refused links, `NOTDIR` for anything but a directory,
/// `AGAIN` if somebody renames so busily that it cannot be resolved safely.
pub fn directory(root: BorrowedFd<'_>, path: &str, links: Links) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), links)
}

/// Opens `path` beneath `root` with the given flags and, where it is created, mode. The empty path is the root itself.
///
/// # Errors
/// As [`directory`], and whatever open(2) answers.
pub fn open(
    root: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    mode: Mode,
    links: Links,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { "." } else { path };
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_MAGICLINKS
        | match links {
            Links::Beneath => ResolveFlags::empty(),
            Links::Refused => ResolveFlags::NO_SYMLINKS,
        };
    resolved(root, path, flags, mode, resolve)
}

/// Opens a path of any bytes by rules of one's own, which should have BENEATH among them; the descriptor is closed on exec.
///
/// # Errors
/// As [`open`], and what the rules add: `LOOP` for NO_SYMLINKS, `XDEV` for NO_XDEV.
pub fn resolved<P: Arg + Copy>(
    root: BorrowedFd<'_>,
    path: P,
    flags: OFlags,
    mode: Mode,
    rules: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let mut result = Err(Errno::AGAIN);
    for _ in 0..RACES_MAX {
        result = openat2(root, path, flags | OFlags::CLOEXEC, mode, rules);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}

/// Whether this kernel (and this container's system call filter) has openat2.
///
/// # Errors
/// `NOSYS` before Linux 5.6; `PERM` behind a filter that does not know it.
pub fn probe() -> Result<(), Errno> {
    open(rustix::fs::CWD, "", OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), Links::Beneath).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        symlink("a/b", dir.path().join("inside")).unwrap();
        symlink("..", dir.path().join("up")).unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        let fd = rustix::fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (dir, fd)
    }

    #[test]
    fn what_lies_beneath_opens_and_what_leads_out_does_not() {
        let (_dir, root) = root();
        for good in ["", "a", "a/b", "a/../a/b", "inside"] {
            assert!(directory(root.as_fd(), good, Links::Beneath).is_ok(), "{good:?}");
        }
        for bad in ["..", "a/../..", "/etc", "up", "out", "out/ssl", "inside/../../.."] {
            assert_eq!(directory(root.as_fd(), bad, Links::Beneath).err(), Some(Errno::XDEV), "{bad:?}");
        }
    }

    #[test]
    fn files_links_and_missing_names_have_their_own_numbers() {
        let (_dir, root) = root();
        let open = |path, links| directory(root.as_fd(), path, links).err();
        assert_eq!(open("file", Links::Beneath), Some(Errno::NOTDIR));
        assert_eq!(open("nothing", Links::Beneath), Some(Errno::NOENT));
        assert_eq!(open("inside", Links::Refused), Some(Errno::LOOP));
    }
}
