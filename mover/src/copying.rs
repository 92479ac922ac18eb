//! Copying the paths of a generation, one after the other.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::fstatvfs;
use workspacefs_api::Verify;
use workspacefs_api::mover::PathOutcome;
use workspacefs_runtime::chain;
use workspacefs_sync::{
    Counts, DeleteLimit, Earlier, Errno, Filter, FilterError, Keep, Options, Report, Stop, SyncError,
};

use crate::abort::{Abort, at_target};
use crate::engine::Engine;
use crate::filling::Filling;
use crate::generation::{self, Generation};
use crate::job::Fill;
use crate::meter::Meter;
use crate::path::CachePath;
use crate::removal;
use crate::source::{Found, Source};
use crate::target;
use crate::verdict;

/// A source that is changed meanwhile, and what was not written as it should be, is copied so many times.
const TRIES_MAX: usize = 3;

/// Everything is kept.
pub(crate) const KEEP: Keep = Keep { owner: true, xattrs: true, acls: true };

/// What is needed to copy and verify.
pub(crate) struct Work<'a> {
    pub engine: &'a dyn Engine,
    pub meter: &'a Meter,
    pub fill: &'a Fill,
    pub workers: Option<NonZeroUsize>,
    pub source: Source,
    pub filling: Filling,
    pub earlier: Option<Generation>,
    /// Of each path, in the spec's order: as it was measured, or as it was the last time.
    pub sizes: Vec<Counts>,
}

impl Work<'_> {
    /// Copies one path. What is copied is read back; what is linked from the earlier generation was, when it was copied.
    pub fn copy(&self, number: usize) -> Result<PathOutcome, Abort> {
        let path = self.path(number)?;
        let copied = self.copy_path(number, path);
        match copied {
            Err(abort) => match abort.full() {
                Some(errno) => self.evict(number, errno),
                None => Err(abort),
            },
            copied => copied,
        }
    }

    /// Takes away a path that the target has no room for.
    pub fn evict(&self, number: usize, errno: Errno) -> Result<PathOutcome, Abort> {
        self.take_away(number)?;
        let bytes = self.sizes.get(number).map_or(0, |counts| counts.bytes);
        let free = fstatvfs(self.filling.data()).ok();
        let free = free.map(|free| free.f_bavail.saturating_mul(free.f_frsize));
        Ok(verdict::does_not_fit(errno, bytes, free))
    }

    /// Nothing of it stays in the generation.
    pub fn take_away(&self, number: usize) -> Result<(), Abort> {
        let path = self.path(number)?;
        self.filling.forget(number).map_err(at_target("remove a manifest"))?;
        let (above, name) = path.split();
        match generation::place(self.filling.data(), above) {
            Ok(above) => removal::delete(above.as_fd(), name.as_ref(), self.workers, self.meter),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(at_target("open a folder")(errno)),
        }
    }

    pub fn path(&self, number: usize) -> Result<&CachePath, Abort> {
        let path = self.fill.paths.get(number);
        path.ok_or_else(|| Abort::Other(format!("there is no path number {number}")))
    }

    fn copy_path(&self, number: usize, path: &CachePath) -> Result<PathOutcome, Abort> {
        let mut tries = 0;
        loop {
            tries += 1;
            let folder = match self.source.folder(path.relative()) {
                Ok(Found::Folder(folder)) => folder,
                Ok(Found::Missing) => return self.take_away(number).map(|()| verdict::missing()),
                Ok(Found::NotAFolder) => return self.take_away(number).map(|()| verdict::not_a_folder()),
                Err(errno) => return self.unreadable(&format!("cannot open the folder: {errno}"), errno),
            };
            let place = self.filling.make(path).map_err(at_target("make a folder"))?;
            let report = match self.sync(number, path, (folder.as_fd(), place.as_fd())) {
                Err(Abort::Sync(SyncError::Source(errno))) => {
                    return self.unreadable(&format!("cannot list the folder: {errno}"), errno);
                }
                report => report?,
            };
            match &report.stopped {
                Some(stop @ Stop::Source { errno, .. }) => return self.unreadable(&chain(stop), *errno),
                Some(stop) => return Err(Abort::from(stop)),
                None if verdict::is_passing(&report) && tries < TRIES_MAX => {
                    tracing::warn!(path = path.absolute(), why = verdict::flaw(&report), "copied again");
                    continue;
                }
                None => {}
            }
            self.keep_above(path)?;
            let counts = verdict::copied(&report);
            return Ok(match verdict::flaw(&report) {
                None => verdict::whole(counts),
                Some(flaw) => verdict::partial(counts, flaw),
            });
        }
    }

    /// One path of the source cannot be read; or is it all of the source?
    fn unreadable(&self, message: &str, errno: Errno) -> Result<PathOutcome, Abort> {
        match self.source.answers() {
            Ok(()) => Ok(verdict::partial(Counts::default(), message.to_owned())),
            Err(_) => Err(Abort::Source(errno)),
        }
    }

    fn sync(
        &self,
        number: usize,
        path: &CachePath,
        folders: (BorrowedFd<'_>, BorrowedFd<'_>),
    ) -> Result<Report, Abort> {
        let earlier = self.linked_from(path)?;
        let run = |earlier| {
            let options = self.options(number, earlier);
            let mode = mode(self.fill.verify);
            self.meter
                .run(|control| self.engine.sync_confirmed(folders.0, folders.1, &options, mode, control))
        };
        let has_earlier = earlier.is_some();
        match run(earlier.or(self.nothing()?)) {
            // What cannot be linked from is copied.
            Err(SyncError::Earlier(_) | SyncError::EarlierNested | SyncError::Manifest(_)) if has_earlier => {
                run(self.nothing()?).map_err(Abort::Sync)
            }
            report => report.map_err(Abort::Sync),
        }
    }

    fn options(&self, number: usize, earlier: Option<Earlier>) -> Options {
        Options {
            delete: Some(DeleteLimit::NONE),
            keep: KEEP,
            checksum: self.fill.verify == Verify::Checksum,
            manifest: Some(self.filling.manifest(number)),
            earlier,
            bandwidth: self.fill.bandwidth,
            workers: self.workers,
            ..Options::default()
        }
    }

    /// The path in the earlier generation, if that has it.
    fn linked_from(&self, path: &CachePath) -> Result<Option<Earlier>, Abort> {
        let Some(earlier) = &self.earlier else { return Ok(None) };
        let paths = &earlier.record.paths;
        let Some(number) = paths.iter().position(|recorded| recorded.path == path.absolute()) else {
            return Ok(None);
        };
        let place = target::found(earlier.place(path.relative())).map_err(at_target("open a generation"))?;
        Ok(place.map(|place| linked(place, Some(earlier.manifest(number)))))
    }

    /// What was begun with an earlier generation may have its files: then nothing is changed in place, whether or not
    /// there is something to link from now.
    fn nothing(&self) -> Result<Option<Earlier>, Abort> {
        if self.filling.beginning.earlier.is_none() {
            return Ok(None);
        }
        let empty = self.filling.empty().try_clone_to_owned();
        let empty = empty.map_err(|error| at_target("open a folder")(crate::abort::errno(&error)))?;
        Ok(Some(linked(empty, None)))
    }

    /// The folders above the path get owner, mode and so on of the source's. Where that cannot be, the folder stays
    /// closed to all but root: the path is bound from below it, and does not suffer.
    fn keep_above(&self, path: &CachePath) -> Result<(), Abort> {
        let options = attributes_only().map_err(|error| Abort::Other(chain(&error)))?;
        for above in path.above() {
            let Ok(Found::Folder(from)) = self.source.folder(above) else {
                tracing::warn!(above, "owner and mode of a folder above a path cannot be read");
                continue;
            };
            let to = generation::place(self.filling.data(), above).map_err(at_target("open a folder"))?;
            let run = |control: &_| self.engine.sync(from.as_fd(), to.as_fd(), &options, control);
            match self.meter.run(run) {
                Ok(Report { stopped: Some(stop @ (Stop::Cancelled | Stop::Destination { .. })), .. }) => {
                    return Err(Abort::from(&stop));
                }
                Ok(report) if report.is_complete() => {}
                Ok(report) => tracing::warn!(above, notes = ?report.notes, "owner and mode are not kept"),
                Err(SyncError::Destination(errno)) => return Err(at_target("open a folder")(errno)),
                Err(error) => tracing::warn!(above, error = chain(&error), "owner and mode are not kept"),
            }
        }
        Ok(())
    }
}

/// What lies in the folder is left out; the folder itself is settled.
pub(crate) fn attributes_only() -> Result<Options, FilterError> {
    let filter = Filter::new(["*"], [""; 0])?;
    Ok(Options { filter, keep: KEEP, workers: Some(NonZeroUsize::MIN), ..Options::default() })
}

pub(crate) fn mode(verify: Verify) -> workspacefs_sync::Verify {
    match verify {
        Verify::Checksum => workspacefs_sync::Verify::Checksum,
        Verify::Size => workspacefs_sync::Verify::Size,
    }
}

fn linked(folder: OwnedFd, manifest: Option<PathBuf>) -> Earlier {
    Earlier { directory: Arc::new(folder), manifest }
}
