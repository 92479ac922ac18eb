//! A moment as file systems keep it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment as statx(2) tells it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Time {
    /// Since 1970; negative before.
    pub seconds: i64,
    /// Of the second: below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    /// By this machine's clock.
    pub(crate) fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => {
                let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
                Self { seconds, nanoseconds: since.subsec_nanos() }
            }
            // A clock before 1970 is not set.
            Err(_) => Self::default(),
        }
    }

    /// How long ago it was; None if it is still to come, as by the clock of another machine.
    pub(crate) fn age(self, now: Self) -> Option<Duration> {
        let nanoseconds = now.nanoseconds_since_1970() - self.nanoseconds_since_1970();
        u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
    }

    fn nanoseconds_since_1970(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }

    /// Whether a file system that keeps time in steps of `step` nanoseconds shows this moment as `kept`.
    pub(crate) fn is_kept_as(self, kept: Self, step: u64) -> bool {
        let step = i128::from(step.max(1));
        self.nanoseconds_since_1970().div_euclid(step) == kept.nanoseconds_since_1970().div_euclid(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_known_of_what_was_and_not_of_what_is_to_come() {
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
        assert_eq!(time(5, 999_000_000).age(time(6, 1_000_000)), Some(Duration::from_millis(2)));
        assert_eq!(time(6, 1).age(time(6, 0)), None);
        assert!(Time::now().seconds > 1_700_000_000);
    }

    #[test]
    fn times_are_compared_in_the_steps_that_the_destination_keeps() {
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
        for (source, kept, step, same) in [
            (time(5, 123_456_789), time(5, 123_456_789), 1, true),
            (time(5, 123_456_789), time(5, 123_456_700), 1, false),
            (time(5, 123_456_789), time(5, 123_456_700), 100, true),
            (time(5, 123_456_789), time(5, 0), 1_000_000_000, true),
            (time(5, 999_999_999), time(4, 0), 2_000_000_000, true),
            (time(6, 0), time(4, 0), 2_000_000_000, false),
            (time(-1, 500_000_000), time(-1, 0), 1_000_000_000, true),
            (time(-1, 500_000_000), time(0, 0), 1_000_000_000, false),
        ] {
            assert_eq!(source.is_kept_as(kept, step), same, "{source:?} as {kept:?} in steps of {step}");
        }
    }
}
