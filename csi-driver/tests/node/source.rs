//! What stands in for NFS: the export is a folder of this machine, and its server's name says how it behaves.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use csi_driver::share::helper::Source;
use csi_driver::share::{ShareError, ShareSpec};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use workspacefs_sys::tree::{MountApi, StagingPlace, ViewOptions, open_mounted};

/// A server that works.
pub const GOOD: &str = "good.test";
/// Another one.
pub const OTHER: &str = "other.test";
/// One that accepts and then says nothing.
pub const SILENT: &str = "silent.test";
/// One that is not there.
pub const AWAY: &str = "away.test";
/// One that maps root to nobody.
pub const SQUASHING: &str = "squashing.test";

pub struct Folders;

impl Source for Folders {
    fn mount(&self, spec: &ShareSpec, _by: Instant) -> Result<OwnedFd, ShareError> {
        match spec.server.as_str() {
            GOOD | OTHER => {}
            SILENT => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            AWAY => {
                return Err(ShareError::Unreachable {
                    server: AWAY.into(),
                    reason: "no route to host".into(),
                });
            }
            // Every later look at a file is nobody's, and with the uid go root's rights over files; the right to mount
            // stays.
            SQUASHING => {
                setfsgid(Gid::from_raw(65534));
                setfsuid(Uid::from_raw(65534));
            }
            other => panic!("no server {other:?}"),
        }
        let folder = open_mounted(spec.export.as_ref()).map_err(|_| ShareError::ExportMissing {
            share: spec.to_string(),
            reason: "no such folder".into(),
        })?;
        let nowhere = StagingPlace::at("/nonexistent".into());
        MountApi::Modern
            .view(folder.as_fd(), ViewOptions::default(), &nowhere)
            .map_err(|error| ShareError::MountFailed { share: spec.to_string(), reason: error.to_string() })
    }
}
