//! A run from beginning to end.

use std::error::Error;

use workspacefs_api::mover::{Failure, FailureReason, Outcome, Step};
use workspacefs_runtime::chain;

use crate::abort::Abort;
use crate::bucket;
use crate::engine::Engine;
use crate::fill;
use crate::job::{Job, Task};
use crate::meter::{Expected, Meter};
use crate::removal::{self, Fillings};
use crate::scrub;
use crate::target::Target;

/// Does what the job says, and tells what came of it. Blocks; `meter` shows how far it is and can end it.
pub fn run(job: &Job, engine: &dyn Engine, meter: &Meter) -> Outcome {
    meter.begin(Step::Preparing, Expected::Unknown);
    let outcome = match Target::open(&job.target) {
        Ok(target) => {
            let done = work(job, &target, engine, meter);
            let mut outcome = done.unwrap_or_else(|abort| not_done(abort.failure()));
            outcome.present = target.present().unwrap_or_default();
            outcome
        }
        Err(error) => not_done(Abort::from(error).failure()),
    };
    meter.begin(Step::Done, Expected::Unknown);
    outcome
}

/// What came of a run that did not even begin.
pub fn failed(error: &dyn Error) -> Outcome {
    not_done(Failure { reason: FailureReason::Failed, message: chain(error) })
}

fn work(job: &Job, target: &Target, engine: &dyn Engine, meter: &Meter) -> Result<Outcome, Abort> {
    let workers = job.workers;
    let remove = |fillings| removal::generations(target, &job.remove, fillings, workers, meter);
    // What cannot be removed now is tried again by the next run; what is asked for does not wait for it.
    let try_to_remove = |fillings| match remove(fillings) {
        Ok(()) => Ok(()),
        Err(Abort::Interrupted) => Err(Abort::Interrupted),
        Err(abort) => {
            tracing::warn!(error = chain(&abort), "something that is not wanted any more stays");
            Ok(())
        }
    };
    match &job.task {
        Task::RemoveAll => removal::everything(target, workers, meter).map(|()| Outcome::default()),
        Task::Remove => remove(Fillings::Stay).map(|()| Outcome::default()),
        Task::Scrub(generation) => {
            try_to_remove(Fillings::Stay)?;
            scrub::scrub(*generation, target, workers, engine, meter)
        }
        Task::Fill(fill) => {
            try_to_remove(Fillings::Only(fill.generation))?;
            fill::fill(fill, target, workers, engine, meter)
        }
        Task::FillBucket(fill) => {
            try_to_remove(Fillings::Only(fill.generation))?;
            bucket::fill(fill, target, workers, meter)
        }
    }
}

fn not_done(failure: Failure) -> Outcome {
    Outcome { failure: Some(failure), ..Outcome::default() }
}
