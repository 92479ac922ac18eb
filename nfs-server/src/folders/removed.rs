//! Folders that no FileSystem has: listed, and put back.

use super::error::{NoRoom, RestoreError, StepError};
use super::types::{Disposal, RemovedView};
use super::work::Work;
use crate::names::{Place, Uid};
use crate::record::{Folder, Own, Record};

impl Work<'_> {
    pub fn removed(&self) -> Result<Vec<RemovedView>, StepError> {
        let mut views = Vec::new();
        for record in self.model.records() {
            if let Some(view) = self.removed_view(record)? {
                views.push(view);
            }
        }
        views.sort_by(|a, b| (a.removed_at, &a.path).cmp(&(b.removed_at, &b.path)));
        Ok(views)
    }

    fn removed_view(&self, record: &Record) -> Result<Option<RemovedView>, StepError> {
        let (disposal, removed_at) = match (&record.place, record.removed) {
            (Place::Trash(_), Some(removed)) => (Disposal::Trash, removed.at),
            (Place::Archive(_), Some(removed)) => (Disposal::Archive, removed.at),
            _ => match record.live_own().and_then(|own| own.free_since) {
                Some(since) => (Disposal::Retain, since),
                None => return Ok(None),
            },
        };
        let (namespace, file_system, claim, key) = match &record.folder {
            Folder::Own(own) => (&own.namespace, &own.name, None, Some(own.key.clone())),
            Folder::Claim(claim) => (&claim.namespace, &claim.name, Some(claim.key.name.to_string()), None),
        };
        Ok(Some(RemovedView {
            path: record.place.path(),
            disposal,
            namespace: namespace.clone(),
            file_system: file_system.clone(),
            claim,
            key,
            removed_at,
            removed_for_good_at: (disposal == Disposal::Trash)
                .then(|| removed_at.saturating_add(self.trash_keep_seconds)),
            bytes_used: self.disk.quota(record.project)?.bytes_used,
        }))
    }

    pub fn restore(&mut self, path: &str) -> Result<String, RestoreError> {
        let asked = |place: &Place| !place.is_live() && place.path() == path;
        let Some(record) = self.model.records().find(|record| asked(&record.place)).cloned() else {
            // A repeated call finds what the first one did.
            return match self.model.records().find(|record| record.is_live() && asked(&record.from)) {
                Some(record) => {
                    self.settle(record)?;
                    Ok(record.place.path())
                }
                None => Err(RestoreError::NotFound(path.chars().take(300).collect())),
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
        let mut restored = record.moved(place.clone(), None);
        match &mut restored.folder {
            Folder::Own(own) => *own = Own { free_since: Some(self.now), ..own.clone() },
            Folder::Claim(claim) => {
                let (key, size) = (claim.key.clone(), claim.size_bytes);
                self.make_room_for_claim(record.project, &key.file_system, size)?;
            }
        }
        self.put(restored.clone())?;
        self.settle(&restored)?;
        if let Folder::Own(own) = &restored.folder {
            self.limit_own_of(&own.file_system)?;
        }
        Ok(place.path())
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
