//! The gRPC code of every way in which a controller RPC can fail: one match per RPC, the reason beside each.
//!
//! external-provisioner takes Unavailable, Aborted, Cancelled and DeadlineExceeded after CreateVolume as "still running"
//! and asks again for ever, even when the claim is gone. So CreateVolume ends in one of them only while another call
//! really works on the same volume; all else is terminal (and retried all the same, while the claim exists).

use tonic::{Code, Status};

use super::create_volume::CreateVolumeError;
use super::delete_volume::DeleteVolumeError;
use super::seams::VolumesError;
use super::validate::ValidateError;
use crate::status::status;

fn create_code(error: &CreateVolumeError) -> Code {
    use CreateVolumeError as E;
    match error {
        // The request itself is wrong: asking again changes nothing.
        E::NoName
        | E::LongName
        | E::NoCapabilities
        | E::Range(_)
        | E::Parameters(_)
        | E::MutableParameters => Code::InvalidArgument,
        // "Unsupported" at creation is a bad argument: there is no volume yet that could lack it.
        E::Capability(_) | E::ContentSource => Code::InvalidArgument,
        // Another call is at work on this very volume: the one case of "still running".
        E::Busy(_) => Code::Aborted,
        // Nothing was started: terminal, though the API server will be back.
        E::Lookup(_) => Code::Internal,
        E::NoFileSystem { .. } => Code::NotFound,
        // It exists, and is in the wrong state, or of the wrong kind.
        E::Deleting(_) | E::Home(_) => Code::FailedPrecondition,
        E::Incompatible(_) => Code::AlreadyExists,
        E::Volumes(error) => match error {
            // No space is what the specification names this code for; without topology no node is chosen again for it.
            VolumesError::Full(_) => Code::ResourceExhausted,
            // The helper process that waited was killed at its deadline: nothing of ours runs on.
            VolumesError::Unreachable(_) => Code::Internal,
            // The server's settings are not what we need: an administrator must act.
            VolumesError::Denied(_) => Code::FailedPrecondition,
            VolumesError::Other(_) => Code::Internal,
        },
    }
}

fn delete_code(error: &DeleteVolumeError) -> Code {
    use DeleteVolumeError as E;
    match error {
        E::NoId => Code::InvalidArgument,
        // In use by the FileSystem, so to say: nothing may delete it this way.
        E::FileSystemItself => Code::FailedPrecondition,
        E::Busy(_) => Code::Aborted,
        // Will work again by itself.
        E::Lookup(_) => Code::Unavailable,
        // OK would be a lie and a leak; this stays visible on the PersistentVolume until a person has decided.
        E::FileSystemGone { .. } => Code::FailedPrecondition,
        // Backends are immutable, so what once held a volume still would: a broken object.
        E::Home(_) => Code::Internal,
        E::Volumes(error) => volumes_code(error),
    }
}

fn validate_code(error: &ValidateError) -> Code {
    use ValidateError as E;
    match error {
        E::NoId | E::NoCapabilities => Code::InvalidArgument,
        E::NoVolume => Code::NotFound,
        E::Lookup(_) => Code::Unavailable,
        E::Home(_) => Code::Internal,
        E::Volumes(error) => volumes_code(error),
    }
}

/// For the RPCs whose callers take no code for "still running".
fn volumes_code(error: &VolumesError) -> Code {
    match error {
        VolumesError::Unreachable(_) => Code::Unavailable,
        VolumesError::Full(_) => Code::ResourceExhausted,
        VolumesError::Denied(_) => Code::FailedPrecondition,
        VolumesError::Other(_) => Code::Internal,
    }
}

impl From<CreateVolumeError> for Status {
    fn from(error: CreateVolumeError) -> Self {
        status(create_code(&error), &error)
    }
}

impl From<DeleteVolumeError> for Status {
    fn from(error: DeleteVolumeError) -> Self {
        status(delete_code(&error), &error)
    }
}

impl From<ValidateError> for Status {
    fn from(error: ValidateError) -> Self {
        status(validate_code(&error), &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::CapabilityError;
    use crate::controller::parameters::ParametersError;
    use crate::controller::record::VolumeRecord;
    use crate::controller::seams::{HomeError, LookupError};
    use crate::op_guard::OpGuards;
    use workspacefs_api::volume::AttributesError;
    use workspacefs_csi_proto::csi::v1::CapacityRange;

    fn cause() -> Box<dyn std::error::Error + Send + Sync> {
        "cause".into()
    }

    fn busy() -> crate::op_guard::Busy {
        let guards = OpGuards::new();
        let _held = guards.try_acquire("a").unwrap();
        guards.try_acquire("a").unwrap_err()
    }

    fn home_error() -> HomeError {
        HomeError::Attributes(AttributesError::NotNfs)
    }

    fn share_errors() -> [VolumesError; 4] {
        [
            VolumesError::Unreachable(cause()),
            VolumesError::Full(cause()),
            VolumesError::Denied(cause()),
            VolumesError::Other(cause()),
        ]
    }

    #[test]
    fn create_volume_codes() {
        use CreateVolumeError as E;
        let range = VolumeRecord::new(
            "a",
            Some(&CapacityRange {
                required_bytes: -1,
                limit_bytes: 0,
            }),
        )
        .unwrap_err();
        let [unreachable, full, denied, other] = share_errors().map(E::Volumes);
        let table = [
            (E::NoName, Code::InvalidArgument),
            (E::LongName, Code::InvalidArgument),
            (E::NoCapabilities, Code::InvalidArgument),
            (E::Capability(CapabilityError::Block), Code::InvalidArgument),
            (E::ContentSource, Code::InvalidArgument),
            (E::MutableParameters, Code::InvalidArgument),
            (E::Range(range), Code::InvalidArgument),
            (
                E::Parameters(ParametersError::Missing("namespace")),
                Code::InvalidArgument,
            ),
            (E::Lookup(LookupError(cause())), Code::Internal),
            (
                E::NoFileSystem {
                    namespace: "a".into(),
                    name: "b".into(),
                },
                Code::NotFound,
            ),
            (E::Deleting("a/b".into()), Code::FailedPrecondition),
            (E::Home(home_error()), Code::FailedPrecondition),
            (E::Busy(busy()), Code::Aborted),
            (E::Incompatible("a".into()), Code::AlreadyExists),
            (unreachable, Code::Internal),
            (full, Code::ResourceExhausted),
            (denied, Code::FailedPrecondition),
            (other, Code::Internal),
        ];
        for (error, code) in table {
            assert_eq!(create_code(&error), code, "{error}");
            let still_running = [
                Code::Unavailable,
                Code::Aborted,
                Code::Cancelled,
                Code::DeadlineExceeded,
            ];
            let busy = matches!(error, E::Busy(_));
            assert_eq!(
                still_running.contains(&code),
                busy,
                "{error}: only a call at work may say `still running`"
            );
        }
    }

    #[test]
    fn delete_volume_codes() {
        use DeleteVolumeError as E;
        let [unreachable, full, denied, other] = share_errors().map(E::Volumes);
        let table = [
            (E::NoId, Code::InvalidArgument),
            (E::FileSystemItself, Code::FailedPrecondition),
            (E::Busy(busy()), Code::Aborted),
            (E::Lookup(LookupError(cause())), Code::Unavailable),
            (
                E::FileSystemGone {
                    uid: "u".into(),
                    folder: "f".into(),
                },
                Code::FailedPrecondition,
            ),
            (E::Home(home_error()), Code::Internal),
            (unreachable, Code::Unavailable),
            (full, Code::ResourceExhausted),
            (denied, Code::FailedPrecondition),
            (other, Code::Internal),
        ];
        for (error, code) in table {
            assert_eq!(delete_code(&error), code, "{error}");
        }
    }

    #[test]
    fn validate_volume_capabilities_codes() {
        use ValidateError as E;
        let [unreachable, full, denied, other] = share_errors().map(E::Volumes);
        let table = [
            (E::NoId, Code::InvalidArgument),
            (E::NoCapabilities, Code::InvalidArgument),
            (E::NoVolume, Code::NotFound),
            (E::Lookup(LookupError(cause())), Code::Unavailable),
            (E::Home(home_error()), Code::Internal),
            (unreachable, Code::Unavailable),
            (full, Code::ResourceExhausted),
            (denied, Code::FailedPrecondition),
            (other, Code::Internal),
        ];
        for (error, code) in table {
            assert_eq!(validate_code(&error), code, "{error}");
        }
    }

    #[test]
    fn the_message_says_the_cause() {
        let status = Status::from(CreateVolumeError::Volumes(VolumesError::Unreachable(
            "no route".into(),
        )));
        assert_eq!(
            status.message(),
            "cannot make the volume's folder: share not reachable: no route"
        );
    }
}
