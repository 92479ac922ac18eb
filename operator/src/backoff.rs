//! When a failed pass is tried again: by what the error says, longer with each failure in a row, and never for everybody at
//! the same moment.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::error::ErrorKind;

/// The wait before try number `failures` + 1. `chance` in 0..1 spreads it over the upper half of the interval.
pub fn delay(kind: ErrorKind, failures: u32, chance: f64) -> Duration {
    let (first, longest) = match kind {
        ErrorKind::Conflict => (Duration::from_millis(50), Duration::from_secs(5)),
        ErrorKind::Away => (Duration::from_millis(500), Duration::from_secs(30)),
        ErrorKind::Refused => (Duration::from_secs(5), Duration::from_secs(300)),
    };
    let doublings = failures.saturating_sub(1).min(20);
    spread(first.saturating_mul(1 << doublings).min(longest), chance)
}

/// `wait`, less up to half of it.
pub fn spread(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// A number in 0..1, good enough to keep retries apart: the standard library seeds every hasher differently.
pub fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        for kind in [ErrorKind::Conflict, ErrorKind::Away, ErrorKind::Refused] {
            let mut last = Duration::ZERO;
            for failures in 1..100 {
                let wait = delay(kind, failures, 1.0);
                assert!(wait >= last && wait <= Duration::from_secs(300), "{kind:?} {failures} {wait:?}");
                last = wait;
            }
        }
        assert_eq!(delay(ErrorKind::Away, 1, 1.0), Duration::from_millis(500));
        assert_eq!(delay(ErrorKind::Away, 99, 1.0), Duration::from_secs(30));
    }

    #[test]
    fn chance_spreads_over_the_upper_half() {
        assert_eq!(spread(Duration::from_secs(2), 0.0), Duration::from_secs(1));
        assert_eq!(spread(Duration::from_secs(2), 1.0), Duration::from_secs(2));
        let drawn: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|c| (0.0..1.0).contains(c)));
        assert!(drawn.iter().any(|c| *c < 0.5) && drawn.iter().any(|c| *c > 0.5), "{drawn:?}");
    }
}
