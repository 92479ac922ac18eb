//! What the API server would not have, and until when it is not asked again: what refuses (a quota, a policy) is changed by
//! people, who need minutes, while passes come with every change of a status.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::backoff;
use crate::error::ErrorKind;

/// The refusals of each FileSystem, by uid.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<String, Refusal>>);

struct Refusal {
    in_a_row: u32,
    until: Instant,
    why: String,
}

impl Refusals {
    /// Whether it is too early to ask again: what was said, and how long it stands.
    pub fn standing(&self, uid: &str, now: Instant) -> Option<(String, Duration)> {
        let all = self.all();
        let refusal = all.get(uid)?;
        let left = refusal.until.checked_duration_since(now)?;
        (!left.is_zero()).then(|| (refusal.why.clone(), left))
    }

    /// It was refused again; how long to wait.
    pub fn add(&self, uid: &str, why: &str, now: Instant) -> Duration {
        let mut all = self.all();
        let in_a_row = all.get(uid).map_or(0, |refusal| refusal.in_a_row).saturating_add(1);
        let wait = backoff::delay(ErrorKind::Refused, in_a_row, backoff::chance());
        all.insert(uid.into(), Refusal { in_a_row, until: now + wait, why: why.into() });
        wait
    }

    /// It was not refused.
    pub fn clear(&self, uid: &str) {
        self.all().remove(uid);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_longer_each_time_until_there_is_none() {
        let refusals = Refusals::default();
        let mut now = Instant::now();
        assert_eq!(refusals.standing("a", now), None);
        let mut last = Duration::ZERO;
        for _ in 0..5 {
            let wait = refusals.add("a", "no", now);
            // Each is spread over the upper half of its interval.
            assert!(wait >= last.mul_f64(0.99), "{wait:?} after {last:?}");
            assert_eq!(refusals.standing("a", now).unwrap().0, "no");
            now += wait;
            assert_eq!(refusals.standing("a", now), None);
            last = wait;
        }
        assert!(last > Duration::from_secs(30));
        refusals.clear("a");
        assert!(refusals.add("a", "no", now) <= Duration::from_secs(5));
        assert_eq!(refusals.standing("b", now), None);
    }
}
