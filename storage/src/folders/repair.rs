//! From the records to what there is: at the start, and after any step that failed. A cut operation is finished if its
//! record was written, and undone if not; limits are set to what the records say; nothing that no record knows of keeps a
//! limit or lies in `new`.

use workspacefs_sys::quota::{Limits, Quota};

use super::error::StepError;
use super::model::{Model, PROJECT_FIRST, PROJECT_LAST};
use super::work::{claim_limits, settle};
use crate::disk::{Disk, DiskError};
use crate::names::Place;
use crate::record::{Folder, Record};
use crate::sizes::{BLOCK, Balance, emptying_limits, inodes_for};

/// Reads and repairs. A folder that cannot be repaired is named in the log and stops nobody else.
///
/// # Errors
/// The disk cannot be read.
pub(super) fn load(disk: &dyn Disk) -> Result<Model, StepError> {
    let mut model = Model::default();
    for text in disk.records()? {
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) => model.insert(record),
            Err(error) => {
                tracing::error!(%error, "a record of ours cannot be read: its folder is left alone")
            }
        }
    }
    for record in model.records() {
        // A folder that is being emptied may be gone already.
        if record.removed.is_some_and(|removed| removed.emptying) {
            continue;
        }
        if let Err(error) = settle(disk, &model, record) {
            let (project, error) = (record.project, &error as &dyn std::error::Error);
            tracing::error!(project, error, "a folder is not where it belongs and cannot be moved there");
        }
    }
    undo_new(disk, &model)?;
    restore_limits(disk, &model)?;
    Ok(model)
}

/// Folders whose making was cut before their record was written: nobody has seen them.
fn undo_new(disk: &dyn Disk, model: &Model) -> Result<(), DiskError> {
    for project in disk.new_folders()? {
        let waits =
            model.get(project).is_some_and(|record| record.from == Place::New(project) && record.is_live());
        if waits && disk.project_at(&Place::New(project))? == Some(project) {
            // It could not be moved, which was said.
            continue;
        }
        if let Err(error) = disk.discard(project) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an unfinished folder cannot be removed"
            );
        } else if model.get(project).is_none() {
            // Here, since the disk counts what was removed for a moment longer.
            disk.clear_limits(project)?;
        }
    }
    Ok(())
}

fn restore_limits(disk: &dyn Disk, model: &Model) -> Result<(), DiskError> {
    let mut from = PROJECT_FIRST;
    while let Some(quota) = disk.next_quota(from)?.filter(|quota| quota.project <= PROJECT_LAST) {
        let has_limits = quota.bytes_limit != 0 || quota.inodes_limit != 0;
        // What is in use without a record of ours may be another agent's, in another directory of the same disk.
        let is_unused = quota.bytes_used == 0 && quota.inodes_used == 0;
        if model.get(quota.project).is_none() && has_limits && is_unused {
            disk.clear_limits(quota.project)?;
        }
        from = quota.project + 1;
    }
    for record in model.records() {
        let quota = disk.quota(record.project)?;
        let limits = limits(model, record, &quota);
        // In blocks, as the disk has them.
        let same = quota.bytes_limit.div_ceil(BLOCK) == limits.bytes.div_ceil(BLOCK)
            && quota.inodes_limit == limits.inodes;
        if !same {
            disk.set_limits(record.project, limits)?;
        }
    }
    Ok(())
}

/// What a folder's limits should be.
fn limits(model: &Model, record: &Record, quota: &Quota) -> Limits {
    if record.removed.is_some_and(|removed| removed.emptying) {
        let (bytes, inodes) = emptying_limits(quota.bytes_used, quota.inodes_used);
        return Limits { bytes, inodes };
    }
    match &record.folder {
        Folder::Claim(claim) => claim_limits(claim.size_bytes),
        Folder::Own(own) => {
            // Only what lies where clients find it shares with claims.
            let claims = match record.is_live() {
                true => model.claims_of(&own.file_system).map(|(_, claim)| claim.size_bytes).sum(),
                false => 0,
            };
            let balance = Balance { capacity: own.capacity_bytes, claims, used: quota.bytes_used };
            Limits { bytes: balance.own_limit(), inodes: inodes_for(own.capacity_bytes) }
        }
    }
}
