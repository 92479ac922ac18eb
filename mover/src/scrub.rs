//! Verifying a generation again, as it lies there.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;

use rustix::io::Errno;
use workspacefs_api::PathState;
use workspacefs_api::mover::{Outcome, PathOutcome, Step};
use workspacefs_runtime::chain;
use workspacefs_sync::{Counts, VerifyError};

use crate::abort::{Abort, at_target};
use crate::bucket::ROOT;
use crate::copying::mode;
use crate::engine::Engine;
use crate::fill::outcome;
use crate::generation::Generation;
use crate::meter::{Expected, Meter, sum};
use crate::path::CachePath;
use crate::record::Recorded;
use crate::target::Target;
use crate::verdict;

/// Compares each whole path with its manifest. One that is not what it was is written down as partial.
pub(crate) fn scrub(
    number: i64,
    target: &Target,
    workers: Option<NonZeroUsize>,
    engine: &dyn Engine,
    meter: &Meter,
) -> Result<Outcome, Abort> {
    let generation = match Generation::open(target, number) {
        Ok(Some(generation)) => generation,
        Ok(None) => return Err(Abort::Gone(format!("generation {number} does not lie on the target"))),
        Err(Errno::BADMSG | Errno::NOTDIR | Errno::LOOP) => {
            let what = "its data, its manifests or its record cannot be read or are gone";
            return Err(Abort::Gone(format!("generation {number} is not as it was made: {what}")));
        }
        Err(errno) => return Err(at_target("read the generation")(errno)),
    };
    let mut record = generation.record.clone();
    let whole = |recorded: &&Recorded| recorded.outcome.state == PathState::Whole;
    let counts = record.paths.iter().filter(whole).map(|recorded| counts_of(&recorded.outcome));
    meter.begin(Step::Verifying, Expected::Found(counts.fold(Counts::default(), sum)));
    for (place, recorded) in record.paths.iter_mut().enumerate() {
        if recorded.outcome.state != PathState::Whole {
            continue;
        }
        let path = match &*recorded.path {
            ROOT => None,
            path => Some(path.parse::<CachePath>().map_err(|error| Abort::Other(chain(&error)))?),
        };
        let relative = path.as_ref().map_or("", CachePath::relative);
        if let Some(message) = difference(&generation, (place, relative), workers, engine, meter)? {
            recorded.outcome = verdict::partial(counts_of(&recorded.outcome), message);
        }
    }
    if record != generation.record {
        generation.rewrite(&record).map_err(at_target("write down what is whole"))?;
    }
    Ok(outcome(number, &record))
}

/// What is wrong with a path; none if it is what its manifest says.
fn difference(
    generation: &Generation,
    (number, relative): (usize, &str),
    workers: Option<NonZeroUsize>,
    engine: &dyn Engine,
    meter: &Meter,
) -> Result<Option<String>, Abort> {
    let place = match generation.place(relative) {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Some("its folder is gone".to_owned())),
        Err(errno) => return Err(at_target("open a folder")(errno)),
    };
    let (manifest, mode) = (generation.manifest(number), mode(generation.record.verify));
    let verified = meter.run(|control| engine.verify(place.as_fd(), &manifest, mode, workers, control));
    match verified {
        Ok(report) => match &report.stopped {
            Some(stop) => Err(Abort::from(stop)),
            None => Ok(verdict::difference(&report)),
        },
        Err(error @ VerifyError::Manifest(_)) => Ok(Some(chain(&error))),
        Err(error) => Err(Abort::Verify(error)),
    }
}

fn counts_of(outcome: &PathOutcome) -> Counts {
    Counts { files: outcome.files, bytes: outcome.bytes }
}
