//! Everything that can go wrong with a request, and the one match that decides what the caller is told.

use rustix::io::Errno;
use thiserror::Error;
use workspacefs_files_proto::{BadPath, Code, ErrorBody, Verb};

/// Why a request was not carried out. The text is a sentence for people.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// No path of a file system.
    #[error("the path is refused: {0}")]
    BadPath(#[from] BadPath),
    /// The request itself is wrong.
    #[error("{message}")]
    BadRequest {
        /// What is wrong with it.
        message: String,
        /// The input to correct.
        field: Option<&'static str>,
    },
    /// Nobody vouches for the caller.
    #[error("this request is not vouched for")]
    Unauthenticated,
    /// The caller may not do this.
    #[error("you may not {} here", verb(*.0))]
    Forbidden(Verb),
    /// The server's permissions refuse it.
    #[error("the file system refuses it: {what} belongs to uid {uid} with mode {mode:04o}")]
    Denied {
        /// What it is about: a path for people, or "it".
        what: String,
        /// Who owns that.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing can be written.
    #[error("the file system is read-only")]
    ReadOnly,
    /// No such thing, or it leads out.
    #[error("there is no such file or folder")]
    NotFound,
    /// The name is taken.
    #[error("something of that name is there already")]
    Exists,
    /// The folder holds something.
    #[error("the folder is not empty")]
    NotEmpty,
    /// A folder where a file is needed.
    #[error("that is a folder")]
    IsDirectory,
    /// Something else where a folder is needed.
    #[error("that is not a folder")]
    NotDirectory,
    /// A FIFO, socket or device.
    #[error("that is neither a file nor a folder: it has no content")]
    NotRegular,
    /// The caller's picture is out of date.
    #[error("{0}")]
    Conflict(&'static str),
    /// It was there and is no longer.
    #[error("{0}")]
    Gone(&'static str),
    /// A condition of the request does not hold.
    #[error("the file is not the one that the condition names")]
    Precondition,
    /// More than is accepted.
    #[error("{0}")]
    TooLarge(&'static str),
    /// No such bytes in a content of this size.
    #[error("the file has {0} bytes: there is nothing in that range")]
    Range(u64),
    /// The content is not what its checksum says.
    #[error("the content is not what its checksum says: it was damaged on the way, or is another")]
    Checksum,
    /// Too much at once.
    #[error("{0}")]
    Busy(&'static str),
    /// Somebody took too long.
    #[error("{0}")]
    TimedOut(&'static str),
    /// No space, no inodes, or over the quota.
    #[error("the file system is full")]
    Quota,
    /// The same, and there is more room now: what was deleted gave way.
    #[error("the file system was full; what was deleted has given way to it meanwhile: try again")]
    MadeRoom,
    /// The caller went away in the middle of its body.
    #[error("the content ended early")]
    Cut,
    /// A folder of another file system that is mounted inside.
    #[error("that place lies on another file system, into which nothing can be moved")]
    OtherFileSystem,
    /// Whatever else the kernel says.
    #[error("cannot {step}: {errno}")]
    System {
        /// What was tried, in words: "open the folder".
        step: &'static str,
        /// What the kernel answered.
        errno: Errno,
    },
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "read files",
        Verb::Write => "write files",
        Verb::Delete => "delete files",
    }
}

impl Error {
    /// The request is wrong.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into(), field: None }
    }

    /// The request is wrong in this input.
    pub fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into(), field: Some(field) }
    }

    /// For `map_err`: what the kernel's number means, with the step in words for those that mean nothing in particular.
    /// Refused permissions come without a file: who knows it uses [`crate::root::Root::denied`].
    pub fn at(step: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::of(step, errno)
    }

    /// As [`Error::at`].
    pub fn of(step: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::EXIST => Self::Exists,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::ISDIR => Self::IsDirectory,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NAMETOOLONG => Self::BadPath(BadPath::Long),
            Errno::NOSPC | Errno::DQUOT => Self::Quota,
            Errno::ROFS => Self::ReadOnly,
            Errno::XDEV => Self::OtherFileSystem,
            Errno::TIMEDOUT => Self::TimedOut("the storage server does not answer"),
            errno => Self::System { step, errno },
        }
    }

    /// Whether the kernel refused for want of rights.
    pub fn is_refusal(errno: Errno) -> bool {
        matches!(errno, Errno::ACCESS | Errno::PERM)
    }

    /// Whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Quota | Self::MadeRoom)
    }

    /// Whether other files cannot be written either.
    pub fn is_for_all(&self) -> bool {
        match self {
            Self::Quota | Self::MadeRoom | Self::ReadOnly | Self::TimedOut(_) => true,
            Self::System { errno, .. } => !matches!(
                *errno,
                Errno::ACCESS
                    | Errno::PERM
                    | Errno::INVAL
                    | Errno::ILSEQ
                    | Errno::FBIG
                    | Errno::LOOP
                    | Errno::BUSY
            ),
            _ => false,
        }
    }

    /// What programs are told. The one place that decides it.
    pub fn code(&self) -> Code {
        match self {
            Self::BadPath(_) => Code::BadPath,
            Self::BadRequest { .. } | Self::Cut | Self::OtherFileSystem => Code::BadRequest,
            Self::Unauthenticated => Code::Unauthenticated,
            // A refusal without a file known is one all the same.
            Self::System { errno, .. } if Self::is_refusal(*errno) => Code::Forbidden,
            Self::Forbidden(_) | Self::Denied { .. } | Self::ReadOnly => Code::Forbidden,
            Self::NotFound => Code::NotFound,
            Self::Exists => Code::Exists,
            Self::NotEmpty => Code::NotEmpty,
            Self::IsDirectory => Code::IsDirectory,
            Self::NotDirectory => Code::NotDirectory,
            Self::NotRegular => Code::NotRegular,
            Self::Conflict(_) => Code::Conflict,
            Self::Gone(_) => Code::Gone,
            Self::Precondition => Code::PreconditionFailed,
            Self::TooLarge(_) => Code::TooLarge,
            Self::Range(_) => Code::RangeNotSatisfiable,
            Self::Checksum => Code::ChecksumMismatch,
            Self::Busy(_) => Code::Busy,
            Self::TimedOut(_) => Code::TimedOut,
            Self::Quota | Self::MadeRoom => Code::QuotaExceeded,
            Self::System { .. } => Code::Internal,
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> ErrorBody {
        let field = match self {
            Self::BadRequest { field, .. } => field.map(str::to_owned),
            _ => None,
        };
        ErrorBody { code: self.code(), message: self.to_string(), field }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disks_and_refusals_are_told_as_such() {
        for (errno, code) in [
            (Errno::NOSPC, Code::QuotaExceeded),
            (Errno::DQUOT, Code::QuotaExceeded),
            (Errno::ACCESS, Code::Forbidden),
            (Errno::PERM, Code::Forbidden),
            (Errno::ROFS, Code::Forbidden),
            (Errno::IO, Code::Internal),
            (Errno::STALE, Code::Internal),
        ] {
            assert_eq!(Error::of("write", errno).code(), code, "{errno}");
        }
        let denied = Error::Denied { what: "/a".into(), uid: 1000, mode: 0o700 };
        assert_eq!(denied.code(), Code::Forbidden);
        assert!(denied.to_string().contains("uid 1000 with mode 0700"), "{denied}");
    }
}
