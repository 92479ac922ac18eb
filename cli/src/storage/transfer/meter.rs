//! Counts what a transfer has found and done, while it runs and for its report.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use workspacefs_sync::{Counts, Snapshot, Tally};

/// Problems that are kept to be told; of more only the number.
const PROBLEMS_MAX: usize = 1000;
/// The rate shown is that of so many seconds.
const RATE_OVER: Duration = Duration::from_secs(5);

/// What there is to know of a transfer.
pub struct Meter {
    began: Instant,
    found: Counter,
    done: Counter,
    unchanged: Counter,
    failed: Counter,
    left_out: Counter,
    folders: AtomicU64,
    moved: AtomicU64,
    listed: AtomicBool,
    current: Mutex<Option<PathBuf>>,
    problems: Mutex<Problems>,
    history: Mutex<Vec<(Duration, u64)>>,
}

#[derive(Default)]
struct Counter {
    files: AtomicU64,
    bytes: AtomicU64,
}

/// One path that is not as it was asked for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
pub struct Problem {
    /// As shown to people.
    pub path: String,
    /// A word for programs.
    pub code: String,
    /// Why.
    pub message: String,
}

/// All of them.
#[derive(Clone, Default)]
pub struct Problems {
    /// The first thousand.
    pub kept: Vec<Problem>,
    /// How many there are.
    pub count: u64,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It arrived.
    Done,
    /// It was there.
    Unchanged,
}

impl Counter {
    fn add(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn counts(&self) -> Counts {
        Counts { files: self.files.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl Meter {
    /// Begins now.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            found: Counter::default(),
            done: Counter::default(),
            unchanged: Counter::default(),
            failed: Counter::default(),
            left_out: Counter::default(),
            folders: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            listed: AtomicBool::new(false),
            current: Mutex::new(None),
            problems: Mutex::default(),
            history: Mutex::default(),
        }
    }

    /// A file of so many bytes.
    pub fn found(&self, bytes: u64) {
        self.found.add(bytes);
    }

    /// There are no more.
    pub fn listed(&self) {
        self.listed.store(true, Ordering::Relaxed);
    }

    /// What became of it.
    pub fn settled(&self, fate: Fate, bytes: u64) {
        match fate {
            Fate::Done => self.done.add(bytes),
            Fate::Unchanged => self.unchanged.add(bytes),
        }
    }

    /// It did not arrive.
    pub fn failed(&self, bytes: u64, problem: Problem) {
        self.failed.add(bytes);
        self.tell(problem);
    }

    /// It is something that is not moved, and that was not asked to be passed over in silence.
    pub fn left_out(&self, problem: Option<Problem>) {
        self.found.add(0);
        self.left_out.add(0);
        if let Some(problem) = problem {
            self.tell(problem);
        }
    }

    /// A folder could not be read or made.
    pub fn folder_failed(&self, problem: Problem) {
        self.tell(problem);
    }

    /// A folder was made, or is there.
    pub fn folder(&self) {
        self.folders.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that went over the wire.
    pub fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is in hand.
    pub fn current(&self, path: PathBuf) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
    }

    fn tell(&self, problem: Problem) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.count += 1;
        if problems.kept.len() < PROBLEMS_MAX {
            problems.kept.push(problem);
        }
    }

    /// What went wrong, by path.
    pub fn problems(&self) -> Problems {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        problems.kept.sort();
        problems
    }

    /// Counts of files.
    pub fn files(&self) -> Tally {
        Tally {
            found: self.found.counts(),
            done: self.done.counts(),
            unchanged: self.unchanged.counts(),
            failed: self.failed.counts(),
            skipped: self.left_out.counts(),
        }
    }

    /// Folders that were made, or were there.
    pub fn folders(&self) -> u64 {
        self.folders.load(Ordering::Relaxed)
    }

    /// Since it began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Now.
    pub fn snapshot(&self, over: bool) -> Snapshot {
        let (elapsed, moved) = (self.elapsed(), self.moved.load(Ordering::Relaxed));
        let rate = {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            history.retain(|(then, _)| *then + RATE_OVER > elapsed);
            history.push((elapsed, moved));
            let (then, before) = history[0];
            (moved - before) as f64 / (elapsed - then).as_secs_f64().max(0.1)
        };
        let files = self.files();
        let behind = files.unchanged.bytes + files.failed.bytes + moved.max(files.done.bytes);
        let left = files.found.bytes.saturating_sub(behind) as f64;
        let listed = self.listed.load(Ordering::Relaxed);
        let eta = (listed && rate > 0.0).then(|| Duration::try_from_secs_f64(left / rate).ok()).flatten();
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Snapshot {
            files,
            bytes_read: moved,
            rate,
            listed,
            eta,
            current: current.into_iter().collect(),
            elapsed,
            over,
            ..Snapshot::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_counted_once_and_problems_do_not_fill_the_memory() {
        let meter = Meter::new();
        for _ in 0..3000 {
            meter.found(10);
        }
        meter.settled(Fate::Done, 10);
        meter.settled(Fate::Unchanged, 10);
        for number in 0..2998 {
            let problem = Problem { path: format!("/{number}"), code: "x".into(), message: "y".into() };
            meter.failed(10, problem);
        }
        meter.left_out(None);
        let (files, problems) = (meter.files(), meter.problems());
        let settled = files.done.files + files.unchanged.files + files.failed.files + files.skipped.files;
        assert_eq!((files.found.files, settled), (3001, 3001));
        assert_eq!((problems.kept.len(), problems.count), (1000, 2998));
        assert!(problems.kept.is_sorted());
    }
}
