//! What a volume is asked to be able to do, checked: the same rules for making a volume, for validating it and for
//! mounting it.

use workspacefs_api::mount_options::{self, MountOption, MountOptionError};
use workspacefs_csi_proto::csi::v1::VolumeCapability;
use workspacefs_csi_proto::csi::v1::volume_capability::AccessType;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;

/// A volume capability that we can serve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capability {
    /// How many nodes and targets may use the volume at once, and whether they may write. Never `Unknown`.
    pub mode: Mode,
    /// The mount options asked for, sorted.
    pub mount_options: Vec<MountOption>,
}

/// Why a capability cannot be served.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum CapabilityError {
    /// Neither mount nor block.
    #[error("volume capability: access type is missing")]
    NoAccessType,
    /// No access mode, or the unknown one.
    #[error("volume capability: access mode is missing")]
    NoAccessMode,
    /// An access mode that is newer than we are.
    #[error("volume capability: access mode {0} is not supported")]
    AccessMode(i32),
    /// A block device was asked for.
    #[error("volume capability: block devices are not supported, only mounted file systems")]
    Block,
    /// A file system to be made on a disk was asked for.
    #[error(
        "volume capability: file system type {0:?} is not supported: the volume is a folder, and none is made for it"
    )]
    FsType(String),
    /// A group for the whole volume was asked for.
    #[error("volume capability: volume_mount_group is not supported: users keep their own ids")]
    MountGroup,
    /// A mount option that is not allowed.
    #[error("volume capability")]
    MountOption(#[source] MountOptionError),
}

impl Capability {
    /// Reads one capability.
    ///
    /// # Errors
    /// The first thing in it that we cannot serve.
    pub fn parse(asked: &VolumeCapability) -> Result<Self, CapabilityError> {
        let mount = match &asked.access_type {
            None => return Err(CapabilityError::NoAccessType),
            Some(AccessType::Block(_)) => return Err(CapabilityError::Block),
            Some(AccessType::Mount(mount)) => mount,
        };
        let mode = match asked.access_mode.map_or(0, |mode| mode.mode) {
            0 => return Err(CapabilityError::NoAccessMode),
            number => Mode::try_from(number).map_err(|_| CapabilityError::AccessMode(number))?,
        };
        if !["", "nfs", "nfs4"].contains(&mount.fs_type.as_str()) {
            return Err(CapabilityError::FsType(mount.fs_type.clone()));
        }
        if !mount.volume_mount_group.is_empty() {
            return Err(CapabilityError::MountGroup);
        }
        let mount_options = mount_options::parse(&mount.mount_flags).map_err(CapabilityError::MountOption)?;
        Ok(Self { mode, mount_options })
    }

    /// Whether the mode itself forbids writing.
    pub fn is_read_only(&self) -> bool {
        matches!(self.mode, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly)
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, BlockVolume, MountVolume};

    use super::*;

    fn asked(mount: MountVolume, mode: i32) -> VolumeCapability {
        VolumeCapability {
            access_type: Some(AccessType::Mount(mount)),
            access_mode: Some(AccessMode { mode }),
        }
    }

    #[test]
    fn every_access_mode_of_the_specification_is_served() {
        for mode in 1..=7 {
            let capability = Capability::parse(&asked(MountVolume::default(), mode)).unwrap();
            assert_eq!(capability.mode as i32, mode);
            assert_eq!(capability.is_read_only(), mode == 2 || mode == 3, "{:?}", capability.mode);
        }
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        let with = |change: fn(&mut MountVolume)| {
            let mut mount = MountVolume::default();
            change(&mut mount);
            Capability::parse(&asked(mount, 5)).unwrap_err()
        };
        assert_eq!(with(|m| m.fs_type = "ext4".into()), CapabilityError::FsType("ext4".into()));
        assert_eq!(with(|m| m.volume_mount_group = "100".into()), CapabilityError::MountGroup);
        assert!(matches!(
            with(|m| m.mount_flags = vec!["addr=1.2.3.4".into()]),
            CapabilityError::MountOption(_)
        ));

        let mount = Some(AccessType::Mount(MountVolume::default()));
        let parse = |access_type, mode: Option<i32>| {
            let access_mode = mode.map(|mode| AccessMode { mode });
            Capability::parse(&VolumeCapability { access_type, access_mode }).unwrap_err()
        };
        assert_eq!(parse(None, Some(5)), CapabilityError::NoAccessType);
        assert_eq!(parse(Some(AccessType::Block(BlockVolume {})), Some(5)), CapabilityError::Block);
        assert_eq!(parse(mount.clone(), None), CapabilityError::NoAccessMode);
        assert_eq!(parse(mount.clone(), Some(0)), CapabilityError::NoAccessMode);
        assert_eq!(parse(mount, Some(8)), CapabilityError::AccessMode(8));
    }
}
