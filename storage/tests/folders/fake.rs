//! A disk in memory that can be stopped: killed before its n-th step, or failing one step, before or after it took effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use workspacefs_storage::disk::{Disk, DiskError, Emptied, Owner, Space};
use workspacefs_storage::folders::model::PROJECT_FIRST;
use workspacefs_storage::names::Place;
use workspacefs_sys::Errno;
use workspacefs_sys::quota::{Limits, Quota};

pub const TOTAL: u64 = 100 << 30;

/// What goes wrong, and when. Steps are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// From this step on nothing happens any more: the process is gone.
    KilledAt(usize),
    /// This one step fails and does nothing.
    FailsAt(usize),
    /// This one step does what it should, and says that it failed.
    LiesAt(usize),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FakeFolder {
    pub project: u32,
    pub owner: Option<(u32, u32, u32)>,
    /// Bytes of each file.
    pub files: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Content {
    pub folders: BTreeMap<Place, FakeFolder>,
    pub parents: BTreeSet<String>,
    pub records: BTreeMap<u32, Vec<u8>>,
    pub limits: BTreeMap<u32, Limits>,
    /// Of other people on the same disk.
    pub foreign_bytes: u64,
    pub steps: usize,
    /// Projects of folders that were removed a moment ago: XFS counts them until it has cleaned up.
    pub lingering: BTreeSet<u32>,
}

impl Content {
    pub fn used(&self, project: u32) -> (u64, u64) {
        let of_it = self.folders.values().filter(|folder| folder.project == project);
        let lingering = u64::from(self.lingering.contains(&project));
        of_it.fold((0, lingering), |(bytes, inodes), folder| {
            (bytes + folder.files.values().sum::<u64>(), inodes + 1 + folder.files.len() as u64)
        })
    }

    fn all_used(&self) -> u64 {
        self.folders.values().flat_map(|folder| folder.files.values()).sum()
    }
}

pub struct FakeDisk {
    content: Mutex<Content>,
    fault: Mutex<Fault>,
}

impl FakeDisk {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { content: Mutex::default(), fault: Mutex::new(Fault::None) })
    }

    pub fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// From now on, with steps counted anew.
    pub fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
        self.content().steps = 0;
    }

    /// Writes a file as a client would: not beyond the limit.
    pub fn write(&self, place: &Place, name: &str, bytes: u64) -> Result<(), Errno> {
        let mut content = self.content();
        let project = content.folders[place].project;
        let (used, _) = content.used(project);
        let limit = content.limits.get(&project).map_or(u64::MAX, |limits| limits.bytes);
        if used + bytes > limit {
            return Err(Errno::NOSPC);
        }
        content.folders.get_mut(place).unwrap().files.insert(name.into(), bytes);
        Ok(())
    }

    /// A look that costs no step, since it changes nothing.
    fn look<T>(&self, look: impl FnOnce(&Content) -> T) -> Result<T, DiskError> {
        if let Fault::KilledAt(at) = *self.fault.lock().unwrap()
            && self.content().steps > at
        {
            return Err(DiskError::at("be", "dead")(Errno::IO));
        }
        Ok(look(&self.content()))
    }

    fn step(&self, action: impl FnOnce(&mut Content) -> Result<(), Errno>) -> Result<(), DiskError> {
        let fault = *self.fault.lock().unwrap();
        let mut content = self.content();
        let number = content.steps;
        content.steps += 1;
        let failed = |errno| DiskError::at("do", "a step")(errno);
        match fault {
            Fault::KilledAt(at) if number >= at => Err(failed(Errno::IO)),
            Fault::FailsAt(at) if number == at => Err(failed(Errno::IO)),
            Fault::LiesAt(at) if number == at => {
                action(&mut content).map_err(failed)?;
                Err(failed(Errno::IO))
            }
            _ => action(&mut content).map_err(failed),
        }
    }
}

impl Disk for FakeDisk {
    fn first_project(&self) -> u32 {
        PROJECT_FIRST
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.look(|content| Space { total: TOTAL, free: TOTAL - content.all_used() - content.foreign_bytes })
    }

    fn records(&self) -> Result<Vec<Vec<u8>>, DiskError> {
        self.look(|content| content.records.values().cloned().collect())
    }

    fn write_record(&self, project: u32, text: &[u8]) -> Result<(), DiskError> {
        self.step(|content| {
            content.records.insert(project, text.to_vec());
            Ok(())
        })
    }

    fn remove_record(&self, project: u32) -> Result<(), DiskError> {
        self.step(|content| {
            content.records.remove(&project);
            Ok(())
        })
    }

    fn quota(&self, project: u32) -> Result<Quota, DiskError> {
        self.look(|content| {
            let (bytes_used, inodes_used) = content.used(project);
            let limits = content.limits.get(&project);
            Quota {
                project,
                bytes_limit: limits.map_or(0, |limits| limits.bytes),
                inodes_limit: limits.map_or(0, |limits| limits.inodes),
                bytes_used,
                inodes_used,
            }
        })
    }

    fn next_quota(&self, from: u32) -> Result<Option<Quota>, DiskError> {
        let next = self.look(|content| {
            let known = content.limits.keys().copied().chain(content.folders.values().map(|f| f.project));
            known.filter(|project| *project >= from).min()
        })?;
        next.map(|project| self.quota(project)).transpose()
    }

    fn set_limits(&self, project: u32, limits: Limits) -> Result<(), DiskError> {
        assert!(limits.bytes > 0 && limits.inodes > 0, "no limit at all: {limits:?}");
        self.step(|content| {
            content.limits.insert(project, limits);
            Ok(())
        })
    }

    fn clear_limits(&self, project: u32) -> Result<(), DiskError> {
        self.step(|content| {
            content.limits.remove(&project);
            Ok(())
        })
    }

    fn new_folders(&self) -> Result<Vec<u32>, DiskError> {
        self.look(|content| {
            let new = |place: &Place| if let Place::New(project) = place { Some(*project) } else { None };
            content.folders.keys().filter_map(new).collect()
        })
    }

    fn make(&self, project: u32) -> Result<(), DiskError> {
        self.step(|content| {
            content.folders.entry(Place::New(project)).or_default();
            Ok(())
        })
    }

    fn discard(&self, project: u32) -> Result<(), DiskError> {
        self.step(|content| match content.folders.get(&Place::New(project)) {
            Some(folder) if !folder.files.is_empty() => Err(Errno::NOTEMPTY),
            _ => {
                if content.folders.remove(&Place::New(project)).is_some_and(|folder| folder.project != 0) {
                    content.lingering.insert(project);
                }
                Ok(())
            }
        })
    }

    fn mark(&self, project: u32) -> Result<(), DiskError> {
        self.step(|content| {
            content.folders.get_mut(&Place::New(project)).ok_or(Errno::NOENT)?.project = project;
            Ok(())
        })
    }

    fn own(&self, project: u32, owner: Owner) -> Result<(), DiskError> {
        self.step(|content| {
            let folder = content.folders.get_mut(&Place::New(project)).ok_or(Errno::NOENT)?;
            folder.owner = Some((owner.uid, owner.gid, owner.mode));
            Ok(())
        })
    }

    fn mark_again(&self, place: &Place, project: u32) -> Result<(), DiskError> {
        self.step(|content| {
            content.folders.get_mut(place).ok_or(Errno::NOENT)?.project = project;
            Ok(())
        })
    }

    fn project_at(&self, place: &Place) -> Result<Option<u32>, DiskError> {
        self.look(|content| content.folders.get(place).map(|folder| folder.project))
    }

    fn rename(&self, from: &Place, to: &Place) -> Result<(), DiskError> {
        if to.is_live() {
            self.step(|content| {
                content.parents.insert(to.parent());
                Ok(())
            })?;
        }
        self.step(|content| {
            if content.folders.contains_key(to) {
                return Err(Errno::EXIST);
            }
            if to.is_live() {
                let folder = content.folders.get(from).ok_or(Errno::NOENT)?;
                // What this whole program promises: nobody can write before there is a limit and an owner.
                assert!(folder.project != 0 && folder.owner.is_some(), "{to:?} is not finished: {folder:?}");
                assert!(content.limits.contains_key(&folder.project), "{to:?} has no limit");
                assert!(content.parents.contains(&to.parent()));
            }
            let folder = content.folders.remove(from).ok_or(Errno::NOENT)?;
            content.folders.insert(to.clone(), folder);
            Ok(())
        })
    }

    fn prune(&self) -> Result<(), DiskError> {
        self.step(|content| {
            let used: BTreeSet<String> = content.folders.keys().map(Place::parent).collect();
            content.parents.retain(|parent| used.contains(parent));
            Ok(())
        })
    }

    fn remove_some(&self, place: &Place, entries_max: u64) -> Result<Emptied, DiskError> {
        let mut emptied = Emptied { entries: 0, done: false };
        self.step(|content| {
            let Some(folder) = content.folders.get_mut(place) else {
                emptied.done = true;
                return Ok(());
            };
            while emptied.entries < entries_max {
                emptied.entries += 1;
                if folder.files.pop_first().is_none() {
                    content.folders.remove(place);
                    emptied.done = true;
                    break;
                }
            }
            Ok(())
        })?;
        Ok(emptied)
    }
}
