//! What one run of an import has done so far: counted by its tasks, read by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use workspacefs_files_proto::import::{ByteCounts, ImportFailure, ObjectCounts};

use super::pace::{Pace, Sample};

/// So many failures are told one by one; the others are counted.
pub(crate) const FAILURES_MAX: usize = 1000;
/// Of a key and of a reason so many bytes are kept: keys have at most 1,024.
const KEY_BYTES_MAX: usize = 1024;
const REASON_BYTES_MAX: usize = 300;

/// The numbers of a run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Objects that were found; after the listing all there are. Of them done, skipped and failed have one outcome each.
    pub objects: u64,
    /// Read and written.
    pub done: u64,
    /// They were there already.
    pub skipped: u64,
    /// Not there; see the failures.
    pub failed: u64,
    /// Bytes of all that were found.
    pub bytes: u64,
    /// Bytes of what is there, and what was read of objects under way.
    pub bytes_done: u64,
    /// Bytes of what failed.
    pub bytes_failed: u64,
    /// Of those done, how many could be compared by their size only.
    pub by_size: u64,
}

impl Counts {
    /// As the contract has them.
    pub fn shown(&self) -> (ObjectCounts, ByteCounts) {
        let objects =
            ObjectCounts { total: self.objects, done: self.done, skipped: self.skipped, failed: self.failed };
        (objects, ByteCounts { total: self.bytes, done: self.bytes_done })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    objects: AtomicU64,
    done: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    bytes_done: AtomicU64,
    bytes_failed: AtomicU64,
    bytes_read: AtomicU64,
    by_size: AtomicU64,
    failures: Mutex<Vec<ImportFailure>>,
    pace: Mutex<Pace>,
}

/// How an object came to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Done { by_size: bool },
    Skipped,
    Failed(ImportFailure),
}

/// One object under way. What was counted of its bytes is put right when it is settled, or dropped unsettled.
#[derive(Debug)]
pub(crate) struct UnderWay<'a> {
    progress: &'a Progress,
    /// Its bytes as they stand in the total.
    size: u64,
    read: u64,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            objects: AtomicU64::default(),
            done: AtomicU64::default(),
            skipped: AtomicU64::default(),
            failed: AtomicU64::default(),
            bytes: AtomicU64::default(),
            bytes_done: AtomicU64::default(),
            bytes_failed: AtomicU64::default(),
            bytes_read: AtomicU64::default(),
            by_size: AtomicU64::default(),
            failures: Mutex::default(),
            pace: Mutex::default(),
        }
    }

    /// So many objects were found, with so many bytes.
    pub fn found(&self, objects: u64, bytes: u64) {
        add(&self.objects, objects);
        add(&self.bytes, bytes);
    }

    /// An object that was found begins.
    pub fn begin(&self, size: u64) -> UnderWay<'_> {
        UnderWay { progress: self, size, read: 0 }
    }

    /// The numbers now.
    pub fn counts(&self) -> Counts {
        Counts {
            objects: get(&self.objects),
            done: get(&self.done),
            skipped: get(&self.skipped),
            failed: get(&self.failed),
            bytes: get(&self.bytes),
            bytes_done: get(&self.bytes_done),
            bytes_failed: get(&self.bytes_failed),
            by_size: get(&self.by_size),
        }
    }

    /// The first of those that failed, so many at most.
    pub fn failures(&self, max: usize) -> Vec<ImportFailure> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().take(max).cloned().collect()
    }

    /// To be called every second or so.
    pub fn sample(&self) {
        let counts = self.counts();
        let sample = Sample {
            read: get(&self.bytes_read),
            objects: counts.done + counts.skipped + counts.failed,
            bytes: counts.bytes_done + counts.bytes_failed,
        };
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(self.begun.elapsed(), sample);
    }

    /// Bytes per second, and seconds to go if there is nothing more to be found.
    pub fn pace(&self) -> (u64, Option<u64>) {
        let counts = self.counts();
        let left = (
            counts.objects.saturating_sub(counts.done + counts.skipped + counts.failed),
            counts.bytes.saturating_sub(counts.bytes_done + counts.bytes_failed),
        );
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        (pace.rate(), pace.eta_seconds(left))
    }

    fn fail(&self, mut failed: ImportFailure) {
        add(&self.failed, 1);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_MAX {
            cut(&mut failed.key, KEY_BYTES_MAX);
            cut(&mut failed.reason, REASON_BYTES_MAX);
            failures.push(failed);
        }
    }
}

impl UnderWay<'_> {
    /// So many bytes of it came.
    pub fn read(&mut self, bytes: u64) {
        self.read += bytes;
        add(&self.progress.bytes_read, bytes);
        add(&self.progress.bytes_done, bytes);
    }

    /// It is read from its beginning again, perhaps as another version with another size.
    pub fn again(&mut self, size: u64) {
        self.take_back();
        let bytes = &self.progress.bytes;
        if size >= self.size {
            add(bytes, size - self.size);
        } else {
            bytes.fetch_sub(self.size - size, Ordering::Relaxed);
        }
        self.size = size;
    }

    /// Its end.
    pub fn settle(mut self, outcome: Outcome) {
        self.take_back();
        let progress = self.progress;
        match outcome {
            Outcome::Done { by_size } => {
                add(&progress.bytes_done, self.size);
                add(&progress.by_size, u64::from(by_size));
                add(&progress.done, 1);
            }
            Outcome::Skipped => {
                add(&progress.bytes_done, self.size);
                add(&progress.skipped, 1);
            }
            Outcome::Failed(failed) => {
                add(&progress.bytes_failed, self.size);
                progress.fail(failed);
            }
        }
    }

    fn take_back(&mut self) {
        self.progress.bytes_done.fetch_sub(std::mem::take(&mut self.read), Ordering::Relaxed);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.take_back();
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(key: &str) -> Outcome {
        Outcome::Failed(ImportFailure { key: key.into(), reason: "it is not there".into() })
    }

    #[test]
    fn each_object_has_one_outcome_and_its_bytes_count_once() {
        let progress = Progress::new();
        progress.found(4, 100);
        let mut one = progress.begin(40);
        one.read(40);
        one.settle(Outcome::Done { by_size: true });
        progress.begin(10).settle(Outcome::Skipped);
        let mut two = progress.begin(30);
        two.read(20);
        assert_eq!(progress.counts().bytes_done, 70);
        two.settle(failed("k"));
        let mut three = progress.begin(20);
        three.read(20);
        three.again(25);
        assert_eq!((progress.counts().bytes, progress.counts().bytes_done), (105, 50));
        three.read(5);
        drop(three);
        let expected = Counts {
            objects: 4,
            done: 1,
            skipped: 1,
            failed: 1,
            bytes: 105,
            bytes_done: 50,
            bytes_failed: 30,
            by_size: 1,
        };
        assert_eq!(progress.counts(), expected);
    }

    #[test]
    fn of_failures_the_first_are_kept_and_short() {
        let progress = Progress::new();
        for _ in 0..FAILURES_MAX + 5 {
            progress.begin(1).settle(failed(&"ä".repeat(2000)));
        }
        let failures = progress.failures(usize::MAX);
        assert_eq!(failures.len(), FAILURES_MAX);
        assert!(failures.iter().all(|failed| failed.key.len() <= KEY_BYTES_MAX));
        assert_eq!(progress.counts().failed, FAILURES_MAX as u64 + 5);
    }
}
