//! A running copy seen from outside: how far it is, and a word to stop it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::locked::lock;
use crate::report::{Counts, Tally};

/// The handle of one run, shared with whoever watches or cancels it. Used for one run only.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Shared>);

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Files so far; `found` grows until [`Snapshot::listed`].
    pub files: Tally,
    /// Directories so far.
    pub directories: Tally,
    /// Deleted in the destination so far.
    pub deleted: u64,
    /// Bytes read from the source so far, of files that are not done yet too.
    pub bytes_read: u64,
    /// Bytes per second over the last seconds.
    pub rate: f64,
    /// Everything has been found: `found` is final.
    pub listed: bool,
    /// When it will be done if it goes on like this; not known before everything is listed.
    pub eta: Option<Duration>,
    /// What the workers have in hand.
    pub current: Vec<PathBuf>,
    /// Since the run began.
    pub elapsed: Duration,
    /// The run is over; this is the last one.
    pub over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    files: Tallies,
    directories: Tallies,
    deleted: AtomicU64,
    bytes_read: AtomicU64,
    listed: AtomicBool,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    over: bool,
    /// One place per worker.
    current: Vec<Option<PathBuf>>,
}

/// [`Tally`] while it is counted.
#[derive(Debug, Default)]
struct Tallies([Pair; 5]);

#[derive(Debug, Default)]
struct Pair {
    files: AtomicU64,
    bytes: AtomicU64,
}

/// Where a file is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Found,
    Done,
    Unchanged,
    Failed,
    Skipped,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    File,
    Directory,
}

impl Control {
    /// For a run that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the run end at the next file or chunk; its temporary files are removed.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Control::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// How far it is now. The rate is that since the beginning; [`Control::snapshots`] has the present one.
    pub fn snapshot(&self) -> Snapshot {
        let (began, over, current) = {
            let state = lock(&self.0.state);
            (state.began, state.over, state.current.iter().flatten().cloned().collect())
        };
        let elapsed = began.map_or(Duration::ZERO, |began| began.elapsed());
        let mut snapshot = Snapshot {
            files: self.tally(What::File),
            directories: self.tally(What::Directory),
            deleted: self.deleted(),
            bytes_read: self.0.bytes_read.load(Ordering::Relaxed),
            listed: self.0.listed.load(Ordering::Relaxed),
            current,
            elapsed,
            over,
            ..Snapshot::default()
        };
        snapshot.estimate(snapshot.bytes_read, elapsed);
        snapshot
    }

    /// One snapshot per `interval`, the last one when the run is over. May be called before the run begins.
    pub fn snapshots(&self, interval: Duration) -> Snapshots {
        Snapshots { control: self.clone(), interval, history: Vec::new(), over: false }
    }

    pub(crate) fn begin(&self, workers: usize) {
        let mut state = lock(&self.0.state);
        state.began = Some(Instant::now());
        state.current = vec![None; workers];
    }

    pub(crate) fn end(&self) {
        let mut state = lock(&self.0.state);
        state.over = true;
        state.current.clear();
        self.0.ended.notify_all();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let state = lock(&self.0.state);
        state.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    pub(crate) fn count(&self, what: What, place: Place, bytes: u64) {
        self.count_many(what, place, Counts { files: 1, bytes });
    }

    pub(crate) fn count_many(&self, what: What, place: Place, counts: Counts) {
        let tallies = match what {
            What::File => &self.0.files,
            What::Directory => &self.0.directories,
        };
        let pair = &tallies.0[place as usize];
        pair.files.fetch_add(counts.files, Ordering::Relaxed);
        pair.bytes.fetch_add(counts.bytes, Ordering::Relaxed);
    }

    /// What was counted as a file turned out to be a directory.
    pub(crate) fn uncount_file(&self) {
        self.0.files.0[Place::Found as usize].files.fetch_sub(1, Ordering::Relaxed);
    }

    /// A file is looked at again, and its bytes will be counted again.
    pub(crate) fn uncount_bytes(&self, bytes: u64) {
        self.0.files.0[Place::Found as usize].bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A file that was done is not: it will be counted as failed.
    pub(crate) fn uncount_done(&self, bytes: u64) {
        let done = &self.0.files.0[Place::Done as usize];
        done.files.fetch_sub(1, Ordering::Relaxed);
        done.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self, what: What) -> Tally {
        let tallies = match what {
            What::File => &self.0.files,
            What::Directory => &self.0.directories,
        };
        let counts = |place: Place| {
            let pair = &tallies.0[place as usize];
            Counts { files: pair.files.load(Ordering::Relaxed), bytes: pair.bytes.load(Ordering::Relaxed) }
        };
        Tally {
            done: counts(Place::Done),
            unchanged: counts(Place::Unchanged),
            failed: counts(Place::Failed),
            skipped: counts(Place::Skipped),
            // Read last: what ended up somewhere was found before.
            found: counts(Place::Found),
        }
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.0.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn delete_one(&self) {
        self.0.deleted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn deleted(&self) -> u64 {
        self.0.deleted.load(Ordering::Relaxed)
    }

    /// Whether anything was, or in a dry run would have been, copied or deleted, or could not be looked at.
    pub(crate) fn differs(&self) -> bool {
        let counts =
            |tallies: &Tallies, place: Place| tallies.0[place as usize].files.load(Ordering::Relaxed);
        let tallies = [&self.0.files, &self.0.directories];
        tallies.iter().any(|tallies| counts(tallies, Place::Done) + counts(tallies, Place::Failed) > 0)
            || self.deleted() > 0
    }

    pub(crate) fn listed(&self) {
        self.0.listed.store(true, Ordering::Relaxed);
    }

    /// What the worker has in hand.
    pub(crate) fn at(&self, worker: usize, path: Option<PathBuf>) {
        let mut state = lock(&self.0.state);
        if let Some(place) = state.current.get_mut(worker) {
            *place = path;
        }
    }
}

impl Snapshot {
    /// Rate and ETA from the bytes read in the last `time`.
    fn estimate(&mut self, bytes: u64, time: Duration) {
        if time.is_zero() {
            return;
        }
        self.rate = bytes as f64 / time.as_secs_f64();
        let counts = &self.files;
        let settled = counts.unchanged.bytes + counts.failed.bytes + counts.skipped.bytes;
        let left = counts.found.bytes.saturating_sub(settled).saturating_sub(self.bytes_read);
        self.eta = match (self.listed, self.rate > 0.0) {
            (true, true) => Duration::try_from_secs_f64(left as f64 / self.rate).ok(),
            _ => None,
        };
    }
}

/// The stream of a run's snapshots; blocks between them.
#[derive(Debug)]
pub struct Snapshots {
    control: Control,
    interval: Duration,
    /// Moments and bytes read then, of the last [`RATE_OVER`].
    history: Vec<(Duration, u64)>,
    over: bool,
}

/// The rate shown is that of so many seconds: steady enough to read.
const RATE_OVER: Duration = Duration::from_secs(5);

impl Iterator for Snapshots {
    type Item = Snapshot;

    fn next(&mut self) -> Option<Snapshot> {
        if self.over {
            return None;
        }
        let shared = &self.control.0;
        let state = lock(&shared.state);
        drop(shared.ended.wait_timeout_while(state, self.interval, |state| !state.over));
        let mut snapshot = self.control.snapshot();
        self.over = snapshot.over;
        let now = snapshot.elapsed;
        self.history.retain(|(then, _)| *then + RATE_OVER > now);
        if let Some((then, bytes)) = self.history.first() {
            snapshot.estimate(snapshot.bytes_read.saturating_sub(*bytes), now.saturating_sub(*then));
        }
        self.history.push((now, snapshot.bytes_read));
        Some(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_ends_with_the_run_and_its_last_snapshot_has_the_final_figures() {
        let control = Control::new();
        control.begin(1);
        let watcher = control.snapshots(Duration::from_millis(1));
        let watching = std::thread::spawn(move || watcher.last());
        control.count(What::File, Place::Found, 7);
        control.count(What::File, Place::Done, 7);
        control.end();
        let last = watching.join().unwrap().unwrap();
        assert!(last.over && last.files.adds_up());
        assert_eq!(last.files.done, Counts { files: 1, bytes: 7 });
    }

    #[test]
    fn there_is_no_eta_before_everything_is_listed() {
        let mut snapshot = Snapshot { bytes_read: 100, ..Snapshot::default() };
        snapshot.files.found.bytes = 300;
        snapshot.files.unchanged.bytes = 50;
        snapshot.estimate(100, Duration::from_secs(2));
        assert_eq!((snapshot.rate, snapshot.eta), (50.0, None));
        snapshot.listed = true;
        snapshot.estimate(100, Duration::from_secs(2));
        assert_eq!(snapshot.eta, Some(Duration::from_secs(3)));
    }
}
