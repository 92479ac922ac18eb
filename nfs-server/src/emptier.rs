//! Empties the trash: one thread that works only where nobody else wants processor or disk, at a limited rate. It is cut
//! anywhere without harm: what is half deleted is deleted further the next time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::folders::{Doomed, Folders};
use crate::text::chain;

/// How often it looks whether a folder's time has come.
const LOOK: Duration = Duration::from_secs(30);
/// How long it works at a stretch; the rate holds over this time.
const SLICE: Duration = Duration::from_millis(100);

/// Runs until the other end of `stop` is dropped. At most `entries_per_second` files and folders are deleted.
pub fn run(folders: &Arc<Folders>, entries_per_second: u64, stop: &Receiver<()>) {
    if let Err(errno) = workspacefs_sys::process::be_last() {
        tracing::warn!(%errno, "the trash is emptied at normal priority");
    }
    loop {
        match folders.doom() {
            Ok(Some(doomed)) => {
                if !empty(folders, &doomed, entries_per_second, stop) {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(error = chain(&error), "cannot look into the trash"),
        }
        if stopped(stop, LOOK) {
            return;
        }
    }
}

/// Deletes one folder. False if it was stopped.
fn empty(folders: &Arc<Folders>, doomed: &Doomed, entries_per_second: u64, stop: &Receiver<()>) -> bool {
    let path = doomed.place.path();
    tracing::info!(path, "emptying");
    let mut entries = 0;
    let per_slice = (entries_per_second / (1000 / SLICE.as_millis() as u64)).max(1);
    loop {
        let started = Instant::now();
        match folders.disk().remove_some(&doomed.place, per_slice) {
            Ok(emptied) => {
                entries += emptied.entries;
                if emptied.done {
                    break;
                }
                // Nothing could be removed: a client keeps making things there.
                let pause = if emptied.entries == 0 { LOOK } else { SLICE.saturating_sub(started.elapsed()) };
                if stopped(stop, pause) {
                    return false;
                }
            }
            Err(error) => {
                tracing::error!(path, error = chain(&error), "cannot empty; trying again");
                return !stopped(stop, LOOK);
            }
        }
    }
    match folders.forget(doomed) {
        Ok(()) => tracing::info!(path, entries, "emptied"),
        Err(error) => {
            tracing::error!(path, error = chain(&error), "emptied, but still recorded; trying again");
            return !stopped(stop, LOOK);
        }
    }
    true
}

fn stopped(stop: &Receiver<()>, pause: Duration) -> bool {
    matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Disconnected))
}
