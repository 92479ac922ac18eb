//! How full a FileSystem is: what of it goes into the status, when that is worth a write, and when somebody should hear of
//! it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use workspacefs_agent_proto::v1;
use workspacefs_api::level::{self, Amount, Level};
use workspacefs_api::{ClaimUsage, Usage, UsageScope, quantity};

use crate::events::Happened;
use crate::server::known::Seen;

/// A status is no database.
const CLAIMS_MAX: usize = 100;
/// Small changes wait for so long.
const AGE_SECONDS_MAX: i64 = 600;

/// The level of what the server says is used, where it was `before`.
pub fn level(before: Level, usage: &v1::Usage) -> Level {
    let bytes = Amount { used: usage.bytes_used, limit: usage.bytes_limit };
    let inodes = Amount { used: usage.inodes_used, limit: usage.inodes_limit };
    Level::next(before, bytes, inodes)
}

/// What goes into the status.
pub fn usage(seen: &Seen) -> Usage {
    let fs = &seen.file_system;
    let own = fs.usage.unwrap_or_default();
    let mut claims: Vec<&v1::Claim> = fs.claims.iter().collect();
    claims.sort_by(|a, b| share(b).total_cmp(&share(a)).then_with(|| a.name.cmp(&b.name)));
    Usage {
        scope: UsageScope::FileSystem,
        capacity: quantity::exact(fs.capacity_bytes),
        used: quantity::rounded(own.bytes_used),
        available: quantity::rounded(fs.bytes_left),
        inodes: signed(own.inodes_limit),
        inodes_used: signed(own.inodes_used),
        claims: claims.into_iter().take(CLAIMS_MAX).map(claim).collect(),
        observed_at: Time(seen.at),
    }
}

fn claim(claim: &v1::Claim) -> ClaimUsage {
    let usage = claim.usage.unwrap_or_default();
    ClaimUsage {
        volume: claim.name.clone(),
        capacity: quantity::exact(claim.size_bytes),
        used: quantity::rounded(usage.bytes_used),
        inodes: signed(usage.inodes_limit),
        inodes_used: signed(usage.inodes_used),
    }
}

/// Of its size, what is used.
fn share(claim: &v1::Claim) -> f64 {
    claim.usage.map_or(0.0, |usage| usage.bytes_used as f64 / claim.size_bytes.max(1) as f64)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether the status should say `new` instead of `old`: one hundredth of the capacity has come or gone, there are other
/// sizes or claims, or the old figures have stood for long.
pub fn is_worth_writing(old: &Usage, new: &Usage, now: Timestamp) -> bool {
    let capacity = &new.capacity.0;
    let moved = old.capacity != new.capacity
        || has_moved(&old.used.0, &new.used.0, capacity)
        || has_moved(&old.available.0, &new.available.0, capacity)
        || count_has_moved(old.inodes_used, new.inodes_used, new.inodes)
        || claims_have_moved(&old.claims, &new.claims);
    let changed = || Usage { observed_at: old.observed_at.clone(), ..new.clone() } != *old;
    moved || (now.as_second() - old.observed_at.0.as_second() >= AGE_SECONDS_MAX && changed())
}

fn claims_have_moved(old: &[ClaimUsage], new: &[ClaimUsage]) -> bool {
    let sizes = |claims: &[ClaimUsage]| -> BTreeMap<String, String> {
        claims.iter().map(|claim| (claim.volume.clone(), claim.capacity.0.clone())).collect()
    };
    // Where there are more than fit, which of the emptiest are named says nothing.
    let others = new.len() < CLAIMS_MAX && sizes(old) != sizes(new);
    others
        || new.iter().any(|new| {
            old.iter().find(|old| old.volume == new.volume).is_some_and(|old| {
                has_moved(&old.used.0, &new.used.0, &new.capacity.0)
                    || count_has_moved(old.inodes_used, new.inodes_used, new.inodes)
            })
        })
}

/// By a hundredth of `of`.
fn has_moved(old: &str, new: &str, of: &str) -> bool {
    let bytes = |text: &str| quantity::bytes(text).unwrap_or(0);
    level::has_moved(bytes(old), bytes(new), bytes(of))
}

fn count_has_moved(old: i64, new: i64, of: i64) -> bool {
    level::has_moved(old.unsigned_abs(), new.unsigned_abs(), of.unsigned_abs())
}

/// How full each further claim is, where that is worth a word.
pub type Levels = BTreeMap<String, Level>;

/// The levels that an old status implies, for an operator that has just started.
pub fn levels_of(old: &Usage) -> Levels {
    let bytes = |text: &str| quantity::bytes(text).unwrap_or(0);
    let usage = |claim: &ClaimUsage| v1::Usage {
        bytes_limit: bytes(&claim.capacity.0),
        bytes_used: bytes(&claim.used.0),
        inodes_limit: claim.inodes.unsigned_abs(),
        inodes_used: claim.inodes_used.unsigned_abs(),
    };
    let of_claim = |claim: &ClaimUsage| (claim.volume.clone(), level(Level::Fine, &usage(claim)));
    old.claims.iter().map(of_claim).filter(|(_, level)| *level > Level::Fine).collect()
}

/// The levels now, and an Event for each claim that has risen.
pub fn claims_risen(before: &Levels, file_system: &v1::FileSystem) -> (Levels, Vec<Happened>) {
    let (mut levels, mut events) = (Levels::new(), Vec::new());
    for claim in &file_system.claims {
        let was = before.get(&claim.name).copied().unwrap_or(Level::Fine);
        let is = level(was, &claim.usage.unwrap_or_default());
        if is > was {
            events.push(risen(claim, is));
        }
        if is > Level::Fine {
            levels.insert(claim.name.clone(), is);
        }
    }
    (levels, events)
}

fn risen(claim: &v1::Claim, level: Level) -> Happened {
    let (name, size) = (&claim.name, quantity::exact(claim.size_bytes).0);
    let (reason, note) = match level {
        Level::Full => ("ClaimFull", format!("volume {name} of {size} is full: who writes gets an error")),
        Level::Nearly | Level::Fine => {
            ("ClaimNearlyFull", format!("more than 90 % of volume {name} of {size} is used"))
        }
    };
    Happened {
        warning: true,
        reason,
        note: format!("{note}. Its claim can ask for more, or files be removed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn own(used: u64, limit: u64) -> v1::Usage {
        v1::Usage { bytes_limit: limit, bytes_used: used, inodes_limit: 1000, inodes_used: 10 }
    }

    fn fs(used: u64, claims: &[(&str, u64, u64)]) -> v1::FileSystem {
        let claims: Vec<v1::Claim> = claims
            .iter()
            .map(|(name, used, size)| v1::Claim {
                name: (*name).into(),
                size_bytes: *size,
                usage: Some(own(*used, *size)),
                ..v1::Claim::default()
            })
            .collect();
        v1::FileSystem {
            capacity_bytes: 100 * GIB,
            usage: Some(own(used, 100 * GIB)),
            claims,
            ..Default::default()
        }
    }

    fn shown(file_system: v1::FileSystem, second: i64) -> Usage {
        usage(&Seen::at(file_system, Timestamp::from_second(second).unwrap()))
    }

    fn worth(old: &Usage, new: &Usage, second: i64) -> bool {
        is_worth_writing(old, new, Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_status_is_written_for_a_hundredth_another_claim_or_after_ten_minutes() {
        let old = shown(fs(10 * GIB, &[("a", GIB, 10 * GIB)]), 1000);
        for (new, seconds, written) in [
            (fs(10 * GIB, &[("a", GIB, 10 * GIB)]), 5, false),
            (fs(10 * GIB, &[("a", GIB, 10 * GIB)]), 5000, false),
            (fs(10 * GIB + GIB / 2, &[("a", GIB, 10 * GIB)]), 5, false),
            (fs(10 * GIB + GIB / 2, &[("a", GIB, 10 * GIB)]), 599, false),
            (fs(10 * GIB + GIB / 2, &[("a", GIB, 10 * GIB)]), 600, true),
            (fs(11 * GIB, &[("a", GIB, 10 * GIB)]), 5, true),
            (fs(9 * GIB, &[("a", GIB, 10 * GIB)]), 5, true),
            (fs(10 * GIB, &[("a", GIB + GIB / 5, 10 * GIB)]), 5, true),
            (fs(10 * GIB, &[("a", GIB, 11 * GIB)]), 5, true),
            (fs(10 * GIB, &[]), 5, true),
            (fs(10 * GIB, &[("a", GIB, 10 * GIB), ("b", 0, GIB)]), 5, true),
            (v1::FileSystem { capacity_bytes: 200 * GIB, ..fs(10 * GIB, &[("a", GIB, 10 * GIB)]) }, 5, true),
        ] {
            let new = shown(new, 1000 + seconds);
            assert_eq!(worth(&old, &new, 1000 + seconds), written, "{new:?}");
        }
    }

    #[test]
    fn of_many_claims_the_fullest_are_shown_and_the_rest_moves_nothing() {
        let names: Vec<String> = (0..150).map(|i| format!("pvc-{i:03}")).collect();
        let claims: Vec<_> = names.iter().zip(0..).map(|(name, i)| (name.as_str(), i << 20, GIB)).collect();
        let old = shown(fs(0, &claims), 1000);
        assert_eq!((old.claims.len(), old.claims[0].volume.as_str()), (100, "pvc-149"));
        let mut other = claims.clone();
        other[10].1 = 51 << 20;
        let new = shown(fs(0, &other), 1001);
        assert_ne!(old.claims, new.claims);
        assert!(!worth(&old, &new, 1001));
    }

    #[test]
    fn each_rise_of_a_claim_is_told_once_also_by_an_operator_that_has_just_started() {
        let reasons = |events: &[Happened]| events.iter().map(|event| event.reason).collect::<Vec<_>>();
        let (levels, events) = claims_risen(&Levels::new(), &fs(0, &[("a", 95, 100), ("b", 1, 100)]));
        assert_eq!(reasons(&events), ["ClaimNearlyFull"]);
        assert!(claims_risen(&levels, &fs(0, &[("a", 96, 100)])).1.is_empty());
        let (_, events) = claims_risen(&levels, &fs(0, &[("a", 100, 100)]));
        assert_eq!(reasons(&events), ["ClaimFull"]);
        let full = fs(0, &[("a", 95 * GIB, 100 * GIB), ("b", GIB, 100 * GIB)]);
        let again = claims_risen(&levels_of(&shown(full.clone(), 0)), &full);
        assert!(again.1.is_empty(), "{:?}", again.1);
    }
}
