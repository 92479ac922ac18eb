//! Verifying what was copied. What does not match is copied again, and no more than so often.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use workspacefs_api::mover::{PathOutcome, Step};
use workspacefs_api::{PathState, Verify};
use workspacefs_runtime::chain;
use workspacefs_sync::{Counts, VerifyError, VerifyReport, Wrong};
use workspacefs_sys::beneath;

use crate::abort::{Abort, at_target};
use crate::copying::{Linking, Work};
use crate::generation;
use crate::meter::Expected;
use crate::removal;
use crate::verdict;

/// So often what does not match is copied again.
pub(crate) const REPAIRS_MAX: usize = 2;

impl Work<'_> {
    /// What comes of a path that was copied whole, after it was read again.
    pub fn verify(&self, number: usize, copied: PathOutcome) -> Result<PathOutcome, Abort> {
        let mut copied = copied;
        for repairs in 0.. {
            let counts = Counts { files: copied.files, bytes: copied.bytes };
            let report = match self.verify_once(number) {
                Err(Abort::Verify(error @ VerifyError::Manifest(_))) => {
                    return Ok(verdict::partial(counts, chain(&error)));
                }
                Err(abort) => match abort.full() {
                    Some(errno) => return self.evict(number, errno),
                    None => return Err(abort),
                },
                Ok(report) => report,
            };
            match verdict::difference(&report) {
                None => break,
                Some(difference) if repairs == REPAIRS_MAX => {
                    return Ok(verdict::partial(counts, difference));
                }
                Some(difference) => tracing::warn!(%difference, "copied again: what was read back differs"),
            }
            self.meter.begin(Step::Copying, Expected::Found(counts));
            self.remove(number, &report.wrong)?;
            copied = self.copy(number, Linking::Nothing)?;
            if copied.state != PathState::Whole {
                break;
            }
            self.meter.begin(Step::Verifying, Expected::Found(counts));
        }
        Ok(copied)
    }

    fn verify_once(&self, number: usize) -> Result<VerifyReport, Abort> {
        let path = self.path(number)?;
        let place = generation::place(self.filling.data(), path.relative());
        let place = place.map_err(at_target("open a folder"))?;
        let (manifest, mode) = (self.filling.manifest(number), mode(self.fill.verify));
        let report = self
            .meter
            .run(|control| self.engine.verify(place.as_fd(), &manifest, mode, self.workers, control))
            .map_err(Abort::Verify)?;
        report.stopped.as_ref().map_or(Ok(()), |stop| Err(Abort::from(stop)))?;
        Ok(report)
    }

    /// Takes away what does not match, or the engine would find it unchanged. What cannot be taken away is found wrong
    /// again.
    fn remove(&self, number: usize, wrong: &[Wrong]) -> Result<(), Abort> {
        let path = self.path(number)?;
        let place = generation::place(self.filling.data(), path.relative());
        let place = place.map_err(at_target("open a folder"))?;
        for Wrong { path, .. } in wrong {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { continue };
            if let Ok(above) = folder(place.as_fd(), above) {
                removal::delete(above.as_fd(), name, self.workers, self.meter)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn mode(verify: Verify) -> workspacefs_sync::Verify {
    match verify {
        Verify::Checksum => workspacefs_sync::Verify::Checksum,
        Verify::Size => workspacefs_sync::Verify::Size,
    }
}

fn folder(place: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    beneath::resolved(place, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty(), rules)
}
