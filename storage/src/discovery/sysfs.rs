//! The block devices that could be meant, as the kernel shows them below /sys/block. Files that are missing are no error: a
//! disk can go while it is looked at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use workspacefs_api::Media;

use super::identity::serial_of_page;
use crate::local::image::is_image;

/// What sysfs counts sizes in, whatever the device does.
const SECTOR_BYTES: u64 = 512;
/// Memory, and what is never a disk of a node.
const NEVER: [&str; 5] = ["ram", "zram", "fd", "sr", "mtdblock"];

/// A whole disk, a partition, or a device made of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// The kernel's name; `!` stands for the `/` of its node.
    pub name: String,
    /// Major and minor number.
    pub number: (u32, u32),
    /// Its size.
    pub bytes: u64,
    /// What the kernel takes it for.
    pub media: Option<Media>,
    /// What its maker calls it.
    pub model: String,
    /// The disk that it is a partition of.
    pub of: Option<String>,
    /// Its partitions.
    pub partitions: Vec<String>,
    /// The devices that are made of it.
    pub holders: Vec<String>,
    /// It is made of other devices: device mapper, RAID.
    pub is_virtual: bool,
    /// World wide name, as it stands there.
    pub wwn: Option<String>,
    /// Serial number, as it stands there.
    pub serial: Option<String>,
    /// Of a partition, where the kernel tells.
    pub partuuid: Option<String>,
}

impl Block {
    /// Where its node is below /dev.
    pub fn node(&self, dev: &Path) -> PathBuf {
        dev.join(self.name.replace('!', "/"))
    }
}

/// Reads them all, by name.
///
/// # Errors
/// Only if `sys` has no folder `block`.
pub fn read(sys: &Path) -> io::Result<Vec<Block>> {
    let mut blocks = Vec::new();
    for name in names(&sys.join("block"))? {
        let folder = sys.join("block").join(&name);
        let Some(disk) = disk(&folder, &name) else { continue };
        let partitions = disk.partitions.iter().filter_map(|part| partition(&folder.join(part), part, &disk));
        let partitions: Vec<Block> = partitions.collect();
        blocks.push(disk);
        blocks.extend(partitions);
    }
    Ok(blocks)
}

fn disk(folder: &Path, name: &str) -> Option<Block> {
    let is_loop = name.starts_with("loop");
    let is_on = |file: &str| text(&folder.join(file)).as_deref() == Some("1");
    if NEVER.iter().any(|prefix| is_numbered(name, prefix))
        || (is_loop && text(&folder.join("loop/backing_file")).is_none_or(|file| is_image(&file)))
        || is_on("removable")
        || is_on("hidden")
    {
        return None;
    }
    let mut disk = common(folder, name)?;
    disk.media = media(folder, name);
    disk.model = text(&folder.join("device/model")).unwrap_or_default();
    disk.partitions = names(folder).ok()?;
    disk.partitions.retain(|part| folder.join(part).join("partition").is_file());
    disk.is_virtual = ["dm", "md"].iter().any(|kind| folder.join(kind).is_dir());
    let first = |files: &[&str]| files.iter().find_map(|file| text(&folder.join(file)));
    disk.wwn = first(&["wwid", "device/wwid", "device/wwn"]);
    disk.serial = first(&["serial", "device/serial"])
        .or_else(|| serial_of_page(&fs::read(folder.join("device/vpd_pg80")).ok()?))
        // What was made of disks by an administrator has a name for good of its own.
        .or_else(|| first(&["dm/uuid", "md/uuid"]));
    Some(disk)
}

fn partition(folder: &Path, name: &str, disk: &Block) -> Option<Block> {
    let uevent = text(&folder.join("uevent")).unwrap_or_default();
    let partuuid = uevent.lines().find_map(|line| line.strip_prefix("PARTUUID="));
    Some(Block {
        of: Some(disk.name.clone()),
        media: disk.media,
        model: disk.model.clone(),
        partuuid: partuuid.map(str::to_string),
        ..common(folder, name)?
    })
}

/// None if there is nothing to write to.
fn common(folder: &Path, name: &str) -> Option<Block> {
    let (major, minor) =
        text(&folder.join("dev"))?.split_once(':').map(|(a, b)| (a.to_string(), b.to_string()))?;
    let sectors: u64 = text(&folder.join("size"))?.parse().ok()?;
    if sectors == 0 || text(&folder.join("ro")).as_deref() == Some("1") {
        return None;
    }
    Some(Block {
        name: name.into(),
        number: (major.parse().ok()?, minor.parse().ok()?),
        bytes: sectors.saturating_mul(SECTOR_BYTES),
        holders: names(&folder.join("holders")).unwrap_or_default(),
        ..Block::default()
    })
}

fn media(folder: &Path, name: &str) -> Option<Media> {
    let is_nvme = |name: &str| name.starts_with("nvme");
    let slaves = names(&folder.join("slaves")).unwrap_or_default();
    match text(&folder.join("queue/rotational")).as_deref() {
        Some("1") => Some(Media::Hdd),
        Some("0") if is_nvme(name) => Some(Media::Nvme),
        Some("0") if !slaves.is_empty() && slaves.iter().all(|slave| is_nvme(slave)) => Some(Media::Nvme),
        Some("0") => Some(Media::Ssd),
        _ => None,
    }
}

/// `ram0`, but not `ramdisk`.
fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A small file's text without what is around it; None if there is none, or nothing in it.
pub(crate) fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_string())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
