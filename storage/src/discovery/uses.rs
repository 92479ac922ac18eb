//! Who uses a disk, as far as this process can see: partitions, devices made of it, mounts, swap. Mounts of other namespaces it
//! cannot see; for those the kernel is asked (`Device::hold`).

use std::path::{Path, PathBuf};

use workspacefs_sys::mountinfo::MountEntry;

use super::sysfs::Block;

/// What is mounted, and what is swapped to.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    /// Of this process's namespace.
    pub mounts: Vec<MountEntry>,
    /// What is swapped to.
    pub swaps: Vec<Swap>,
    /// Loop devices that are other names of block devices, by their names, with the device that each hands on. kubelet makes one
    /// for each block volume that a pod has.
    pub loops: Vec<(String, (u32, u32))>,
}

/// Something that is swapped to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Swap {
    /// Its path.
    pub path: PathBuf,
    /// Of a device whose node could be found.
    pub number: Option<(u32, u32)>,
}

impl Uses {
    /// Whether a device's whole file system is mounted there.
    pub fn is_mounted_on(&self, number: (u32, u32), mount_point: &Path) -> bool {
        self.mounts.iter().any(|mount| {
            mount.device == number && mount.mount_point == mount_point && mount.root == Path::new("/")
        })
    }

    /// The number of what is mounted there, on top if there are several.
    pub fn mounted_on(&self, mount_point: &Path) -> Option<(u32, u32)> {
        self.mounts.iter().rev().find(|mount| mount.mount_point == mount_point).map(|mount| mount.device)
    }

    /// It is only another name of a device: that one is the disk.
    pub fn is_another_name(&self, block: &Block) -> bool {
        self.loops.iter().any(|(name, _)| *name == block.name || block.of.as_ref() == Some(name))
    }

    /// Who uses it, in a sentence.
    pub fn of(&self, block: &Block, blocks: &[Block]) -> Option<String> {
        if let Some(direct) = self.directly(block) {
            return Some(format!("it {direct}"));
        }
        if !block.holders.is_empty() {
            return Some(format!("it is part of {}", block.holders.join(", ")));
        }
        if block.partitions.is_empty() {
            return None;
        }
        let parts = blocks.iter().filter(|part| part.of.as_ref() == Some(&block.name));
        let used = parts.filter_map(|part| {
            let how = self.directly(part).or_else(|| {
                let holders = part.holders.join(", ");
                (!holders.is_empty()).then(|| format!("is part of {holders}"))
            })?;
            Some(format!("{} {how}", part.name))
        });
        let used: Vec<String> = used.collect();
        let all = block.partitions.join(", ");
        Some(match used.as_slice() {
            [] => format!("it has partitions: {all}"),
            used => format!("it has partitions: {all}; {}", used.join("; ")),
        })
    }

    fn directly(&self, block: &Block) -> Option<String> {
        let mounts = self.mounts.iter().filter(|mount| mount.device == block.number);
        // A file system may be shown in many places; the shortest says most.
        if let Some(mount) = mounts.min_by_key(|mount| mount.mount_point.as_os_str().len()) {
            return Some(format!("is mounted on {}", mount.mount_point.display()));
        }
        // Whoever has it as a block volume may have it open in a way that keeps nobody else out.
        if let Some((name, _)) = self.loops.iter().find(|(_, behind)| *behind == block.number) {
            return Some(format!("is the block volume of a pod, or used like one ({name} hands it on)"));
        }
        let is_swap = |swap: &Swap| match swap.number {
            Some(number) => number == block.number,
            None => swap.path == block.node(Path::new("/dev")),
        };
        self.swaps.iter().any(is_swap).then(|| "is swapped to".into())
    }
}

/// Reads /proc/swaps. `number` is asked for each path.
pub fn parse_swaps(text: &str, number: impl Fn(&Path) -> Option<(u32, u32)>) -> Vec<Swap> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?, fields.next()?))
    });
    let devices = lines.filter(|(_, kind)| *kind == "partition");
    devices.map(|(path, _)| Swap { path: path.into(), number: number(Path::new(path)) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_are_swap_of_a_disk() {
        const TEXT: &str = "Filename\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/sda2                               partition\t8388604\t0\t-2\n\
            /swapfile                               file\t1\t0\t-3\n";
        let swaps = parse_swaps(TEXT, |path| (path == Path::new("/dev/sda2")).then_some((8, 2)));
        assert_eq!(swaps, [Swap { path: "/dev/sda2".into(), number: Some((8, 2)) }]);
    }
}
