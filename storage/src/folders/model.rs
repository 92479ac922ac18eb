//! What there is, in memory: every record, and the questions that operations ask of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{ClaimKey, Key, Label, Place, Uid};
use crate::record::{Claim, Own, Record};

/// Our project ids. Others on the same disk (an administrator's /etc/projects) begin at small numbers.
pub const PROJECT_FIRST: u32 = 0x7700_0000;
/// The last one.
pub const PROJECT_LAST: u32 = 0x77ff_ffff;

/// A record cannot be written or read as text.
#[derive(Debug, thiserror::Error)]
#[error("a record of ours is malformed")]
pub struct RecordError(#[from] serde_json::Error);

/// All records.
#[derive(Clone, Debug, Default)]
pub struct Model {
    records: BTreeMap<u32, Record>,
}

impl Model {
    /// Every record, by project.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The record of a project.
    pub fn get(&self, project: u32) -> Option<&Record> {
        self.records.get(&project)
    }

    /// Adds or replaces a record.
    pub fn insert(&mut self, record: Record) {
        self.records.insert(record.project, record);
    }

    /// Forgets a record.
    pub fn remove(&mut self, project: u32) {
        self.records.remove(&project);
    }

    fn owns(&self) -> impl Iterator<Item = (&Record, &Own)> {
        self.records().filter_map(|record| Some((record, record.live_own()?)))
    }

    /// The claims that are not removed.
    pub fn claims(&self) -> impl Iterator<Item = (&Record, &Claim)> {
        self.records().filter_map(|record| Some((record, record.live_claim()?)))
    }

    /// The FileSystems, each with its own folder.
    pub fn file_systems(&self) -> impl Iterator<Item = (&Record, &Own)> {
        self.owns().filter(|(_, own)| own.is_in_use())
    }

    /// Their uids.
    pub fn file_system_uids(&self) -> BTreeSet<&Uid> {
        self.file_systems().map(|(_, own)| &own.file_system).collect()
    }

    /// The folder of a FileSystem.
    pub fn file_system(&self, uid: &Uid) -> Option<(&Record, &Own)> {
        self.file_systems().find(|(_, own)| own.file_system == *uid)
    }

    /// The folders that a FileSystem has or had last.
    pub fn owns_of(&self, uid: &Uid) -> impl Iterator<Item = (&Record, &Own)> {
        self.owns().filter(move |(_, own)| own.file_system == *uid)
    }

    /// The folders that are retained.
    pub fn retained(&self) -> impl Iterator<Item = (&Record, &Own)> {
        self.owns().filter(|(_, own)| !own.is_in_use())
    }

    /// The folder that lies at a key.
    pub fn own_at(&self, key: &Key) -> Option<(&Record, &Own)> {
        self.owns().find(|(_, own)| own.key == *key)
    }

    /// The retained folder that a FileSystem of this name in this very namespace had last.
    pub fn retained_of(&self, namespace_uid: &Uid, name: &Label) -> Option<(&Record, &Own)> {
        self.retained()
            .filter(|(_, own)| own.namespace_uid == *namespace_uid && own.name == *name)
            .max_by_key(|(_, own)| own.free_since)
    }

    /// A claim.
    pub fn claim(&self, key: &ClaimKey) -> Option<(&Record, &Claim)> {
        self.claims().find(|(_, claim)| claim.key == *key)
    }

    /// A FileSystem's claims.
    pub fn claims_of(&self, file_system: &Uid) -> impl Iterator<Item = (&Record, &Claim)> {
        self.claims().filter(move |(_, claim)| claim.key.file_system == *file_system)
    }

    /// The record whose folder belongs at a place.
    pub fn at(&self, place: &Place) -> Option<&Record> {
        self.records().find(|record| record.place == *place)
    }

    /// Where to begin looking for a free project id: after the highest that is taken, or at `first`.
    pub fn project_after(&self, first: u32) -> u32 {
        match self.records.last_key_value() {
            Some((&last, _)) if (PROJECT_FIRST..PROJECT_LAST).contains(&last) => last + 1,
            _ => first.clamp(PROJECT_FIRST, PROJECT_LAST),
        }
    }
}
