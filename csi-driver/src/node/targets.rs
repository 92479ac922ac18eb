//! What is published on this node: one small record per target on tmpfs, written before the mount and removed after the
//! unmount, and the same in memory. The mount table says whether a target is mounted, the record what it was; where they
//! disagree, or where a record cannot be read, the next call repairs it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_sys::mountinfo;

use super::decision::{AtTarget, Decision, decide};
use super::figures::Whose;
use super::target::{State, Target};
use crate::cache::ground::{Holds, UsedCopy};
use crate::share::{ShareKey, ShareSpec, record};

/// One published volume. `P` says what it shows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<P = OnShare> {
    /// Where.
    pub target: PathBuf,
    /// The volume's id.
    pub volume_id: String,
    /// Hash of the other arguments that count.
    pub fingerprint: String,
    /// The access mode's number.
    pub mode: i32,
    /// What it shows.
    #[serde(flatten)]
    pub place: P,
}

/// A folder of a share.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnShare {
    /// The share it lies on; None where that is a disk of this node's.
    #[serde(default)]
    pub share: Option<ShareSpec>,
    /// Whose files they are; None in the record of an older plugin.
    #[serde(default)]
    pub whose: Option<Whose>,
    /// The copies of FsCaches that are shown in it, or are about to be.
    #[serde(default)]
    pub copies: Vec<UsedCopy>,
}

impl OnShare {
    /// Whether it needs a share mounted: its own, or one with a copy.
    pub fn holds_share(&self, key: &ShareKey) -> bool {
        self.share.as_ref().is_some_and(|share| share.key() == *key)
            || self.copies.iter().any(|copy| copy.holds == Holds::Share(key.clone()))
    }

    /// Whether a copy in it is on the disk of the LocalStorage with that uid.
    pub fn holds_disk(&self, storage_uid: &str) -> bool {
        self.copies.iter().any(|copy| matches!(&copy.holds, Holds::Disk(uid) if uid == storage_uid))
    }
}

impl<P> Record<P> {
    fn mode(&self) -> Mode {
        Mode::try_from(self.mode).unwrap_or(Mode::Unknown)
    }
}

/// A publish cannot begin.
#[derive(Debug, Error)]
pub enum BeginError {
    /// Something else is at the target.
    #[error("something else is published at this target: unpublish it first")]
    Incompatible,
    /// The access mode allows only one target.
    #[error(
        "the volume is published at {0} on this node already, and the access mode of one of the two allows only one"
    )]
    SingleTarget(PathBuf),
    /// The record cannot be written.
    #[error("cannot write the target's record")]
    Record(#[source] io::Error),
}

/// How a publish goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begun {
    /// It is there already.
    Done,
    /// The record is written: mount it.
    Publish,
}

/// All targets of this node. Clones see the same.
#[derive(Debug)]
pub struct Targets<P = OnShare>(Arc<Inner<P>>);

impl<P> Clone for Targets<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Inner<P> {
    folder: PathBuf,
    known: Mutex<Known<P>>,
}

#[derive(Debug)]
struct Known<P> {
    /// By target.
    records: HashMap<PathBuf, Record<P>>,
    /// The files of damaged records at whose targets something is mounted. Each stands for a volume of which nobody knows on
    /// which share it is, until it is unpublished or published again.
    damaged: HashSet<PathBuf>,
}

impl<P: Clone + DeserializeOwned + Serialize> Targets<P> {
    /// Reads what an earlier process left in `folder`, which is made if it is missing. A record without a mount was left by
    /// a publish that was cut: it goes, with its empty target. One that is damaged, or that stands under another's name,
    /// goes too, unless something is mounted at a target whose hash is its name.
    ///
    /// # Errors
    /// The folder cannot be made or listed.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let mut known = Known { records: HashMap::new(), damaged: HashSet::new() };
        for path in record::list(&folder)? {
            match serde_json::from_slice::<Record<P>>(&std::fs::read(&path)?) {
                Ok(record) if file(&folder, &record.target) == path => {
                    if is_cut(&record) {
                        record::remove(&path)?;
                    } else {
                        known.records.insert(record.target.clone(), record);
                    }
                }
                _ => drop(known.damaged.insert(path)),
            }
        }
        if !known.damaged.is_empty() {
            known.damaged = mounted_ones(&folder, known.damaged)?;
        }
        Ok(Self(Arc::new(Inner { folder, known: Mutex::new(known) })))
    }

    /// Whether the very volume that is asked for is mounted at the target already, with the arguments that are asked for.
    /// `here` as for [`Targets::begin`], which would say "done".
    pub fn is_done(&self, target: &Target, here: State, volume_id: &str, fingerprint: &str) -> bool {
        let known = self.0.lock();
        at_target(known.records.get(target.path()), here, volume_id, fingerprint) == AtTarget::Same
    }

    /// Decides whether a publish may begin where `here` is what is at the target, and if so, writes its record. The caller
    /// holds the target's guard since it looked.
    ///
    /// # Errors
    /// [`BeginError`]; then nothing was changed.
    pub fn begin(&self, here: State, new: Record<P>) -> Result<Begun, BeginError> {
        let mut known = self.0.lock();
        let records = &known.records;
        let at_target = at_target(records.get(&new.target), here, &new.volume_id, &new.fingerprint);
        let asked = new.mode();
        let others: Vec<&Record<P>> =
            records.values().filter(|r| r.volume_id == new.volume_id && r.target != new.target).collect();
        let elsewhere: Vec<Mode> = others.iter().map(|r| r.mode()).collect();
        match decide(asked, at_target, &elsewhere) {
            Decision::Done => return Ok(Begun::Done),
            Decision::Incompatible => return Err(BeginError::Incompatible),
            Decision::SingleTarget => {
                if let Some(other) = others.first() {
                    return Err(BeginError::SingleTarget(other.target.clone()));
                }
            }
            Decision::Publish => {}
        }
        let bytes = serde_json::to_vec(&new).map_err(|e| BeginError::Record(e.into()))?;
        let file = file(&self.0.folder, &new.target);
        record::replace(&file, &bytes).map_err(BeginError::Record)?;
        known.damaged.remove(&file);
        known.records.insert(new.target.clone(), new);
        Ok(Begun::Publish)
    }

    /// Changes what a target is recorded to show. The caller holds the target's guard.
    ///
    /// # Errors
    /// The record cannot be written; then it stays as it was.
    pub fn change(&self, target: &Target, change: impl FnOnce(&mut P)) -> io::Result<()> {
        let mut known = self.0.lock();
        let Some(record) = known.records.get_mut(target.path()) else {
            return Ok(());
        };
        let mut changed = record.clone();
        change(&mut changed.place);
        record::replace(&file(&self.0.folder, target.path()), &serde_json::to_vec(&changed)?)?;
        *record = changed;
        Ok(())
    }

    /// Removes a target's record; none is fine. The mount must be gone.
    ///
    /// # Errors
    /// The file cannot be removed; then the record stays.
    pub fn end(&self, target: &Target) -> io::Result<()> {
        let mut known = self.0.lock();
        let file = file(&self.0.folder, target.path());
        record::remove(&file)?;
        known.damaged.remove(&file);
        known.records.remove(target.path());
        Ok(())
    }

    /// What is recorded at a target.
    pub fn at(&self, target: &Target) -> Option<Record<P>> {
        self.0.lock().records.get(target.path()).cloned()
    }

    /// Whether there is a record of what is mounted at a target, but one that nobody can read.
    pub fn is_damaged(&self, target: &Target) -> bool {
        self.0.lock().damaged.contains(&file(&self.0.folder, target.path()))
    }

    /// Every record of a volume.
    pub fn of_volume(&self, volume_id: &str) -> Vec<Record<P>> {
        let known = self.0.lock();
        known.records.values().filter(|r| r.volume_id == volume_id).cloned().collect()
    }

    /// Every record.
    pub fn all(&self) -> Vec<Record<P>> {
        self.0.lock().records.values().cloned().collect()
    }

    /// Whether any target, mounted or about to be, shows something of which `uses` says yes, or may do so.
    pub fn any(&self, uses: impl Fn(&P) -> bool) -> bool {
        let known = self.0.lock();
        !known.damaged.is_empty() || known.records.values().any(|r| uses(&r.place))
    }
}

impl<P> Inner<P> {
    fn lock(&self) -> MutexGuard<'_, Known<P>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is at a target for somebody who asks for this volume with these arguments.
fn at_target<P>(old: Option<&Record<P>>, here: State, volume_id: &str, fingerprint: &str) -> AtTarget {
    match (old, here) {
        (Some(old), State::Mounted) if old.volume_id == volume_id && old.fingerprint == fingerprint => {
            AtTarget::Same
        }
        // A mount that the server has forgotten is of no use to the volume it belongs to.
        (Some(old), State::Stale) if old.volume_id == volume_id => AtTarget::Nothing,
        (Some(_), State::Mounted | State::Stale) => AtTarget::Other,
        // A record without a mount was left by a publish that was cut; a mount without a record (ours are on tmpfs, and may
        // have been wiped) says nothing about what it is. Both are replaced.
        (Some(_), State::Free) | (None, _) => AtTarget::Nothing,
    }
}

/// Of damaged records, those at whose targets something is mounted; the others are removed. kubelet's folder is itself a
/// mount in our container, so no symbolic link makes the kernel's spelling of a target another than kubelet's.
fn mounted_ones(folder: &Path, damaged: HashSet<PathBuf>) -> io::Result<HashSet<PathBuf>> {
    let mounted: HashSet<PathBuf> =
        mountinfo::read()?.iter().map(|mount| file(folder, &mount.mount_point)).collect();
    let (kept, cut): (HashSet<PathBuf>, HashSet<PathBuf>) =
        damaged.into_iter().partition(|path| mounted.contains(path));
    for path in cut {
        tracing::warn!(record = %path.display(), "a damaged record of a target where nothing is mounted is removed");
        record::remove(&path)?;
    }
    for path in &kept {
        tracing::error!(
            record = %path.display(),
            "the record of a mounted volume is damaged: no share is unmounted until it is unpublished or published again"
        );
    }
    Ok(kept)
}

/// Whether nothing is mounted at the record's target. What is left of the target then goes too, if it is empty.
fn is_cut<P>(record: &Record<P>) -> bool {
    let Some(Ok(target)) = record.target.to_str().map(Target::parse) else {
        return true;
    };
    let cut = matches!(target.state(), Ok(State::Free));
    if cut {
        // Files in it, or something else of that name, are for the next call at this target to speak of.
        let _ = target.remove();
    }
    cut
}

/// `<32 hexadecimal digits of the target's hash>.json`.
fn file(folder: &Path, target: &Path) -> PathBuf {
    let hash = blake3::hash(target.as_os_str().as_encoded_bytes()).to_hex();
    folder.join(format!("{}.json", &hash[..32]))
}
