//! A source in which nothing has changed: the generation that lies there is the copy of what it is now too. Nothing is written,
//! no node has to move on, and no pod of an older generation holds the room of one more.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;

use workspacefs_api::mover::{Outcome, PathOutcome, Step};
use workspacefs_api::{PathState, Verify};
use workspacefs_runtime::chain;
use workspacefs_sync::{Options, Stop};

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
    for number in 0..fill.paths.len() {
        if !look.is_unchanged(number)? {
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
        && paths.eq(fill.paths.iter().map(|path| path.absolute()))
        && (record.verify == fill.verify || record.verify == Verify::Checksum)
        && fill.capacity.is_none_or(|capacity| capacity >= bytes)
}

impl Look<'_> {
    fn is_unchanged(&self, number: usize) -> Result<bool, Abort> {
        let (Some(path), Some(recorded)) =
            (self.fill.paths.get(number), self.earlier.record.paths.get(number))
        else {
            return Ok(false);
        };
        let options = Options {
            keep: KEEP,
            checksum: self.fill.verify == Verify::Checksum,
            bandwidth: self.fill.bandwidth,
            workers: self.workers,
            ..Options::default()
        };
        let manifest = self.earlier.manifest(number);
        if !self.is_same(path.relative(), Some((&manifest, &recorded.outcome)), &options)? {
            return Ok(false);
        }
        self.are_the_same_above(path)
    }

    /// Owner and mode of the folders above a path. Their times change with whatever lies beside it.
    fn are_the_same_above(&self, path: &CachePath) -> Result<bool, Abort> {
        let options = attributes_only().map_err(|error| Abort::Other(chain(&error)))?;
        for above in path.above() {
            if !self.is_same(above, None, &options)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What cannot be compared is not the same; a fill says why.
    fn is_same(
        &self,
        relative: &str,
        said: Option<(&std::path::Path, &PathOutcome)>,
        options: &Options,
    ) -> Result<bool, Abort> {
        let Ok(Found::Folder(from)) = self.source.folder(relative) else { return Ok(false) };
        let Ok(copy) = self.earlier.place(relative) else { return Ok(false) };
        let manifest = said.map(|(manifest, _)| manifest);
        let run = |control: &_| self.engine.compare(from.as_fd(), copy.as_fd(), manifest, options, control);
        let Ok(report) = self.meter.run(run) else { return Ok(false) };
        if report.stopped == Some(Stop::Cancelled) {
            return Err(Abort::Interrupted);
        }
        let found = report.files.found;
        let as_many = |outcome: &PathOutcome| (outcome.files, outcome.bytes) == (found.files, found.bytes);
        Ok(report.is_unchanged() && said.is_none_or(|(_, outcome)| as_many(outcome)))
    }
}
