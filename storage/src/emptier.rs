//! Empties the trash: one thread that works only where nobody else wants processor or disk, at a limited rate. It is cut
//! anywhere without harm: what is half deleted is deleted further the next time.

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

/// Runs until the other end of `stop` is dropped. At most `entries_per_second` files and folders are deleted.
pub fn run(folders: &Folders, entries_per_second: u64, stop: &Receiver<()>) {
    if let Err(errno) = workspacefs_sys::process::be_last() {
        tracing::warn!(%errno, "the trash is emptied at normal priority");
    }
    // Folders that could not be emptied: the others come first.
    let mut stuck = BTreeSet::new();
    // Of all folders together: many small ones are as much work as a large one.
    let mut pace = Pace::new(entries_per_second);
    loop {
        match folders.doom(&stuck) {
            Ok(Some(doomed)) => match empty(folders, &doomed, &mut pace, stop) {
                Outcome::Emptied => continue,
                Outcome::Stuck => {
                    stuck.insert(doomed.project);
                    continue;
                }
                Outcome::Stopped => return,
            },
            Ok(None) => stuck.clear(),
            Err(error) => tracing::error!(error = chain(&error), "cannot look into the trash"),
        }
        if stopped(stop, LOOK) {
            return;
        }
    }
}

enum Outcome {
    Emptied,
    Stuck,
    Stopped,
}

/// What may be deleted when.
struct Pace {
    per_slice: u64,
    /// In the present slice.
    left: u64,
    began: Instant,
}

impl Pace {
    fn new(entries_per_second: u64) -> Self {
        let per_slice = (entries_per_second / SLICES_PER_SECOND).max(1);
        Self { per_slice, left: per_slice, began: Instant::now() }
    }

    /// How many entries may be deleted now. Waits for the next slice where this one's are; none if it is to stop.
    fn next(&mut self, stop: &Receiver<()>) -> Option<u64> {
        if self.left == 0 && stopped(stop, SLICE.saturating_sub(self.began.elapsed())) {
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
fn empty(folders: &Folders, doomed: &Doomed, pace: &mut Pace, stop: &Receiver<()>) -> Outcome {
    let path = doomed.place.path();
    tracing::info!(path, "emptying");
    let mut entries = 0;
    loop {
        let Some(entries_max) = pace.next(stop) else { return Outcome::Stopped };
        let emptied = match folders.disk().remove_some(&doomed.place, entries_max) {
            Ok(emptied) => emptied,
            Err(error) => {
                tracing::error!(path, error = chain(&error), "cannot empty; later again");
                return Outcome::Stuck;
            }
        };
        pace.took(emptied.entries);
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
