//! Moving up what lies deep in a tree that is deleted a little at a time. Each call goes down from the root again, and
//! people make trees so deep that it would not come to the bottom. So a deep directory is moved to the tree's root,
//! where the next call finds it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{FileType, renameat};
use rustix::io::Errno;

use crate::doom::Doomed;
use crate::engine::Engine;
use crate::names::Names;

/// No call goes deeper than this, which few trees are. With a latency of 1 ms the way there takes some tenths of a
/// second.
const DEPTH_MAX: usize = 32;

impl Engine<'_> {
    /// Moves a directory of `from` up where that lies deep. False: it is to be emptied where it is.
    pub fn move_up(&self, from: &Arc<Doomed>, directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> bool {
        if self.allowance.is_none() || from.depth < DEPTH_MAX || self.may_delete(true).is_err() {
            return false;
        }
        let tree = from.tree();
        let moved = self.temporaries.next().and_then(|new| {
            renameat(directory, name, tree.place.handle()?.as_fd(), &new)?;
            Ok(new)
        });
        match moved {
            Ok(new) => {
                self.moved.fetch_add(1, Ordering::Relaxed);
                tree.expect(1);
                self.queue
                    .push_doomed(Arc::clone(tree), Arc::new(Names::one(&new, FileType::Directory, false)));
                true
            }
            Err(Errno::NOENT) => true,
            // Another file system is mounted on it, or another quota holds below: it has to go where it lies.
            Err(_) => false,
        }
    }
}
