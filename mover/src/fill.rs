//! Making a generation, step by step.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;

use workspacefs_api::PathState;
use workspacefs_api::mover::{Outcome, PathOutcome, Step};
use workspacefs_sync::{Counts, Errno, Options, Stop};

use crate::abort::{Abort, at_target};
use crate::capacity;
use crate::copying::Work;
use crate::engine::Engine;
use crate::filling::{self, Filling};
use crate::generation::Generation;
use crate::job::Fill;
use crate::meter::{Expected, Meter, sum};
use crate::path::CachePath;
use crate::record::{Beginning, Record, Recorded};
use crate::source::{Found, Source};
use crate::target::Target;
use crate::unchanged;
use crate::verdict;

/// Makes the generation, unless it lies there whole, or would be just what the earlier one is.
pub(crate) fn fill(
    fill: &Fill,
    target: &Target,
    workers: Option<NonZeroUsize>,
    engine: &dyn Engine,
    meter: &Meter,
) -> Result<Outcome, Abort> {
    let (open, identity) = (|number| Generation::open(target, number), fill.identity.as_deref());
    if let Some(whole) = open(fill.generation).map_err(at_target("read the generation that lies there"))? {
        let paths = fill.paths.iter().map(CachePath::absolute);
        return said_again(fill.generation, identity, paths, &whole.record);
    }
    let source = Source::open(&fill.source).map_err(Abort::Source)?;
    filling::forget_others(target, fill.generation, identity, workers, meter)?;
    if let Some(kept) = unchanged::kept(fill, target, &source, workers, engine, meter)? {
        return Ok(kept);
    }
    let at = at_target("read the earlier generation");
    let wanted = wanted(target, fill.earlier, fill.generation, identity).map_err(at)?;
    let filling = Filling::open(target, fill.generation, wanted, identity);
    let filling = filling.map_err(at_target("make the generation"))?;
    let earlier = filling.beginning.earlier.map(open).transpose().map_err(at)?.flatten();
    let mut work = Work { engine, meter, fill, workers, source, filling, earlier, sizes: Vec::new() };
    let expected = work.measure()?;
    let outcomes = work.copy_all(expected)?;
    work.commit(target, outcomes)
}

/// The generation to link from, if it lies there, and is another one of the same source.
pub(crate) fn wanted(
    target: &Target,
    earlier: Option<i64>,
    generation: i64,
    identity: Option<&str>,
) -> Result<Option<i64>, Errno> {
    let Some(number) = earlier.filter(|number| *number != generation) else { return Ok(None) };
    let lies_there = Generation::open(target, number)?;
    Ok(lies_there.filter(|earlier| earlier.record.may_be_of(identity)).map(|_| number))
}

/// What was said when it was made, if it is what is asked for. What is not stays, since pods may read it: the operator asks
/// for another number then.
pub(crate) fn said_again<'a>(
    generation: i64,
    identity: Option<&str>,
    paths: impl Iterator<Item = &'a str>,
    record: &Record,
) -> Result<Outcome, Abort> {
    let other = match (&record.identity, record.paths.iter().map(|recorded| &*recorded.path).eq(paths)) {
        (_, false) => "with other paths",
        (None, true) if identity.is_some() => "and does not say of which source",
        (known, true) if known.as_deref() != identity => "as the copy of another source",
        (_, true) => return Ok(outcome(generation, record)),
    };
    Err(Abort::Other(format!("generation {generation} lies there already, {other}")))
}

/// Of a generation that has its final name.
pub(crate) fn outcome(generation: i64, record: &Record) -> Outcome {
    let paths = record.outcomes();
    let failure = verdict::nothing_whole(&paths);
    let generation = failure.is_none().then_some(generation);
    Outcome { generation, as_of: Some(record.as_of), paths, failure, ..Outcome::default() }
}

impl Work<'_> {
    /// How much there will be to copy. Measured where nothing is known from the last time, or a limit has to be held.
    fn measure(&mut self) -> Result<Expected, Abort> {
        let earlier = self.fill.paths.iter().map(|path| self.last_size(path.absolute())).collect();
        if let (None, Some(sizes)) = (self.fill.capacity, earlier) {
            self.sizes = sizes;
            return Ok(Expected::About(total(&self.sizes)));
        }
        self.meter.begin(Step::Preparing, Expected::Unknown);
        let numbers = 0..self.fill.paths.len();
        self.sizes = numbers.map(|number| self.measure_path(number)).collect::<Result<_, _>>()?;
        Ok(Expected::Found(total(&self.sizes)))
    }

    fn last_size(&self, path: &str) -> Option<Counts> {
        let mut paths = self.earlier.as_ref()?.record.paths.iter();
        let recorded =
            paths.find(|recorded| recorded.path == path && recorded.outcome.state == PathState::Whole)?;
        Some(Counts { files: recorded.outcome.files, bytes: recorded.outcome.bytes })
    }

    /// What cannot be measured cannot be copied either, and is told then.
    fn measure_path(&self, number: usize) -> Result<Counts, Abort> {
        let Ok(Found::Folder(folder)) = self.source.folder(self.path(number)?.relative()) else {
            return Ok(Counts::default());
        };
        let options = Options { dry_run: true, workers: self.workers, ..Options::default() };
        let run = |control: &_| self.engine.sync(folder.as_fd(), self.filling.empty(), &options, control);
        match self.meter.run(run) {
            Ok(report) if report.stopped == Some(Stop::Cancelled) => Err(Abort::Interrupted),
            Ok(report) => Ok(report.files.found),
            Err(_) => Ok(Counts::default()),
        }
    }

    fn copy_all(&self, expected: Expected) -> Result<Vec<PathOutcome>, Abort> {
        let capacity = self.fill.capacity.unwrap_or(u64::MAX);
        let sizes: Vec<u64> = self.sizes.iter().map(|counts| counts.bytes).collect();
        let taken = capacity::taken(&sizes, capacity);
        let is_taken = |number: &usize| taken.get(*number).copied().unwrap_or(false);
        self.meter.begin(
            Step::Copying,
            match expected {
                Expected::Found(_) => {
                    let taken = self.sizes.iter().enumerate().filter(|(number, _)| is_taken(number));
                    Expected::Found(total(taken.map(|(_, counts)| counts)))
                }
                other => other,
            },
        );
        let mut left = capacity;
        let mut outcomes = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let mut outcome = match is_taken(&number) {
                true => self.copy(number)?,
                false => self.take_away(number).map(|()| verdict::over_capacity(*size, capacity))?,
            };
            // It has grown since it was measured.
            if outcome.bytes > left {
                self.take_away(number)?;
                outcome = verdict::over_capacity(outcome.bytes, capacity);
            }
            left -= outcome.bytes;
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn commit(&self, target: &Target, outcomes: Vec<PathOutcome>) -> Result<Outcome, Abort> {
        self.meter.begin(Step::Committing, Expected::Unknown);
        let mut outcomes = outcomes;
        loop {
            if let Some(failure) = verdict::nothing_whole(&outcomes) {
                return Ok(Outcome { paths: outcomes, failure: Some(failure), ..Outcome::default() });
            }
            let record = self.record(&outcomes);
            let Err(abort) = self.filling.commit(target, &record) else {
                return Ok(outcome(self.fill.generation, &record));
            };
            let last = outcomes.iter().rposition(|outcome| outcome.state == PathState::Whole);
            match (abort.full(), last) {
                // Not even room for these few words.
                (Some(errno), Some(last)) => outcomes[last] = self.evict(last, errno)?,
                _ => return Err(abort),
            }
        }
    }

    fn record(&self, outcomes: &[PathOutcome]) -> Record {
        let recorded = self.fill.paths.iter().zip(outcomes);
        let paths = recorded
            .map(|(path, outcome)| Recorded { path: path.absolute().to_owned(), outcome: outcome.clone() });
        let Beginning { as_of, identity, .. } = self.filling.beginning.clone();
        Record { as_of, verify: self.fill.verify, identity, paths: paths.collect() }
    }
}

fn total<'a>(counts: impl IntoIterator<Item = &'a Counts>) -> Counts {
    counts.into_iter().copied().fold(Counts::default(), sum)
}
