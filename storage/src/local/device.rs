//! The real steps of taking a device, for [`super::take`].

use std::path::Path;

use workspacefs_api::FsType;
use workspacefs_sys::unmount;

use super::claim::{self, ClaimError};
use super::node::Node;
use super::take::Steps;
use crate::device::content::Content;
use crate::device::hold::Hold;
use crate::device::prepare::Formattable;
use crate::device::{self, Device, DeviceError};
use crate::discovery::sysfs::Block;
use crate::discovery::uses::Uses;
use crate::disk::real::RealDisk;

/// A device on its way.
pub struct Approved<'a> {
    /// The device.
    pub device: Device,
    /// As it was found.
    pub block: &'a Block,
    /// Where it is to be mounted.
    pub mount_point: &'a Path,
    /// What was mounted when it was found.
    pub uses: &'a Uses,
    /// To look again.
    pub node: &'a Node,
    /// UUID of the file system that it is known to have held.
    pub was_used_with: Option<String>,
}

impl Formattable for Approved<'_> {
    type Hold = Hold;

    fn look(&self) -> Result<Content, DeviceError> {
        self.device.look()
    }

    fn was_used_with(&self) -> Option<&str> {
        self.was_used_with.as_deref()
    }

    fn bytes(&self) -> Result<u64, DeviceError> {
        self.device.bytes()
    }

    /// With a second look at the node: the name may be another disk's by now, and somebody may use it.
    fn hold(&self) -> Result<Hold, DeviceError> {
        let hold = self.device.hold()?;
        let (blocks, uses) = self.node.disks().map_err(|error| DeviceError::Io("found", error))?;
        if !blocks.contains(self.block) {
            return Err(DeviceError::Changed);
        }
        if uses.of(self.block, &blocks).is_some() { Err(DeviceError::Busy) } else { Ok(hold) }
    }

    fn format(&self, hold: Hold, fs: FsType, again: bool) -> Result<(), DeviceError> {
        self.device.format(hold, fs, again)
    }
}

impl Steps for Approved<'_> {
    type Taken = RealDisk;

    fn is_mounted(&self) -> Result<bool, DeviceError> {
        match self.uses.mounted_on(self.mount_point) {
            None => Ok(false),
            Some(number) if number == self.block.number => Ok(true),
            Some(_) => Err(DeviceError::Occupied(self.mount_point.into())),
        }
    }

    fn mount(&self, fs: FsType) -> Result<(), DeviceError> {
        self.device.mount(self.mount_point, fs).map(drop)
    }

    fn claim(&self) -> Result<RealDisk, ClaimError> {
        let root = device::open_folder(self.mount_point).map_err(|errno| ClaimError::Io("open", errno))?;
        // What we mount has quotas, whether anybody asks for them now or not.
        claim::claim(root, true)
    }

    fn unmount(&self) {
        if let Err(errno) = unmount::plain(self.mount_point) {
            tracing::warn!(mount_point = ?self.mount_point, %errno, "cannot be unmounted");
        }
    }
}
