//! Tying what is mounted inside a view to the view, so that no later bind of the view shows what is beneath it.
//!
//! A plain bind copies one mount without those inside it: kubelet binds a `subPath` so, and `subPath: .` would show the
//! folder that a view hides. Mounts copied into the mount namespace of a less privileged user are locked together
//! (mount_namespaces(7), "Restrictions on mount namespaces"): such a bind is then refused with EINVAL. So a child steps into a
//! user namespace of its own, clones the view from there and hands it back; nothing of that namespace remains.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::channel::BlockingChannel;
use crate::{SysError, process};

const STEP: &str = "lock what is mounted inside the view";

/// A detached copy of the tree that is mounted at `path`, whose inner mounts cannot be parted from it. Read-only, nosuid
/// and nodev of the tree's mounts are locked with them: a container runtime's own remount of what has them is then
/// refused. May wait for the server that the tree lives on; a signal that ends this process ends that too.
///
/// # Errors
/// [`SysError`]; see [`is_forbidden`].
pub fn clone_locked(path: &Path) -> Result<OwnedFd, SysError> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(SysError::at(STEP))?;
    let parent = std::process::id();
    let (mut ours, theirs) = (BlockingChannel::new(ours), BlockingChannel::new(theirs));
    let child = match fork_child().map_err(SysError::at(STEP))? {
        ForkResult::Child => {
            drop(ours);
            hand_over(parent, path, &theirs)
        }
        ForkResult::Parent { child } => Child(child),
    };
    drop(theirs);
    let answer = ours.receive().map_err(SysError::io(STEP))?;
    drop(child);
    match (answer.descriptors.into_iter().next(), answer.bytes.try_into()) {
        (Some(tree), _) => Ok(tree),
        (None, Ok(number)) => Err(SysError::at(STEP)(Errno::from_raw_os_error(i32::from_ne_bytes(number)))),
        (None, Err(_)) => Err(SysError::at(STEP)(Errno::IO)),
    }
}

/// Whether [`clone_locked`] failed because this node allows no user namespaces: a limit (user_namespaces(7)), a security
/// module, or a kernel without them.
pub fn is_forbidden(error: &SysError) -> bool {
    error.step == STEP && matches!(error.errno, Errno::NOSPC | Errno::PERM | Errno::ACCESS | Errno::INVAL)
}

/// Is waited for: nobody else would.
struct Child(Pid);

impl Drop for Child {
    fn drop(&mut self) {
        // It leaves by itself as soon as its end of the channel is closed or used.
        let _ = waitpid(self.0, None);
    }
}

#[allow(unsafe_code)]
fn fork_child() -> Result<ForkResult, Errno> {
    // SAFETY: the child calls `hand_over` and nothing else, which allocates only small buffers, takes no lock of ours and
    // never returns. Where another thread exists (a name being resolved), it holds none but the allocator's, which the C
    // libraries that we build for make usable again in the child.
    unsafe { fork() }.map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

/// The child's whole life.
#[allow(unsafe_code)]
fn hand_over(parent: u32, path: &Path, channel: &BlockingChannel) -> ! {
    let tree = process::die_with(parent).and_then(|()| clone_from_inside(path));
    let _ = match &tree {
        Ok(tree) => channel.send(&[0; 4], &[tree.as_fd()]),
        Err(errno) => channel.send(&errno.raw_os_error().to_ne_bytes(), &[]),
    };
    // SAFETY: ends the process at once; destructors and exit handlers belong to the parent.
    unsafe { libc::_exit(0) }
}

#[allow(unsafe_code)]
fn clone_from_inside(path: &Path) -> Result<OwnedFd, Errno> {
    // SAFETY: no descriptor table is shared or unshared; a forked child has one thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags)
}
