//! The trash's part in the records: which folder's time has come, and forgetting it once its files are gone. Deleting the
//! files takes long and happens outside the lock (`crate::emptier`): nobody else touches what is doomed.

use std::collections::BTreeSet;

use workspacefs_sys::quota::Limits;

use super::error::StepError;
use super::work::Work;
use crate::names::Place;
use crate::record::{Record, Removed};
use crate::sizes::emptying_limits;

/// A folder of the trash that cannot be restored any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Doomed {
    /// Its project.
    pub project: u32,
    /// Where it lies.
    pub place: Place,
}

impl Work<'_> {
    pub fn doom(&mut self, except: &BTreeSet<u32>) -> Result<Option<Doomed>, StepError> {
        let due = |record: &&Record| self.is_due(record) && !except.contains(&record.project);
        let next = self.model.records().filter(due).min_by_key(|record| {
            // One that was begun is finished first.
            record.removed.map(|removed| (!removed.emptying, removed.at))
        });
        let Some(record) = next.cloned() else {
            return Ok(None);
        };
        let project = record.project;
        let place = record.place.clone();
        if !record.removed.is_some_and(|removed| removed.emptying) {
            if !self.settle_or_forget(&record)? {
                return self.doom(except);
            }
            let removed = record.removed.map(|removed| Removed { emptying: true, ..removed });
            self.put(Record { removed, ..record })?;
        }
        let quota = self.disk.quota(project)?;
        let (bytes, inodes) = emptying_limits(quota.bytes_used, quota.inodes_used);
        self.disk.set_limits(project, Limits { bytes, inodes })?;
        Ok(Some(Doomed { project, place }))
    }

    fn is_due(&self, record: &Record) -> bool {
        let in_trash = matches!(record.place, Place::Trash(_));
        let over = |removed: Removed| {
            removed.emptying || removed.at.saturating_add(self.trash_keep_seconds) <= self.now
        };
        in_trash && record.removed.is_some_and(over)
    }

    pub fn forget(&mut self, doomed: &Doomed) -> Result<(), StepError> {
        self.forget_project(doomed.project)
    }
}
