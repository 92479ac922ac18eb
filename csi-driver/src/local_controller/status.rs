//! The gRPC code of every way in which an RPC of the local controller can fail: one match per RPC, the reason beside each.
//!
//! external-provisioner takes Unavailable, Aborted, Cancelled and DeadlineExceeded after CreateVolume as "still running": it asks
//! again for the same node, even when the claim is gone. So CreateVolume ends in one of them only while work goes on, or
//! may go on where the API server does not say. ResourceExhausted gives a claim back to the scheduler, which chooses another
//! node; after any other code the chosen node stays.

use tonic::{Code, Status};
use workspacefs_api::LocalVolumeReason;

use super::create_volume::CreateVolumeError;
use super::delete_volume::DeleteVolumeError;
use super::expand_volume::ExpandVolumeError;
use super::get_capacity::GetCapacityError;
use super::place::NoPlace;
use super::seams::ApiError;
use super::validate::ValidateError;
use crate::controller::request_code;
use crate::status::status;

fn create_code(error: &CreateVolumeError) -> Code {
    use CreateVolumeError as E;
    match error {
        // The request itself is wrong: asking again changes nothing.
        E::Request(error) => request_code(error),
        E::Parameters(_) => Code::InvalidArgument,
        // "Unsupported" at creation is a bad argument: there is no volume yet that could lack it.
        E::Capability(_) => Code::InvalidArgument,
        // "Unsupported capacity_range": no node could have it.
        E::Range(_) => Code::OutOfRange,
        // A parameter names what is not there. NOT_FOUND would speak of a content source.
        E::NoStorage(_) => Code::InvalidArgument,
        // It exists, and is in the wrong state.
        E::StorageLeaving(_) => Code::FailedPrecondition,
        // An administrator's list is to be changed; another node would not do.
        E::NotAllowed { .. } => Code::PermissionDenied,
        E::Incompatible(_) => Code::AlreadyExists,
        // Another call is at work on this very volume: "still running".
        E::Busy(_) => Code::Aborted,
        E::Api(error) => match error {
            // It has answered, so nothing was begun.
            ApiError::Refused { .. } | ApiError::Overtaken => Code::Internal,
            // An earlier call's volume, or this one's, may be made all the same: nobody can see. A terminal code would let the
            // claim go, and leave such a volume to nobody.
            ApiError::NoAnswer { .. } => Code::Unavailable,
        },
        // "Unable to provision in accessible_topology". The volume's own node may be chosen the next time. ALREADY_EXISTS would
        // keep the claim at the node where it can never be.
        E::Elsewhere { .. } => Code::ResourceExhausted,
        E::NoPlace(error) => match error {
            // The same: another node may have room.
            NoPlace::Full { .. } => Code::ResourceExhausted,
            // None would do: the scheduler would choose in vain.
            NoPlace::NoQuota(_) => Code::FailedPrecondition,
        },
        E::NodesAway(_) => Code::ResourceExhausted,
        // The node is at work on that name, and ends: "still running".
        E::Leaving(_) => Code::Aborted,
        // It does not end, so another node is to be tried.
        E::Stuck(_) => Code::ResourceExhausted,
        // An administrator must look.
        E::Foreign(_) => Code::FailedPrecondition,
        // Given up there, so that another node may be tried.
        E::Refused { refusal, .. } => match refusal.reason {
            LocalVolumeReason::NoSpace | LocalVolumeReason::NotReady => Code::ResourceExhausted,
            // As nothing was to be expected but this: the disk changed under it.
            LocalVolumeReason::NoQuota => Code::FailedPrecondition,
            LocalVolumeReason::Failed => Code::Internal,
        },
        E::NodeLeft { .. } => Code::ResourceExhausted,
        // The node is there, and has the wish: "still running".
        E::Late(_) => Code::DeadlineExceeded,
        // Given up there: nobody was told of it, so it may be made on another node.
        E::Lost(_) => Code::ResourceExhausted,
        // Nothing is left of it.
        E::Vanished(_) => Code::Internal,
    }
}

fn delete_code(error: &DeleteVolumeError) -> Code {
    use DeleteVolumeError as E;
    match error {
        E::NoId => Code::InvalidArgument,
        // In use by the LocalStorage, so to say: nothing may delete it this way.
        E::Share => Code::FailedPrecondition,
        E::Busy(_) => Code::Aborted,
        E::Api(error) => api_code(error),
        E::Refused { refusal, .. } => match refusal.reason {
            // Done when the disk is back.
            LocalVolumeReason::NotReady => Code::Unavailable,
            LocalVolumeReason::Failed | LocalVolumeReason::NoSpace | LocalVolumeReason::NoQuota => {
                Code::Internal
            }
        },
        E::Late(_) => Code::DeadlineExceeded,
    }
}

fn expand_code(error: &ExpandVolumeError) -> Code {
    use ExpandVolumeError as E;
    match error {
        E::NoId | E::NoRange | E::Contradiction(_) => Code::InvalidArgument,
        // "Exceeds capabilities".
        E::Capability(_) => Code::InvalidArgument,
        // "Unsupported capacity_range". external-resizer takes it as infeasible: the claim may ask for less again.
        E::Range(_) => Code::OutOfRange,
        // Disabled for this volume. FAILED_PRECONDITION would say "in use" here, and external-resizer would wait for its pods
        // to end.
        E::Share => Code::Unimplemented,
        E::NoVolume => Code::NotFound,
        // Not in this cluster, for all that can be seen.
        E::Lost(_) => Code::NotFound,
        E::Leaving | E::Busy(_) => Code::Aborted,
        E::NotMade => Code::Unavailable,
        E::Api(error) => api_code(error),
        E::Refused { refusal, .. } => match refusal.reason {
            // Not RESOURCE_EXHAUSTED: external-resizer would take that as "still running", and the claim could not ask for less.
            LocalVolumeReason::NoSpace | LocalVolumeReason::NoQuota => Code::OutOfRange,
            // The node tries again: "still running".
            LocalVolumeReason::NotReady => Code::Unavailable,
            // So it does here, but nobody knows whether it helps: the claim may ask for less.
            LocalVolumeReason::Failed => Code::Internal,
        },
        E::Late(_) => Code::DeadlineExceeded,
    }
}

/// What the API server's no, or its silence, means to a caller that takes no code for "still running".
fn api_code(error: &ApiError) -> Code {
    match error {
        ApiError::Refused { .. } => Code::Internal,
        // The next call reads it anew.
        ApiError::Overtaken => Code::Aborted,
        ApiError::NoAnswer { .. } => Code::Unavailable,
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
        let code = match &error {
            GetCapacityError::Parameters(_) => Code::InvalidArgument,
            GetCapacityError::Api(error) => api_code(error),
        };
        status(code, &error)
    }
}

impl From<ValidateError> for Status {
    fn from(error: ValidateError) -> Self {
        let code = match &error {
            ValidateError::NoId | ValidateError::NoCapabilities => Code::InvalidArgument,
            ValidateError::NoVolume => Code::NotFound,
            ValidateError::Api(error) => api_code(error),
        };
        status(code, &error)
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_csi_proto::csi::v1::CapacityRange;
    use workspacefs_storage::sizes::SizeError;

    use super::*;
    use crate::capability::CapabilityError;
    use crate::controller::record::record;
    use crate::controller::request::RequestError;
    use crate::local_controller::capability::LocalCapabilityError;
    use crate::local_controller::parameters::LocalParametersError;
    use crate::local_controller::progress::Refusal;
    use crate::local_controller::size::RangeError;
    use crate::op_guard::OpGuards;

    const REASONS: [LocalVolumeReason; 4] = [
        LocalVolumeReason::NotReady,
        LocalVolumeReason::NoSpace,
        LocalVolumeReason::NoQuota,
        LocalVolumeReason::Failed,
    ];

    fn no(reason: LocalVolumeReason) -> Refusal {
        Refusal { reason, message: "words".into() }
    }

    fn refused() -> ApiError {
        ApiError::Refused { action: "do it", source: "forbidden".into() }
    }

    fn no_answer() -> ApiError {
        ApiError::NoAnswer { action: "do it", source: "connection refused".into() }
    }

    fn busy() -> crate::op_guard::Busy {
        let guards = OpGuards::new();
        let _held = guards.try_acquire("a").unwrap();
        guards.try_acquire("a").unwrap_err()
    }

    fn range() -> RangeError {
        RangeError::Sizes(SizeError::NoMultiple { required: 1, limit: 1 })
    }

    fn block() -> LocalCapabilityError {
        LocalCapabilityError::Any(CapabilityError::Block)
    }

    #[test]
    fn create_volume_codes() {
        use CreateVolumeError as E;
        let text = || "n1".to_owned();
        let mut table = vec![
            (E::Request(RequestError::NoName), Code::InvalidArgument),
            (E::Capability(block()), Code::InvalidArgument),
            (E::Parameters(LocalParametersError::NoClaimNamespace), Code::InvalidArgument),
            (E::Range(range()), Code::OutOfRange),
            (E::Busy(busy()), Code::Aborted),
            (E::Api(refused()), Code::Internal),
            (E::Api(ApiError::Overtaken), Code::Internal),
            (E::Api(no_answer()), Code::Unavailable),
            (E::NoStorage(text()), Code::InvalidArgument),
            (E::StorageLeaving(text()), Code::FailedPrecondition),
            (E::NotAllowed { storage: text(), namespace: text() }, Code::PermissionDenied),
            (E::Incompatible(text()), Code::AlreadyExists),
            (E::Elsewhere { node: text(), volume: text() }, Code::ResourceExhausted),
            (
                E::NoPlace(NoPlace::Full { storage: text(), size: 1, nodes: vec![text()] }),
                Code::ResourceExhausted,
            ),
            (E::NoPlace(NoPlace::NoQuota(text())), Code::FailedPrecondition),
            (E::NodesAway(vec![text()]), Code::ResourceExhausted),
            (E::Leaving(text()), Code::Aborted),
            (E::Foreign(text()), Code::FailedPrecondition),
            (E::NodeLeft { node: text(), reason: text() }, Code::ResourceExhausted),
            (E::Late(text()), Code::DeadlineExceeded),
            (E::Stuck(text()), Code::ResourceExhausted),
            (E::Lost(text()), Code::ResourceExhausted),
            (E::Vanished(text()), Code::Internal),
        ];
        let codes =
            [Code::ResourceExhausted, Code::ResourceExhausted, Code::FailedPrecondition, Code::Internal];
        table.extend(
            REASONS
                .into_iter()
                .zip(codes)
                .map(|(reason, code)| (E::Refused { node: text(), refusal: no(reason) }, code)),
        );
        for (error, code) in table {
            assert_eq!(create_code(&error), code, "{error}");
            let still_running = [Code::Unavailable, Code::Aborted, Code::Cancelled, Code::DeadlineExceeded];
            let at_work =
                matches!(error, E::Busy(_) | E::Leaving(_) | E::Late(_) | E::Api(ApiError::NoAnswer { .. }));
            assert_eq!(
                still_running.contains(&code),
                at_work,
                "{error}: only what goes on, or may go on unseen, may say `still running`"
            );
        }
    }

    #[test]
    fn delete_volume_codes() {
        use DeleteVolumeError as E;
        let mut table = vec![
            (E::NoId, Code::InvalidArgument),
            (E::Share, Code::FailedPrecondition),
            (E::Busy(busy()), Code::Aborted),
            (E::Api(refused()), Code::Internal),
            (E::Api(ApiError::Overtaken), Code::Aborted),
            (E::Api(no_answer()), Code::Unavailable),
            (E::Late("n1".into()), Code::DeadlineExceeded),
        ];
        let codes = [Code::Unavailable, Code::Internal, Code::Internal, Code::Internal];
        table.extend(
            REASONS
                .into_iter()
                .zip(codes)
                .map(|(reason, code)| (E::Refused { node: "n1".into(), refusal: no(reason) }, code)),
        );
        for (error, code) in table {
            assert_eq!(delete_code(&error), code, "{error}");
        }
    }

    #[test]
    fn controller_expand_volume_codes() {
        use ExpandVolumeError as E;
        let contradiction = record(Some(&CapacityRange { required_bytes: 2, limit_bytes: 1 })).unwrap_err();
        let mut table = vec![
            (E::NoId, Code::InvalidArgument),
            (E::NoRange, Code::InvalidArgument),
            (E::Contradiction(contradiction), Code::InvalidArgument),
            (E::Capability(block()), Code::InvalidArgument),
            (E::Range(range()), Code::OutOfRange),
            (E::Share, Code::Unimplemented),
            (E::NoVolume, Code::NotFound),
            (E::Lost("n1".into()), Code::NotFound),
            (E::Leaving, Code::Aborted),
            (E::Busy(busy()), Code::Aborted),
            (E::NotMade, Code::Unavailable),
            (E::Api(refused()), Code::Internal),
            (E::Api(ApiError::Overtaken), Code::Aborted),
            (E::Api(no_answer()), Code::Unavailable),
            (E::Late("n1".into()), Code::DeadlineExceeded),
        ];
        let codes = [Code::Unavailable, Code::OutOfRange, Code::OutOfRange, Code::Internal];
        table.extend(
            REASONS.into_iter().zip(codes).map(|(reason, code)| {
                (E::Refused { node: "n1".into(), asked: 1, refusal: no(reason) }, code)
            }),
        );
        for (error, code) in table {
            assert_eq!(expand_code(&error), code, "{error}");
            // external-resizer never says "in use" of what is online.
            assert_ne!(code, Code::FailedPrecondition, "{error}");
        }
    }

    #[test]
    fn the_codes_of_the_questions() {
        let code = |status: Status| status.code();
        assert_eq!(
            code(GetCapacityError::Parameters(LocalParametersError::NoStorage).into()),
            Code::InvalidArgument
        );
        assert_eq!(code(GetCapacityError::Api(no_answer()).into()), Code::Unavailable);
        for (error, wanted) in [
            (ValidateError::NoId, Code::InvalidArgument),
            (ValidateError::NoCapabilities, Code::InvalidArgument),
            (ValidateError::NoVolume, Code::NotFound),
            (ValidateError::Api(refused()), Code::Internal),
        ] {
            assert_eq!(code(error.into()), wanted);
        }
    }

    #[test]
    fn the_message_says_the_cause() {
        let status = Status::from(CreateVolumeError::Api(no_answer()));
        assert_eq!(
            status.message(),
            "the API server gave no answer when it was asked to do it: connection refused"
        );
    }
}
