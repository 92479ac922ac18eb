//! How full something is, in the steps of which somebody should hear, and when its figures have moved far enough to be
//! written again. Pure.

use crate::Usage;
use crate::quantity;

/// Quotas are kept in blocks, and a write that does not fit whole is cut: this near to the limit nothing more fits.
const FULL_WITHIN_BYTES: u64 = 1 << 20;

/// How full something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Below nine tenths.
    Fine,
    /// Nine tenths or more.
    Nearly,
    /// All.
    Full,
}

/// What is used of what there may be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Amount {
    /// That much.
    pub used: u64,
    /// Of that much; 0 is no limit.
    pub limit: u64,
}

impl Level {
    /// As a condition's reason says it.
    pub fn of_reason(reason: &str) -> Self {
        match reason {
            "NearlyFull" => Self::Nearly,
            "Full" => Self::Full,
            _ => Self::Fine,
        }
    }

    /// The level of what is used, where it was `before`. It falls only when clearly less is used, so that one who writes and
    /// deletes at the border is not told again and again.
    pub fn next(before: Self, bytes: Amount, inodes: Amount) -> Self {
        step(before, bytes, FULL_WITHIN_BYTES).max(step(before, inodes, 0))
    }

    /// The same for a share, by what a status says of it.
    pub fn of_share(before: Self, usage: &Usage) -> Self {
        let bytes = |text: &str| quantity::bytes(text).unwrap_or(0);
        let used = bytes(&usage.used.0);
        // Not its size: a file system keeps a part for itself, which no user can fill.
        let limit = used.saturating_add(bytes(&usage.available.0));
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let inodes = Amount { used: count(usage.inodes_used), limit: count(usage.inodes) };
        Self::next(before, Amount { used, limit }, inodes)
    }
}

fn step(before: Level, Amount { used, limit }: Amount, within: u64) -> Level {
    if limit == 0 {
        return Level::Fine;
    }
    let percent = u128::from(used) * 100 / u128::from(limit);
    let full = used.saturating_add(within.min(limit / 100)) >= limit;
    match before {
        _ if full => Level::Full,
        Level::Full if percent >= 97 => Level::Full,
        Level::Full | Level::Nearly if percent >= 85 => Level::Nearly,
        _ if percent >= 90 => Level::Nearly,
        _ => Level::Fine,
    }
}

/// Whether a figure has moved by a hundredth of `of`.
pub fn has_moved(old: u64, new: u64, of: u64) -> bool {
    old.abs_diff(new) >= (of / 100).max(1)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::UsageScope;

    const GIB: u64 = 1 << 30;
    const NO_INODES: Amount = Amount { used: 0, limit: 0 };

    #[test]
    fn levels_rise_at_once_and_fall_late() {
        let next = |before, used, limit| Level::next(before, Amount { used, limit }, NO_INODES);
        let mut level = Level::Fine;
        for (percent, expected) in [
            (89, Level::Fine),
            (90, Level::Nearly),
            (89, Level::Nearly),
            (86, Level::Nearly),
            (84, Level::Fine),
            (89, Level::Fine),
            (100, Level::Full),
            (98, Level::Full),
            (95, Level::Nearly),
            (100, Level::Full),
            (10, Level::Fine),
        ] {
            level = next(level, percent * GIB, 100 * GIB);
            assert_eq!(level, expected, "{percent} %");
        }
        assert_eq!(next(Level::Fine, 100 * GIB - (1 << 19), 100 * GIB), Level::Full, "nothing fits");
        let tiny = next(Level::Fine, 9 << 20, 10 << 20);
        assert_eq!(tiny, Level::Nearly, "of little, the last MiB is much");
        let inodes = Amount { used: 1000, limit: 1000 };
        assert_eq!(Level::next(Level::Fine, Amount { used: 0, limit: GIB }, inodes), Level::Full);
        assert_eq!(Level::next(Level::Full, NO_INODES, NO_INODES), Level::Fine, "no limit is no limit");
    }

    #[test]
    fn a_share_is_full_when_users_can_write_no_more_whatever_its_size_says() {
        let share = |used: u64, available: u64, inodes: i64, inodes_used: i64| Usage {
            scope: UsageScope::Share,
            capacity: quantity::exact(100 * GIB),
            used: quantity::rounded(used),
            available: quantity::rounded(available),
            inodes,
            inodes_used,
            claims: Vec::new(),
            observed_at: Time(Timestamp::UNIX_EPOCH),
        };
        for (usage, level) in [
            (share(50 * GIB, 50 * GIB, 0, 0), Level::Fine),
            (share(85 * GIB, 5 * GIB, 0, 0), Level::Nearly),
            (share(95 * GIB, 0, 0, 0), Level::Full),
            (share(1, 50 * GIB, 1000, 950), Level::Nearly),
            (share(0, 0, 0, 0), Level::Fine),
        ] {
            assert_eq!(Level::of_share(Level::Fine, &usage), level, "{usage:?}");
        }
    }

    #[test]
    fn a_hundredth_is_a_move_and_of_little_the_smallest_change() {
        for (old, new, of, moved) in [
            (0, 1, 100, true),
            (10, 19, 1000, false),
            (10, 20, 1000, true),
            (20, 10, 1000, true),
            (5, 5, 0, false),
        ] {
            assert_eq!(has_moved(old, new, of), moved, "{old} {new} of {of}");
        }
    }
}
