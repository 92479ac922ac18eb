//! The gRPC code of every way in which a node RPC can fail: one match per RPC, the reason beside each.
//!
//! kubelet takes Unavailable, Aborted, DeadlineExceeded, Canceled and ResourceExhausted after a publish as "may still be
//! mounted". That is harmless here: everything is undone before an error is answered.

use tonic::{Code, Status};

use super::health::HealthError;
use super::publish::PublishError;
use super::stats::StatsError;
use super::target::TargetError;
use super::targets::BeginError;
use super::unpublish::UnpublishError;
use super::volume::VolumeError;
use crate::share::ShareError;
use crate::status::status;

fn publish_code(error: &PublishError) -> Code {
    use PublishError as E;
    match error {
        // The request itself is wrong: asking again changes nothing.
        E::Argument(_) => Code::InvalidArgument,
        // Another call is at work at this very target.
        E::Busy(_) => Code::Aborted,
        E::Volume(error) => volume_code(error),
        // The pod landed on the wrong node, or the node does not know better yet.
        E::NodeGroup(_) => Code::FailedPrecondition,
        E::Begin(error) => match error {
            BeginError::Incompatible => Code::AlreadyExists,
            BeginError::SingleTarget(_) => Code::FailedPrecondition,
            BeginError::Target(error) => target_code(error),
            // Our own tmpfs.
            BeginError::Record(_) => Code::Internal,
        },
        E::Target(error) => target_code(error),
        E::Share(error) => share_code(error),
        // The kernel refused what it should not: ours to find out.
        E::Attach(_) => Code::Internal,
    }
}

fn volume_code(error: &VolumeError) -> Code {
    use VolumeError as E;
    match error {
        // No volume of this driver has such an id.
        E::NotOurs(_) => Code::NotFound,
        // Whoever wrote the PersistentVolume or the pod has to change it.
        E::Attributes(_)
        | E::Mismatch
        | E::UnknownAttribute(_)
        | E::NoFileSystem
        | E::MountFrom(_)
        | E::InlineOptions => Code::InvalidArgument,
        E::Missing { .. } => Code::NotFound,
        // It exists, and cannot be mounted as it is, or this installation cannot do it.
        E::NoPodNamespace
        | E::Deleting(_)
        | E::OtherDriver(_)
        | E::Unusable(..)
        | E::UnusableOptions(..)
        | E::NoKubernetes => Code::FailedPrecondition,
        // Will be back.
        E::Lookup { .. } => Code::Unavailable,
    }
}

fn target_code(error: &TargetError) -> Code {
    match error {
        // The caller makes the parent, and something else is where the volume should be: people's files stay.
        TargetError::Parent(..) | TargetError::NotAFolder(_) | TargetError::NotEmpty(_) => {
            Code::FailedPrecondition
        }
        TargetError::Failed { .. } => Code::Internal,
    }
}

fn share_code(error: &ShareError) -> Code {
    use ShareError as E;
    match error {
        // The server, or the way to it: may be back the next time. A helper that died is started anew.
        E::NameUnresolved { .. } | E::Unreachable { .. } | E::TimedOut { .. } | E::Helper { .. } => {
            Code::Unavailable
        }
        E::ExportMissing { .. } | E::NotFound { .. } => Code::NotFound,
        E::MountDenied { .. } | E::Denied { .. } | E::Squashed { .. } => Code::PermissionDenied,
        // There, but not what it has to be: somebody must change it first.
        E::VersionRefused { .. } | E::NotADirectory { .. } | E::Untrusted { .. } | E::NoClient { .. } => {
            Code::FailedPrecondition
        }
        // The path leads where no volume may.
        E::LeadsOut { .. } | E::Reserved { .. } => Code::InvalidArgument,
        E::NoSpace { .. } => Code::ResourceExhausted,
        // The folder was replaced on the server; the next call looks it up anew.
        E::Stale { .. } => Code::Unavailable,
        E::MountFailed { .. } | E::Io { .. } | E::Local { .. } => Code::Internal,
    }
}

fn unpublish_code(error: &UnpublishError) -> Code {
    use UnpublishError as E;
    match error {
        E::Argument(_) => Code::InvalidArgument,
        E::Busy(_) => Code::Aborted,
        E::Target(error) => target_code(error),
        E::Record(_) => Code::Internal,
    }
}

fn stats_code(error: &StatsError) -> Code {
    use StatsError as E;
    match error {
        E::Argument(_) => Code::InvalidArgument,
        E::NotPublished => Code::NotFound,
        E::Target(error) => target_code(error),
        // There are no figures of the present; the next round may find some.
        E::Failed { .. } | E::NotYet => Code::Unavailable,
    }
}

fn health_code(error: &HealthError) -> Code {
    match error {
        HealthError::Argument(_) => Code::InvalidArgument,
        HealthError::Unknown => Code::NotFound,
    }
}

impl From<PublishError> for Status {
    fn from(error: PublishError) -> Self {
        status(publish_code(&error), &error)
    }
}

impl From<UnpublishError> for Status {
    fn from(error: UnpublishError) -> Self {
        status(unpublish_code(&error), &error)
    }
}

impl From<StatsError> for Status {
    fn from(error: StatsError) -> Self {
        status(stats_code(&error), &error)
    }
}

impl From<HealthError> for Status {
    fn from(error: HealthError) -> Self {
        status(health_code(&error), &error)
    }
}

/// Whether a failed publish says something about the volume rather than about the call.
pub(super) fn is_volumes_fault(error: &PublishError) -> bool {
    match error {
        PublishError::Volume(_) | PublishError::NodeGroup(_) | PublishError::Share(_) => true,
        PublishError::Argument(_)
        | PublishError::Busy(_)
        | PublishError::Begin(_)
        | PublishError::Target(_)
        | PublishError::Attach(_) => false,
    }
}
