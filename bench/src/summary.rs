//! Many durations in a few numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Percentiles of one thing measured many times, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Summary {
    /// How many times it was measured.
    pub count: usize,
    /// Half took no longer than this.
    pub p50_us: f64,
    /// 99 of 100 took no longer than this.
    pub p99_us: f64,
}

impl Summary {
    /// Of these durations; None of none. Percentiles by nearest rank: each is a duration that was measured.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort();
        let rank = |percent: usize| {
            let at = (durations.len() * percent).div_ceil(100).max(1) - 1;
            durations.get(at).map(|duration| duration.as_secs_f64() * 1e6)
        };
        Some(Self { count: durations.len(), p50_us: rank(50)?, p99_us: rank(99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        let hundred = (1..=100).rev().map(Duration::from_micros).collect();
        let summary = Summary::of(hundred).unwrap();
        assert_eq!((summary.count, summary.p50_us.round(), summary.p99_us.round()), (100, 50.0, 99.0));
        let one = Summary::of(vec![Duration::from_micros(7)]).unwrap();
        assert_eq!((one.p50_us.round(), one.p99_us.round()), (7.0, 7.0));
        assert_eq!(Summary::of(vec![]), None);
    }
}
