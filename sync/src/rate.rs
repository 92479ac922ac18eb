//! A limit of so many units per second, shared by many threads: bytes that are read, entries that are deleted.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much of its rate a limiter that was not used may catch up on at once. Long enough to make good for a thread that
/// wakes up late, short enough to be seen by nobody.
const BURST: Duration = Duration::from_millis(50);
/// A taker looks so often whether it is still wanted.
const SLEEP_MAX: Duration = Duration::from_millis(100);
const NANOSECONDS: u128 = 1_000_000_000;

/// Says who has to wait for how long; has no clock of its own.
///
/// It keeps a place on a line on which one second is `per_second` units: up to there everything is given away. Places
/// are counted in billionths of a unit, so that nothing is lost by rounding however small the units or large the rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: NonZeroU64,
    /// The place up to which everything is given away.
    given: u128,
    /// The largest that was asked for.
    largest: u128,
}

impl Bucket {
    pub fn new(per_second: NonZeroU64) -> Self {
        Self { per_second, given: 0, largest: 0 }
    }

    /// Reserves `units` for someone who asks `now`, a time since the bucket was made; they are the asker's after the
    /// time that is given back. Over the time since the bucket was made never more than the rate and one burst are given
    /// away; of what was not used, no more than a burst or the largest reservation can be had later: as much as passes
    /// while one who waits and reads in turns is reading, so that a single thread gets the full rate, too.
    pub fn reserve(&mut self, now: Duration, units: u64) -> Duration {
        let (rate, cost) = (u128::from(self.per_second.get()), u128::from(units) * NANOSECONDS);
        let burst = BURST.as_nanos() * rate;
        let today = now.as_nanos().saturating_mul(rate).saturating_add(burst);
        self.largest = self.largest.max(cost);
        let unused_max = burst.max(self.largest);
        self.given = self.given.max(today.saturating_sub(unused_max)).saturating_add(cost);
        let wait = self.given.saturating_sub(today).div_ceil(rate);
        u64::try_from(wait).map_or(Duration::MAX, Duration::from_nanos)
    }
}

/// A bucket with the clock, for many threads.
#[derive(Debug)]
pub(crate) struct Limiter {
    began: Instant,
    bucket: Mutex<Bucket>,
}

impl Limiter {
    pub fn new(per_second: NonZeroU64) -> Self {
        Self { began: Instant::now(), bucket: Mutex::new(Bucket::new(per_second)) }
    }

    /// Waits until so many units may be taken. Gives up soon after it is cancelled; who cancels must look for himself.
    pub fn take(&self, units: u64, cancelled: impl Fn() -> bool) {
        let until = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.began.elapsed();
            now.saturating_add(bucket.reserve(now, units))
        };
        loop {
            let left = until.saturating_sub(self.began.elapsed());
            if left.is_zero() || cancelled() {
                return;
            }
            std::thread::sleep(left.min(SLEEP_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn bucket(per_second: u64) -> Bucket {
        Bucket::new(NonZeroU64::new(per_second).unwrap())
    }

    /// Takers that each take, wait, work for some part of what it cost, and take again. Gives back when what was given,
    /// in order of time.
    fn simulate(per_second: u64, takers: &[Vec<u64>], work: f64, until: Duration) -> Vec<(Duration, u64)> {
        let mut bucket = bucket(per_second);
        let mut next: Vec<(Duration, usize)> = takers.iter().map(|_| (Duration::ZERO, 0)).collect();
        let mut given = Vec::new();
        while let Some((taker, &(now, turn))) = next.iter().enumerate().min_by_key(|(_, (at, _))| *at)
            && now < until
        {
            let sizes = &takers[taker];
            let units = sizes[turn % sizes.len()];
            let at = now + bucket.reserve(now, units);
            given.push((at, units));
            let busy = Duration::from_secs_f64(units as f64 / per_second as f64 * work);
            // Some time passes in any case, or one taker would be asked for ever.
            next[taker] = (at + busy.max(Duration::from_nanos(1)), turn + 1);
        }
        given.sort();
        given
    }

    /// The most that was given ahead of the rate, and the rate over the whole, as a share of the limit.
    fn judge(per_second: u64, given: &[(Duration, u64)]) -> (f64, f64) {
        let (mut total, mut ahead) = (0.0, f64::MIN);
        for (at, units) in given {
            total += *units as f64;
            ahead = f64::max(ahead, total - per_second as f64 * at.as_secs_f64());
        }
        let last = given.last().unwrap().0.as_secs_f64();
        (ahead / per_second as f64, total / last / per_second as f64)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// The issue's ±5 %, measured at the last grant, some seconds after the first.
        #[test]
        fn eager_takers_get_the_limit_and_never_more_than_a_burst_above(
            per_second in 4_000_000_u64..500_000_000,
            takers in prop::collection::vec(prop::collection::vec(
                prop_oneof![1_u64..100, 4_096_u64..65_536, 1_000_000_u64..=1_048_576], 1..8), 1..40),
            work in 0.0..0.9,
        ) {
            // Sizes of a few bytes at gigabytes per second take for ever to simulate: so many in all are enough.
            let mean = takers.iter().flatten().sum::<u64>() / takers.iter().flatten().count() as u64;
            prop_assume!(per_second / mean.max(1) < 3_000);
            let given = simulate(per_second, &takers, work, Duration::from_secs(2));
            let (ahead, share) = judge(per_second, &given);
            prop_assert!(ahead <= BURST.as_secs_f64() + 1e-6, "{ahead} s ahead");
            prop_assert!((0.95..=1.05).contains(&share), "{share} of the limit");
        }

        /// At any moment, whatever they do between.
        #[test]
        fn nobody_gets_more_than_the_limit_and_a_burst(
            per_second in 1_u64..u64::MAX,
            asks in prop::collection::vec((0_u64..500_000_000, 1_u64..=1_048_576), 1..200),
        ) {
            let mut bucket = bucket(per_second);
            let (mut now, mut given) = (Duration::ZERO, Vec::new());
            for (pause, units) in asks {
                now += Duration::from_nanos(pause);
                given.push((now.saturating_add(bucket.reserve(now, units)), units));
            }
            let mut total = 0_u128;
            for (at, units) in given {
                total += u128::from(units);
                let most = (at.saturating_add(BURST).as_nanos()).saturating_mul(per_second.into());
                prop_assert!(total * NANOSECONDS <= most, "{total} at {at:?} of {per_second} per second");
            }
        }
    }

    #[test]
    fn one_unit_at_a_time_is_counted_exactly_at_any_rate() {
        for per_second in [3, 1_000, 7_000_000_019] {
            let mut bucket = bucket(per_second);
            let units = 100_000;
            let wait = (0..units).map(|_| bucket.reserve(Duration::ZERO, 1)).max().unwrap();
            let exact = units as f64 / per_second as f64;
            let wait = (wait + BURST).as_secs_f64();
            assert!(
                wait >= exact - 1e-6 && wait <= exact.max(BURST.as_secs_f64()) + 1e-6,
                "{wait} for {exact}"
            );
        }
    }

    #[test]
    fn one_who_reads_for_nine_tenths_of_the_time_gets_the_full_rate() {
        // A single thread on a source that is only a little faster than the limit.
        let given = simulate(1_000_000, &[vec![1_000_000, 1, 1, 300_000]], 0.9, Duration::from_secs(60));
        let (ahead, share) = judge(1_000_000, &given);
        assert!(ahead <= 0.051 && (0.99..1.01).contains(&share), "{ahead} {share}");
    }

    #[test]
    fn a_pause_is_not_made_good_for() {
        let mut bucket = bucket(1_000);
        assert_eq!(bucket.reserve(Duration::ZERO, 50), Duration::ZERO);
        let later = Duration::from_secs(3600);
        assert_eq!(bucket.reserve(later, 50), Duration::ZERO);
        assert_eq!(bucket.reserve(later, 50), Duration::from_millis(50));
    }

    #[test]
    fn extremes_wait_and_do_not_overflow() {
        let mut slow = bucket(1);
        assert!(slow.reserve(Duration::ZERO, u64::MAX) > Duration::from_secs(u64::from(u32::MAX)));
        assert!(slow.reserve(Duration::from_secs(1), u64::MAX) > Duration::from_secs(u64::from(u32::MAX)));
        let mut fast = bucket(u64::MAX);
        assert_eq!(fast.reserve(Duration::from_secs(u64::MAX), 1), Duration::ZERO);
    }

    #[test]
    fn threads_share_one_limit_by_the_clock() {
        // 2 MB/s for a second, taken by four threads. A busy machine takes longer, never shorter.
        let limiter = Limiter::new(NonZeroU64::new(2_000_000).unwrap());
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while taken.fetch_add(10_000, Ordering::Relaxed) < 2_000_000 {
                        limiter.take(10_000, || false);
                    }
                });
            }
        });
        let took = limiter.began.elapsed();
        assert!(took >= Duration::from_millis(940), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn one_who_waits_for_an_hour_leaves_at_once_when_cancelled() {
        let limiter = Limiter::new(NonZeroU64::new(1).unwrap());
        let cancelled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| limiter.take(3600, || cancelled.load(Ordering::Relaxed)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            cancelled.store(true, Ordering::Relaxed);
            waiting.join().unwrap();
        });
        assert!(limiter.began.elapsed() < Duration::from_secs(60));
    }
}
