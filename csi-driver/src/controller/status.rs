//! The gRPC code of every way in which a controller RPC can fail: one match per RPC, the reason beside each.
//!
//! external-provisioner takes Unavailable, Aborted, Cancelled and DeadlineExceeded after CreateVolume as "still running"
//! and asks again for ever, even when the claim is gone. So CreateVolume ends in one of them only while another call
//! really works on the same volume; all else is terminal (and retried all the same, while the claim exists).

use tonic::{Code, Status};

use super::agent::AgentError;
use super::create_volume::CreateVolumeError;
use super::delete_volume::DeleteVolumeError;
use super::expand_volume::ExpandVolumeError;
use super::get_capacity::GetCapacityError;
use super::request::RequestError;
use super::seams::HomeError;
use super::validate::ValidateError;
use crate::share::ShareError;
use crate::status::status;

fn create_code(error: &CreateVolumeError) -> Code {
    use CreateVolumeError as E;
    match error {
        // The request itself is wrong: asking again changes nothing.
        E::Request(error) => request_code(error),
        E::Parameters(_) => Code::InvalidArgument,
        // "Unsupported" at creation is a bad argument: there is no volume yet that could lack it.
        E::Capability(_) => Code::InvalidArgument,
        // A parameter names what is not there. NOT_FOUND would speak of a content source.
        E::NoFileSystem { .. } => Code::InvalidArgument,
        // Another call is at work on this very volume: "still running".
        E::Busy(_) => Code::Aborted,
        // Nothing was started: terminal, though the API server will be back.
        E::Lookup(_) => Code::Internal,
        // It exists, and is in the wrong state, or of the wrong kind.
        E::Deleting(_) | E::Home(_) => Code::FailedPrecondition,
        E::Incompatible(_) => Code::AlreadyExists,
        E::Share(error) => match share_code(error) {
            // The helper process that waited was killed at its deadline: nothing of ours runs on.
            Code::Unavailable => Code::Internal,
            code => code,
        },
        E::Agent(error) => match error {
            // The one case in which work may go on that we cannot see the end of.
            AgentError::Late { .. } => Code::DeadlineExceeded,
            // Nothing was asked, or the one who was asked is gone.
            AgentError::Unreachable { .. } | AgentError::Credentials { .. } => Code::Internal,
            AgentError::NotSetUp => Code::FailedPrecondition,
            AgentError::Refused { code, .. } => match code {
                // As the specification has them for a size that cannot be had. Without topology RESOURCE_EXHAUSTED
                // chooses no other node.
                Code::OutOfRange | Code::ResourceExhausted => *code,
                Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition => *code,
                // The FileSystem has a status, and the server does not know it: an administrator must look.
                Code::NotFound => Code::FailedPrecondition,
                // Whatever it is, the agent has answered: nothing runs on.
                _ => Code::Internal,
            },
        },
    }
}

/// What a CreateVolume that no driver of ours can serve means.
pub(crate) fn request_code(error: &RequestError) -> Code {
    use RequestError as E;
    match error {
        // A size that contradicts itself is no size that is out of range.
        E::NoName | E::LongName | E::NoCapabilities | E::MutableParameters | E::Range(_) => {
            Code::InvalidArgument
        }
        // "Unsupported" at creation: there is no volume yet that could lack it.
        E::ContentSource => Code::InvalidArgument,
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
        E::Home(error) => home_code(error),
        E::Share(error) => share_code(error),
        E::Agent(error) => agent_code(error),
    }
}

fn expand_code(error: &ExpandVolumeError) -> Code {
    use ExpandVolumeError as E;
    match error {
        E::NoId | E::NoRange | E::Range(_) => Code::InvalidArgument,
        // "Exceeds capabilities".
        E::Capability(_) => Code::InvalidArgument,
        E::NoVolume => Code::NotFound,
        E::Busy(_) => Code::Aborted,
        E::Lookup(_) => Code::Unavailable,
        E::Home(error) => home_code(error),
        // Disabled for this volume, and asking again changes nothing. FAILED_PRECONDITION would say "in use" here, and
        // external-resizer would wait for its pods to end.
        E::NothingEnforced => Code::Unimplemented,
        // "Unsupported capacity_range". external-resizer takes it as infeasible: the claim may ask for less again.
        E::AboveCapacity { .. } | E::NotEnforcedYet { .. } | E::AboveLimit { .. } => Code::OutOfRange,
        E::Agent(AgentError::Refused { code: Code::ResourceExhausted, .. }) => {
            // external-resizer would take RESOURCE_EXHAUSTED as "still running", and the claim could not ask for less.
            Code::OutOfRange
        }
        E::Agent(AgentError::Refused { code: Code::NotFound, .. }) => Code::NotFound,
        E::Agent(error) => agent_code(error),
    }
}

fn capacity_code(error: &GetCapacityError) -> Code {
    use GetCapacityError as E;
    match error {
        E::Parameters(_) | E::NoFileSystem { .. } => Code::InvalidArgument,
        E::Lookup(_) => Code::Unavailable,
        E::Home(error) => home_code(error),
        E::Unknown(_) => Code::FailedPrecondition,
        E::Agent(error) => agent_code(error),
        E::Share(error) => share_code(error),
    }
}

fn validate_code(error: &ValidateError) -> Code {
    use ValidateError as E;
    match error {
        E::NoId | E::NoCapabilities => Code::InvalidArgument,
        E::NoVolume => Code::NotFound,
        E::Lookup(_) => Code::Unavailable,
        E::Home(error) => home_code(error),
        E::Share(error) => share_code(error),
        E::Agent(error) => agent_code(error),
    }
}

/// What a FileSystem that has, or had, the volume means to the RPCs on it.
fn home_code(error: &HomeError) -> Code {
    match error {
        // The operator will say it again.
        HomeError::NotMade(_) => Code::Unavailable,
        // Backends are immutable, so what once held a volume still would: a broken object.
        HomeError::Attributes(..) | HomeError::MountOption(..) => Code::Internal,
    }
}

/// What a failure of the agent means to a caller that takes no code for "still running".
fn agent_code(error: &AgentError) -> Code {
    match error {
        AgentError::Unreachable { .. } | AgentError::Late { .. } => Code::Unavailable,
        // An administrator must act.
        AgentError::NotSetUp => Code::FailedPrecondition,
        AgentError::Credentials { .. } => Code::Internal,
        AgentError::Refused { code, .. } => match code {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Unavailable => *code,
            _ => Code::Internal,
        },
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

impl From<ExpandVolumeError> for Status {
    fn from(error: ExpandVolumeError) -> Self {
        status(expand_code(&error), &error)
    }
}

impl From<GetCapacityError> for Status {
    fn from(error: GetCapacityError) -> Self {
        status(capacity_code(&error), &error)
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
    use crate::controller::seams::LookupError;
    use crate::op_guard::OpGuards;
    use workspacefs_api::mount_options::MountOptionError;
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
        HomeError::Attributes("a/b".into(), AttributesError::NotNfs)
    }

    fn home_errors() -> [(HomeError, Code); 3] {
        let option = MountOptionError::NotAllowed("exec".into());
        [
            (home_error(), Code::Internal),
            (HomeError::NotMade("a/b".into()), Code::Unavailable),
            (HomeError::MountOption("a/b".into(), option), Code::Internal),
        ]
    }

    /// Each failure of the agent with its code in CreateVolume and, where it differs, in the others.
    fn agent_errors() -> Vec<(AgentError, Code, Code)> {
        use AgentError as E;
        let server = || "10.0.0.1".to_string();
        let refused = |code| E::Refused { code, words: "no".into() };
        let mut all = vec![
            (E::NotSetUp, Code::FailedPrecondition, Code::FailedPrecondition),
            (E::Credentials { folder: "/x".into(), source: cause() }, Code::Internal, Code::Internal),
            (E::Unreachable { server: server(), reason: "x".into() }, Code::Internal, Code::Unavailable),
            (E::Late { server: server() }, Code::DeadlineExceeded, Code::Unavailable),
            (refused(Code::NotFound), Code::FailedPrecondition, Code::NotFound),
            (refused(Code::Unavailable), Code::Internal, Code::Unavailable),
        ];
        for same in [
            Code::InvalidArgument,
            Code::AlreadyExists,
            Code::OutOfRange,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
        ] {
            all.push((refused(same), same, same));
        }
        for odd in [Code::Unknown, Code::Internal, Code::Aborted, Code::Cancelled, Code::Unimplemented] {
            all.push((refused(odd), Code::Internal, Code::Internal));
        }
        all
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
            (E::Request(RequestError::NoName), Code::InvalidArgument),
            (E::Request(RequestError::LongName), Code::InvalidArgument),
            (E::Request(RequestError::NoCapabilities), Code::InvalidArgument),
            (E::Capability(CapabilityError::Block), Code::InvalidArgument),
            (E::Request(RequestError::ContentSource), Code::InvalidArgument),
            (E::Request(RequestError::MutableParameters), Code::InvalidArgument),
            (E::Request(RequestError::Range(range)), Code::InvalidArgument),
            (E::Parameters(ParametersError::Missing("namespace")), Code::InvalidArgument),
            (E::Lookup(LookupError(cause())), Code::Internal),
            (E::NoFileSystem { namespace: "a".into(), name: "b".into() }, Code::InvalidArgument),
            (E::Deleting("a/b".into()), Code::FailedPrecondition),
            (E::Home(home_error()), Code::FailedPrecondition),
            (E::Home(HomeError::NotMade("a/b".into())), Code::FailedPrecondition),
            (E::Busy(busy()), Code::Aborted),
            (E::Incompatible("a".into()), Code::AlreadyExists),
        ];
        // Unavailable would mean "still running".
        let terminal = |code| {
            if code == Code::Unavailable { Code::Internal } else { code }
        };
        table.extend(share_errors().into_iter().map(|(error, code)| (E::Share(error), terminal(code))));
        table.extend(agent_errors().into_iter().map(|(error, code, _)| (E::Agent(error), code)));
        for (error, code) in table {
            assert_eq!(create_code(&error), code, "{error}");
            let still_running = [Code::Unavailable, Code::Aborted, Code::Cancelled, Code::DeadlineExceeded];
            let at_work = matches!(error, E::Busy(_) | E::Agent(AgentError::Late { .. }));
            assert_eq!(
                still_running.contains(&code),
                at_work,
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
        ];
        table.extend(home_errors().map(|(error, code)| (E::Home(error), code)));
        table.extend(share_errors().into_iter().map(|(error, code)| (E::Share(error), code)));
        table.extend(agent_errors().into_iter().map(|(error, _, code)| (E::Agent(error), code)));
        for (error, code) in table {
            assert_eq!(delete_code(&error), code, "{error}");
        }
    }

    #[test]
    fn controller_expand_volume_codes() {
        use ExpandVolumeError as E;
        let range = record(Some(&CapacityRange { required_bytes: 2, limit_bytes: 1 })).unwrap_err();
        let mut table = vec![
            (E::NoId, Code::InvalidArgument),
            (E::NoRange, Code::InvalidArgument),
            (E::Range(range), Code::InvalidArgument),
            (E::Capability(CapabilityError::Block), Code::InvalidArgument),
            (E::NoVolume, Code::NotFound),
            (E::Busy(busy()), Code::Aborted),
            (E::Lookup(LookupError(cause())), Code::Unavailable),
            (E::NothingEnforced, Code::Unimplemented),
            (E::AboveCapacity { name: "a/b".into(), asked: 2, capacity: 1 }, Code::OutOfRange),
            (E::NotEnforcedYet { asked: 2, enforced: 1 }, Code::OutOfRange),
            (E::AboveLimit { size: 2, limit: 1 }, Code::OutOfRange),
        ];
        table.extend(home_errors().map(|(error, code)| (E::Home(error), code)));
        // "Still running" to external-resizer: it never lets the claim ask for less.
        let final_ = |code| {
            if code == Code::ResourceExhausted { Code::OutOfRange } else { code }
        };
        table.extend(agent_errors().into_iter().map(|(error, _, code)| (E::Agent(error), final_(code))));
        for (error, code) in table {
            assert_eq!(expand_code(&error), code, "{error}");
        }
    }

    #[test]
    fn get_capacity_codes() {
        use GetCapacityError as E;
        let mut table = vec![
            (E::Parameters(ParametersError::Missing("namespace")), Code::InvalidArgument),
            (E::NoFileSystem { namespace: "a".into(), name: "b".into() }, Code::InvalidArgument),
            (E::Lookup(LookupError(cause())), Code::Unavailable),
            (E::Unknown("a/b".into()), Code::FailedPrecondition),
        ];
        table.extend(home_errors().map(|(error, code)| (E::Home(error), code)));
        table.extend(share_errors().into_iter().map(|(error, code)| (E::Share(error), code)));
        table.extend(agent_errors().into_iter().map(|(error, _, code)| (E::Agent(error), code)));
        for (error, code) in table {
            assert_eq!(capacity_code(&error), code, "{error}");
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
        ];
        table.extend(home_errors().map(|(error, code)| (E::Home(error), code)));
        table.extend(share_errors().into_iter().map(|(error, code)| (E::Share(error), code)));
        table.extend(agent_errors().into_iter().map(|(error, _, code)| (E::Agent(error), code)));
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
