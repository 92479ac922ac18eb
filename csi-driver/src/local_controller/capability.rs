//! What a volume on one node's disk can be asked to do: less than a shared one.

use workspacefs_csi_proto::csi::v1::VolumeCapability;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;

use crate::capability::{Capability, CapabilityError};

/// Why a capability cannot be served.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum LocalCapabilityError {
    /// No driver of ours can.
    #[error(transparent)]
    Any(CapabilityError),
    /// More nodes than have the disk.
    #[error(
        "volume capability: access mode {} is not supported: the volume lies on one node's disk, so a claim of it is \
         ReadWriteOnce or ReadWriteOncePod", .0.as_str_name()
    )]
    ManyNodes(Mode),
    /// Options for a mount that the volume does not have to itself.
    #[error(
        "volume capability: mount options are not supported: the volume is a folder of a disk that is mounted already"
    )]
    MountOptions,
}

/// Whether a volume can do that.
///
/// # Errors
/// The first thing that it cannot.
pub fn check(asked: &VolumeCapability) -> Result<(), LocalCapabilityError> {
    let Capability { mode, mount_options } = Capability::parse(asked).map_err(LocalCapabilityError::Any)?;
    if !mount_options.is_empty() {
        return Err(LocalCapabilityError::MountOptions);
    }
    match mode {
        Mode::SingleNodeWriter
        | Mode::SingleNodeReaderOnly
        | Mode::SingleNodeSingleWriter
        | Mode::SingleNodeMultiWriter => Ok(()),
        Mode::MultiNodeReaderOnly
        | Mode::MultiNodeSingleWriter
        | Mode::MultiNodeMultiWriter
        | Mode::Unknown => Err(LocalCapabilityError::ManyNodes(mode)),
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_csi_proto::csi::v1::volume_capability::{
        AccessMode, AccessType, BlockVolume, MountVolume,
    };

    use super::*;

    fn asked(access_type: AccessType, mode: i32) -> VolumeCapability {
        VolumeCapability { access_type: Some(access_type), access_mode: Some(AccessMode { mode }) }
    }

    #[test]
    fn every_mode_of_a_single_node_is_served_and_no_other() {
        for mode in 1..=7 {
            let checked = check(&asked(AccessType::Mount(MountVolume::default()), mode));
            match mode {
                1 | 2 | 6 | 7 => assert_eq!(checked, Ok(()), "{mode}"),
                _ => assert!(matches!(checked, Err(LocalCapabilityError::ManyNodes(_))), "{mode}"),
            }
        }
        let words = check(&asked(AccessType::Mount(MountVolume::default()), 5)).unwrap_err().to_string();
        assert!(words.contains("MULTI_NODE_MULTI_WRITER") && words.contains("ReadWriteOnce"), "{words}");
    }

    #[test]
    fn block_devices_and_mount_options_are_refused() {
        assert_eq!(
            check(&asked(AccessType::Block(BlockVolume {}), 1)),
            Err(LocalCapabilityError::Any(CapabilityError::Block))
        );
        let mount = MountVolume { mount_flags: vec!["hard".into()], ..Default::default() };
        assert_eq!(check(&asked(AccessType::Mount(mount), 1)), Err(LocalCapabilityError::MountOptions));
    }
}
