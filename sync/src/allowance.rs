//! How much one deletion may do before it leaves the rest to the next one, for all its workers together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub(crate) struct Allowance {
    entries_max: u64,
    time_max: Option<Duration>,
    taken: AtomicU64,
    /// When the first was taken. The way to it does not count: on a slow server the time would be over each time before
    /// anything is removed.
    began: OnceLock<Instant>,
}

impl Allowance {
    /// None where neither number nor time is limited.
    pub fn new(entries_max: Option<u64>, time_max: Option<Duration>) -> Option<Self> {
        let is_limited = entries_max.is_some() || time_max.is_some();
        is_limited.then(|| Self {
            entries_max: entries_max.unwrap_or(u64::MAX),
            time_max,
            taken: AtomicU64::new(0),
            began: OnceLock::new(),
        })
    }

    /// Whether one more entry may be removed; who asks then does. The first always may, or there would be no end.
    pub fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        let began = *self.began.get_or_init(|| now);
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let in_time = self.time_max.is_none_or(|max| now.saturating_duration_since(began) < max);
        before == 0 || before < self.entries_max && in_time
    }

    /// So many more at most, and one in any case.
    pub fn left(&self) -> u64 {
        self.entries_max.saturating_sub(self.taken.load(Ordering::Relaxed)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &Allowance) -> usize {
        (0..100).filter(|_| allowance.take()).count()
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let allowance = Allowance::new(Some(90), None).unwrap();
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&allowance))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((all, allowance.left()), (90, 1));
    }

    #[test]
    fn the_first_is_given_without_number_and_time_and_nothing_after_it() {
        for (entries_max, time_max) in
            [(Some(0), None), (None, Some(Duration::ZERO)), (Some(9), Some(Duration::ZERO))]
        {
            let allowance = Allowance::new(entries_max, time_max).unwrap();
            assert_eq!(taken(&allowance), 1, "{entries_max:?} {time_max:?}");
        }
        assert!(Allowance::new(None, None).is_none());
    }

    #[test]
    fn time_counts_from_the_first_one_taken() {
        let ms = Duration::from_millis;
        let allowance = Allowance::new(None, Some(ms(300))).unwrap();
        let first = Instant::now() + ms(10_000);
        for (after, given) in [(0, true), (299, true), (300, false), (900, false)] {
            assert_eq!(allowance.take_at(first + ms(after)), given, "after {after} ms");
        }
    }
}
