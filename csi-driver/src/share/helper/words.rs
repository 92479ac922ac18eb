//! Error numbers of the share's file system in words, each with the path it is about.

use rustix::io::Errno;
use workspacefs_sys::{SysError, lock};

use super::super::ShareError;

/// What went wrong while `action` was done to `path`.
pub(super) fn at(action: &str, path: &str, errno: Errno) -> ShareError {
    let path = path.to_string();
    let reason = text(errno);
    match errno {
        Errno::NOENT => ShareError::NotFound { path },
        Errno::NOTDIR => ShareError::NotADirectory { path },
        // Too many links, or one where none may be.
        Errno::XDEV | Errno::LOOP => ShareError::LeadsOut { path },
        Errno::ACCESS | Errno::PERM => ShareError::Denied { path, reason },
        Errno::STALE => ShareError::Stale { path },
        Errno::NOSPC | Errno::DQUOT => ShareError::NoSpace { path, reason },
        // What a mount with soft or softerr answers when the server is silent.
        Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::CONNREFUSED | Errno::CONNRESET => {
            ShareError::Unreachable { server: path, reason }
        }
        _ => ShareError::Io { action: action.into(), path, reason },
    }
}

/// The same for a step of ours that has more to say.
pub(super) fn sys(path: &str, error: &SysError) -> ShareError {
    if lock::is_forbidden(error) {
        return ShareError::NoUserNamespace { path: path.into(), reason: text(error.errno) };
    }
    match at("", path, error.errno) {
        ShareError::Io { .. } | ShareError::Denied { .. } | ShareError::LeadsOut { .. } => {
            ShareError::Local { action: format!("{error} ({path})"), reason: text(error.errno) }
        }
        other => other,
    }
}

/// The system's sentence for an error number.
pub(super) fn text(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string()
}
