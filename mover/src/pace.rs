//! How fast it goes and how long it will take: from a few looks at how far it is.

use std::collections::VecDeque;
use std::time::Duration;

/// What a file costs beside its bytes, in bytes: thousands of small files take their time too.
pub(crate) const FILE_COST: u64 = 64 << 10;
/// The rate shown is that of so much time: steady enough to read.
const RATE_OVER: Duration = Duration::from_secs(5);
/// What it has been like for so long is taken to go on.
const ETA_OVER: Duration = Duration::from_secs(30);
/// Less says nothing.
const ETA_AFTER: Duration = Duration::from_secs(1);

/// How far it is at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Since some moment before all of them.
    pub at: Duration,
    /// Bytes read.
    pub read: u64,
    /// Bytes done, and [`FILE_COST`] for each file done.
    pub work: u64,
}

/// The last samples.
#[derive(Debug, Default)]
pub(crate) struct Pace(VecDeque<Sample>);

impl Pace {
    pub fn push(&mut self, sample: Sample) {
        // One that is older than the window stays, so that the window is always full.
        while self.0.get(1).is_some_and(|second| second.at + ETA_OVER <= sample.at) {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// Bytes read per second.
    pub fn rate(&self) -> u64 {
        let Some(last) = self.0.back() else { return 0 };
        let first = self.0.iter().rev().take_while(|sample| sample.at + RATE_OVER >= last.at).last();
        first.map_or(0, |first| per_second(last.read.saturating_sub(first.read), last.at - first.at) as u64)
    }

    /// How long so much work will take.
    pub fn eta(&self, left: u64) -> Option<Duration> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let time = last.at.saturating_sub(first.at);
        if time < ETA_AFTER {
            return None;
        }
        let rate = per_second(last.work.saturating_sub(first.work), time);
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }
}

fn per_second(amount: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { amount as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples per second.
    fn pace(works: impl IntoIterator<Item = u64>) -> Pace {
        let mut pace = Pace::default();
        for (number, work) in (0..).zip(works) {
            pace.push(Sample { at: Duration::from_millis(500 * number), read: work, work });
        }
        pace
    }

    #[test]
    fn what_goes_on_evenly_ends_when_it_says_it_will() {
        let pace = pace((0..20).map(|n| n * 50));
        assert_eq!((pace.rate(), pace.eta(1000)), (100, Some(Duration::from_secs(10))));
    }

    #[test]
    fn what_went_fast_long_ago_is_forgotten() {
        let fast = (0..10).map(|n| n * 1_000_000);
        let slow = (0..100).map(|n| 9_000_000 + n * 50);
        let pace = pace(fast.chain(slow));
        assert_eq!((pace.rate(), pace.eta(1000)), (100, Some(Duration::from_secs(10))));
        assert!(pace.0.len() < 70, "{} samples", pace.0.len());
    }

    #[test]
    fn nothing_is_foretold_from_no_time_or_no_progress() {
        assert_eq!(pace([]).eta(1), None);
        assert_eq!(pace([0, 50]).eta(1), None);
        assert_eq!((pace([7; 10]).rate(), pace([7; 10]).eta(1)), (0, None));
    }
}
