//! The node as this process sees it: its disks in sysfs, their nodes below /dev, what is mounted and swapped to. What lies on a
//! disk is remembered for a while: a look every few seconds must not keep disks awake that nobody uses.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use workspacefs_runtime::chain;
use workspacefs_sys::{loops, mountinfo};

use crate::device::content::Content;
use crate::device::prepare::Formattable;
use crate::device::{Device, DeviceError};
use crate::discovery::sysfs::{self, Block};
use crate::discovery::uses::{Uses, parse_swaps};

/// How long what was found on a disk is believed, for the list of disks; before one is formatted it is looked at again.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Where the node's trees are.
#[derive(Clone, Debug)]
pub struct Node {
    /// sysfs.
    pub sys: PathBuf,
    /// The devices' nodes.
    pub dev: PathBuf,
}

impl Node {
    /// Every disk, and who uses it.
    ///
    /// # Errors
    /// No sysfs, or no /proc.
    pub fn disks(&self) -> std::io::Result<(Vec<Block>, Uses)> {
        let number = |path: &Path| {
            let below = self.dev.join(path.strip_prefix("/dev").ok()?);
            Device::open(&below).ok().map(|device| device.numbers())
        };
        let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
        let blocks = sysfs::read(&self.sys)?;
        let handed_on = |block: &Block| Some((block.name.clone(), self.device_behind(block)?));
        let loops = blocks.iter().filter_map(handed_on).collect();
        let uses = Uses { mounts: mountinfo::read()?, swaps: parse_swaps(&swaps, number), loops };
        Ok((blocks, uses))
    }

    /// What a loop device hands on, if that is a device. One that cannot be asked is one over a file: it is looked at as any
    /// other disk.
    fn device_behind(&self, block: &Block) -> Option<(u32, u32)> {
        if !block.name.starts_with("loop") || block.of.is_some() {
            return None;
        }
        let device = File::open(self.device(block).ok()?.path()).ok()?;
        loops::device_behind(device.as_fd()).ok()?
    }

    /// A disk by its node, which must be that disk's.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn device(&self, block: &Block) -> Result<Device, DeviceError> {
        let path = block.node(&self.dev);
        let device = Device::open(&path)?;
        if device.numbers() == block.number { Ok(device) } else { Err(DeviceError::OtherNode(path)) }
    }
}

/// What lies on disks, as far as it is remembered.
#[derive(Default)]
pub struct Memory {
    of: HashMap<(u32, u32), Remembered>,
}

struct Remembered {
    block: Block,
    at: Instant,
    content: Result<Content, String>,
}

impl Memory {
    /// Looks at a disk, or remembers. One that is mounted by us is looked at once: what is on it cannot become another's, and
    /// when it fails it still has to be known.
    pub fn content(
        &mut self,
        node: &Node,
        block: &Block,
        alone: bool,
        now: Instant,
    ) -> Result<Content, String> {
        if let Some(known) = self.of.get(&block.number).filter(|known| known.block == *block) {
            let is_fresh = now.saturating_duration_since(known.at) < REMEMBERED;
            if if alone { is_fresh } else { known.content.is_ok() } {
                return known.content.clone();
            }
        }
        let content = match look(node, block, alone) {
            // Another LocalStorage's look at it, or its formatting: soon over, and no property of the disk.
            Err(error @ DeviceError::Locked) => return Err(chain(&error)),
            looked => looked.map_err(|error| chain(&error)),
        };
        let remembered = Remembered { block: block.clone(), at: now, content: content.clone() };
        self.of.insert(block.number, remembered);
        content
    }

    /// Forgets a disk that was written to, and those that are not there any more.
    pub fn forget(&mut self, number: (u32, u32), blocks: &[Block]) {
        self.of.retain(|known, _| *known != number && blocks.iter().any(|block| block.number == *known));
    }
}

fn look(node: &Node, block: &Block, alone: bool) -> Result<Content, DeviceError> {
    let device = node.device(block)?;
    let _hold = alone.then(|| device.hold()).transpose()?;
    device.look()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        Block { name: "sdz".into(), number: (8, 400), ..Block::default() }
    }

    #[test]
    fn what_was_found_is_believed_for_a_while_and_of_our_own_disk_for_good() {
        let dev = tempfile::tempdir().unwrap();
        let node = Node { sys: "/sys".into(), dev: dev.path().into() };
        let mut memory = Memory::default();
        let now = Instant::now();
        let said = memory.content(&node, &block(), true, now).unwrap_err();
        assert!(said.contains("found"), "{said}");
        let blank = Content { ends_are_zero: true, ..Content::default() };
        let remember = |memory: &mut Memory| {
            let content = Ok(blank.clone());
            memory.of.insert((8, 400), Remembered { block: block(), at: now, content });
        };
        remember(&mut memory);
        assert!(memory.content(&node, &block(), true, now + REMEMBERED / 2).is_ok());
        assert!(memory.content(&node, &block(), false, now + REMEMBERED * 9).is_ok());
        assert!(memory.content(&node, &block(), true, now + REMEMBERED).is_err());
        remember(&mut memory);
        // Another disk with the same number.
        let other = Block { serial: Some("X".into()), ..block() };
        assert!(memory.content(&node, &other, true, now).is_err());
        remember(&mut memory);
        memory.forget((8, 400), &[block()]);
        assert!(memory.content(&node, &block(), false, now).is_err());
    }
}
