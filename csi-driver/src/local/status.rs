//! The gRPC code of every way in which an RPC of the local driver can fail: one match per RPC, the reason beside each.

use tonic::{Code, Status};

use super::disks::DiskError;
use super::protocol::RefusalKind;
use super::publish::PublishError;
use super::stats::{HealthError, StatsError};
use crate::node::status::{begin_code, target_code};
use crate::status::status;

fn publish_code(error: &PublishError) -> Code {
    use PublishError as E;
    match error {
        // The request, or what somebody wrote into a pod or a PersistentVolume: asking again changes nothing.
        E::Argument(_) | E::Inline | E::Attributes(_) => Code::InvalidArgument,
        // Another call is at work at this very target.
        E::Busy(_) => Code::Aborted,
        E::NotOurs(_) | E::Missing(_) => Code::NotFound,
        // Somebody used the claim of another workspace, or an administrator took the workspace off the list.
        E::OtherNamespace(_) | E::NotAllowed { .. } => Code::PermissionDenied,
        // The API server will be back.
        E::NotKnown => Code::Unavailable,
        // The pod landed on the wrong node, or on one whose disk left.
        E::Elsewhere { .. } | E::Outside { .. } | E::NotReady { .. } => Code::FailedPrecondition,
        E::Begin(error) => begin_code(error),
        E::Target(error) => target_code(error),
        E::Disk(error) => disk_code(error),
        // The kernel refused what it should not: ours to find out.
        E::Attach(_) => Code::Internal,
    }
}

pub(crate) fn disk_code(error: &DiskError) -> Code {
    match error {
        // May be back; a helper that died is started anew, one that is at other work comes to an end.
        DiskError::TimedOut { .. } | DiskError::AtImage | DiskError::Hangs | DiskError::Helper(_) => {
            Code::Unavailable
        }
        DiskError::Refused(refusal) => match refusal.kind {
            // The disk that is in the node now cannot serve it: another may be put in, or this one be helped.
            RefusalKind::NotReady | RefusalKind::NoQuota | RefusalKind::Lost => Code::FailedPrecondition,
            RefusalKind::NoSpace => Code::ResourceExhausted,
            RefusalKind::Io => Code::Internal,
        },
    }
}

impl From<PublishError> for Status {
    fn from(error: PublishError) -> Self {
        status(publish_code(&error), &error)
    }
}

impl From<StatsError> for Status {
    fn from(error: StatsError) -> Self {
        let code = match &error {
            StatsError::Argument(_) => Code::InvalidArgument,
            StatsError::NotPublished => Code::NotFound,
            StatsError::Target(error) => target_code(error),
            StatsError::Disk(error) => disk_code(error),
        };
        status(code, &error)
    }
}

impl From<HealthError> for Status {
    fn from(error: HealthError) -> Self {
        let code = match &error {
            HealthError::Argument(_) => Code::InvalidArgument,
            HealthError::Unknown => Code::NotFound,
        };
        status(code, &error)
    }
}
