//! Everything that a node does for one LocalStorage: [`Keeper`]. Its calls wait as long as the disk makes them wait, so it lives
//! in a helper process of its own, which can be killed at any moment: whatever it has done is in the kernel's mount table or on
//! the disk, and the next one finds it there.

mod claim;
mod device;
mod directory;
mod health;
mod held;
pub mod image;
mod known;
mod node;
mod rarely;
mod take;
mod told;
mod trouble;
pub mod volume;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use workspacefs_api::{DirectorySource, Health, LocalStorageSpec, NodeStorage, Owner, UsedDevice, quantity};
use workspacefs_runtime::chain;
use workspacefs_sys::{Errno, inspect, unmount};

use crate::discovery::choose::{Chosen, Unfit, choose, is_meant};
use crate::discovery::sysfs::Block;
use crate::discovery::uses::Uses;
use crate::discovery::{Found, discover};
use crate::disk::DiskError;
use crate::folders::error::{EnsureFileSystemError, ReadError, StepError};
use crate::names::NameError;
use device::Approved;
use held::{Ground, Held};
use known::Known;
use node::{Memory, Node};
use take::{TakeError, take};
use trouble::{DISK_GONE, Trouble};

const NOTHING_TAKEN: &str = "nothing was taken";

/// Where things are.
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// sysfs: `/sys`.
    pub sys: PathBuf,
    /// The devices' nodes: `/dev`.
    pub dev: PathBuf,
    /// Where the node's own tree is seen, for `source.directory`.
    pub host_root: PathBuf,
    /// Where a device is mounted. Nobody else mounts there.
    pub mount_point: PathBuf,
}

/// A workspace's share as it should be.
#[derive(Clone, Debug)]
pub struct WorkspaceWish {
    /// The namespace's uid.
    pub namespace_uid: String,
    /// Its name, for people who look at the disk.
    pub namespace: String,
    /// How much may be written; None is as much as the disk holds.
    pub quota_bytes: Option<u64>,
    /// Of its folder, when that is made.
    pub owner: Owner,
}

/// How full a workspace's share or a volume is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Most bytes: its limit, or the disk's size.
    pub bytes_total: u64,
    /// Bytes taken: by its files, or, where nothing is counted, by everybody's.
    pub bytes_used: u64,
    /// Bytes that can still be written, by its limit and by what the disk has.
    pub bytes_available: u64,
    /// Most files and folders; 0 for no limit.
    pub inodes_total: u64,
    /// Files and folders there are.
    pub inodes_used: u64,
}

/// A workspace's folder cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum WorkspaceError {
    #[error("the storage is not ready: {0}")]
    NotReady(String),
    #[error("the storage enforces no quota, and one is asked for")]
    NoQuota,
    #[error("the workspace's name or uid is not one")]
    Name(#[from] NameError),
    #[error("the owner's mode is not three or four octal digits")]
    Mode,
    #[error(transparent)]
    Refused(#[from] EnsureFileSystemError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Step(#[from] StepError),
}

impl WorkspaceError {
    /// It may be had later, or elsewhere: the storage is not in use here.
    pub fn is_not_ready(&self) -> bool {
        matches!(self, Self::NotReady(_) | Self::NoQuota)
    }

    /// The disk cannot hold what is asked for.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Refused(EnsureFileSystemError::NoRoom(_)) => true,
            Self::Refused(EnsureFileSystemError::Step(StepError::Disk(error))) => error.is_full(),
            Self::Disk(error) | Self::Step(StepError::Disk(error)) => error.is_full(),
            _ => false,
        }
    }
}

/// How full a share is cannot be told.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum UsageError {
    #[error("the storage is not ready: {0}")]
    NotReady(String),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// See the module.
pub struct Keeper {
    config: KeeperConfig,
    node: Node,
    memory: Memory,
    known: Known,
    held: Option<Held>,
    /// What the last look found in the way.
    trouble: Option<Trouble>,
}

impl Keeper {
    /// Nothing is touched before the first look.
    pub fn new(config: KeeperConfig) -> Self {
        let node = Node { sys: config.sys.clone(), dev: config.dev.clone() };
        let trouble = Some(Trouble::new("Unknown", "it has not been looked at yet"));
        Self { config, node, memory: Memory::default(), known: Known::default(), held: None, trouble }
    }

    /// What the disk was used as before this process, as the node's entry says. Until it is taken off the list it is not
    /// formatted again.
    pub fn remember(&mut self, device: Option<UsedDevice>) {
        if self.held.is_none() {
            self.known.remember(device);
        }
    }

    /// One pass: looks at the disks, takes the approved one, formats it if it is blank, or takes the directory; looks at its
    /// health; gives every workspace its quota. Whatever is wrong is in the entry.
    pub fn look(&mut self, node: &str, spec: &LocalStorageSpec) -> NodeStorage {
        let mut entry = NodeStorage {
            node: node.into(),
            ready: false,
            reason: "Ready".into(),
            message: String::new(),
            health: Health::Unknown,
            device: None,
            capacity: None,
            used: None,
            available: None,
            unaccounted: None,
            shares_file_system: false,
            cache: None,
            found: Vec::new(),
            observed_at: Time(Timestamp::now()),
        };
        let result = self.keep(spec, &mut entry);
        if let Some(held) = &self.held {
            entry.shares_file_system = held.ground.is_shared;
        }
        self.known.learn(self.held.as_ref().map(|held| &held.ground.used), spec);
        entry.device = self.known.device();
        self.trouble = result.err();
        match &self.trouble {
            None => entry.ready = true,
            Some(trouble) => {
                entry.reason = trouble.reason.into();
                entry.message.clone_from(&trouble.message);
                entry.health = trouble.health;
            }
        }
        entry
    }

    fn keep(&mut self, spec: &LocalStorageSpec, entry: &mut NodeStorage) -> Result<(), Trouble> {
        let quota = quota(spec)?;
        match (&spec.source.directory, &spec.source.devices) {
            (Some(directory), None) => self.keep_directory(directory, spec, quota)?,
            (None, Some(_)) => self.keep_device(spec, entry)?,
            _ => return Err(Trouble::new("Invalid", "source takes exactly one of: directory, devices")),
        }
        let Some(held) = &mut self.held else { return Err(Trouble::new("Unknown", NOTHING_TAKEN)) };
        let name = held.ground.used.name.clone();
        let errors =
            held.check(&self.node.sys, Instant::now()).map_err(|error| Trouble::from(&error).of(&name))?;
        entry.health = if errors.is_some() { Health::Degraded } else { Health::Healthy };
        let failed = |error: DiskError| Trouble::failed(trouble::DISK_FAILED, chain(&error)).of(&name);
        let space = held.space().map_err(failed)?;
        entry.capacity = Some(quantity::exact(space.total));
        entry.used = Some(quantity::rounded(space.total.saturating_sub(space.free)));
        if quota.is_some() && !held.has_quotas() {
            return Err(Trouble::from(&claim::ClaimError::NoQuota).of(&name));
        }
        let limits = held.limit(quota).map_err(failed)?;
        held.empty_trash();
        let account = held.account(Instant::now()).map_err(failed)?;
        entry.available = account.map(|account| quantity::exact(account.available));
        entry.unaccounted = account.and_then(|account| account.unaccounted).map(quantity::rounded);
        entry.message = [errors, limits].into_iter().flatten().collect::<Vec<_>>().join("; ");
        Ok(())
    }

    fn keep_device(&mut self, spec: &LocalStorageSpec, entry: &mut NodeStorage) -> Result<(), Trouble> {
        let mount_point = self.mount_point()?;
        let (blocks, uses) = self.disks()?;
        let mounted = uses.mounted_on(&mount_point);
        if mounted.is_none() {
            // Also if somebody took it off: held open, it would be in use by us alone.
            self.held = None;
        }
        let found = self.found(&blocks, &uses, &mount_point);
        entry.found = found.iter().map(Into::into).collect();
        // Also one that cannot be written to any more, or has no size: nothing that a person would call a disk.
        let is_there = |number: &(u32, u32)| found.iter().any(|found| found.number == *number);
        let gone = mounted.filter(|number| !is_there(number)).map(|_| self.gone());
        let chosen = match choose(spec, &found) {
            Ok(chosen) => chosen,
            Err(unfit) => {
                if gone.is_none() && mounted.is_some() && matches!(unfit, Unfit::NotApproved(_)) {
                    self.release(&mount_point)?;
                }
                return Err(gone.unwrap_or_else(|| Trouble::from(&unfit)));
            }
        };
        if mounted.is_some_and(|number| number != chosen.found.number) {
            // Another is approved now, perhaps because the one before has gone.
            self.release(&mount_point).map_err(|busy| gone.unwrap_or(busy))?;
            return Err(Trouble::new(
                "Changing",
                "another disk was approved: the one before was taken out of use",
            ));
        }
        let Some(block) = blocks.iter().find(|block| block.number == chosen.found.number) else {
            return Err(Trouble::new("Changed", "the disks changed while they were looked at"));
        };
        let ground = self.ground_of(&chosen, block, spec);
        let is_held = self.held.as_ref().is_some_and(|held| held.ground.number == block.number);
        if let (true, true, Some(held)) = (is_held, mounted.is_some(), &mut self.held) {
            held.ground = ground;
            return Ok(());
        }
        let was_used_with = self.known.used_with(chosen.found, spec);
        if was_used_with.is_some() {
            self.known.is_approved_by(&chosen.identity);
        }
        self.take_device(block, &uses, &mount_point, ground, was_used_with, spec)?;
        // What it is now: ours, with a UUID.
        self.memory.forget(block.number, &blocks);
        let (blocks, uses) = self.disks()?;
        let found = self.found(&blocks, &uses, &mount_point);
        entry.found = found.iter().map(Into::into).collect();
        if let (Some(held), Ok(chosen)) = (&mut self.held, choose(spec, &found)) {
            held.ground.used.file_system_uuid.clone_from(&chosen.found.fs_uuid);
        }
        Ok(())
    }

    fn take_device(
        &mut self,
        block: &Block,
        uses: &Uses,
        mount_point: &Path,
        ground: Ground,
        was_used_with: Option<String>,
        spec: &LocalStorageSpec,
    ) -> Result<(), Trouble> {
        self.held = None;
        let name = block.name.clone();
        let said = |error: &TakeError| Trouble::from(error).of(&name);
        let device = self.node.device(block).map_err(|error| said(&error.into()))?;
        let steps = Approved { device, block, mount_point, uses, node: &self.node, was_used_with };
        let disk = take(&steps, spec.fs_type.unwrap_or_default()).map_err(|error| said(&error))?;
        let held = Held::new(disk, ground).map_err(|error| Trouble::from(&error).of(&name))?;
        tracing::info!(device = name, ?mount_point, "the disk is ours");
        self.held = Some(held);
        Ok(())
    }

    fn keep_directory(
        &mut self,
        source: &DirectorySource,
        spec: &LocalStorageSpec,
        quota: Option<u64>,
    ) -> Result<(), Trouble> {
        let path = source.path.as_str();
        let fd = directory::open(&self.config.host_root, path).map_err(|error| Trouble::from(&error))?;
        let (blocks, uses) = self.disks()?;
        let on = directory::ground(fd.as_fd(), path, &uses.mounts).map_err(|error| Trouble::from(&error))?;
        let ground = self.ground_of_directory(source, &on, &blocks);
        if !is_meant(spec.media, ground.used.media) {
            return Err(Trouble::new(
                "WrongMedia",
                format!(
                    "{path} is not on the medium that the spec asks for; if the kernel is wrong about it, give source.directory.media"
                ),
            ));
        }
        if let Some(held) = &mut self.held {
            let (before, now) = (inspect::identity(held.disk().root()), inspect::identity(fd.as_fd()));
            if before.is_ok() && before == now {
                held.ground = ground;
                return Ok(());
            }
            if !held.ground.is_shared && ground.is_shared {
                return Err(Trouble::failed(
                    DISK_GONE,
                    format!(
                        "nothing is mounted on {path} any more: mount it again; what lies in the folder below was not touched"
                    ),
                ));
            }
        }
        self.held = None;
        let disk = claim::claim(fd, quota.is_some()).map_err(|error| Trouble::from(&error).of(path))?;
        self.held = Some(Held::new(disk, ground).map_err(|error| Trouble::from(&error).of(path))?);
        tracing::info!(path, "the directory is ours");
        Ok(())
    }

    /// The workspace's folder, made and limited if it is not: an open descriptor of it.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn workspace(&mut self, wish: &WorkspaceWish) -> Result<OwnedFd, WorkspaceError> {
        self.ready().map_err(WorkspaceError::NotReady)?.workspace(wish)
    }

    /// The folders of the workspaces of that name, opened: its own, and those of earlier namespaces of its name. None is
    /// made.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn shares_of(&mut self, namespace: &str) -> Result<Vec<OwnedFd>, WorkspaceError> {
        self.ready().map_err(WorkspaceError::NotReady)?.shares_of(namespace)
    }

    /// How full the share of a workspace is; None if it has none.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn usage(&self, namespace_uid: &str) -> Result<Option<Usage>, UsageError> {
        self.held()?.usage(namespace_uid)
    }

    /// What is held, where nothing is in the way; else what is.
    fn ready(&mut self) -> Result<&mut Held, String> {
        match (&self.trouble, &mut self.held) {
            (None, Some(held)) => Ok(held),
            (Some(trouble), _) => Err(trouble.message.clone()),
            (None, None) => Err(NOTHING_TAKEN.into()),
        }
    }

    /// What is held, even if something is in the way.
    fn held(&self) -> Result<&Held, UsageError> {
        let why = || self.trouble.as_ref().map_or(NOTHING_TAKEN.into(), |trouble| trouble.message.clone());
        self.held.as_ref().ok_or_else(|| UsageError::NotReady(why()))
    }

    fn disks(&self) -> Result<(Vec<Block>, Uses), Trouble> {
        self.node
            .disks()
            .map_err(|error| Trouble::new("NoSysfs", format!("the node's disks cannot be listed: {error}")))
    }

    fn found(&mut self, blocks: &[Block], uses: &Uses, mount_point: &Path) -> Vec<Found> {
        let (node, memory, now) = (&self.node, &mut self.memory, Instant::now());
        discover(blocks, uses, mount_point, &mut |block, alone| memory.content(node, block, alone, now))
    }

    /// As the table of mounts calls it.
    fn mount_point(&self) -> Result<PathBuf, Trouble> {
        let path = &self.config.mount_point;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Trouble::new("MountFailed", format!("{} is no place to mount on", path.display())));
        };
        let failed =
            |error| Trouble::new("MountFailed", format!("{} cannot be made: {error}", parent.display()));
        std::fs::create_dir_all(parent).map_err(failed)?;
        Ok(parent.canonicalize().map_err(failed)?.join(name))
    }

    /// Takes a disk out of use that is not meant any more. What pods use of it stays with them.
    fn release(&mut self, mount_point: &Path) -> Result<(), Trouble> {
        self.held = None;
        match unmount::plain(mount_point) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
            Err(errno) => Err(Trouble::new(
                "InUse",
                format!(
                    "the disk that was used before cannot be unmounted from {}: {errno}",
                    mount_point.display()
                ),
            )),
        }
    }

    fn gone(&self) -> Trouble {
        let name = self.held.as_ref().map_or("the disk", |held| held.ground.used.name.as_str());
        Trouble::failed(
            DISK_GONE,
            format!(
                "{name} is gone from this node: put it back, or approve another; what pods have open of it fails"
            ),
        )
    }

    fn ground_of(&self, chosen: &Chosen<'_>, block: &Block, spec: &LocalStorageSpec) -> Ground {
        let used = UsedDevice {
            identity: chosen.identity.clone(),
            name: block.name.clone(),
            media: chosen.media,
            file_system_uuid: chosen.found.fs_uuid.clone(),
            fs_type: spec.fs_type.unwrap_or_default().as_str().into(),
        };
        self.ground(block, used, false)
    }

    fn ground(&self, block: &Block, used: UsedDevice, is_shared: bool) -> Ground {
        Ground {
            number: block.number,
            disk: block.of.clone().unwrap_or_else(|| block.name.clone()),
            node: self.node.device(block).ok().map(|device| device.path().into()),
            used,
            is_shared,
        }
    }

    fn ground_of_directory(
        &mut self,
        source: &DirectorySource,
        on: &directory::Ground,
        blocks: &[Block],
    ) -> Ground {
        let used = |name: &str, media| UsedDevice {
            name: name.into(),
            media: source.media.or(media),
            fs_type: on.kind.clone(),
            ..UsedDevice::default()
        };
        let Some(block) = blocks.iter().find(|block| block.number == on.number) else {
            // btrfs, overlays and their like are on no one device.
            let name = on.source.rsplit('/').next().unwrap_or_default();
            let (disk, used) = (String::new(), used(name, None));
            return Ground { number: on.number, disk, node: None, used, is_shared: !on.is_root };
        };
        let content = self.memory.content(&self.node, block, false, Instant::now());
        let uuid = content.ok().and_then(|content| content.signatures.get("UUID").cloned());
        let used =
            UsedDevice { file_system_uuid: uuid.unwrap_or_default(), ..used(&block.name, block.media) };
        self.ground(block, used, !on.is_root)
    }
}

fn quota(spec: &LocalStorageSpec) -> Result<Option<u64>, Trouble> {
    let Some(text) = &spec.per_workspace_quota else { return Ok(None) };
    match quantity::bytes(&text.0) {
        Some(bytes @ 1..) => Ok(Some(bytes)),
        _ => Err(Trouble::new("Invalid", format!("perWorkspaceQuota {:?} is not a size", text.0))),
    }
}

#[cfg(test)]
mod tests;
