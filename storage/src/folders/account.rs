//! What lies on the disk and in no folder of ours, by the quotas' own list of projects: what its owner took out of a folder's
//! account by giving it another project, and what somebody else put there.

use std::time::{Duration, Instant};

use workspacefs_sys::quota::Quota;

use super::error::StepError;
use super::work::Work;
use crate::disk::DiskError;

/// What our own folders and the file of the look at its health may take under project 0. ext4 begins with `lost+found` there.
const OURS_BYTES: u64 = 1 << 20;
/// The same for each folder of ours: a block for its record, and one for the folder above it.
const RECORD_BYTES: u64 = 2 * 4096;
/// So many projects that nobody was given are added up, and for so long: whoever owns files can make up as many as there are
/// numbers, and a pod that is to start may be waiting.
const STRANGERS_MAX: usize = 4096;
const TIME_MAX: Duration = Duration::from_millis(200);

impl Work<'_> {
    pub fn unaccounted(&self, aside: u64) -> Result<u64, StepError> {
        let records = self.model.records().count() as u64;
        let is_known = |project: u32| self.model.get(project).is_some();
        let until = Instant::now() + TIME_MAX;
        let has_time = || Instant::now() < until;
        let bytes = unaccounted(|from| self.disk.next_quota(from), is_known, has_time)?;
        Ok(told(bytes, records, aside))
    }
}

/// `next` gives the first project at or after a number. What was added up before an end was put to it is told: it is at least that.
fn unaccounted(
    next: impl Fn(u32) -> Result<Option<Quota>, DiskError>,
    is_known: impl Fn(u32) -> bool,
    has_time: impl Fn() -> bool,
) -> Result<u64, DiskError> {
    let (mut bytes, mut strangers): (u64, usize) = (0, 0);
    let mut from = Some(0);
    // A project before the one that was asked for would lead round and round.
    while strangers < STRANGERS_MAX
        && has_time()
        && let Some(at) = from
        && let Some(quota) = next(at)?.filter(|quota| quota.project >= at)
    {
        if !is_known(quota.project) {
            bytes = bytes.saturating_add(quota.bytes_used);
            strangers += 1;
        }
        from = quota.project.checked_add(1);
    }
    Ok(bytes)
}

/// What we take ourselves is nobody's escape.
fn told(bytes: u64, records: u64, aside: u64) -> u64 {
    let ours = OURS_BYTES + records.saturating_mul(RECORD_BYTES);
    let bytes = bytes.saturating_sub(aside);
    if bytes <= ours { 0 } else { bytes }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_of_project_0_or_of_one_that_nobody_was_given_is_added_up() {
        let found = |projects: &[(u32, u64)], records| {
            let asked = Cell::new(0);
            let next = |from| {
                asked.set(asked.get() + 1);
                let found = projects.iter().find(|(project, _)| *project >= from);
                Ok(found.map(|&(project, bytes_used)| Quota { project, bytes_used, ..Quota::default() }))
            };
            let bytes = unaccounted(next, |project| project == 7 || project == 8, || true).unwrap();
            assert!(asked.get() <= projects.len() + 1, "each project is asked about once");
            told(bytes, records, 0)
        };
        for (projects, records, expected) in [
            (&[][..], 0, 0),
            (&[(7, 100 * MIB), (8, 100 * MIB)], 2, 0),
            (&[(0, 5 * MIB), (7, 100 * MIB)], 1, 5 * MIB),
            (&[(7, 100 * MIB), (9, 5 * MIB), (u32::MAX, MIB)], 1, 6 * MIB),
            // Records and folders of our own.
            (&[(0, MIB)], 0, 0),
            (&[(0, MIB + 1)], 0, MIB + 1),
            (&[(0, 5 * MIB)], 1000, 0),
        ] {
            assert_eq!(found(projects, records), expected, "{projects:?} {records}");
        }
    }

    #[test]
    fn what_is_known_to_lie_in_no_folder_is_not_told() {
        for (bytes, aside, expected) in [
            (200 * MIB, 200 * MIB, 0),
            (201 * MIB, 200 * MIB, 0),
            (205 * MIB, 200 * MIB, 5 * MIB),
            (0, 200 * MIB, 0),
        ] {
            assert_eq!(told(bytes, 0, aside), expected, "{bytes}");
        }
    }

    #[test]
    fn a_kernel_that_answers_backwards_ends_the_walk() {
        let next = |_| Ok(Some(Quota { project: 3, bytes_used: 2 * MIB, ..Quota::default() }));
        assert_eq!(unaccounted(next, |_| false, || true).unwrap(), 2 * MIB);
    }

    #[test]
    fn whoever_makes_up_projects_without_end_is_counted_to_a_limit_and_no_longer_than_there_is_time() {
        let asked = Cell::new(0);
        let next = |project| {
            asked.set(asked.get() + 1);
            Ok(Some(Quota { project, bytes_used: MIB, ..Quota::default() }))
        };
        let bytes = unaccounted(next, |project| project < 10, || true).unwrap();
        assert_eq!((bytes, asked.get()), (STRANGERS_MAX as u64 * MIB, STRANGERS_MAX + 10));
        asked.set(0);
        let bytes = unaccounted(next, |_| false, || asked.get() < 3).unwrap();
        assert_eq!((bytes, asked.get()), (3 * MIB, 3));
    }
}
