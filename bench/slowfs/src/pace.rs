//! The count of all operations, and of those that wait at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::counters::Counters;
use crate::operation::Operation;

/// Counts.
#[derive(Debug)]
pub struct Pace {
    counts: [AtomicU64; Operation::ALL.len()],
    waiting: AtomicU64,
    at_once: AtomicU64,
}

/// One operation waits until this is dropped.
#[derive(Debug)]
pub struct Waits(Arc<Pace>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; Operation::ALL.len()],
            waiting: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
        }
    }
}

impl Pace {
    /// Counts an operation.
    pub fn count(&self, operation: Operation) {
        self.counts[operation.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that waits.
    pub fn wait(this: &Arc<Self>) -> Waits {
        let waiting = this.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        this.at_once.fetch_max(waiting, Ordering::Relaxed);
        Waits(Arc::clone(this))
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
    use super::*;

    #[test]
    fn everything_counts_and_what_waits_counts_as_long_as_it_does() {
        let pace = Arc::new(Pace::default());
        [Operation::Flush, Operation::Forget, Operation::Read].iter().for_each(|asked| pace.count(*asked));
        drop([Pace::wait(&pace), Pace::wait(&pace)]);
        drop(Pace::wait(&pace));
        assert_eq!(pace.counters().to_string(), "at-once=2 read=1 flush=1 forget=1");
    }
}
