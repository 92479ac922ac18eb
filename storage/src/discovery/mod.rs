//! The disks of a node: what there is (`sysfs`), what each is known by (`identity`), who uses it (`uses`), what is on it, and
//! which one an administrator's approval means (`choose`). Nothing here writes, and nothing here formats: the kernel's
//! names of disks are for people, and are another after the next start.

pub mod choose;
pub mod identity;
pub mod sysfs;
pub mod uses;

use std::collections::BTreeMap;
use std::path::Path;

use workspacefs_api::{DeviceState, FoundDevice, FsType, Media};

use crate::device::content::{Content, Verdict, judge};
use identity::Identities;
use sysfs::Block;
use uses::Uses;

/// A disk that could be meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The kernel's name.
    pub name: String,
    /// Major and minor number.
    pub number: (u32, u32),
    /// Its size.
    pub bytes: u64,
    /// What the kernel takes it for.
    pub media: Option<Media>,
    /// What its maker calls it.
    pub model: String,
    /// What it is known by, the best first.
    pub identities: Vec<String>,
    /// What may be done with it.
    pub state: DeviceState,
    /// Why not more.
    pub message: String,
    /// Of a file system of ours.
    pub fs_type: Option<FsType>,
    /// Of a file system of ours.
    pub fs_uuid: String,
    /// It is mounted where it is to be.
    pub is_mounted: bool,
}

impl From<&Found> for FoundDevice {
    fn from(found: &Found) -> Self {
        Self {
            name: found.name.clone(),
            identities: found.identities.clone(),
            media: found.media,
            size: i64::try_from(found.bytes).unwrap_or(i64::MAX),
            model: found.model.clone(),
            state: found.state,
            message: found.message.clone(),
        }
    }
}

/// How a device is looked at: what is on it, or a sentence that says why that is not known. With `alone`, it is an error that
/// somebody else uses it, whom only the kernel knows.
pub type Probe<'a> = &'a mut dyn FnMut(&Block, bool) -> Result<Content, String>;

/// Looks at each disk. What is mounted on `mount_point` is the one that is in use by us.
pub fn discover(blocks: &[Block], uses: &Uses, mount_point: &Path, probe: Probe<'_>) -> Vec<Found> {
    let looked =
        blocks.iter().filter(|block| !is_a_part(block) && !uses.is_another_name(block)).map(|block| {
            let is_mounted = uses.is_mounted_on(block.number, mount_point);
            look(block, blocks, uses, is_mounted, probe)
        });
    let mut found: Vec<Looked> = looked.collect();
    let counts = counts(&found);
    found.iter_mut().for_each(|looked| judge_identity(looked, &counts));
    found.into_iter().map(|looked| looked.found).collect()
}

/// What others are made of is shown as those; of a disk it is said.
fn is_a_part(block: &Block) -> bool {
    block.is_virtual && !block.holders.is_empty()
}

struct Looked {
    found: Found,
    known: Identities,
}

fn look(block: &Block, blocks: &[Block], uses: &Uses, is_mounted: bool, probe: Probe<'_>) -> Looked {
    let disk = block.of.as_ref().and_then(|name| blocks.iter().find(|other| other.name == *name));
    let mut known = Identities::of(block, disk);
    let mut found = Found {
        name: block.name.clone(),
        number: block.number,
        bytes: block.bytes,
        media: block.media,
        model: block.model.clone(),
        identities: Vec::new(),
        state: DeviceState::Occupied,
        message: String::new(),
        fs_type: None,
        fs_uuid: String::new(),
        is_mounted,
    };
    let others = if is_mounted { None } else { uses.of(block, blocks) };
    match others {
        Some(others) => found.message = others,
        None => {
            let content = probe(block, !is_mounted);
            if let Ok(content) = &content {
                known.add_content(content);
            }
            describe(&mut found, content);
        }
    }
    found.identities = known.list();
    Looked { found, known }
}

fn describe(found: &mut Found, content: Result<Content, String>) {
    let judged = content.and_then(|content| match judge(&content) {
        Ok(verdict) => Ok((verdict, content.signatures.get("UUID").cloned().unwrap_or_default())),
        Err(refusal) => Err(refusal.to_string()),
    });
    match judged {
        Ok((Verdict::Format | Verdict::FormatAgain, _)) => found.state = DeviceState::Blank,
        Ok((Verdict::Mount(fs), uuid)) => {
            found.state = DeviceState::Ours;
            found.fs_type = Some(fs);
            found.fs_uuid = uuid;
        }
        // Nobody but us mounts there: it is ours, whatever can be read of it now.
        Err(message) if found.is_mounted => {
            found.state = DeviceState::Ours;
            found.message = message;
        }
        Err(message) => found.message = message,
    }
}

/// Which disks have which identity.
fn counts(found: &[Looked]) -> BTreeMap<String, Vec<String>> {
    let mut counts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for looked in found {
        for identity in &looked.found.identities {
            counts.entry(identity.clone()).or_default().push(looked.found.name.clone());
        }
    }
    counts
}

/// A disk that nobody could tell from another is not touched. A file system of ours is told by its own UUID.
fn judge_identity(looked: &mut Looked, counts: &BTreeMap<String, Vec<String>>) {
    let Looked { found, known } = looked;
    let telling = match found.state {
        DeviceState::Blank => known.telling(),
        DeviceState::Ours => found.identities.clone(),
        DeviceState::Occupied | DeviceState::NoIdentity => return,
    };
    let is_alone = |identity: &&String| counts.get(*identity).is_some_and(|names| names.len() == 1);
    if found.is_mounted || telling.iter().any(|identity| is_alone(&identity)) {
        return;
    }
    found.state = DeviceState::NoIdentity;
    found.message = match telling.first() {
        None => known.lack().into(),
        Some(identity) => {
            let others = counts.get(identity).into_iter().flatten().filter(|name| **name != found.name);
            let others: Vec<&str> = others.map(String::as_str).collect();
            format!(
                "{} has the same identity, {identity}: nobody could tell them apart; give each disk its own serial number",
                others.join(", ")
            )
        }
    };
}

#[cfg(test)]
mod tests;
