//! Reading back what has been written before the manifest vouches for it.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::manifest::Entry;
use crate::report::Stop;
use crate::verify::{Difference, VerifyError, VerifyReport};

/// Told what has been written to the destination and is safely there, before the manifest vouches for it: says what of it is
/// not as it was written ([`crate::verify_entries`]). That counts as failed, is reported ([`crate::Problem::NotAsWritten`]),
/// and is copied again by the next run. Called by the threads of the run, one at a time.
///
/// # Errors
/// Nothing can be said: the run ends.
pub type Confirm<'a> = dyn Fn(BorrowedFd<'_>, &[Entry]) -> Result<VerifyReport, VerifyError> + Sync + 'a;

/// Entries that were read back.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub good: Vec<Entry>,
    /// Those that are not as they were written.
    pub bad: Vec<(Entry, Difference)>,
}

/// By what was said of them; why nothing can be said, as an end of the run.
pub(crate) fn confirmed(
    entries: Vec<Entry>,
    said: Result<VerifyReport, VerifyError>,
) -> Result<Confirmed, Stop> {
    let report = said.map_err(|error| {
        let errno = match error {
            VerifyError::Destination(errno) | VerifyError::WriteBack(errno) => errno,
            VerifyError::Manifest(_) | VerifyError::Threads(_) => Errno::AGAIN,
        };
        Stop::Destination { path: PathBuf::new(), errno }
    })?;
    if let Some(stop) = report.stopped {
        return Err(stop);
    }
    let wrong: HashMap<PathBuf, Difference> =
        report.wrong.into_iter().map(|wrong| (wrong.path, wrong.what)).collect();
    let (bad, good): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| wrong.contains_key(&entry.path));
    let bad = bad.into_iter().filter_map(|entry| wrong.get(&entry.path).cloned().map(|what| (entry, what)));
    Ok(Confirmed { bad: bad.collect(), good })
}
