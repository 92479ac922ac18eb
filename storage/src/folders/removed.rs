//! Folders that are kept, and that no FileSystem has: listed, and put back.

use std::collections::BTreeSet;

use super::error::{NoRoom, RestoreError, StepError};
use super::types::{Disposal, RemovedView, Restored, RestoredClaim};
use super::work::{Work, as_own, path_echo};
use crate::names::{Place, Uid};
use crate::record::{Folder, Own, Record};

impl Work<'_> {
    pub fn removed(&self) -> Result<Vec<RemovedView>, StepError> {
        let file_systems = self.model.file_system_uids();
        let mut views = Vec::new();
        for record in self.model.records() {
            if let Some(view) = self.removed_view(record, &file_systems)? {
                views.push(view);
            }
        }
        views.sort_by(|a, b| (a.removed_at, &a.path).cmp(&(b.removed_at, &b.path)));
        Ok(views)
    }

    fn removed_view(
        &self,
        record: &Record,
        file_systems: &BTreeSet<&Uid>,
    ) -> Result<Option<RemovedView>, StepError> {
        let (disposal, removed_at) = match (&record.place, record.removed, &record.folder) {
            (Place::Trash(_), Some(removed), _) => (Disposal::Trash, Some(removed.at)),
            (Place::Archive(_), Some(removed), _) => (Disposal::Archive, Some(removed.at)),
            (_, _, Folder::Own(own)) if !own.is_in_use() => (Disposal::Retain, own.free_since),
            (_, _, Folder::Claim(claim)) if !file_systems.contains(&claim.key.file_system) => {
                (Disposal::Retain, self.ended_at(&claim.key.file_system))
            }
            _ => return Ok(None),
        };
        let (namespace, file_system, claim, key) = match &record.folder {
            Folder::Own(own) => (&own.namespace, &own.name, None, Some(own.key.clone())),
            Folder::Claim(claim) => (&claim.namespace, &claim.name, Some(claim.key.name.to_string()), None),
        };
        let bytes_used = self.disk.quota(record.project)?.bytes_used;
        Ok(Some(RemovedView {
            path: record.place.path(),
            disposal,
            namespace: namespace.clone(),
            file_system: file_system.clone(),
            claim,
            key,
            removed_at,
            removed_for_good_at: removed_at
                .filter(|_| disposal == Disposal::Trash)
                .map(|at| at.saturating_add(self.trash_keep_seconds)),
            bytes_used,
            bytes_held: record.live_claim().map_or(bytes_used, |claim| claim.size_bytes.max(bytes_used)),
        }))
    }

    /// Since when a FileSystem is gone, where its own folder still tells.
    fn ended_at(&self, file_system: &Uid) -> Option<i64> {
        let its =
            self.model.records().filter(|r| as_own(r).is_some_and(|own| own.file_system == *file_system));
        its.filter_map(|record| {
            record.removed.map(|removed| removed.at).or_else(|| as_own(record)?.free_since)
        })
        .max()
    }

    pub fn restore(&mut self, path: &str) -> Result<Restored, RestoreError> {
        let asked = |place: &Place| !place.is_live() && place.path() == path;
        let Some(record) = self.model.records().find(|record| asked(&record.place)).cloned() else {
            // A repeated call finds what the first one did.
            return match self.model.records().find(|record| record.is_live() && asked(&record.from)) {
                Some(record) => {
                    self.settle(record)?;
                    Ok(self.restored(record))
                }
                None => Err(RestoreError::NotFound(path_echo(path))),
            };
        };
        let removed = record.removed;
        if removed.is_some_and(|removed| removed.emptying) {
            return Err(RestoreError::Emptying);
        }
        self.settle(&record)?;
        let place = record.live_place();
        let other = match &record.folder {
            Folder::Own(own) => self.model.own_at(&own.key).map(|(other, _)| other),
            Folder::Claim(_) => self.model.at(&place),
        };
        if other.is_some() || self.disk.project_at(&place)?.is_some() {
            return Err(RestoreError::Taken(place.path()));
        }
        let mut restored = record.moved(place, None);
        match &mut restored.folder {
            Folder::Own(own) => *own = Own { free_since: Some(self.now), ..own.clone() },
            Folder::Claim(claim) => {
                let (key, size) = (claim.key.clone(), claim.size_bytes);
                self.make_room_for_claim(record.project, &key.file_system, size)?;
            }
        }
        self.put(restored.clone())?;
        self.settle(&restored)?;
        // Also of a retained folder, whose claim this is: an account has both.
        self.limit_own_of(match &restored.folder {
            Folder::Own(own) => &own.file_system,
            Folder::Claim(claim) => &claim.key.file_system,
        })?;
        Ok(self.restored(&restored))
    }

    fn restored(&self, record: &Record) -> Restored {
        let claim = record.live_claim().map(|claim| RestoredClaim {
            key: claim.key.clone(),
            namespace: claim.namespace.clone(),
            file_system: claim.name.clone(),
            size: claim.size_bytes,
            has_file_system: self.model.file_system(&claim.key.file_system).is_some(),
        });
        Restored { path: record.place.path(), claim }
    }

    /// Takes a restored claim's size from its FileSystem, or, if that is gone, from the disk.
    fn make_room_for_claim(&self, project: u32, file_system: &Uid, size: u64) -> Result<(), RestoreError> {
        let Some((home, own)) = self.model.file_system(file_system) else {
            let disk = self.disk_balance()?;
            // What is in it takes its space already.
            let asked = size.saturating_sub(self.disk.quota(project)?.bytes_used);
            let left = disk.unpromised();
            return if asked > left {
                Err(NoRoom { asked, left, removed: disk.removed }.into())
            } else {
                Ok(())
            };
        };
        let balance = self.balance(home.project, own)?;
        match self.take(home.project, &balance, size)? {
            Ok(()) => Ok(()),
            Err(now) => Err(RestoreError::NoneLeft { size, left: now.left() }),
        }
    }
}
