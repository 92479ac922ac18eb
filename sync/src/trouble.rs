//! What goes wrong with one path, and when that means that nothing more will go right.

use rustix::io::Errno;

use crate::report::Problem;

/// Why something was not copied or deleted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    /// A system call failed.
    Call { side: Side, step: &'static str, errno: Errno },
    /// What else a note can say.
    Problem(Problem),
    /// It is not in the source any more.
    Vanished,
    /// The run was stopped meanwhile.
    Stopped,
}

/// Where a call failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Source,
    Destination,
}

impl Side {
    /// For `map_err`.
    pub fn at(self, step: &'static str) -> impl Fn(Errno) -> Trouble + Copy {
        move |errno| Trouble::Call { side: self, step, errno }
    }
}

/// What an error says about the side that it came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Meaning {
    /// It is this path's alone.
    Path,
    /// It may be the side's: its root tells.
    AskRoot,
    /// Nothing more will go right there.
    Side,
}

/// See [`Meaning`].
pub(crate) fn meaning(side: Side, errno: Errno) -> Meaning {
    match (side, errno) {
        // The server, the device or the FUSE process is gone.
        (
            _,
            Errno::NOTCONN
            | Errno::CONNABORTED
            | Errno::NODEV
            | Errno::NXIO
            | Errno::SHUTDOWN
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH,
        ) => Meaning::Side,
        // One file that was deleted on the server, or the whole export.
        (_, Errno::STALE | Errno::TIMEDOUT) => Meaning::AskRoot,
        // Full, over the quota, read-only, a device that fails: the next file would fare no better.
        (Side::Destination, Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO) => Meaning::Side,
        // A bad sector, or a permission: the next file may be well.
        _ => Meaning::Path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_file_would_meet_too_ends_the_run() {
        for (side, errno, expected) in [
            (Side::Destination, Errno::NOSPC, Meaning::Side),
            (Side::Destination, Errno::DQUOT, Meaning::Side),
            (Side::Destination, Errno::ROFS, Meaning::Side),
            (Side::Destination, Errno::IO, Meaning::Side),
            (Side::Source, Errno::IO, Meaning::Path),
            (Side::Source, Errno::NOTCONN, Meaning::Side),
            (Side::Source, Errno::STALE, Meaning::AskRoot),
            (Side::Source, Errno::ACCESS, Meaning::Path),
            (Side::Destination, Errno::NAMETOOLONG, Meaning::Path),
        ] {
            assert_eq!(meaning(side, errno), expected, "{side:?} {errno:?}");
        }
    }
}
