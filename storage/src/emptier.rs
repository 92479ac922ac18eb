//! Empties the trash: in one thread that works only where nobody else wants processor or disk, at a limited rate ([`run`]), or, in
//! a process with one thread, in slices between other work ([`Slices`]). It is cut anywhere without harm: what is half deleted is
//! deleted further the next time.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use workspacefs_runtime::chain;

use crate::folders::{Doomed, Folders};

/// How often it looks whether a folder's time has come.
const LOOK: Duration = Duration::from_secs(30);
/// How long it works at a stretch; the rate holds over this time.
const SLICE: Duration = Duration::from_millis(1000 / SLICES_PER_SECOND);
const SLICES_PER_SECOND: u64 = 10;
/// So many are deleted between two looks at the clock.
const BETWEEN_LOOKS: u64 = 100;

/// Runs until the other end of `stop` is dropped. At most `entries_per_second` files and folders are deleted.
pub fn run(folders: &Folders, entries_per_second: u64, stop: &Receiver<()>) {
    if let Err(errno) = workspacefs_sys::process::be_last() {
        tracing::warn!(%errno, "the trash is emptied at normal priority");
    }
    let mut stuck = BTreeSet::new();
    // Of all folders together: many small ones are as much work as a large one.
    let mut pace = Pace::new(entries_per_second, stop);
    while pass(folders, &mut stuck, &mut pace) != Pass::Stopped && !stopped(stop, LOOK) {}
}

/// See the module.
#[derive(Debug, Default)]
pub struct Slices {
    stuck: BTreeSet<u32>,
}

impl Slices {
    /// Deletes what is due, for about `time_max` and at most so many entries; the next call goes on.
    pub fn next(&mut self, folders: &Folders, entries_max: u64, time_max: Duration) {
        pass(folders, &mut self.stuck, &mut Slice { left: entries_max, began: Instant::now(), time_max });
    }
}

/// How many entries may be deleted.
trait Budget {
    /// Now; None to stop.
    fn next(&mut self) -> Option<u64>;
    /// So many were.
    fn took(&mut self, entries: u64);
}

#[derive(Eq, PartialEq)]
enum Pass {
    Done,
    Stopped,
}

/// Everything that is due. `stuck` are folders that could not be emptied: the others come first.
fn pass(folders: &Folders, stuck: &mut BTreeSet<u32>, budget: &mut impl Budget) -> Pass {
    loop {
        match folders.doom(stuck) {
            Ok(Some(doomed)) => match empty(folders, &doomed, budget) {
                Outcome::Emptied => {}
                Outcome::Stuck => drop(stuck.insert(doomed.project)),
                Outcome::Stopped => return Pass::Stopped,
            },
            Ok(None) => {
                stuck.clear();
                return Pass::Done;
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "cannot look into the trash");
                return Pass::Done;
            }
        }
    }
}

enum Outcome {
    Emptied,
    Stuck,
    Stopped,
}

/// One slice, and no more.
struct Slice {
    left: u64,
    began: Instant,
    time_max: Duration,
}

impl Budget for Slice {
    fn next(&mut self) -> Option<u64> {
        (self.left > 0 && self.began.elapsed() < self.time_max).then(|| self.left.min(BETWEEN_LOOKS))
    }

    fn took(&mut self, entries: u64) {
        self.left = self.left.saturating_sub(entries);
    }
}

/// What may be deleted when.
struct Pace<'a> {
    per_slice: u64,
    /// In the present slice.
    left: u64,
    began: Instant,
    stop: &'a Receiver<()>,
}

impl<'a> Pace<'a> {
    fn new(entries_per_second: u64, stop: &'a Receiver<()>) -> Self {
        let per_slice = (entries_per_second / SLICES_PER_SECOND).max(1);
        Self { per_slice, left: per_slice, began: Instant::now(), stop }
    }
}

impl Budget for Pace<'_> {
    /// Waits for the next slice where this one's are gone; none if it is to stop.
    fn next(&mut self) -> Option<u64> {
        if self.left == 0 && stopped(self.stop, SLICE.saturating_sub(self.began.elapsed())) {
            return None;
        }
        if self.left == 0 || self.began.elapsed() >= SLICE {
            (self.left, self.began) = (self.per_slice, Instant::now());
        }
        Some(self.left)
    }

    fn took(&mut self, entries: u64) {
        self.left = self.left.saturating_sub(entries);
    }
}

/// Deletes one folder.
fn empty(folders: &Folders, doomed: &Doomed, budget: &mut impl Budget) -> Outcome {
    let path = doomed.place.path();
    tracing::debug!(path, "emptying");
    let mut entries = 0;
    loop {
        let Some(entries_max) = budget.next() else { return Outcome::Stopped };
        let emptied = match folders.disk().remove_some(&doomed.place, entries_max) {
            Ok(emptied) => emptied,
            Err(error) => {
                tracing::error!(path, error = chain(&error), "cannot empty; later again");
                // It does not say how many went before.
                budget.took(entries_max);
                return Outcome::Stuck;
            }
        };
        budget.took(emptied.entries);
        entries += emptied.entries;
        if emptied.done {
            break;
        }
        // A client keeps making things there faster than they go.
        if emptied.entries == 0 {
            return Outcome::Stuck;
        }
    }
    match folders.forget(doomed) {
        Ok(()) => {
            tracing::info!(path, entries, "emptied");
            Outcome::Emptied
        }
        Err(error) => {
            tracing::error!(path, error = chain(&error), "emptied, but still recorded");
            Outcome::Stuck
        }
    }
}

fn stopped(stop: &Receiver<()>, pause: Duration) -> bool {
    matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Disconnected))
}
