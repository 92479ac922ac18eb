//! Conditions: what was found about an object, and when that last changed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The reason of what is not known yet.
const NOT_YET: &str = "Asking";

/// One finding, before it becomes a condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The condition's type.
    pub kind: &'static str,
    /// "True", "False" or "Unknown".
    pub status: &'static str,
    /// CamelCase.
    pub reason: &'static str,
    /// A sentence that a person can act on. Equal findings must have equal sentences: no times, no counters that run.
    pub message: String,
}

impl Finding {
    /// `kind` holds, or does not.
    pub fn new(kind: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: if holds { "True" } else { "False" }, reason, message: message.into() }
    }

    /// Nobody knows about `kind` yet, and soon somebody will: what was known stands until then.
    pub fn not_yet(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: "Unknown", reason: NOT_YET, message: message.into() }
    }

    /// Nobody can know about `kind`, whatever was known before.
    pub fn unknown(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: "Unknown", reason, message: message.into() }
    }
}

/// The conditions that say `findings`. The time of the last change is kept where the status did not change. What is not
/// known yet does not replace what was known: an operator that has just started knows nothing, and nothing has happened.
pub fn update(
    old: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .iter()
        .map(|finding| {
            let before = old.iter().find(|c| c.type_ == finding.kind);
            if let Some(known) = before.filter(|_| finding.reason == NOT_YET) {
                return Condition { observed_generation: generation, ..known.clone() };
            }
            let since = before.filter(|c| c.status == finding.status).map(|c| c.last_transition_time.clone());
            Condition {
                type_: finding.kind.into(),
                status: finding.status.into(),
                reason: finding.reason.into(),
                message: finding.message.clone(),
                observed_generation: generation,
                last_transition_time: since.unwrap_or(Time(now)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_changes_with_the_status_only() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = update(&[], &[Finding::new("Ready", false, "Binding", "a")], Some(1), at(1));
        let same_status = update(&first, &[Finding::new("Ready", false, "NameTaken", "b")], Some(2), at(2));
        assert_eq!(same_status[0].last_transition_time, Time(at(1)));
        assert_eq!(
            (same_status[0].reason.as_str(), same_status[0].observed_generation),
            ("NameTaken", Some(2))
        );
        let changed = update(&same_status, &[Finding::new("Ready", true, "Bound", "c")], Some(2), at(3));
        assert_eq!(changed[0].last_transition_time, Time(at(3)));
        assert_eq!(update(&changed, &[Finding::new("Ready", true, "Bound", "c")], Some(2), at(4)), changed);
    }

    #[test]
    fn what_is_not_known_yet_does_not_replace_what_was_known() {
        let now = Timestamp::UNIX_EPOCH;
        let asking = [Finding::not_yet("Reachable", "a")];
        assert_eq!(update(&[], &asking, None, now)[0].status, "Unknown");
        let known = update(&[], &[Finding::new("Reachable", false, "Refused", "b")], None, now);
        assert_eq!(update(&known, &asking, None, now), known);
        let lost = [Finding::unknown("Reachable", "NobodyAsks", "c")];
        assert_eq!(update(&known, &lost, None, now)[0].status, "Unknown");
    }

    #[test]
    fn a_finding_that_is_no_longer_made_is_dropped() {
        let now = Timestamp::UNIX_EPOCH;
        let old = update(&[], &[Finding::new("InUse", true, "Pods", "a")], None, now);
        assert!(update(&old, &[], None, now).is_empty());
    }
}
