//! The pause before each operation, and the count of all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counters::Counters;
use crate::operation::Operation;

/// Counts and delays.
#[derive(Debug)]
pub struct Pace {
    delay: Duration,
    counts: [AtomicU64; Operation::ALL.len()],
    waiting: AtomicU64,
    at_once: AtomicU64,
}

impl Pace {
    /// With this pause.
    pub fn new(delay: Duration) -> Self {
        Self {
            delay,
            counts: [const { AtomicU64::new(0) }; Operation::ALL.len()],
            waiting: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
        }
    }

    /// Counts an operation and pauses, if it is one of those with a pause.
    pub fn take(&self, operation: Operation) {
        self.counts[operation.index()].fetch_add(1, Ordering::Relaxed);
        if operation.is_slow() {
            let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
            self.at_once.fetch_max(waiting, Ordering::Relaxed);
            std::thread::sleep(self.delay);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far. Who has its answer finds its question counted.
    pub fn counters(&self) -> Counters {
        let count =
            |operation: &Operation| (*operation, self.counts[operation.index()].load(Ordering::Relaxed));
        let operations = Operation::ALL.iter().map(count).filter(|(_, count)| *count > 0).collect();
        Counters { operations, at_once: self.at_once.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn only_what_is_slow_pauses_and_everything_counts() {
        let pace = Pace::new(Duration::from_millis(50));
        let started = Instant::now();
        let quick = [Operation::Flush, Operation::Release, Operation::ReleaseDir, Operation::Forget];
        quick.into_iter().for_each(|operation| pace.take(operation));
        let quick = started.elapsed();
        pace.take(Operation::Read);
        assert!(started.elapsed() - quick >= Duration::from_millis(50));
        assert_eq!(pace.counters().to_string(), "at-once=1 read=1 flush=1 release=1 releasedir=1 forget=1");
    }
}
