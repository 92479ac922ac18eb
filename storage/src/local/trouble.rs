//! What is in the way, as a node's entry says it: one word, a sentence with what to do, and what it says of the disk.

use workspacefs_api::Health;
use workspacefs_runtime::chain;
use workspacefs_sys::Errno;

use super::claim::ClaimError;
use super::directory::DirectoryError;
use super::health::Failure;
use super::take::TakeError;
use crate::device::DeviceError;
use crate::device::program::ProgramError;
use crate::discovery::choose::Unfit;
use crate::folders::error::StepError;
use crate::marker::MarkerError;

/// See above.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
    /// What is known of the disk.
    pub health: Health,
}

/// The disk does not do what it should.
pub const DISK_FAILED: &str = "DiskFailed";
/// The kernel has no such device any more.
pub const DISK_GONE: &str = "DiskGone";

impl Trouble {
    /// Something that says nothing of a disk.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), health: Health::Unknown }
    }

    /// The disk's own fault.
    pub fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), health: Health::Failed }
    }

    /// The same, said of something with a name.
    pub fn of(self, name: &str) -> Self {
        Self { message: format!("{name}: {}", self.message), ..self }
    }

    fn either(is_disks: bool, reason: &'static str, message: String) -> Self {
        if is_disks { Self::failed(DISK_FAILED, message) } else { Self::new(reason, message) }
    }
}

impl From<&Unfit> for Trouble {
    fn from(unfit: &Unfit) -> Self {
        Self::new(unfit.reason(), unfit.to_string())
    }
}

impl From<&TakeError> for Trouble {
    fn from(error: &TakeError) -> Self {
        match error {
            TakeError::Device(error) => error.into(),
            TakeError::Claim(error) => error.into(),
        }
    }
}

impl From<&DeviceError> for Trouble {
    fn from(error: &DeviceError) -> Self {
        let reason = match error {
            DeviceError::Io(..) => DISK_FAILED,
            DeviceError::NotADevice | DeviceError::OtherNode(_) => "NoNode",
            DeviceError::Small(_) => "TooSmall",
            DeviceError::Refused(_) | DeviceError::Busy => "Occupied",
            DeviceError::WasUsed(_) => "WasUsed",
            DeviceError::Locked => "Locked",
            DeviceError::Changed => "Changed",
            DeviceError::Program(ProgramError::Start { .. }) => "NoProgram",
            DeviceError::Program(ProgramError::Failed { .. }) => "FormatFailed",
            DeviceError::MountPoint { .. } | DeviceError::Occupied(_) | DeviceError::Mount(..) => {
                "MountFailed"
            }
        };
        Self::either(reason == DISK_FAILED, reason, chain(error))
    }
}

impl From<&ClaimError> for Trouble {
    fn from(error: &ClaimError) -> Self {
        let reason = match error {
            ClaimError::InUse => "InUse",
            ClaimError::NoQuota => "NoQuota",
            ClaimError::HasProject(_) => "HasProject",
            ClaimError::Marker(MarkerError::Foreign(_) | MarkerError::Anothers(_)) => "Foreign",
            ClaimError::Marker(MarkerError::Layout(_)) => "NewerLayout",
            ClaimError::Marker(MarkerError::Malformed(_)) => "DamagedMarker",
            ClaimError::Marker(MarkerError::Io(..)) | ClaimError::Io(..) | ClaimError::Disk(_) => DISK_FAILED,
        };
        Self::either(error.is_disks(), reason, chain(error))
    }
}

impl From<&DirectoryError> for Trouble {
    fn from(error: &DirectoryError) -> Self {
        let is_disks =
            matches!(error, DirectoryError::Io { errno: Errno::IO | Errno::ROFS | Errno::NODEV, .. });
        Self::either(is_disks, "NoDirectory", chain(error))
    }
}

impl From<&StepError> for Trouble {
    fn from(error: &StepError) -> Self {
        Self::either(matches!(error, StepError::Disk(_)), "DamagedRecords", chain(error))
    }
}

impl From<&Failure> for Trouble {
    fn from(error: &Failure) -> Self {
        Self::failed(DISK_FAILED, chain(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::content::Refusal;
    use crate::marker::KeptBy;

    #[test]
    fn what_a_disk_does_wrong_fails_it_and_nothing_else_does() {
        let io = || std::io::Error::from(Errno::IO);
        let failed = [
            Trouble::from(&DeviceError::Io("read", io())),
            Trouble::from(&ClaimError::Io("lock", Errno::IO)),
            Trouble::from(&ClaimError::Marker(MarkerError::Io("open", io()))),
            Trouble::from(&Failure::Read(io())),
            Trouble::from(&DirectoryError::Io { path: "/mnt".into(), errno: Errno::IO }),
        ];
        for trouble in failed {
            assert_eq!(
                (trouble.reason, trouble.health),
                (DISK_FAILED, Health::Failed),
                "{}",
                trouble.message
            );
        }
        for (trouble, reason) in [
            (Trouble::from(&DeviceError::Busy), "Occupied"),
            (Trouble::from(&DeviceError::Refused(Refusal::Unknown)), "Occupied"),
            (Trouble::from(&DeviceError::WasUsed("u-1".into())), "WasUsed"),
            (Trouble::from(&DeviceError::Small(1)), "TooSmall"),
            (Trouble::from(&ClaimError::InUse), "InUse"),
            (Trouble::from(&ClaimError::NoQuota), "NoQuota"),
            (Trouble::from(&ClaimError::Marker(MarkerError::Foreign("x".into()))), "Foreign"),
            (Trouble::from(&ClaimError::Marker(MarkerError::Anothers(KeptBy::NfsServer))), "Foreign"),
            (Trouble::from(&DirectoryError::Missing("/mnt".into())), "NoDirectory"),
            (Trouble::from(&DirectoryError::Io { path: "/mnt".into(), errno: Errno::ACCESS }), "NoDirectory"),
        ] {
            assert_eq!((trouble.reason, trouble.health), (reason, Health::Unknown), "{}", trouble.message);
        }
    }
}
