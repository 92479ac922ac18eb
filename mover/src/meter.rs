//! How far a run is, and a word to stop it: shared by the thread that works, those that ask, and the one that hears
//! signals.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use workspacefs_api::mover::{Progress, Step};
use workspacefs_sync::{Control, Counts, Snapshot};

use crate::pace::{FILE_COST, Pace, Sample};

/// See the module. Clones are of the same run.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    generation: i64,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    step: Step,
    is_stopped: bool,
    expected: Expected,
    /// Of this step's runs of the engine that have ended.
    ended: Amounts,
    running: Option<Control>,
    pace: Pace,
}

/// What a step will have to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Expected {
    /// Nobody knows.
    #[default]
    Unknown,
    /// About so much, as the last time.
    About(Counts),
    /// So much was found.
    Found(Counts),
}

/// How far the engine is.
#[derive(Clone, Copy, Debug, Default)]
struct Amounts {
    found: Counts,
    /// Copied, unchanged, or found good.
    done: Counts,
    /// The same, and what failed or was left out.
    settled: Counts,
    /// Bytes of files in hand.
    in_hand: u64,
    read: u64,
}

impl Meter {
    /// For a run that makes this generation.
    pub fn new(generation: i64) -> Self {
        Self(Arc::new(Shared { generation, began: Instant::now(), state: Mutex::default() }))
    }

    /// Lets the run end soon, in order.
    pub fn stop(&self) {
        let mut state = self.state();
        state.is_stopped = true;
        state.running.iter().for_each(Control::cancel);
    }

    /// Looks how far it is, for rate and ETA: to be called about twice a second.
    pub fn sample(&self) {
        let mut state = self.state();
        let amounts = state.amounts();
        let sample = Sample { at: self.0.began.elapsed(), read: amounts.read, work: amounts.work() };
        state.pace.push(sample);
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let state = self.state();
        let amounts = state.amounts();
        let copies = matches!(state.step, Step::Copying | Step::Verifying);
        let done = if copies { amounts.done } else { Counts::default() };
        let found = match state.expected {
            Expected::Found(counts) => most(counts, amounts.found),
            _ => amounts.found,
        };
        let eta = if copies { state.eta(&amounts) } else { None };
        Progress {
            generation: self.0.generation,
            step: state.step,
            files_found: found.files,
            files_done: done.files,
            bytes_found: found.bytes,
            bytes_done: done.bytes,
            bytes_per_second: state.pace.rate(),
            eta_seconds: eta,
        }
    }

    /// A step begins.
    pub(crate) fn begin(&self, step: Step, expected: Expected) {
        let mut state = self.state();
        let is_stopped = state.is_stopped;
        *state = State { step, is_stopped, expected, ..State::default() };
        drop(state);
        self.sample();
    }

    /// Runs the engine, or anything else that a control ends.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Control) -> T) -> T {
        let control = Control::new();
        {
            let mut state = self.state();
            if state.is_stopped {
                control.cancel();
            }
            state.running = Some(control.clone());
        }
        let result = work(&control);
        let mut state = self.state();
        state.ended = state.amounts();
        state.running = None;
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn amounts(&self) -> Amounts {
        self.running.as_ref().map_or(self.ended, |running| self.ended.plus(&running.snapshot()))
    }

    fn eta(&self, amounts: &Amounts) -> Option<u64> {
        let expected = match self.expected {
            Expected::Unknown => return None,
            Expected::About(counts) | Expected::Found(counts) => most(counts, amounts.found),
        };
        let left = work(expected).saturating_sub(amounts.work());
        self.pace.eta(left).map(|eta| eta.as_secs_f64().round() as u64)
    }
}

impl Amounts {
    fn plus(self, snapshot: &Snapshot) -> Self {
        let files = &snapshot.files;
        let done = sum(files.done, files.unchanged);
        let settled = sum(done, sum(files.failed, files.skipped));
        Self {
            found: sum(self.found, files.found),
            done: sum(self.done, done),
            settled: sum(self.settled, settled),
            // What ended has nothing in hand any more.
            in_hand: if snapshot.over { 0 } else { snapshot.bytes_read.saturating_sub(files.done.bytes) },
            read: self.read + snapshot.bytes_read,
        }
    }

    fn work(&self) -> u64 {
        work(self.settled) + self.in_hand
    }
}

fn work(counts: Counts) -> u64 {
    counts.bytes.saturating_add(counts.files.saturating_mul(FILE_COST))
}

pub(crate) fn sum(one: Counts, other: Counts) -> Counts {
    Counts { files: one.files + other.files, bytes: one.bytes + other.bytes }
}

fn most(one: Counts, other: Counts) -> Counts {
    Counts { files: one.files.max(other.files), bytes: one.bytes.max(other.bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_cancelled_and_what_begins_later_too() {
        let meter = Meter::new(1);
        meter.run(|control| {
            assert!(!control.is_cancelled());
            meter.stop();
            assert!(control.is_cancelled());
        });
        meter.begin(Step::Verifying, Expected::Unknown);
        meter.run(|control| assert!(control.is_cancelled()));
    }

    #[test]
    fn a_step_begins_with_nothing_done_and_what_is_known_is_found() {
        let meter = Meter::new(7);
        meter.begin(Step::Copying, Expected::Found(Counts { files: 3, bytes: 500 }));
        let progress = meter.progress();
        assert_eq!((progress.generation, progress.step), (7, Step::Copying));
        assert_eq!((progress.files_found, progress.bytes_found), (3, 500));
        assert_eq!((progress.files_done, progress.eta_seconds), (0, None));
        meter.begin(Step::Copying, Expected::About(Counts { files: 3, bytes: 500 }));
        assert_eq!(meter.progress().files_found, 0);
    }
}
