//! The gRPC code of every way in which a node RPC can fail: one match per RPC, the reason beside each.
//!
//! kubelet takes Unavailable, Aborted, DeadlineExceeded, Canceled and ResourceExhausted after a publish as "may still be
//! mounted". That is harmless here: everything is undone before an error is answered.

use tonic::{Code, Status};

use super::health::HealthError;
use super::nest::NestError;
use super::publish::PublishError;
use super::stats::StatsError;
use super::target::TargetError;
use super::targets::BeginError;
use super::unpublish::UnpublishError;
use super::volume::VolumeError;
use crate::local::status::disk_code;
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
        E::Begin(error) => begin_code(error),
        E::Target(error) => target_code(error),
        E::Share(error) => share_code(error),
        E::Attributes(_) => Code::InvalidArgument,
        // Somebody used the claim of another workspace.
        E::OtherNamespace(_) => Code::PermissionDenied,
        // There is no copy for this node now; the pod waits until there is.
        E::NoCopy(_) => Code::FailedPrecondition,
        E::Copy(error) => copy_code(error),
        // The kernel refused what it should not: ours to find out.
        E::Attach(_) => Code::Internal,
    }
}

fn copy_code(error: &NestError) -> Code {
    match error {
        // It did not answer a moment ago, and may the next time.
        NestError::Shunned => Code::Unavailable,
        // What is believed to lie there does not, or its disk is not ready: it waits for the operator to find out.
        NestError::NotReady | NestError::Share(ShareError::NotFound { .. }) => Code::FailedPrecondition,
        NestError::Share(error) => share_code(error),
        NestError::Disk(error) => disk_code(error),
        NestError::Mount(_) => Code::Internal,
    }
}

pub(crate) fn begin_code(error: &BeginError) -> Code {
    match error {
        BeginError::Incompatible => Code::AlreadyExists,
        BeginError::SingleTarget(_) => Code::FailedPrecondition,
        // Our own tmpfs.
        BeginError::Record(_) => Code::Internal,
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
        | E::Cache(_)
        | E::Fill
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
        // Will be back, or will be made.
        E::Lookup { .. } | E::NotMade(_) => Code::Unavailable,
    }
}

pub(crate) fn target_code(error: &TargetError) -> Code {
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
        E::VersionRefused { .. }
        | E::NotADirectory { .. }
        | E::BehindLink { .. }
        | E::Untrusted { .. }
        | E::NoUserNamespace { .. }
        | E::NoClient { .. } => Code::FailedPrecondition,
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
        // Nobody finds them by asking again.
        E::OnDisk => Code::FailedPrecondition,
        // NOT_FOUND would say that there is no such volume here.
        E::DamagedRecord => Code::Unavailable,
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
        PublishError::Volume(_)
        | PublishError::NodeGroup(_)
        | PublishError::Share(_)
        | PublishError::Attributes(_)
        | PublishError::OtherNamespace(_)
        | PublishError::NoCopy(_)
        | PublishError::Copy(_) => true,
        PublishError::Argument(_)
        | PublishError::Busy(_)
        | PublishError::Begin(_)
        | PublishError::Target(_)
        | PublishError::Attach(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;
    use workspacefs_api::mount_options::MountOptionError;
    use workspacefs_api::path::PathError;
    use workspacefs_api::volume::{AttributesError, VolumeIdError};
    use workspacefs_sys::SysError;

    use super::super::arguments::ArgumentError;
    use super::super::labels::NodeGroupError;
    use super::*;
    use crate::controller::seams::LookupError;
    use crate::op_guard::OpGuards;

    fn text() -> String {
        "x".into()
    }

    fn busy() -> crate::op_guard::Busy {
        let guards = OpGuards::new();
        let _held = guards.try_acquire("a").unwrap();
        guards.try_acquire("a").unwrap_err()
    }

    fn target_errors() -> Vec<(TargetError, Code)> {
        vec![
            (TargetError::Parent("/x".into(), Errno::NOENT), Code::FailedPrecondition),
            (TargetError::NotAFolder("/x".into()), Code::FailedPrecondition),
            (TargetError::NotEmpty("/x".into()), Code::FailedPrecondition),
            (TargetError::Failed { action: "unmount", path: "/x".into(), errno: Errno::IO }, Code::Internal),
        ]
    }

    #[test]
    fn publish_codes_of_shares() {
        use ShareError as E;
        let table = [
            (E::NameUnresolved { server: text(), reason: text() }, Code::Unavailable),
            (E::Unreachable { server: text(), reason: text() }, Code::Unavailable),
            (E::TimedOut { share: text(), seconds: 1, doing: text() }, Code::Unavailable),
            (E::ExportMissing { share: text(), reason: text() }, Code::NotFound),
            (E::MountDenied { share: text(), reason: text() }, Code::PermissionDenied),
            (E::VersionRefused { share: text(), versions: text(), reason: text() }, Code::FailedPrecondition),
            (E::NoClient { reason: text() }, Code::FailedPrecondition),
            (E::MountFailed { share: text(), reason: text() }, Code::Internal),
            (E::Squashed { action: text(), path: text(), reason: text() }, Code::PermissionDenied),
            (E::NotFound { path: text() }, Code::NotFound),
            (E::NotADirectory { path: text() }, Code::FailedPrecondition),
            (E::LeadsOut { path: text() }, Code::InvalidArgument),
            (E::BehindLink { path: text(), link: text() }, Code::FailedPrecondition),
            (E::Reserved { path: text() }, Code::InvalidArgument),
            (E::Denied { path: text(), reason: text() }, Code::PermissionDenied),
            (E::Untrusted { path: text() }, Code::FailedPrecondition),
            (E::NoUserNamespace { path: text(), reason: text() }, Code::FailedPrecondition),
            (E::NoSpace { path: text(), reason: text() }, Code::ResourceExhausted),
            (E::Stale { path: text() }, Code::Unavailable),
            (E::Io { action: text(), path: text(), reason: text() }, Code::Internal),
            (E::Local { action: text(), reason: text() }, Code::Internal),
            (E::Helper { share: text(), reason: text() }, Code::Unavailable),
        ];
        for (error, code) in table {
            assert_eq!(publish_code(&PublishError::Share(error.clone())), code, "{error}");
        }
    }

    #[test]
    fn publish_codes_of_volumes() {
        use VolumeError as E;
        let lookup = || LookupError("away".into());
        let table = [
            (E::NotOurs(VolumeIdError), Code::NotFound),
            (E::Attributes(AttributesError::Missing("server")), Code::InvalidArgument),
            (E::Mismatch, Code::InvalidArgument),
            (E::UnknownAttribute(text()), Code::InvalidArgument),
            (E::Cache(text()), Code::InvalidArgument),
            (E::Fill, Code::InvalidArgument),
            (E::NoFileSystem, Code::InvalidArgument),
            (E::MountFrom(PathError::Parent(text())), Code::InvalidArgument),
            (E::InlineOptions, Code::InvalidArgument),
            (E::NoPodNamespace, Code::FailedPrecondition),
            (E::Missing { namespace: text(), name: text() }, Code::NotFound),
            (E::Deleting(text()), Code::FailedPrecondition),
            (E::OtherDriver(text()), Code::FailedPrecondition),
            (E::NotMade(text()), Code::Unavailable),
            (E::Unusable(text(), AttributesError::NotNfs), Code::FailedPrecondition),
            (E::UnusableOptions(text(), MountOptionError::NotAllowed(text())), Code::FailedPrecondition),
            (E::Lookup { namespace: text(), name: text(), source: lookup() }, Code::Unavailable),
            (E::NoKubernetes, Code::FailedPrecondition),
        ];
        for (error, code) in table {
            let words = error.to_string();
            assert_eq!(publish_code(&PublishError::Volume(error)), code, "{words}");
        }
    }

    #[test]
    fn publish_codes_of_the_rest() {
        use PublishError as E;
        let attach = SysError { step: "attach", kernel: text(), errno: Errno::INVAL };
        let group = NodeGroupError::Unknown { file_system: text(), group: text() };
        let mut table = vec![
            (E::Argument(ArgumentError::NoVolumeId), Code::InvalidArgument),
            (E::Busy(busy()), Code::Aborted),
            (E::NodeGroup(group), Code::FailedPrecondition),
            (E::Begin(BeginError::Incompatible), Code::AlreadyExists),
            (E::Begin(BeginError::SingleTarget("/x".into())), Code::FailedPrecondition),
            (E::Begin(BeginError::Record(io::ErrorKind::StorageFull.into())), Code::Internal),
            (E::Attach(attach), Code::Internal),
        ];
        table.extend(target_errors().into_iter().map(|(error, code)| (E::Target(error), code)));
        for (error, code) in table {
            assert_eq!(publish_code(&error), code, "{error}");
        }
    }

    #[test]
    fn codes_of_the_other_rpcs() {
        use UnpublishError as U;
        let mut unpublish = vec![
            (U::Argument(ArgumentError::NoTarget), Code::InvalidArgument),
            (U::Busy(busy()), Code::Aborted),
            (U::Record(io::ErrorKind::Other.into()), Code::Internal),
        ];
        unpublish.extend(target_errors().into_iter().map(|(error, code)| (U::Target(error), code)));
        for (error, code) in unpublish {
            assert_eq!(unpublish_code(&error), code, "{error}");
        }
        let failed = StatsError::Failed { last: text(), source: ShareError::Stale { path: text() } };
        for (error, code) in [
            (StatsError::Argument(ArgumentError::NoVolumePath), Code::InvalidArgument),
            (StatsError::NotPublished, Code::NotFound),
            (failed, Code::Unavailable),
            (StatsError::NotYet, Code::Unavailable),
            (StatsError::DamagedRecord, Code::Unavailable),
        ] {
            assert_eq!(stats_code(&error), code, "{error}");
        }
        assert_eq!(health_code(&HealthError::Unknown), Code::NotFound);
        let no_id = HealthError::Argument(ArgumentError::NoVolumeId);
        assert_eq!(health_code(&no_id), Code::InvalidArgument);
    }

    #[test]
    fn the_message_says_the_cause() {
        let source = ShareError::TimedOut { share: "s:/e".into(), seconds: 5, doing: "look".into() };
        let status = Status::from(StatsError::Failed { last: String::new(), source });
        assert_eq!(
            status.message(),
            "the volume's usage is not known: the NFS server of s:/e did not answer within 5 s (look)"
        );
    }
}
