//! What a run is to do.

use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Filter;

/// Options of [`crate::sync`]. The default mirrors nothing away: it copies what is new or different and deletes nothing.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these files and trees, relative to the source; all of it if empty. The directories above them are made with
    /// the source's metadata.
    pub paths: Vec<PathBuf>,
    /// What is left out. It is neither copied nor deleted in the destination.
    pub filter: Filter,
    /// Whether what the source does not have is deleted in the destination; within `paths` only.
    pub delete: Option<DeleteLimit>,
    /// What of a file is kept beside content, mode and time of modification.
    pub keep: Keep,
    /// Hash each file with blake3 while it is copied, for the manifest.
    pub checksum: bool,
    /// Where to write what lies in the destination, for [`crate::verify`] and for a later run to go on from: a file
    /// outside both trees. Its work in progress lies beside it under the same name with `.partial`.
    pub manifest: Option<PathBuf>,
    /// An earlier copy of the same source: what is unchanged since then is linked from there and not copied.
    pub earlier: Option<Earlier>,
    /// The most that is read from the source, bytes per second.
    pub bandwidth: Option<NonZeroU64>,
    /// The most threads. By default 64 where source or destination is on a network, twice the processors otherwise; how
    /// many of them work follows the latency seen.
    pub workers: Option<NonZeroUsize>,
    /// Count only; nothing is written or deleted.
    pub dry_run: bool,
}

/// An earlier copy of the same source, which nobody writes to any more. Nor does a run: files of it get another name in
/// the destination, with which their number of links and their ctime change, and nothing else. A run that goes on with
/// a destination is told the same earlier copy as the one that was cut.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// Its directory, of the destination's file system; may be opened with O_PATH. Mount points in it are not entered.
    pub directory: Arc<OwnedFd>,
    /// The manifest of the run that made it, for a run that writes one too: only files that it vouches for are linked,
    /// and what it says of them is taken over. That run kept the same ([`Options::keep`]): what has its ctime in the source has
    /// the attributes that it was copied with, and neither side is asked for them. Without a manifest the earlier copy is believed,
    /// and for [`Options::checksum`] the source of each linked file is read.
    pub manifest: Option<PathBuf>,
}

/// How much a run may delete before it stops deleting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeleteLimit {
    /// Files, links and directories. What goes beyond stays and is reported ([`crate::Problem::DeleteLimit`]).
    pub entries_max: u64,
}

impl DeleteLimit {
    /// Whatever it takes.
    pub const NONE: Self = Self { entries_max: u64::MAX };
}

/// What of a file is kept beside content, mode and time of modification. Hard links within the set and sparse regions
/// always are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keep {
    /// Owner and group, where the process may set them; where it may not, the report counts it.
    pub owner: bool,
    /// Extended attributes: `user.*`, and `trusted.*` and `security.*` where the process may.
    pub xattrs: bool,
    /// POSIX access control lists.
    pub acls: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self { owner: true, xattrs: false, acls: false }
    }
}
