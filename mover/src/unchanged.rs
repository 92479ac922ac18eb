//! A source in which nothing has changed: the generation that lies there is the copy of what it is now too. Nothing is written,
//! no node has to move on, and no pod of an older generation holds the room of one more.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::Path;

use workspacefs_api::mover::{Outcome, PathOutcome, Step};
use workspacefs_api::{PathState, Verify};
use workspacefs_runtime::chain;
use workspacefs_sync::{Counts, Options, Stop};

use crate::abort::{Abort, at_target};
use crate::copying::{KEEP, attributes_only};
use crate::engine::Engine;
use crate::filling;
use crate::generation::Generation;
use crate::job::Fill;
use crate::meter::{Expected, Meter};
use crate::names;
use crate::path::CachePath;
use crate::record::Record;
use crate::source::{Found, Source};
use crate::target::{self, Target};

/// What is compared.
struct Look<'a> {
    fill: &'a Fill,
    source: &'a Source,
    earlier: &'a Generation,
    workers: Option<NonZeroUsize>,
    engine: &'a dyn Engine,
    meter: &'a Meter,
}

/// What is to be said if the earlier generation is what a new one would be. A run that was cut had found that it is not.
pub(crate) fn kept(
    fill: &Fill,
    target: &Target,
    source: &Source,
    workers: Option<NonZeroUsize>,
    engine: &dyn Engine,
    meter: &Meter,
) -> Result<Option<Outcome>, Abort> {
    let at = at_target("read the earlier generation");
    let Some(number) = fill.earlier.filter(|number| *number != fill.generation) else { return Ok(None) };
    let begun = target::found(target::open(target.as_fd(), &names::filling(fill.generation))).map_err(at)?;
    let Some(earlier) = Generation::open(target, number).map_err(at)? else { return Ok(None) };
    if begun.is_some() || !is_as_wanted(&earlier.record, fill) {
        return Ok(None);
    }
    meter.begin(Step::Preparing, Expected::Unknown);
    let as_of = filling::now();
    let look = Look { fill, source, earlier: &earlier, workers, engine, meter };
    for (number, (path, recorded)) in fill.paths.iter().zip(&earlier.record.paths).enumerate() {
        let manifest = earlier.manifest(number);
        if !look.is_unchanged(path, &manifest, &recorded.outcome)? || !look.are_the_same_above(path)? {
            return Ok(None);
        }
    }
    let paths = earlier.record.outcomes();
    Ok(Some(Outcome { generation: Some(number), as_of: Some(as_of), paths, ..Outcome::default() }))
}

/// Whether a new generation would be of the same paths, all of them whole, and verified no better.
fn is_as_wanted(record: &Record, fill: &Fill) -> bool {
    let paths = record.paths.iter().map(|recorded| &*recorded.path);
    let whole = record.paths.iter().all(|recorded| recorded.outcome.state == PathState::Whole);
    let bytes = record.paths.iter().map(|recorded| recorded.outcome.bytes).sum();
    whole
        && record.may_be_of(fill.identity.as_deref())
        && paths.eq(fill.paths.iter().map(|path| path.absolute()))
        && (record.verify == fill.verify || record.verify == Verify::Checksum)
        && fill.capacity.is_none_or(|capacity| capacity >= bytes)
}

impl Look<'_> {
    /// As many files and bytes as were recorded, too.
    fn is_unchanged(&self, path: &CachePath, manifest: &Path, recorded: &PathOutcome) -> Result<bool, Abort> {
        let options = Options {
            keep: KEEP,
            checksum: self.fill.verify == Verify::Checksum,
            bandwidth: self.fill.bandwidth,
            workers: self.workers,
            ..Options::default()
        };
        let same = self.same(path.relative(), Some(manifest), &options)?;
        Ok(same.is_some_and(|found| (found.files, found.bytes) == (recorded.files, recorded.bytes)))
    }

    /// Owner and mode of the folders above a path. Their times change with whatever lies beside it.
    fn are_the_same_above(&self, path: &CachePath) -> Result<bool, Abort> {
        let options = attributes_only().map_err(|error| Abort::Other(chain(&error)))?;
        for above in path.above() {
            if self.same(above, None, &options)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a folder has, if the copy has the same. What cannot be compared is not; a fill says why.
    fn same(
        &self,
        relative: &str,
        manifest: Option<&Path>,
        options: &Options,
    ) -> Result<Option<Counts>, Abort> {
        let Ok(Found::Folder(from)) = self.source.folder(relative) else { return Ok(None) };
        let Ok(copy) = self.earlier.place(relative) else { return Ok(None) };
        let run = |control: &_| self.engine.compare(from.as_fd(), copy.as_fd(), manifest, options, control);
        match self.meter.run(run) {
            Ok(report) if report.stopped == Some(Stop::Cancelled) => Err(Abort::Interrupted),
            Ok(report) => Ok(report.is_unchanged().then_some(report.files.found)),
            Err(_) => Ok(None),
        }
    }
}
