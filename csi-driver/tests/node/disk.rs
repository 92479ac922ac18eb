//! What stands in for a LocalStorage's disk: a folder beside its mount point. Files in it say how it behaves.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use csi_driver::local::helper::{self, Disk};
use csi_driver::local::protocol::{Figures, Refusal, RefusalKind, Share};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use workspacefs_api::{Health, LocalStorageSpec, NodeStorage};
use workspacefs_sys::tree::open_mounted;

/// While it exists beside the mount point, every question hangs.
pub const HANGS: &str = "hangs";
/// While it exists, the disk is not ready, for the reason that is in it.
pub const NOT_READY: &str = "not-ready";
/// Where the files are.
pub const FILES: &str = "files";

pub fn run(parent: u32) -> ExitCode {
    helper::run(|mount_point| Folder(mount_point.parent().unwrap().with_file_name("disk")), parent)
}

struct Folder(PathBuf);

impl Folder {
    fn hang_if_told(&self) {
        while self.0.join(HANGS).exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Disk for Folder {
    fn look(&mut self, node: &str, _: &LocalStorageSpec) -> NodeStorage {
        self.hang_if_told();
        entry(node, fs::read_to_string(self.0.join(NOT_READY)).ok())
    }

    fn folder(&mut self, share: &Share) -> Result<OwnedFd, Refusal> {
        self.hang_if_told();
        if share.quota == Some(1 << 50) {
            return Err(Refusal { kind: RefusalKind::NoSpace, message: "it has 1 GiB".into() });
        }
        let folder = self.0.join(FILES).join(&share.namespace_uid);
        fs::create_dir_all(&folder).unwrap();
        Ok(open_mounted(&folder).unwrap())
    }

    fn usage(&mut self, namespace_uid: &str) -> Result<Option<Figures>, Refusal> {
        self.hang_if_told();
        let folder: &Path = &self.0.join(FILES).join(namespace_uid);
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
        found: Vec::new(),
        observed_at: Time(Timestamp::UNIX_EPOCH),
    }
}
