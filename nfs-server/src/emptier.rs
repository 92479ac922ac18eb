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
    loop {
        match folders.doom(&stuck) {
            Ok(Some(doomed)) => match empty(folders, &doomed, entries_per_second, stop) {
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

/// Deletes one folder.
fn empty(folders: &Folders, doomed: &Doomed, entries_per_second: u64, stop: &Receiver<()>) -> Outcome {
    let path = doomed.place.path();
    tracing::info!(path, "emptying");
    let mut entries = 0;
    let per_slice = (entries_per_second / SLICES_PER_SECOND).max(1);
    loop {
        let started = Instant::now();
        let emptied = match folders.disk().remove_some(&doomed.place, per_slice) {
            Ok(emptied) => emptied,
            Err(error) => {
                tracing::error!(path, error = chain(&error), "cannot empty; later again");
                return Outcome::Stuck;
            }
        };
        entries += emptied.entries;
        if emptied.done {
            break;
        }
        // A client keeps making things there faster than they go.
        if emptied.entries == 0 {
            return Outcome::Stuck;
        }
        if stopped(stop, SLICE.saturating_sub(started.elapsed())) {
            return Outcome::Stopped;
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
