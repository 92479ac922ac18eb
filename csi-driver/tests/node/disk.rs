//! What stands in for a LocalStorage's disk: a folder beside its mount point. Files in it say how it behaves.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use csi_driver::local::helper::{self, Disk};
use csi_driver::local::kept::copy_in;
use csi_driver::local::protocol::{Figures, Look, Place, Refusal, RefusalKind, Shown, Volume, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use workspacefs_api::{Health, NodeStorage};
use workspacefs_storage::local::image::ImageWish;
use workspacefs_sys::tree::open_mounted;

use crate::world::NAMESPACE;

/// While it exists beside the mount point, every question hangs.
pub const HANGS: &str = "hangs";
/// While it exists, the disk is not ready, for the reason that is in it.
pub const NOT_READY: &str = "not-ready";
/// Where the files of shares are.
pub const FILES: &str = "files";
/// Where those of volumes are, by LocalStorage and name.
pub const VOLUMES: &str = "volumes";
/// How large each volume is, by name.
pub const SIZES: &str = "sizes";
/// How large one may be.
pub const SIZE_MAX: u64 = 1 << 30;

pub fn run(parent: u32) -> ExitCode {
    helper::run(|mount_point| Folder(mount_point.parent().unwrap().with_file_name("disk")), parent)
}

struct Folder(PathBuf);

fn refused<T>(kind: RefusalKind, message: &str) -> Result<T, Refusal> {
    Err(Refusal { kind, message: message.into() })
}

impl Folder {
    fn volume(&self, volume: &Volume) -> PathBuf {
        self.0.join(VOLUMES).join(&volume.storage_uid).join(&volume.name)
    }

    fn size(&self, volume: &Volume) -> Option<u64> {
        self.volume(volume).is_dir().then_some(())?;
        Some(fs::read_to_string(self.0.join(SIZES).join(&volume.name)).unwrap().parse().unwrap())
    }

    fn limit(&self, volume: &Volume, size: u64) -> Result<u64, Refusal> {
        if size > SIZE_MAX {
            return refused(RefusalKind::NoSpace, "it has 1 GiB");
        }
        fs::create_dir_all(self.0.join(SIZES)).unwrap();
        fs::write(self.0.join(SIZES).join(&volume.name), size.to_string()).unwrap();
        fs::create_dir_all(self.volume(volume)).unwrap();
        Ok(size)
    }

    fn ready(&self) -> Result<(), Refusal> {
        self.hang_if_told();
        match fs::read_to_string(self.0.join(NOT_READY)) {
            Ok(why) => refused(RefusalKind::NotReady, &why),
            Err(_) => Ok(()),
        }
    }

    fn hang_if_told(&self) {
        while self.0.join(HANGS).exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Disk for Folder {
    fn look(&mut self, look: &Look) -> NodeStorage {
        self.hang_if_told();
        entry(&look.node, fs::read_to_string(self.0.join(NOT_READY)).ok())
    }

    fn folder(&mut self, shown: &Shown) -> Result<OwnedFd, Refusal> {
        self.hang_if_told();
        let folder = match shown {
            Shown::Share(share) if share.quota == Some(1 << 50) => {
                return refused(RefusalKind::NoSpace, "it has 1 GiB");
            }
            Shown::Share(share) => {
                let folder = self.0.join(FILES).join(&share.namespace_uid);
                fs::create_dir_all(&folder).unwrap();
                folder
            }
            Shown::Volume(volume) => self.volume(volume),
            Shown::Copy(namespace, copy) => {
                assert_eq!(namespace, NAMESPACE);
                let shares = fs::read_dir(self.0.join(FILES)).into_iter().flatten();
                let shares: Vec<OwnedFd> =
                    shares.map(|share| open_mounted(&share.unwrap().path()).unwrap()).collect();
                return copy_in(&shares, copy);
            }
        };
        if folder.is_dir() {
            Ok(open_mounted(&folder).unwrap())
        } else {
            refused(RefusalKind::Lost, "it is not on the disk that is in the node now")
        }
    }

    fn usage(&mut self, place: &Place) -> Result<Option<Figures>, Refusal> {
        self.hang_if_told();
        let folder: &Path = &match place {
            Place::Share(namespace_uid) => self.0.join(FILES).join(namespace_uid),
            Place::Volume(volume) => self.volume(volume),
        };
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(None);
        };
        let used = entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        let figures = Figures {
            bytes_total: 1000,
            bytes_used: used,
            bytes_available: 1000 - used,
            inodes_total: 0,
            inodes_used: 0,
        };
        Ok(Some(figures))
    }

    fn ensure(&mut self, wish: &Wish) -> Result<u64, Refusal> {
        self.ready()?;
        match self.size(&wish.volume) {
            Some(size) => Ok(size),
            None if wish.may_make => self.limit(&wish.volume, wish.size),
            None => refused(RefusalKind::Lost, "it is not on the disk that is in the node now"),
        }
    }

    fn grow(&mut self, volume: &Volume, size: u64) -> Result<u64, Refusal> {
        self.ready()?;
        self.limit(volume, size)
    }

    fn remove(&mut self, volume: &Volume) -> Result<(), Refusal> {
        self.ready()?;
        let _ = fs::remove_dir_all(self.volume(volume));
        Ok(())
    }

    fn image(&mut self, _: ImageWish, _: &Path) -> Result<(), Refusal> {
        self.ready()
    }

    fn release(&mut self) -> Result<(), Refusal> {
        Ok(())
    }
}

fn entry(node: &str, not_ready: Option<String>) -> NodeStorage {
    NodeStorage {
        node: node.into(),
        ready: not_ready.is_none(),
        reason: if not_ready.is_none() { "Ready".into() } else { "NotApproved".into() },
        message: not_ready.unwrap_or_default(),
        health: Health::Healthy,
        device: None,
        capacity: None,
        used: None,
        available: None,
        unaccounted: None,
        shares_file_system: false,
        cache: None,
        found: Vec::new(),
        observed_at: Time(Timestamp::UNIX_EPOCH),
    }
}
