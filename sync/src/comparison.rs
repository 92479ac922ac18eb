//! Whether a copy still is what its source is. Nothing is written, and the first difference ends it: who then copies loses
//! little, and who need not copy leaves the disk alone.

use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::SyncError;
use crate::files::Subject;
use crate::manifest::Finished;
use crate::options::{DeleteLimit, Options};
use crate::progress::Control;
use crate::report::Report;
use crate::run::{Purpose, begin};

/// What an engine that only compares knows.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Without one, size, time, owner and mode have to do, and of directories owner and mode.
    manifest: Option<Finished>,
}

impl Comparison {
    pub fn open(manifest: Option<&Path>, checksum: bool) -> Result<Self, SyncError> {
        let manifest = manifest.map(|path| Finished::open(path, checksum)).transpose();
        Ok(Self { manifest: manifest.map_err(SyncError::Manifest)? })
    }

    /// Whether a directory of another time is another.
    pub fn minds_times(&self) -> bool {
        self.manifest.is_some()
    }

    /// Whether the manifest says just this about the source's file. Its ctime is in it: content and attributes then are what
    /// they were when it was copied.
    pub fn vouches(&self, subject: &Subject<'_>) -> bool {
        let stat = &subject.stat;
        let knows = |manifest: &Finished| manifest.knows(&subject.path(), stat.size, stat.mtime, stat.ctime);
        self.manifest.as_ref().is_none_or(knows)
    }
}

/// Compares `copy`, which [`crate::sync`] made of `source` with `manifest`, with it; without a manifest, files are not compared
/// but by size, time, owner and mode, nor directories by their times. Of the options count what was kept, the
/// filter, `checksum` and `workers`; nothing is written. [`Report::is_unchanged`] says what came of it: where that is false, a run
/// of [`crate::sync`] would change something, or could not see all.
///
/// # Errors
/// As [`crate::sync`]; [`SyncError::Manifest`] if there is no such manifest.
pub fn compare(
    source: BorrowedFd<'_>,
    copy: BorrowedFd<'_>,
    manifest: Option<&Path>,
    options: &Options,
    control: &Control,
) -> Result<Report, SyncError> {
    let options = Options { dry_run: true, delete: Some(DeleteLimit::NONE), ..options.clone() };
    begin(source, copy, &options, Purpose::Compare(manifest), control)
}
