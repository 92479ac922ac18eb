//! How fast an import is, and how long it takes until its end. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Over how long a rate is taken.
const WINDOW: Duration = Duration::from_secs(10);
/// What is expected to last longer than that is not foretold.
const ETA_MAX: f64 = 100.0 * 24.0 * 3600.0;

/// What has happened up to a moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sample {
    /// Bytes that came from the service.
    pub read: u64,
    /// Objects that are settled, in whatever way.
    pub objects: u64,
    /// Their bytes, and those that were read of others.
    pub bytes: u64,
}

/// Samples of the last seconds, each with its moment since the beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    samples: VecDeque<(Duration, Sample)>,
}

impl Pace {
    /// Takes one sample, later than all before.
    pub fn take(&mut self, at: Duration, sample: Sample) {
        self.samples.push_back((at, sample));
        // The last one from before the window is where the window begins.
        while self.samples.get(1).is_some_and(|(second, _)| at.saturating_sub(*second) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Bytes per second that come from the service.
    pub fn rate(&self) -> u64 {
        self.per_second(|sample| sample.read).map_or(0, |rate| rate as u64)
    }

    /// Seconds until `left` objects with so many bytes are settled too; None where that cannot be said.
    pub fn eta_seconds(&self, (objects, bytes): (u64, u64)) -> Option<u64> {
        // Of many small objects the number counts, of a few large ones the bytes: the later end is the end.
        let until = |left: u64, rate: Option<f64>| match (left, rate) {
            (0, _) => Some(0.0),
            (left, Some(rate)) if rate > 0.0 => Some(left as f64 / rate),
            _ => None,
        };
        let by_bytes = until(bytes, self.per_second(|sample| sample.bytes));
        // While one large object is read none is settled: then only bytes tell.
        let by_objects = until(objects, self.per_second(|sample| sample.objects));
        let seconds = match (by_objects, by_bytes) {
            (Some(objects), Some(bytes)) => objects.max(bytes),
            (None, Some(bytes)) if bytes > 0.0 => bytes,
            _ => return None,
        };
        (seconds <= ETA_MAX).then(|| seconds.ceil() as u64)
    }

    fn per_second(&self, of: impl Fn(&Sample) -> u64) -> Option<f64> {
        let ((from, first), (to, last)) = (self.samples.front()?, self.samples.back()?);
        let seconds = to.checked_sub(*from).filter(|time| !time.is_zero())?.as_secs_f64();
        Some(of(last).saturating_sub(of(first)) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(samples: &[(u64, u64, u64)]) -> Pace {
        let mut pace = Pace::default();
        for (second, objects, bytes) in samples {
            let sample = Sample { read: *bytes, objects: *objects, bytes: *bytes };
            pace.take(Duration::from_secs(*second), sample);
        }
        pace
    }

    #[test]
    fn a_rate_is_of_the_last_seconds_only() {
        assert_eq!(pace(&[]).rate(), 0);
        assert_eq!(pace(&[(0, 0, 0)]).rate(), 0);
        assert_eq!(pace(&[(0, 0, 0), (2, 0, 200)]).rate(), 100);
        let samples: Vec<_> = (0..100).map(|n| (n, 0, if n < 50 { n * 1000 } else { 50_000 })).collect();
        assert_eq!(pace(&samples).rate(), 0);
        assert!(pace(&samples).samples.len() <= 12);
    }

    #[test]
    fn the_end_is_when_both_the_objects_and_the_bytes_are_there() {
        let steady = pace(&[(0, 0, 0), (1, 10, 1000)]);
        assert_eq!(steady.eta_seconds((100, 1000)), Some(10));
        assert_eq!(steady.eta_seconds((10, 10_000)), Some(10));
        assert_eq!(steady.eta_seconds((0, 0)), Some(0));
        // Empty objects have no bytes.
        assert_eq!(pace(&[(0, 0, 0), (1, 10, 0)]).eta_seconds((5, 0)), Some(1));
        // One large object.
        assert_eq!(pace(&[(0, 0, 0), (1, 0, 1000)]).eta_seconds((1, 5000)), Some(5));
    }

    #[test]
    fn what_does_not_move_has_no_end_that_could_be_told() {
        let still = pace(&[(0, 5, 500), (3, 5, 500)]);
        assert_eq!(still.eta_seconds((1, 10)), None);
        assert_eq!(still.eta_seconds((1, 0)), None);
        assert_eq!(pace(&[(0, 0, 0), (1, 1, 1)]).eta_seconds((1, u64::MAX)), None);
        assert_eq!(Pace::default().eta_seconds((1, 1)), None);
    }
}
