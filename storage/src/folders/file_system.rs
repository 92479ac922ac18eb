//! FileSystems: made, found again, adopted, resized, ended, listed.

use workspacefs_sys::quota::Limits;

use super::error::{EnsureFileSystemError, NoRoom, RemoveError, StepError};
use super::types::{Disposal, FileSystemView, FileSystemWish};
use super::work::{KeptDisposal, Work, as_own};
use crate::disk::DiskError;
use crate::names::{Place, Uid};
use crate::record::{Folder, Own, Record};
use crate::sizes::{Balance, inodes_for};

impl Work<'_> {
    pub fn ensure_file_system(
        &mut self,
        wish: &FileSystemWish,
    ) -> Result<FileSystemView, EnsureFileSystemError> {
        if wish.capacity == 0 {
            return Err(EnsureFileSystemError::NoCapacity);
        }
        if let Some((record, own)) = self.model.file_system(&wish.uid) {
            if own.namespace_uid != wish.namespace_uid || own.name != wish.name {
                return Err(EnsureFileSystemError::OtherObject {
                    uid: wish.uid.to_string(),
                    namespace: own.namespace.to_string(),
                    name: own.name.to_string(),
                });
            }
            let (record, own) = (record.clone(), own.clone());
            return self.take_up(record, own, wish);
        }
        match self.find(wish)? {
            Some((record, own)) => self.take_up(record, own, wish),
            None => self.make_file_system(wish),
        }
    }

    /// A folder that waits for this FileSystem.
    fn find(&self, wish: &FileSystemWish) -> Result<Option<(Record, Own)>, EnsureFileSystemError> {
        if let Some(key) = &wish.adopt {
            let Some((record, own)) = self.model.own_at(key) else {
                return Err(EnsureFileSystemError::NothingToAdopt(key.clone()));
            };
            return if own.is_in_use() { Err(in_use(own)) } else { Ok(Some((record.clone(), own.clone()))) };
        }
        if let Some((record, own)) = self.model.retained_of(&wish.namespace_uid, &wish.name) {
            return Ok(Some((record.clone(), own.clone())));
        }
        match self.model.own_at(&wish.key()) {
            None => Ok(None),
            Some((_, own)) if own.is_in_use() => Err(in_use(own)),
            // Adopted from here by another namespace, and retained for that.
            Some((_, own)) => Err(EnsureFileSystemError::Anothers {
                key: own.key.clone(),
                namespace: own.namespace.to_string(),
                name: own.name.to_string(),
            }),
        }
    }

    /// Makes a folder that is there the wished FileSystem's, with the wished capacity.
    fn take_up(
        &mut self,
        record: Record,
        own: Own,
        wish: &FileSystemWish,
    ) -> Result<FileSystemView, EnsureFileSystemError> {
        self.settle(&record)?;
        let new = Own {
            key: own.key.clone(),
            file_system: wish.uid.clone(),
            namespace_uid: wish.namespace_uid.clone(),
            namespace: wish.namespace.clone(),
            name: wish.name.clone(),
            capacity_bytes: wish.capacity,
            free_since: None,
        };
        if new == own {
            return Ok(self.view(&record, &own)?);
        }
        let project = record.project;
        let (before, after) = (self.balance(project, &own)?, self.balance(project, &new)?);
        self.check_room(&own, &before, wish)?;
        if after.own_limit() < before.own_limit() {
            // First the limit, then the look: nobody can write in between.
            self.limit_own(project, &after)?;
        }
        if let Err(error) = self.check_usage(project, after)? {
            self.limit_own(project, &before)?;
            return Err(error);
        }
        let record = Record { folder: Folder::Own(new.clone()), ..record };
        self.put(record.clone())?;
        self.limit_own(project, &after)?;
        Ok(self.view(&record, &new)?)
    }

    /// Whether the disk has room for what the capacity grows by.
    fn check_room(
        &self,
        own: &Own,
        balance: &Balance,
        wish: &FileSystemWish,
    ) -> Result<(), EnsureFileSystemError> {
        // A retained folder is accounted for with what is in it.
        let covered = if own.is_in_use() { own.capacity_bytes } else { balance.used };
        let more = wish.capacity.saturating_sub(covered);
        if more == 0 { Ok(()) } else { self.promise(wish, more) }
    }

    /// Whether the disk can promise it so much more.
    fn promise(&self, wish: &FileSystemWish, asked: u64) -> Result<(), EnsureFileSystemError> {
        if !self.is_promised(wish.is_share()) {
            return Ok(());
        }
        let disk = self.disk_balance()?;
        let left = disk.unpromised();
        if asked > left { Err(NoRoom { asked, left, removed: disk.removed }.into()) } else { Ok(()) }
    }

    fn check_usage(
        &self,
        project: u32,
        balance: Balance,
    ) -> Result<Result<(), EnsureFileSystemError>, DiskError> {
        let quota = self.disk.quota(project)?;
        let (capacity, claims, used) = (balance.capacity, balance.claims, quota.bytes_used);
        if !(Balance { used, ..balance }).holds() {
            let needed = claims.saturating_add(used);
            return Ok(Err(EnsureFileSystemError::BelowUsage { capacity, needed, used, claims }));
        }
        let (limit, used) = (inodes_for(capacity), quota.inodes_used);
        Ok(if used > limit {
            Err(EnsureFileSystemError::BelowInodes { capacity, limit, used })
        } else {
            Ok(())
        })
    }

    fn make_file_system(&mut self, wish: &FileSystemWish) -> Result<FileSystemView, EnsureFileSystemError> {
        let key = wish.key();
        self.promise(wish, wish.capacity)?;
        let project = self.new_project()?;
        let place = Place::Workspace(key.clone(), project);
        if self.disk.project_at(&place)?.is_some() {
            return Err(EnsureFileSystemError::Occupied(place.path()));
        }
        let own = Own {
            key,
            file_system: wish.uid.clone(),
            namespace_uid: wish.namespace_uid.clone(),
            namespace: wish.namespace.clone(),
            name: wish.name.clone(),
            capacity_bytes: wish.capacity,
            free_since: None,
        };
        let record = Record {
            project,
            folder: Folder::Own(own.clone()),
            place,
            from: Place::New(project),
            removed: None,
        };
        let balance = Balance { capacity: wish.capacity, claims: self.claims_bytes(&wish.uid), used: 0 };
        let limits = Limits { bytes: balance.own_limit(), inodes: inodes_for(wish.capacity) };
        self.make(record.clone(), limits, wish.owner)?;
        Ok(self.view(&record, &own)?)
    }

    pub fn remove_file_system(
        &mut self,
        uid: &Uid,
        disposal: Disposal,
    ) -> Result<Option<String>, RemoveError> {
        let Some((record, own)) = self.model.file_system(uid) else {
            return self.was_removed(|record| as_own(record).is_some_and(|own| own.file_system == *uid));
        };
        let (record, own) = (record.clone(), own.clone());
        if !self.settle_or_forget(&record)? {
            return Ok(None);
        }
        match KeptDisposal::of(disposal) {
            Some(kept) => self.remove(&record, kept).map(Some),
            None => {
                let own = Own { free_since: Some(self.now), ..own };
                let path = record.place.path();
                self.put(Record { folder: Folder::Own(own), ..record })?;
                Ok(Some(path))
            }
        }
    }

    /// Where the folder is that an earlier call removed: a repeated call gets the same answer.
    pub(super) fn was_removed(
        &self,
        matches: impl Fn(&Record) -> bool,
    ) -> Result<Option<String>, RemoveError> {
        let when = |record: &&Record| match record.removed {
            Some(removed) => removed.at,
            None => as_own(record).and_then(|own| own.free_since).unwrap_or(i64::MIN),
        };
        let Some(record) = self.model.records().filter(|record| matches(record)).max_by_key(when) else {
            return Ok(None);
        };
        if !record.removed.is_some_and(|removed| removed.emptying) {
            self.settle(record)?;
        }
        Ok(Some(record.place.path()))
    }

    pub fn find_file_system(&self, uid: &Uid) -> Result<Option<FileSystemView>, StepError> {
        let Some((record, own)) = self.model.file_system(uid) else { return Ok(None) };
        Ok(Some(self.view(record, own)?))
    }

    pub fn file_systems(&self) -> Result<Vec<FileSystemView>, StepError> {
        let mut views = Vec::new();
        for (record, own) in self.model.file_systems() {
            views.push(self.view(record, own)?);
        }
        Ok(views)
    }
}

fn in_use(own: &Own) -> EnsureFileSystemError {
    EnsureFileSystemError::InUse {
        key: own.key.clone(),
        namespace: own.namespace.to_string(),
        name: own.name.to_string(),
    }
}
