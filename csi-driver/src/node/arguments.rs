//! The arguments of the node's RPCs, checked. Whatever is wrong in them is INVALID_ARGUMENT, before anything is looked at.

use std::collections::BTreeMap;

use thiserror::Error;
use workspacefs_csi_proto::csi::v1::volume_capability::AccessType;
use workspacefs_csi_proto::csi::v1::{NodePublishVolumeRequest, VolumeCapability};

use super::target::{BadTarget, Target};
use crate::capability::{Capability, CapabilityError};

/// CSI's limit for a string, with room for callers that do not know it.
const ID_BYTES_MAX: usize = 256;

/// An argument is missing or not acceptable.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum ArgumentError {
    /// No volume id.
    #[error("volume_id is missing")]
    NoVolumeId,
    /// A volume id that CSI does not allow.
    #[error("volume_id is longer than {ID_BYTES_MAX} bytes")]
    LongVolumeId,
    /// No target path.
    #[error("target_path is missing")]
    NoTarget,
    /// No volume path (NodeGetVolumeStats).
    #[error("volume_path is missing")]
    NoVolumePath,
    /// Not a path that could be a target.
    #[error(transparent)]
    BadTarget(#[from] BadTarget),
    /// No volume capability.
    #[error("volume_capability is missing")]
    NoCapability,
    /// A capability that we cannot serve.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

/// A checked NodePublishVolume.
#[derive(Debug)]
pub struct Publish {
    pub volume_id: String,
    pub target: Target,
    pub capability: Capability,
    /// Asked for, or implied by the access mode.
    pub read_only: bool,
    pub context: BTreeMap<String, String>,
    /// See [`fingerprint`].
    pub fingerprint: String,
}

impl Publish {
    pub fn parse(request: NodePublishVolumeRequest) -> Result<Self, ArgumentError> {
        let volume_id = volume_id(&request.volume_id)?;
        let target = target(&request.target_path)?;
        let asked = request.volume_capability.as_ref().ok_or(ArgumentError::NoCapability)?;
        let capability = Capability::parse(asked)?;
        let fingerprint = fingerprint(&request, asked);
        Ok(Self {
            volume_id,
            target,
            read_only: request.readonly || capability.is_read_only(),
            capability,
            context: request.volume_context.into_iter().collect(),
            fingerprint,
        })
    }
}

/// Checks a volume id.
pub fn volume_id(text: &str) -> Result<String, ArgumentError> {
    match text.len() {
        0 => Err(ArgumentError::NoVolumeId),
        1..=ID_BYTES_MAX => Ok(text.to_string()),
        _ => Err(ArgumentError::LongVolumeId),
    }
}

/// Checks a target path.
pub fn target(text: &str) -> Result<Target, ArgumentError> {
    if text.is_empty() {
        return Err(ArgumentError::NoTarget);
    }
    Ok(Target::parse(text)?)
}

/// A hash of everything that makes two publishes at one target the same: all arguments but the ids, the target, the
/// secrets and the mount flags. 32 hexadecimal digits.
///
/// The flags are a PersistentVolume's `mountOptions`, which may change while it is mounted, and kubelet publishes again what
/// it finds when it starts: a volume keeps the options it was mounted with, and that is no error.
fn fingerprint(request: &NodePublishVolumeRequest, capability: &VolumeCapability) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part(if request.readonly { "ro" } else { "rw" });
    part(&request.staging_target_path);
    part(&capability.access_mode.map_or(0, |m| m.mode).to_string());
    if let Some(AccessType::Mount(mount)) = &capability.access_type {
        part(&mount.fs_type);
        part(&mount.volume_mount_group);
    }
    for map in [&request.volume_context, &request.publish_context] {
        let sorted: BTreeMap<&String, &String> = map.iter().collect();
        part(&sorted.len().to_string());
        for (key, value) in sorted {
            part(key);
            part(value);
        }
    }
    hasher.finalize().to_hex()[..32].to_string()
}

#[cfg(test)]
mod tests {
    use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, BlockVolume, MountVolume};

    use super::*;

    fn request() -> NodePublishVolumeRequest {
        NodePublishVolumeRequest {
            volume_id: "v".into(),
            target_path: "/t".into(),
            volume_capability: Some(VolumeCapability {
                access_type: Some(AccessType::Mount(MountVolume::default())),
                access_mode: Some(AccessMode { mode: 5 }),
            }),
            ..Default::default()
        }
    }

    fn error(change: impl Fn(&mut NodePublishVolumeRequest)) -> ArgumentError {
        let mut request = request();
        change(&mut request);
        Publish::parse(request).unwrap_err()
    }

    #[test]
    fn each_missing_or_bad_argument_is_named() {
        assert_eq!(error(|r| r.volume_id.clear()), ArgumentError::NoVolumeId);
        assert_eq!(error(|r| r.volume_id = "x".repeat(257)), ArgumentError::LongVolumeId);
        assert_eq!(error(|r| r.target_path.clear()), ArgumentError::NoTarget);
        assert_eq!(error(|r| r.target_path = "a/../b".into()), ArgumentError::BadTarget(BadTarget));
        assert_eq!(error(|r| r.volume_capability = None), ArgumentError::NoCapability);
        let block = |r: &mut NodePublishVolumeRequest| {
            r.volume_capability.as_mut().unwrap().access_type = Some(AccessType::Block(BlockVolume {}));
        };
        assert_eq!(error(block), ArgumentError::Capability(CapabilityError::Block));
    }

    #[test]
    fn a_reader_only_mode_is_read_only_whatever_the_flag_says() {
        for (mode, flag, expected) in [(5, false, false), (5, true, true), (2, false, true), (3, false, true)]
        {
            let mut request = request();
            request.readonly = flag;
            request.volume_capability.as_mut().unwrap().access_mode = Some(AccessMode { mode });
            assert_eq!(Publish::parse(request).unwrap().read_only, expected, "mode {mode} readonly {flag}");
        }
    }

    #[test]
    fn secrets_and_mount_flags_do_not_count_as_arguments_and_everything_else_does() {
        let print = |change: &dyn Fn(&mut NodePublishVolumeRequest)| {
            let mut request = request();
            change(&mut request);
            Publish::parse(request).unwrap().fingerprint
        };
        let mount = |r: &mut NodePublishVolumeRequest, change: &dyn Fn(&mut MountVolume)| {
            if let Some(AccessType::Mount(mount)) = &mut r.volume_capability.as_mut().unwrap().access_type {
                change(mount);
            }
        };
        let plain = print(&|_| {});
        assert_eq!(plain, print(&|r| drop(r.secrets.insert("a".into(), "b".into()))));
        assert_eq!(plain, print(&|r| mount(r, &|m| m.mount_flags = vec!["soft".into()])));
        let changes: [&dyn Fn(&mut NodePublishVolumeRequest); 6] = [
            &|r| r.readonly = true,
            &|r| r.staging_target_path = "/s".into(),
            &|r| drop(r.volume_context.insert("a".into(), "b".into())),
            &|r| drop(r.publish_context.insert("a".into(), "b".into())),
            &|r| r.volume_capability.as_mut().unwrap().access_mode = Some(AccessMode { mode: 7 }),
            &|r| mount(r, &|m| m.fs_type = "nfs".into()),
        ];
        let mut prints: Vec<String> = changes.iter().map(|change| print(*change)).collect();
        prints.push(plain);
        let all = prints.len();
        prints.sort();
        prints.dedup();
        assert_eq!(prints.len(), all);
    }
}
