//! What ends a run before its time, and what the operator is told then.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use thiserror::Error;
use workspacefs_api::mover::{Failure, FailureReason};
use workspacefs_buckets::{BucketError, Field};
use workspacefs_runtime::chain;
use workspacefs_sync::{Stop, SyncError, VerifyError};

use crate::target::TargetError;

/// The run cannot go on. What it did until then stays, for the next one to go on from.
#[derive(Debug, Error)]
pub(crate) enum Abort {
    #[error("it was told to end; the next run goes on from here")]
    Interrupted,
    #[error("cannot read the source")]
    Source(#[source] Errno),
    #[error("cannot use the target: cannot {step}")]
    Target {
        step: &'static str,
        #[source]
        errno: Errno,
    },
    #[error("cannot use the target")]
    Open(#[from] TargetError),
    #[error("cannot begin to copy")]
    Sync(#[source] SyncError),
    #[error("cannot verify")]
    Verify(#[source] VerifyError),
    #[error(
        "the Secret has no {0}: secretRef names a Secret of this namespace with accessKeyId and secretAccessKey"
    )]
    Credentials(&'static str),
    #[error("cannot read the bucket")]
    Bucket(#[source] BucketError),
    /// The generation that was asked about does not lie there as a whole one.
    #[error("{0}")]
    Gone(String),
    #[error("{0}")]
    Other(String),
}

/// An error at the target, with what was tried.
pub(crate) fn at_target(step: &'static str) -> impl Fn(Errno) -> Abort + Copy {
    move |errno| Abort::Target { step, errno }
}

/// The target takes nothing more: it is full, or its quota is spent.
pub(crate) fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT)
}

/// What the kernel answered, if it did.
pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

impl Abort {
    /// For the operator.
    pub fn failure(&self) -> Failure {
        Failure { reason: self.reason(), message: chain(self as &dyn Error) }
    }

    /// The kernel's word, if the target said that it is full.
    pub fn full(&self) -> Option<Errno> {
        let errno = match self {
            Self::Target { errno, .. } => *errno,
            Self::Sync(SyncError::Manifest(error)) => errno(error),
            Self::Sync(SyncError::Destination(errno)) => *errno,
            Self::Verify(VerifyError::WriteBack(errno)) => *errno,
            _ => return None,
        };
        is_full(errno).then_some(errno)
    }

    fn reason(&self) -> FailureReason {
        match self {
            _ if self.full().is_some() => FailureReason::TargetFull,
            Self::Interrupted => FailureReason::Interrupted,
            Self::Gone(_) => FailureReason::GenerationGone,
            Self::Credentials(_) => FailureReason::AccessDenied,
            Self::Bucket(error) => of_bucket(error),
            Self::Source(_) | Self::Sync(SyncError::Source(_)) => FailureReason::SourceUnreachable,
            Self::Target { .. }
            | Self::Open(TargetError::Open(..))
            | Self::Sync(SyncError::Destination(_) | SyncError::Manifest(_))
            | Self::Verify(VerifyError::Destination(_) | VerifyError::WriteBack(_)) => {
                FailureReason::TargetUnavailable
            }
            Self::Open(TargetError::Busy) | Self::Sync(_) | Self::Verify(_) | Self::Other(_) => {
                FailureReason::Failed
            }
        }
    }
}

fn of_bucket(error: &BucketError) -> FailureReason {
    match (error.field(), error) {
        (Some(Field::AccessKeyId | Field::SecretAccessKey), _) | (_, BucketError::AccessDenied { .. }) => {
            FailureReason::AccessDenied
        }
        (Some(Field::Bucket), _) => FailureReason::NoSuchBucket,
        (_, BucketError::Client(_)) => FailureReason::Failed,
        _ => FailureReason::SourceUnreachable,
    }
}

impl From<&Stop> for Abort {
    fn from(stop: &Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Interrupted,
            Stop::Source { errno, .. } => Self::Source(*errno),
            Stop::Destination { errno, .. } => Self::Target { step: "write to it", errno: *errno },
            Stop::Manifest(errno) => Self::Target { step: "write the manifest", errno: *errno },
            // Asked for by nobody here, or no reason to end.
            Stop::Limit | Stop::Different => Self::Other(chain(stop)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_at_fault_is_told_by_one_word_and_a_full_target_by_its_own() {
        let target = |errno| Abort::Target { step: "write to it", errno };
        for (abort, reason) in [
            (Abort::Interrupted, FailureReason::Interrupted),
            (Abort::Gone("x".into()), FailureReason::GenerationGone),
            (Abort::Source(Errno::STALE), FailureReason::SourceUnreachable),
            (Abort::Sync(SyncError::Source(Errno::ACCESS)), FailureReason::SourceUnreachable),
            (target(Errno::ROFS), FailureReason::TargetUnavailable),
            (target(Errno::DQUOT), FailureReason::TargetFull),
            (Abort::Credentials("accessKeyId"), FailureReason::AccessDenied),
            (Abort::Bucket(BucketError::SecretAccessKey), FailureReason::AccessDenied),
            (Abort::Bucket(BucketError::NoSuchBucket("b".into())), FailureReason::NoSuchBucket),
            (Abort::Bucket(BucketError::Unavailable("x".into())), FailureReason::SourceUnreachable),
            (Abort::Open(TargetError::Open(Errno::ROFS)), FailureReason::TargetUnavailable),
            (Abort::Open(TargetError::Busy), FailureReason::Failed),
            (Abort::Sync(SyncError::Manifest(Errno::NOSPC.into())), FailureReason::TargetFull),
            (Abort::Sync(SyncError::Nested), FailureReason::Failed),
            (Abort::Verify(VerifyError::WriteBack(Errno::IO)), FailureReason::TargetUnavailable),
            (Abort::from(&Stop::Manifest(Errno::NOSPC)), FailureReason::TargetFull),
        ] {
            assert_eq!(abort.failure().reason, reason, "{abort:?}");
        }
        let message = target(Errno::ROFS).failure().message;
        assert!(message.starts_with("cannot use the target: cannot write to it: Read-only"), "{message}");
    }
}
