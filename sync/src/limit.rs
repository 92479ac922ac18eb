//! How many workers are of use at a time: more of them as long as the server answers as fast as it can, fewer when they
//! only wait for each other (AIMD by latency).

use std::time::Duration;

/// What answers faster is the processor with its caches and no server: it says nothing about how many are of use.
const SERVER_MIN: Duration = Duration::from_micros(200);
/// A mean above so many times the smallest one is a queue.
const BUSY: u32 = 2;
/// Each worker must have done so many operations: fewer are mostly ones that began before the last change.
const OPERATIONS_PER_WORKER: u64 = 2;
/// After so many windows the smallest latency is measured, with a quarter of the workers: short runs are spared.
const MEASURE_FIRST: u32 = 20;
/// After so many it is measured again if it was another one than before.
const MEASURE_SOON: u32 = 10;
/// After so many otherwise.
const MEASURE_LATER: u32 = 100;
/// Who takes longer hangs.
const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// What the workers measured since it was last looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// Requests to the server.
    pub operations: u64,
    /// How long they took together.
    pub total_latency: Duration,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Limit {
    min: usize,
    max: usize,
    now: usize,
    /// Not enough to judge by yet.
    seen: Window,
    /// The smallest mean latency: what the server takes when nobody waits in line.
    smallest: Option<Duration>,
    /// The mean before the last step, if that one was down.
    before_cut: Option<Duration>,
    phase: Phase,
}

/// The smallest latency is not for ever: a server can become slower for good, or may never have been seen without a
/// queue. So it is measured from time to time.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// So many windows to go.
    Working(u32),
    /// Fewer work, and what the others began is being finished.
    Settling { back: usize },
    /// Fewer work, and their latency counts.
    Measuring { back: usize },
}

impl Limit {
    /// At least `min` and at most `max` work, at first `now`.
    pub fn new(min: usize, now: usize, max: usize) -> Self {
        let min = min.max(1);
        let max = max.max(min);
        let phase = Phase::Working(MEASURE_FIRST);
        let seen = Window::default();
        Self { min, max, now: now.clamp(min, max), seen, smallest: None, before_cut: None, phase }
    }

    /// How many may work from now on.
    pub fn next(&mut self, seen: &Window) -> usize {
        self.seen.operations = self.seen.operations.saturating_add(seen.operations);
        self.seen.total_latency = self.seen.total_latency.saturating_add(seen.total_latency);
        if let Phase::Working(left) = &mut self.phase {
            *left = left.saturating_sub(1);
        }
        if self.seen.operations >= OPERATIONS_PER_WORKER.saturating_mul(self.now as u64) {
            let mean = std::mem::take(&mut self.seen).mean();
            self.step(mean);
        }
        self.now
    }

    fn step(&mut self, mean: Duration) {
        let is_server = mean >= SERVER_MIN;
        match self.phase {
            Phase::Working(_) if !is_server => {}
            Phase::Working(0) => {
                let back = self.now;
                self.now = (back / 4).max(self.min);
                self.phase = Phase::Settling { back };
            }
            Phase::Working(_) => self.now = self.adapted(mean),
            Phase::Settling { back } => self.phase = Phase::Measuring { back },
            Phase::Measuring { back } => {
                self.now = back;
                self.before_cut = None;
                let known = self.smallest.unwrap_or(mean);
                let same = mean >= known / 4 * 3 && mean <= known * 3 / 2;
                self.phase = Phase::Working(if same { MEASURE_LATER } else { MEASURE_SOON });
                if is_server {
                    self.smallest = Some(mean);
                }
            }
        }
    }

    /// A step by the latency of those that work now.
    fn adapted(&mut self, mean: Duration) -> usize {
        let smallest = match self.before_cut.take() {
            // Fewer were no faster: it is not they who wait for each other, the server has become so slow.
            Some(before) if mean >= before / 10 * 9 => mean,
            _ => self.smallest.map_or(mean, |smallest| smallest.min(mean)),
        };
        self.smallest = Some(smallest);
        let busy = smallest * BUSY;
        if mean > busy {
            self.before_cut = Some(mean);
            return (self.now - self.now.div_ceil(4)).max(self.min);
        }
        let more = (self.now + (self.now / 8).max(1)).min(self.max);
        // What it will be if those who come only make the queue longer.
        let expected = mean.mul_f64(more as f64 / self.now as f64);
        if expected > busy { self.now } else { more }
    }
}

impl Window {
    fn mean(self) -> Duration {
        let nanoseconds = self.total_latency.as_nanos() / u128::from(self.operations.max(1));
        u64::try_from(nanoseconds).map_or(LATENCY_MAX, Duration::from_nanos).min(LATENCY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WINDOW: Duration = Duration::from_millis(100);

    /// A server that does `servers` requests at a time, each in `service`; who comes when all are busy waits in line.
    #[derive(Clone, Copy)]
    struct Server {
        service: Duration,
        servers: usize,
    }

    impl Server {
        /// What `workers` who ask all the time see in a window.
        fn window(self, workers: usize) -> Window {
            let latency = self.service.mul_f64((workers as f64 / self.servers as f64).max(1.0));
            let operations = (workers as f64 * WINDOW.as_secs_f64() / latency.as_secs_f64()).round();
            Window { operations: operations as u64, total_latency: latency.mul_f64(operations) }
        }

        /// Lets the limit see so many seconds of it.
        fn serve(self, limit: &mut Limit, seconds: u32) -> Vec<usize> {
            (0..seconds * 10).map(|_| limit.next(&self.window(limit.now))).collect()
        }
    }

    const UNLIMITED: usize = usize::MAX;

    #[test]
    fn it_settles_within_twice_what_the_server_does_at_a_time_from_both_sides() {
        for servers in [2, 3, 8, 20, 50] {
            for (start, service) in [(2, MS), (64, MS), (2, 10 * MS), (64, 10 * MS), (256, MS)] {
                let server = Server { service, servers };
                let mut limit = Limit::new(1, start, 256);
                server.serve(&mut limit, 30);
                let mut settled = server.serve(&mut limit, 60);
                settled.sort_unstable();
                // But for the moments in which it measures with fewer.
                let (low, high) = (settled[settled.len() / 20], settled[settled.len() - 1]);
                assert!(
                    low * 2 >= servers && high <= servers * 2,
                    "{low}..{high} for {servers} at {service:?} from {start}"
                );
            }
        }
    }

    #[test]
    fn a_server_of_constant_latency_gets_all_workers_within_three_seconds() {
        let server = Server { service: MS, servers: UNLIMITED };
        let mut limit = Limit::new(2, 4, 64);
        server.serve(&mut limit, 3);
        assert_eq!(limit.now, 64);
        // And keeps them, but for the moments in which it measures.
        let fewer = server.serve(&mut limit, 60).into_iter().filter(|workers| *workers != 64).count();
        assert!(fewer <= 20, "{fewer} of 600");
    }

    #[test]
    fn local_latencies_change_nothing() {
        for service in [Duration::from_micros(2), Duration::from_micros(199)] {
            let mut limit = Limit::new(2, 4, 64);
            let seen = Server { service, servers: UNLIMITED }.serve(&mut limit, 30);
            assert!(seen.iter().all(|workers| *workers == 4), "{seen:?}");
        }
    }

    #[test]
    fn a_server_that_became_slower_for_good_gets_back_what_it_had() {
        let (fast, slow) = (Server { service: MS, servers: 20 }, Server { service: 5 * MS, servers: 20 });
        let mut limit = Limit::new(1, 4, 64);
        fast.serve(&mut limit, 20);
        let before = limit.now;
        let seen = slow.serve(&mut limit, 20);
        assert!(seen.iter().min() < Some(&before), "at first it is taken for a queue: {seen:?}");
        assert!(seen[100..].iter().filter(|workers| **workers >= 20).count() >= 80, "{seen:?}");
    }

    #[test]
    fn answers_from_a_cache_are_not_held_against_the_server() {
        let server = Server { service: MS, servers: UNLIMITED };
        let mut limit = Limit::new(2, 64, 64);
        server.serve(&mut limit, 1);
        // Two thirds of a window came from a cache.
        limit.next(&Window { operations: 18_000, total_latency: 6_000 * MS });
        let seen: Vec<_> = (0..6).map(|_| limit.next(&server.window(limit.now))).collect();
        assert_eq!(seen, [48, 54, 60, 64, 64, 64]);
    }

    #[test]
    fn a_server_whose_latency_varies_by_a_third_keeps_nearly_all_workers() {
        let server = Server { service: MS, servers: UNLIMITED };
        let mut limit = Limit::new(2, 64, 64);
        let (mut random, mut workers) = (7_u64, 0);
        for _ in 0..600 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut window = server.window(limit.now);
            window.total_latency = window.total_latency * (67 + (random >> 33) as u32 % 67) / 100;
            workers += limit.next(&window);
        }
        assert!(workers / 600 >= 58, "{} on average", workers / 600);
    }

    #[test]
    fn its_bounds_hold_whatever_it_sees() {
        let mut limit = Limit::new(3, 100, 50);
        assert_eq!(limit.next(&Window::default()), 50);
        let mut random = 7_u64;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let operations = random >> 50;
            let window = Window { operations, total_latency: Duration::from_micros(random >> 20) };
            assert!((3..=50).contains(&limit.next(&window)));
        }
        let mut one = Limit::new(0, 0, 0);
        assert_eq!(one.next(&Window { operations: u64::MAX, total_latency: Duration::MAX }), 1);
    }
}
