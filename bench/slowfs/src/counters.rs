//! What the slow file system has counted, and how it is told: one line of `name=number`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::operation::Operation;

/// What the program says once it is mounted.
pub(crate) const READY: &str = "ready";
/// What it is asked for its counters with.
pub(crate) const ASK: &str = "counters";
/// The name under which the most that waited at once are told.
const AT_ONCE: &str = "at-once";

/// How often each operation was asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// By operation; those that were never asked for are missing.
    pub operations: BTreeMap<Operation, u64>,
    /// The most requests that were in their pause at the same time, since the start.
    pub at_once: u64,
}

impl Counters {
    /// How often this one was asked for.
    pub fn of(&self, operation: Operation) -> u64 {
        self.operations.get(&operation).copied().unwrap_or(0)
    }

    /// All that a network would have been asked: those with a pause.
    pub fn slow(&self) -> u64 {
        self.operations.iter().filter(|(operation, _)| operation.is_slow()).map(|(_, count)| count).sum()
    }

    /// What was asked since then.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let differences =
            self.operations.iter().map(|(op, count)| (*op, count.saturating_sub(earlier.of(*op))));
        Self { operations: differences.filter(|(_, count)| *count > 0).collect(), at_once: self.at_once }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{AT_ONCE}={}", self.at_once)?;
        self.operations.iter().try_for_each(|(operation, count)| write!(f, " {}={count}", operation.name()))
    }
}

/// A line that no slow file system printed.
#[derive(Debug, thiserror::Error)]
#[error("these are no counters: {0:?}")]
pub struct NoCounters(String);

impl FromStr for Counters {
    type Err = NoCounters;

    fn from_str(line: &str) -> Result<Self, NoCounters> {
        let parse = || {
            let mut counters = Self::default();
            for word in line.split_ascii_whitespace() {
                let (name, count) = word.split_once('=')?;
                let count: u64 = count.parse().ok()?;
                if name == AT_ONCE {
                    counters.at_once = count;
                } else {
                    counters.operations.insert(Operation::named(name)?, count);
                }
            }
            Some(counters)
        };
        parse().ok_or_else(|| NoCounters(line.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(line: &str) -> Counters {
        line.parse().unwrap()
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let line = "at-once=7 lookup=3 copy_file_range=18446744073709551615";
        assert_eq!(counters(line).to_string(), line);
        assert_eq!(counters(""), Counters::default());
        for bad in ["lookup", "lookup=", "lookup=-1", "peek=1", "lookup=1,open=2"] {
            assert!(bad.parse::<Counters>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_difference_holds_only_what_happened_in_between() {
        let later = counters("at-once=9 lookup=5 open=2 read=1");
        assert_eq!(
            later.since(&counters("at-once=1 lookup=3 open=2")),
            counters("at-once=9 lookup=2 read=1")
        );
    }

    #[test]
    fn what_has_no_pause_is_no_round_trip() {
        let counters = counters("lookup=1 flush=10 release=100 releasedir=1000 forget=10000 read=2");
        assert_eq!((counters.slow(), counters.of(Operation::Flush)), (3, 10));
    }
}
