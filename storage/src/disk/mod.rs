//! What is asked of the disk: single steps, each of which happens or does not. Everything above is made of these, so
//! that a test can stop it between any two. `real` is the real one.

mod durable;
pub mod real;
mod tag;

pub use durable::write_durably;
use durable::{UNFINISHED_SUFFIX, errno};
use rustix::io::Errno;
use workspacefs_sys::quota::{Limits, Quota};

use crate::names::Place;

/// A step on the disk failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {action} {path} on the disk")]
pub struct DiskError {
    /// What was tried.
    pub action: &'static str,
    /// On which path beneath the disk's root.
    pub path: String,
    /// What the kernel says.
    #[source]
    pub errno: Errno,
}

impl DiskError {
    /// For `map_err`.
    pub fn at(action: &'static str, path: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let path = path.into();
        move |errno| Self { action, path, errno }
    }

    /// Whether it failed because the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self.errno, Errno::NOSPC | Errno::DQUOT)
    }
}

/// The disk as statfs sees it, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Space {
    /// Size of its file system.
    pub total: u64,
    /// Free.
    pub free: u64,
}

/// Who a new folder belongs to, and its permission bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// How far the deletion of a tree is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Emptied {
    /// Files and folders removed, or moved up to be, in this call.
    pub entries: u64,
    /// Nothing is left, not even its root.
    pub done: bool,
}

/// The steps. Each may be repeated: what is as it should be already is fine. Each fails with what the kernel says.
pub trait Disk: Send + Sync {
    /// Size and free space.
    fn space(&self) -> Result<Space, DiskError>;

    /// Where ids of projects begin: different for each storage, since two directories may lie on one disk.
    fn first_project(&self) -> u32;

    /// Every record, in no order.
    fn records(&self) -> Result<Vec<Vec<u8>>, DiskError>;
    /// Writes a project's record so that after a power cut either the old or the new one is there.
    fn write_record(&self, project: u32, text: &[u8]) -> Result<(), DiskError>;
    /// Removes a project's record.
    fn remove_record(&self, project: u32) -> Result<(), DiskError>;

    /// Limits and usage of a project.
    fn quota(&self, project: u32) -> Result<Quota, DiskError>;
    /// The first project at or after `from` that the quotas know.
    fn next_quota(&self, from: u32) -> Result<Option<Quota>, DiskError>;
    /// Sets a project's limits.
    fn set_limits(&self, project: u32, limits: Limits) -> Result<(), DiskError>;
    /// Takes a project's limits off.
    fn clear_limits(&self, project: u32) -> Result<(), DiskError>;

    /// Projects that have a folder at [`Place::New`].
    fn new_folders(&self) -> Result<Vec<u32>, DiskError>;
    /// Makes the folder at [`Place::New`], which only root can enter.
    fn make(&self, project: u32) -> Result<(), DiskError>;
    /// Removes it again; it must be empty.
    fn discard(&self, project: u32) -> Result<(), DiskError>;
    /// Puts the folder at [`Place::New`], and whatever will be made in it, under its project.
    fn mark(&self, project: u32) -> Result<(), DiskError>;
    /// Gives the folder at [`Place::New`] its owner and mode.
    fn own(&self, project: u32, owner: Owner) -> Result<(), DiskError>;

    /// Puts a folder that is at its place, and whatever will be made in it, under its project again. What lies in it already stays
    /// as it is.
    fn mark_again(&self, place: &Place, project: u32) -> Result<(), DiskError>;
    /// The project of the folder at a place; None if nothing is there.
    fn project_at(&self, place: &Place) -> Result<Option<u32>, DiskError>;
    /// Moves a folder to a place where nothing is, and makes the place's parent if it is missing.
    fn rename(&self, from: &Place, to: &Place) -> Result<(), DiskError>;
    /// Removes the parents of live places that are empty. Only while nothing is served: for a minute a client believes that
    /// a parent made again is still the one before, in which nothing new is found.
    fn prune(&self) -> Result<(), DiskError>;
    /// Removes up to so many entries of the tree at a place, one at least, and its root last. What cannot be removed
    /// is an error of the call that meets it, which goes on with the others first.
    fn remove_some(&self, place: &Place, entries_max: u64) -> Result<Emptied, DiskError>;
}
