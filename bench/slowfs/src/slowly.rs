//! What all operations have in common: each is counted, waits, is handed to the folder below, and answered.

use std::sync::Arc;

use fuser::{Errno, FileHandle, FopenFlags, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyOpen};
use rustix::fs::Stat;
use rustix::io::Result;

use crate::attributes::told;
use crate::filesystem::{BELIEVED, GENERATION};
use crate::later::Later;
use crate::lower::Lower;
use crate::operation::Operation;
use crate::pace::Pace;

/// The file system.
pub struct SlowFilesystem {
    /// What is below.
    pub lower: Arc<Lower>,
    /// The count.
    pub pace: Arc<Pace>,
    /// The pause.
    pub later: Later,
    /// Whether attributes come with the listing.
    pub plus: bool,
}

pub fn error(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

impl SlowFilesystem {
    /// Counts an operation and does it, after the pause if it is one of those with a pause.
    pub fn slowly(&self, operation: Operation, action: impl FnOnce(&Lower) + Send + 'static) {
        self.pace.count(operation);
        if !operation.is_slow() {
            return action(&self.lower);
        }
        let (lower, waiting) = (Arc::clone(&self.lower), Pace::wait(&self.pace));
        self.later.run(move || {
            drop(waiting);
            action(&lower);
        });
    }

    pub fn take<T>(
        &self,
        operation: Operation,
        action: impl FnOnce(&Lower) -> Result<T> + Send + 'static,
        answer: impl FnOnce(std::result::Result<T, Errno>) + Send + 'static,
    ) {
        self.slowly(operation, move |lower| answer(action(lower).map_err(error)));
    }

    pub fn entry(
        &self,
        operation: Operation,
        reply: ReplyEntry,
        action: impl FnOnce(&Lower) -> Result<Stat> + Send + 'static,
    ) {
        self.take(operation, action, |found| match found {
            Ok(stat) => reply.entry(&BELIEVED, &told(&stat), GENERATION),
            Err(error) => reply.error(error),
        });
    }

    pub fn attributes(
        &self,
        operation: Operation,
        reply: ReplyAttr,
        action: impl FnOnce(&Lower) -> Result<Stat> + Send + 'static,
    ) {
        self.take(operation, action, |found| match found {
            Ok(stat) => reply.attr(&BELIEVED, &told(&stat)),
            Err(error) => reply.error(error),
        });
    }

    pub fn empty(
        &self,
        operation: Operation,
        reply: ReplyEmpty,
        action: impl FnOnce(&Lower) -> Result<()> + Send + 'static,
    ) {
        self.take(operation, action, |done| match done {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        });
    }

    pub fn opened(
        &self,
        operation: Operation,
        reply: ReplyOpen,
        action: impl FnOnce(&Lower) -> Result<FileHandle> + Send + 'static,
    ) {
        self.take(operation, action, |opened| match opened {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(error),
        });
    }
}
