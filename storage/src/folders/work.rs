//! What operations are made of: each leaves records, folders and quotas in a state that `repair` can finish.

use workspacefs_sys::quota::Limits;

use super::error::{Missing, NoRoom, RemoveError, StepError};
use super::model::{Model, PROJECT_FIRST, PROJECT_LAST, RecordError};
use super::types::{ClaimView, Disposal, FileSystemView, Overview, Usage};
use crate::disk::{Disk, DiskError, Owner};
use crate::names::{KeptName, NameError, Place, Uid};
use crate::record::{Claim, Folder, Own, Record, Removed};
use crate::sizes::{Balance, DiskBalance, Promises, Standing, inodes_for};

/// So much of a path that names nothing is told back.
const PATH_ECHO_CHARS_MAX: usize = 300;

/// One operation at work.
pub(super) struct Work<'a> {
    pub disk: &'a dyn Disk,
    pub model: &'a mut Model,
    pub now: i64,
    pub trash_keep_seconds: i64,
    pub promises: Promises,
}

impl Work<'_> {
    /// Writes a record down: from here on the operation happens, whatever happens to us.
    pub fn put(&mut self, record: Record) -> Result<(), StepError> {
        let text = serde_json::to_vec_pretty(&record).map_err(RecordError::from)?;
        self.disk.write_record(record.project, &text)?;
        self.model.insert(record);
        Ok(())
    }

    /// Makes sure that a folder is where its record says.
    pub fn settle(&self, record: &Record) -> Result<(), StepError> {
        settle(self.disk, self.model, record)
    }

    /// Makes a new folder: invisible until it has its quota, its owner and its record.
    pub fn make(&mut self, record: Record, limits: Limits, owner: Owner) -> Result<(), StepError> {
        let project = record.project;
        self.disk.make(project)?;
        self.disk.mark(project)?;
        self.disk.set_limits(project, limits)?;
        self.disk.own(project, owner)?;
        self.put(record.clone())?;
        self.disk.rename(&record.from, &record.place)?;
        tracing::info!(path = record.place.path(), project, bytes = limits.bytes, "made");
        Ok(())
    }

    /// Moves a folder away from where clients find it.
    pub fn remove(&mut self, record: &Record, disposal: KeptDisposal) -> Result<String, RemoveError> {
        let place = self.kept_place(record, disposal)?;
        let removed = Removed { at: self.now, emptying: false };
        let moved = record.moved(place.clone(), Some(removed));
        self.put(moved.clone())?;
        self.settle(&moved)?;
        tracing::info!(from = record.place.path(), to = place.path(), "moved away");
        Ok(place.path())
    }

    /// A free name: `<namespace>.<FileSystem>[.<claim>].<UTC stamp>`.
    fn kept_place(&self, record: &Record, disposal: KeptDisposal) -> Result<Place, RemoveError> {
        let stem = format!("{}.{}", record.readable(), stamp(self.now));
        for number in 1_u32.. {
            let name = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            let name = KeptName::try_from(name)?;
            let place = match disposal {
                KeptDisposal::Trash => Place::Trash(name),
                KeptDisposal::Archive => Place::Archive(name),
            };
            if self.model.at(&place).is_none()
                && self.disk.project_at(&place).map_err(StepError::from)?.is_none()
            {
                return Ok(place);
            }
        }
        Err(NameError("all names are taken").into())
    }

    /// A project id that nothing carries.
    pub fn new_project(&self) -> Result<u32, StepError> {
        let first = self.model.project_after(self.disk.first_project());
        for project in (first..=PROJECT_LAST).chain(PROJECT_FIRST..first) {
            if self.model.get(project).is_some() {
                continue;
            }
            let quota = self.disk.quota(project)?;
            // Files of a removed folder that a client holds open are still counted.
            if quota.bytes_used == 0 && quota.inodes_used == 0 {
                return Ok(project);
            }
        }
        Err(StepError::NoProject)
    }

    pub fn usage(&self, project: u32) -> Result<Usage, DiskError> {
        let quota = self.disk.quota(project)?;
        Ok(Usage {
            bytes_limit: quota.bytes_limit,
            bytes_used: quota.bytes_used,
            inodes_limit: quota.inodes_limit,
            inodes_used: quota.inodes_used,
        })
    }

    pub fn claims_bytes(&self, file_system: &Uid) -> u64 {
        self.model.claims_of(file_system).map(|(_, claim)| claim.size_bytes).sum()
    }

    pub fn balance(&self, project: u32, own: &Own) -> Result<Balance, DiskError> {
        let used = self.disk.quota(project)?.bytes_used;
        Ok(Balance { capacity: own.capacity_bytes, claims: self.claims_bytes(&own.file_system), used })
    }

    /// Gives an own folder the limit that the account leaves it.
    pub fn limit_own(&self, project: u32, balance: &Balance) -> Result<(), DiskError> {
        let limits = Limits { bytes: balance.own_limit(), inodes: inodes_for(balance.capacity) };
        self.disk.set_limits(project, limits)
    }

    /// The same by what the records say now, for the folder of a FileSystem that is or was.
    pub fn limit_own_of(&self, file_system: &Uid) -> Result<(), DiskError> {
        for (record, own) in self.model.owns_of(file_system) {
            self.limit_own(record.project, &self.balance(record.project, own)?)?;
        }
        Ok(())
    }

    /// Forgets a folder that is not on the disk any more.
    pub fn forget_project(&mut self, project: u32) -> Result<(), StepError> {
        self.disk.clear_limits(project)?;
        self.disk.remove_record(project)?;
        self.model.remove(project);
        Ok(())
    }

    /// Makes sure that a folder is where its record says. False, and the record is gone, if somebody removed it by hand.
    pub fn settle_or_forget(&mut self, record: &Record) -> Result<bool, StepError> {
        match self.settle(record) {
            Ok(()) => Ok(true),
            Err(StepError::Missing(missing)) => {
                tracing::warn!(%missing, "removed by hand: forgotten");
                self.forget_project(record.project)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes `more` from an own folder's limit. If what is in it leaves no room for that, the limit is as before and the
    /// account says why. First the limit, then the look: nobody can write in between.
    pub fn take(&self, project: u32, balance: &Balance, more: u64) -> Result<Result<(), Balance>, DiskError> {
        self.limit_own(project, &balance.with_claim(more))?;
        let used = self.disk.quota(project)?.bytes_used;
        let now = Balance { used, ..*balance };
        if now.with_claim(more).holds() {
            return Ok(Ok(()));
        }
        self.limit_own(project, balance)?;
        Ok(Err(now))
    }

    pub fn disk_balance(&self) -> Result<DiskBalance, DiskError> {
        let space = self.disk.space()?;
        let mut disk = DiskBalance { total: space.total, free: space.free, ..DiskBalance::default() };
        let file_systems = self.model.file_system_uids();
        for record in self.model.records() {
            let standing = match (record.live_own(), record.live_claim()) {
                (Some(own), _) if !own.is_in_use() => Standing::Removed,
                (Some(own), _) if !self.is_promised(own.is_share()) => Standing::Unpromised,
                (Some(own), _) => Standing::Promised(own.capacity_bytes),
                (_, Some(claim)) if file_systems.contains(&claim.key.file_system) => {
                    Standing::Claim(claim.size_bytes)
                }
                (_, Some(claim)) => Standing::Orphan(claim.size_bytes),
                (None, None) => Standing::Removed,
            };
            disk.enter(standing, self.disk.quota(record.project)?.bytes_used);
        }
        Ok(disk)
    }

    /// Whether an own folder is promised its capacity.
    pub fn is_promised(&self, is_share: bool) -> bool {
        match self.promises {
            Promises::Kept => true,
            Promises::NotToShares => !is_share,
        }
    }

    /// Whether the disk can fill another claim, or `more` of one.
    pub fn back(&self, more: u64) -> Result<Result<(), NoRoom>, DiskError> {
        let disk = self.disk_balance()?;
        let left = disk.backed();
        Ok(if more <= left { Ok(()) } else { Err(NoRoom { asked: more, left, removed: disk.removed }) })
    }

    pub fn view(&self, record: &Record, own: &Own) -> Result<FileSystemView, DiskError> {
        let balance = self.balance(record.project, own)?;
        let claims = self.model.claims_of(&own.file_system);
        let mut claims = claims.map(|(r, claim)| self.claim_view(r, claim)).collect::<Result<Vec<_>, _>>()?;
        claims.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(FileSystemView {
            uid: own.file_system.clone(),
            namespace_uid: own.namespace_uid.clone(),
            namespace: own.namespace.clone(),
            name: own.name.clone(),
            folder: record.place.exported().unwrap_or_default(),
            capacity: own.capacity_bytes,
            usage: self.usage(record.project)?,
            claims,
            left: balance.left(),
        })
    }

    pub fn claim_view(&self, record: &Record, claim: &Claim) -> Result<ClaimView, DiskError> {
        Ok(ClaimView {
            key: claim.key.clone(),
            folder: record.place.exported().unwrap_or_default(),
            size: claim.size_bytes,
            usage: self.usage(record.project)?,
        })
    }

    pub fn overview(&self) -> Result<Overview, StepError> {
        let disk = self.disk_balance()?;
        let in_trash = |record: &&Record| matches!(record.place, Place::Trash(_));
        Ok(Overview {
            bytes_total: disk.total,
            bytes_free: disk.free,
            bytes_promised: disk.promised,
            bytes_unpromised: disk.unpromised(),
            bytes_removed: disk.removed,
            file_systems: self.model.file_systems().count() as u64,
            claims: self.model.claims().count() as u64,
            trash_folders: self.model.records().filter(in_trash).count() as u64,
        })
    }
}

/// Where a removed folder goes that is moved.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeptDisposal {
    Trash,
    Archive,
}

impl KeptDisposal {
    /// None for a folder that stays.
    pub fn of(disposal: Disposal) -> Option<Self> {
        match disposal {
            Disposal::Retain => None,
            Disposal::Trash => Some(Self::Trash),
            Disposal::Archive => Some(Self::Archive),
        }
    }
}

/// Makes sure that a folder is where its record says: moves it if it is still where it was.
///
/// Whoever is root in a pod may give the folder that the pod sees another project. At the record's own place it is the record's
/// folder all the same, since only we name things there, and gets its project back. Not where it was before: a younger folder
/// may have that place by now. One with a project of another record is that record's, whoever moved it.
pub(super) fn settle(disk: &dyn Disk, model: &Model, record: &Record) -> Result<(), StepError> {
    let found = disk.project_at(&record.place)?;
    if found == Some(record.project) {
        return Ok(());
    }
    if disk.project_at(&record.from)? == Some(record.project) {
        disk.rename(&record.from, &record.place)?;
        return Ok(());
    }
    match found {
        Some(other) if model.get(other).is_none() => {
            let path = record.place.path();
            tracing::warn!(
                path,
                project = record.project,
                other,
                "a folder's project was changed: set again"
            );
            Ok(disk.mark_again(&record.place, record.project)?)
        }
        _ => Err(Missing(record.place.path()).into()),
    }
}

/// The limits that a record's folder should have, but for an own folder's bytes, which depend on its claims.
pub(super) fn claim_limits(size: u64) -> Limits {
    Limits { bytes: size, inodes: inodes_for(size) }
}

/// Whether a record is of a FileSystem's own folder.
pub(super) fn as_own(record: &Record) -> Option<&Own> {
    match &record.folder {
        Folder::Own(own) => Some(own),
        Folder::Claim(_) => None,
    }
}

/// What a caller named, for an error: it may be hostile and long.
pub(super) fn path_echo(path: &str) -> String {
    path.chars().take(PATH_ECHO_CHARS_MAX).collect()
}

fn stamp(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y%m%dT%H%M%SZ").to_string(),
        Err(_) => seconds.to_string(),
    }
}
