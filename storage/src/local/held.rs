//! A disk that is ours and in use: workspaces' shares on it, their limits, how full it is, how it does. Claims' volumes beside
//! them are in `volume`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fstatvfs};
use workspacefs_api::UsedDevice;
use workspacefs_runtime::chain;
use workspacefs_sys::beneath::{self, Links};

use super::health::{self, Failure, Watch};
use super::image::{self, ImageError};
use super::rarely::Rarely;
use super::told::Told;
use super::{Usage, UsageError, WorkspaceError, WorkspaceWish};
use crate::disk::real::{Counting, RealDisk};
use crate::disk::{Disk, DiskError, Owner, Space};
use crate::emptier::Slices;
use crate::folders::error::{EnsureFileSystemError, ReadError, StepError};
use crate::folders::types::{FileSystemView, FileSystemWish};
use crate::folders::{Folders, system_clock};
use crate::names::{EXPORT_FOLDER, Label, Uid};
use crate::sizes::{BLOCK, Promises};

/// What is thrown away stays that long.
const TRASH_KEEP_SECONDS: i64 = 24 * 3600;
/// How much of what is thrown away is deleted in one look: publishes wait for it.
const TRASH_SLICE_ENTRIES: u64 = 5000;
const TRASH_SLICE: Duration = Duration::from_millis(500);
/// So many workspaces are named in a message.
const NAMED_MAX: usize = 3;

/// What it is on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ground {
    /// Major and minor number.
    pub number: (u32, u32),
    /// The whole disk's name, for its counters.
    pub disk: String,
    /// The device's node, if there is one to read from.
    pub node: Option<PathBuf>,
    /// As the entry shows it.
    pub used: UsedDevice,
    /// Others take from the same space.
    pub is_shared: bool,
}

/// See above.
pub struct Held {
    disk: Arc<RealDisk>,
    folders: Folders,
    /// What it is on.
    pub ground: Ground,
    errors: Watch,
    /// The quota that every workspace has been given.
    applied: Option<Option<u64>>,
    told: Told,
    unaccounted: Rarely,
    trash: Slices,
}

/// What is said of a disk where projects are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Account {
    /// The largest volume that can still be made.
    pub available: u64,
    /// Taken by what is in no folder of ours; None where others have the same file system.
    pub unaccounted: Option<u64>,
}

impl Held {
    /// Finds the workspaces' folders.
    ///
    /// # Errors
    /// The disk.
    pub fn new(disk: RealDisk, ground: Ground) -> Result<Self, StepError> {
        let disk = Arc::new(disk);
        let folders = Folders::open(disk.clone(), system_clock(), TRASH_KEEP_SECONDS)?;
        Ok(Self {
            disk,
            folders,
            ground,
            errors: Watch::default(),
            applied: None,
            told: Told::default(),
            unaccounted: Rarely::default(),
            trash: Slices::default(),
        })
    }

    pub(super) fn folders(&self) -> &Folders {
        &self.folders
    }

    pub(super) fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// Its root and its accounts.
    pub fn disk(&self) -> &RealDisk {
        &self.disk
    }

    /// Whether it holds writers to a quota.
    pub fn has_quotas(&self) -> bool {
        self.disk.counting() == Counting::Projects
    }

    /// How full it is.
    ///
    /// # Errors
    /// The disk.
    pub fn space(&self) -> Result<Space, DiskError> {
        self.disk.space()
    }

    /// Whether it does what it should; a sentence if it does and yet reports errors.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn check(&mut self, sys: &Path, now: Instant) -> Result<Option<String>, Failure> {
        health::check(&self.disk, self.ground.node.as_deref())?;
        let errors = health::errors(sys, &self.ground.disk, &self.ground.used.name);
        Ok(self.errors.look(errors, now))
    }

    /// What is promised and what nobody was given; None where nothing is counted. Once the limits are as they should be.
    ///
    /// # Errors
    /// The disk.
    pub fn account(&mut self, now: Instant) -> Result<Option<Account>, DiskError> {
        if !self.has_quotas() {
            return Ok(None);
        }
        let available = self.told.available(&self.folders.overview().map_err(on_disk)?);
        let unaccounted = match self.ground.is_shared {
            true => None,
            // The node's cache is in no folder, and nobody's escape.
            false => {
                let cache = image::taken(self.disk.root());
                Some(self.unaccounted.get(now, || self.folders.unaccounted(cache).map_err(on_disk))?)
            }
        };
        Ok(Some(Account { available, unaccounted }))
    }

    /// What can still be given away: promised to nobody, or free, where nothing is counted.
    ///
    /// # Errors
    /// The disk.
    pub fn unpromised(&self) -> Result<u64, ImageError> {
        match self.has_quotas() {
            true => Ok(self.folders.overview()?.bytes_unpromised),
            false => Ok(self.disk.space()?.free),
        }
    }

    /// Deletes a slice of what was thrown away and has had its time.
    pub fn empty_trash(&mut self) {
        self.trash.next(&self.folders, TRASH_SLICE_ENTRIES, TRASH_SLICE);
    }

    /// Gives every workspace's share the quota that is asked for now. Volumes have sizes of their own. What could not be done is said, and tried again the next time.
    ///
    /// # Errors
    /// The disk.
    pub fn limit(&mut self, quota: Option<u64>) -> Result<Option<String>, DiskError> {
        if self.applied == Some(quota) {
            return Ok(None);
        }
        let capacity = self.capacity(quota)?;
        self.promise(quota);
        let views = self.folders.file_systems().map_err(on_disk)?;
        let mut refused = Vec::new();
        for view in views.iter().filter(|view| view.is_share() && view.capacity != capacity) {
            // Its folder is there: the owner is not used.
            let owner = Owner { uid: 0, gid: 0, mode: 0o777 };
            let wish = wish(view.uid.clone(), view.namespace.clone(), capacity, owner);
            if let Err(error) = self.folders.ensure_file_system(&wish) {
                refused.push(format!(
                    "workspace {} keeps its limit of {} bytes: {}",
                    view.namespace,
                    view.capacity,
                    why_kept(&error)
                ));
            }
        }
        if refused.is_empty() {
            self.applied = Some(quota);
            return Ok(None);
        }
        let more = refused.len().saturating_sub(NAMED_MAX);
        refused.truncate(NAMED_MAX);
        if more > 0 {
            refused.push(format!("and {more} more"));
        }
        Ok(Some(refused.join("; ")))
    }

    /// Makes or finds a workspace's folder, and opens it.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn workspace(&mut self, asked: &WorkspaceWish) -> Result<OwnedFd, WorkspaceError> {
        if asked.quota_bytes.is_some() && !self.has_quotas() {
            return Err(WorkspaceError::NoQuota);
        }
        let uid = Uid::try_from(asked.namespace_uid.clone())?;
        let namespace = Label::try_from(asked.namespace.clone())?;
        let mode = asked.owner.mode_bits().ok_or(WorkspaceError::Mode)?;
        let owner = Owner { uid: asked.owner.uid, gid: asked.owner.gid, mode };
        let capacity = self.capacity(asked.quota_bytes)?;
        self.promise(asked.quota_bytes);
        let wish = wish(uid, namespace, capacity, owner);
        Ok(self.open(&self.ensure(&wish)?.folder)?)
    }

    /// See [`super::Keeper::shares_of`].
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn shares_of(&self, namespace: &str) -> Result<Vec<OwnedFd>, WorkspaceError> {
        let views = self.folders.file_systems().map_err(on_disk)?;
        let of_it = views.iter().filter(|view| view.is_share() && view.namespace.as_str() == namespace);
        Ok(of_it.map(|view| self.open(&view.folder)).collect::<Result<_, _>>()?)
    }

    fn open(&self, folder: &str) -> Result<OwnedFd, DiskError> {
        let path = format!("{EXPORT_FOLDER}/{folder}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        beneath::open(self.disk.root(), &path, flags, Mode::empty(), Links::Refused)
            .map_err(DiskError::at("open", path))
    }

    /// A workspace that has its folder keeps it with the limit that it has, if it cannot have the one that is asked for: more is
    /// in it, or the disk has no more.
    fn ensure(&self, wish: &FileSystemWish) -> Result<FileSystemView, WorkspaceError> {
        use EnsureFileSystemError::{BelowInodes, BelowUsage, NoRoom};
        match self.folders.ensure_file_system(wish) {
            Err(error @ (BelowUsage { .. } | BelowInodes { .. } | NoRoom(_))) => {
                let there = self.folders.file_system(&wish.uid).map_err(|error| error.0)?;
                if there.is_some() {
                    tracing::warn!(workspace = %wish.namespace, error = chain(&error), "its limit stays as it is");
                }
                there.ok_or(WorkspaceError::Refused(error))
            }
            other => Ok(other?),
        }
    }

    /// How full a workspace's folder is; None if it has none.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn usage(&self, namespace_uid: &str) -> Result<Option<Usage>, UsageError> {
        let Ok(uid) = Uid::try_from(namespace_uid.to_string()) else { return Ok(None) };
        match self.folders.file_system(&uid).map_err(UsageError::Read)?.filter(FileSystemView::is_share) {
            Some(view) => self.usage_of(&view).map(Some),
            None => Ok(None),
        }
    }

    /// How full a folder is.
    pub(super) fn usage_of(&self, view: &FileSystemView) -> Result<Usage, UsageError> {
        let stat = fstatvfs(self.disk.root()).map_err(DiskError::at("ask the size of", "the file system"))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let whole = Usage {
            bytes_total: bytes(stat.f_blocks),
            bytes_used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            bytes_available: bytes(stat.f_bavail),
            inodes_total: stat.f_files,
            inodes_used: stat.f_files.saturating_sub(stat.f_ffree),
        };
        // Where nothing is counted, all that is known is how full the disk is.
        if !self.has_quotas() {
            return Ok(whole);
        }
        let usage = view.usage;
        let bytes_total =
            if usage.bytes_limit == 0 { whole.bytes_total } else { usage.bytes_limit.min(whole.bytes_total) };
        Ok(Usage {
            bytes_total,
            bytes_used: usage.bytes_used,
            bytes_available: bytes_total.saturating_sub(usage.bytes_used).min(whole.bytes_available),
            inodes_total: usage.inodes_limit,
            inodes_used: usage.inodes_used,
        })
    }

    /// What a workspace may grow to.
    fn capacity(&self, quota: Option<u64>) -> Result<u64, DiskError> {
        let most = u64::MAX / BLOCK * BLOCK;
        Ok(match quota {
            Some(quota) => quota.checked_next_multiple_of(BLOCK).unwrap_or(most),
            None => (self.disk.space()?.total / BLOCK * BLOCK).max(BLOCK),
        })
    }

    fn promise(&mut self, quota: Option<u64>) {
        self.folders.set_promises(if quota.is_some() { Promises::Kept } else { Promises::NotToShares });
    }
}

/// Without the figures of the moment: what stands in a status is written anew whenever it changes.
fn why_kept(error: &EnsureFileSystemError) -> String {
    use EnsureFileSystemError::{BelowInodes, BelowUsage, NoRoom};
    match error {
        BelowUsage { .. } => "more than perWorkspaceQuota is in it".into(),
        BelowInodes { .. } => "it has more files than go with perWorkspaceQuota".into(),
        NoRoom(_) => "the disk cannot promise it perWorkspaceQuota".into(),
        other => chain(other),
    }
}

fn on_disk(error: ReadError) -> DiskError {
    match error.0 {
        StepError::Disk(error) => error,
        other => DiskError::at("list", chain(&other))(workspacefs_sys::Errno::IO),
    }
}

/// A workspace's share is an own folder, with the namespace for everything.
fn wish(uid: Uid, namespace: Label, capacity: u64, owner: Owner) -> FileSystemWish {
    FileSystemWish {
        uid: uid.clone(),
        namespace_uid: uid,
        namespace: namespace.clone(),
        name: namespace,
        capacity,
        owner,
        adopt: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::error::NoRoom;

    #[test]
    fn why_a_limit_is_kept_reads_the_same_however_much_is_used_or_left() {
        let usage = |used| EnsureFileSystemError::BelowUsage { capacity: 1, needed: used, used, claims: 0 };
        let inodes = |used| EnsureFileSystemError::BelowInodes { capacity: 1, limit: 2, used };
        let room = |left| EnsureFileSystemError::from(NoRoom { asked: 9, left, removed: left });
        for (one, other, word) in [
            (usage(5), usage(6), "is in it"),
            (inodes(5), inodes(6), "files"),
            (room(5), room(6), "cannot promise"),
        ] {
            assert_eq!(why_kept(&one), why_kept(&other));
            assert!(why_kept(&one).contains(word), "{}", why_kept(&one));
        }
    }
}
