//! The gRPC code of every way in which a controller RPC can fail: one match per RPC, the reason beside each.
//!
//! external-provisioner takes Unavailable, Aborted, Cancelled and DeadlineExceeded after CreateVolume as "still running"
//! and asks again for ever, even when the claim is gone. So CreateVolume ends in one of them only while another call
//! really works on the same volume; all else is terminal (and retried all the same, while the claim exists).

use tonic::{Code, Status};

use super::create_volume::CreateVolumeError;
use super::delete_volume::DeleteVolumeError;
use super::validate::ValidateError;
use crate::share::ShareError;
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
        E::Share(error) => match share_code(error) {
            // The helper process that waited was killed at its deadline: nothing of ours runs on.
            Code::Unavailable => Code::Internal,
            code => code,
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
        E::Share(error) => share_code(error),
    }
}

fn validate_code(error: &ValidateError) -> Code {
    use ValidateError as E;
    match error {
        E::NoId | E::NoCapabilities => Code::InvalidArgument,
        E::NoVolume => Code::NotFound,
        E::Lookup(_) => Code::Unavailable,
        E::Home(_) => Code::Internal,
        E::Share(error) => share_code(error),
    }
}

/// What a failure on the share means to a caller that takes no code for "still running".
fn share_code(error: &ShareError) -> Code {
    use ShareError as E;
    match error {
        // The server, or the way to it: may be back the next time.
        E::NameUnresolved { .. } | E::Unreachable { .. } | E::TimedOut { .. } | E::Helper { .. } => {
            Code::Unavailable
        }
        // The server says no, or has something else where ours should be: an administrator must act.
        E::ExportMissing { .. }
        | E::MountDenied { .. }
        | E::VersionRefused { .. }
        | E::Squashed { .. }
        | E::Denied { .. }
        | E::NotADirectory { .. }
        | E::Untrusted { .. } => Code::FailedPrecondition,
        // What the specification names this code for. Without topology no node is chosen again for it.
        E::NoSpace { .. } => Code::ResourceExhausted,
        // We name folders of our own only, and each RPC treats a missing one itself: our fault, or the server's.
        E::NotFound { .. }
        | E::LeadsOut { .. }
        | E::BehindLink { .. }
        | E::Reserved { .. }
        | E::Stale { .. } => Code::Internal,
        E::NoClient { .. }
        | E::MountFailed { .. }
        | E::NoUserNamespace { .. }
        | E::Io { .. }
        | E::Local { .. } => Code::Internal,
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
    use crate::controller::record::record;
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

    /// Each failure of a share with its code outside CreateVolume.
    fn share_errors() -> Vec<(ShareError, Code)> {
        use ShareError as E;
        let text = || "x".to_string();
        vec![
            (E::NameUnresolved { server: text(), reason: text() }, Code::Unavailable),
            (E::Unreachable { server: text(), reason: text() }, Code::Unavailable),
            (E::TimedOut { share: text(), seconds: 1, doing: text() }, Code::Unavailable),
            (E::Helper { share: text(), reason: text() }, Code::Unavailable),
            (E::ExportMissing { share: text(), reason: text() }, Code::FailedPrecondition),
            (E::MountDenied { share: text(), reason: text() }, Code::FailedPrecondition),
            (E::VersionRefused { share: text(), versions: text(), reason: text() }, Code::FailedPrecondition),
            (E::Squashed { action: text(), path: text(), reason: text() }, Code::FailedPrecondition),
            (E::Denied { path: text(), reason: text() }, Code::FailedPrecondition),
            (E::NotADirectory { path: text() }, Code::FailedPrecondition),
            (E::Untrusted { path: text() }, Code::FailedPrecondition),
            (E::NoSpace { path: text(), reason: text() }, Code::ResourceExhausted),
            (E::NotFound { path: text() }, Code::Internal),
            (E::LeadsOut { path: text() }, Code::Internal),
            (E::BehindLink { path: text(), link: text() }, Code::Internal),
            (E::Reserved { path: text() }, Code::Internal),
            (E::Stale { path: text() }, Code::Internal),
            (E::NoClient { reason: text() }, Code::Internal),
            (E::NoUserNamespace { path: text(), reason: text() }, Code::Internal),
            (E::MountFailed { share: text(), reason: text() }, Code::Internal),
            (E::Io { action: text(), path: text(), reason: text() }, Code::Internal),
            (E::Local { action: text(), reason: text() }, Code::Internal),
        ]
    }

    #[test]
    fn create_volume_codes() {
        use CreateVolumeError as E;
        let range = record(Some(&CapacityRange { required_bytes: -1, limit_bytes: 0 })).unwrap_err();
        let mut table = vec![
            (E::NoName, Code::InvalidArgument),
            (E::LongName, Code::InvalidArgument),
            (E::NoCapabilities, Code::InvalidArgument),
            (E::Capability(CapabilityError::Block), Code::InvalidArgument),
            (E::ContentSource, Code::InvalidArgument),
            (E::MutableParameters, Code::InvalidArgument),
            (E::Range(range), Code::InvalidArgument),
            (E::Parameters(ParametersError::Missing("namespace")), Code::InvalidArgument),
            (E::Lookup(LookupError(cause())), Code::Internal),
            (E::NoFileSystem { namespace: "a".into(), name: "b".into() }, Code::NotFound),
            (E::Deleting("a/b".into()), Code::FailedPrecondition),
            (E::Home(home_error()), Code::FailedPrecondition),
            (E::Busy(busy()), Code::Aborted),
            (E::Incompatible("a".into()), Code::AlreadyExists),
        ];
        // Unavailable would mean "still running".
        let terminal = |code| {
            if code == Code::Unavailable { Code::Internal } else { code }
        };
        table.extend(share_errors().into_iter().map(|(error, code)| (E::Share(error), terminal(code))));
        for (error, code) in table {
            assert_eq!(create_code(&error), code, "{error}");
            let still_running = [Code::Unavailable, Code::Aborted, Code::Cancelled, Code::DeadlineExceeded];
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
        let mut table = vec![
            (E::NoId, Code::InvalidArgument),
            (E::FileSystemItself, Code::FailedPrecondition),
            (E::Busy(busy()), Code::Aborted),
            (E::Lookup(LookupError(cause())), Code::Unavailable),
            (E::FileSystemGone { uid: "u".into(), folder: "f".into() }, Code::FailedPrecondition),
            (E::Home(home_error()), Code::Internal),
        ];
        table.extend(share_errors().into_iter().map(|(error, code)| (E::Share(error), code)));
        for (error, code) in table {
            assert_eq!(delete_code(&error), code, "{error}");
        }
    }

    #[test]
    fn validate_volume_capabilities_codes() {
        use ValidateError as E;
        let mut table = vec![
            (E::NoId, Code::InvalidArgument),
            (E::NoCapabilities, Code::InvalidArgument),
            (E::NoVolume, Code::NotFound),
            (E::Lookup(LookupError(cause())), Code::Unavailable),
            (E::Home(home_error()), Code::Internal),
        ];
        table.extend(share_errors().into_iter().map(|(error, code)| (E::Share(error), code)));
        for (error, code) in table {
            assert_eq!(validate_code(&error), code, "{error}");
        }
    }

    #[test]
    fn the_message_says_the_cause() {
        let error = ShareError::Unreachable { server: "nfs".into(), reason: "no route".into() };
        let status = Status::from(CreateVolumeError::Share(error));
        assert_eq!(
            status.message(),
            "cannot make the volume's folder: the NFS server nfs is unreachable: no route"
        );
    }
}
