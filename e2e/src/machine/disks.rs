//! The disks of a machine: sparse files of the host, and the arguments that make them block devices of its kernel.
//!
//! The kernel names them by their place in its arguments, so another order at the next boot renames them, as udev and buses
//! do on real machines. A serial number shows in `/sys/block/ubdX/serial`, without a line break; of a disk without one this
//! kernel says `(null)` there.

use super::Machine;
use crate::topology::{Drive, Plan};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Size of the disk that each machine has beside the one it boots from and its drives; the file is sparse.
const DISK_BYTES: u64 = 32 << 30;

/// Set on the image of a disk that is pulled. On a regular file it means nothing to Linux, and everything to the library
/// that is preloaded into a machine's kernel: see `ptrace-shim/src/disk.rs`.
const PULLED: u32 = 0o1000;

/// A drive as it is plugged in at a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugged {
    /// Which.
    pub drive: Drive,
    /// What it says its serial number is.
    pub serial: Option<String>,
}

impl Plugged {
    /// A machine's drives as they are unless said otherwise.
    pub fn all(plan: &Plan) -> Vec<Plugged> {
        Plugged::in_order(plan, plan.drives())
    }

    /// These drives of a machine, in this order, each with its own serial number.
    pub fn in_order(plan: &Plan, drives: &[Drive]) -> Vec<Plugged> {
        drives.iter().map(|drive| Plugged { drive: *drive, serial: plan.drive_serial(*drive) }).collect()
    }
}

/// The kernel's arguments for a machine's disks: the one it boots from, the second one, then the drives.
pub(super) fn arguments(plan: &Plan, folder: &Path, image: &Path, drives: &[Plugged]) -> Vec<String> {
    let mut arguments = vec![format!("ubd0={}/root.cow,{}", folder.display(), image.display())];
    let mut add = |image: PathBuf, serial: &str| {
        // What follows the second comma is the serial number.
        arguments.push(format!("ubd{}={},,{serial}", arguments.len(), image.display()));
    };
    add(folder.join(DISK_IMAGE), &plan.disk_serial());
    for Plugged { drive, serial } in drives {
        add(folder.join(image_of(*drive)), serial.as_deref().unwrap_or_default());
    }
    arguments
}

const DISK_IMAGE: &str = "disk.img";

fn image_of(drive: Drive) -> String {
    format!("{}.img", drive.name())
}

impl Machine {
    /// Makes its blank disks. What failed is named with the error.
    pub(super) fn make_disks(&self) -> Result<(), (PathBuf, io::Error)> {
        let folder = self.layout.machine(self.name());
        let drives = self.plan.drives().iter().map(|drive| (image_of(*drive), drive.bytes()));
        for (name, bytes) in [(DISK_IMAGE.to_owned(), DISK_BYTES)].into_iter().chain(drives) {
            let path = folder.join(name);
            File::create(&path).and_then(|file| file.set_len(bytes)).map_err(|error| (path, error))?;
        }
        Ok(())
    }

    /// Pulls a drive, or plugs it in again.
    pub(super) fn set_pulled(&self, drive: Drive, pulled: bool) -> Result<(), (PathBuf, io::Error)> {
        let path = self.layout.machine(self.name()).join(image_of(drive));
        set_pulled(&path, pulled).map_err(|error| (path, error))
    }
}

fn set_pulled(image: &Path, pulled: bool) -> io::Result<()> {
    let mode = fs::metadata(image)?.permissions().mode() & 0o7777;
    let mode = if pulled { mode | PULLED } else { mode & !PULLED };
    fs::set_permissions(image, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::MACHINES;

    fn of(drives: &[Plugged]) -> Vec<String> {
        arguments(&MACHINES[0], Path::new("/m/n1"), Path::new("/i/node.img"), drives)
    }

    #[test]
    fn a_worker_has_its_drives_after_its_two_disks_and_the_nameless_one_has_no_serial_number() {
        let expected = [
            "ubd0=/m/n1/root.cow,/i/node.img",
            "ubd1=/m/n1/disk.img,,wsfs-n1",
            "ubd2=/m/n1/ssd.img,,WSFS-n1-SSD",
            "ubd3=/m/n1/hdd.img,,WSFS-n1-HDD",
            "ubd4=/m/n1/nameless.img,,",
        ];
        assert_eq!(of(&Plugged::all(&MACHINES[0])), expected);
    }

    #[test]
    fn another_order_renames_the_drives_and_leaves_the_others_where_they_are() {
        let swapped = Plugged::in_order(&MACHINES[0], &[Drive::Hdd, Drive::Ssd]);
        let (there, now) = (of(&Plugged::all(&MACHINES[0])), of(&swapped));
        assert_eq!(there[..2], now[..2]);
        assert_eq!(now[2..], ["ubd2=/m/n1/hdd.img,,WSFS-n1-HDD", "ubd3=/m/n1/ssd.img,,WSFS-n1-SSD"]);
    }

    #[test]
    fn the_storage_host_has_no_drives() {
        assert!(Plugged::all(&MACHINES[2]).is_empty());
    }

    #[test]
    fn a_pulled_disk_keeps_its_bytes_and_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("x.img");
        fs::write(&image, "content").unwrap();
        fs::set_permissions(&image, fs::Permissions::from_mode(0o600)).unwrap();
        let mode = || fs::metadata(&image).unwrap().permissions().mode() & 0o7777;
        set_pulled(&image, true).unwrap();
        set_pulled(&image, true).unwrap();
        assert_eq!(mode(), 0o1600);
        set_pulled(&image, false).unwrap();
        assert_eq!((mode(), fs::read(&image).unwrap()), (0o600, b"content".to_vec()));
    }
}
