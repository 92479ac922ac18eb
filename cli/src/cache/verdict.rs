//! What came of a refresh that was asked for, read off an FsCache's status. Pure.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use workspacefs_api::fs_cache::{EVERYWHERE, REFRESH_ANNOTATION};
use workspacefs_api::{CacheCopy, FsCache, PathState};

/// Reasons for which the operator begins nothing until somebody changes something.
const HOPELESS: [&str; 9] = [
    "Invalid",
    "NotListed",
    "NotSupported",
    "SourceMissing",
    "SourceNotSupported",
    "TargetIsSource",
    "TargetMissing",
    "TargetNotDedicated",
    "TargetNotSupported",
];

/// How a refresh ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// All is kept; as of when.
    Done(String),
    /// It is done, and this is not kept.
    Partial(String),
    /// It is not done, and this is why.
    Failed(String),
}

/// What the status said before the refresh was asked for: when the last failure of each copy was.
#[derive(Clone, Debug, Default)]
pub struct Before(HashMap<String, Time>);

impl Before {
    /// Reads it.
    pub fn of(cache: &FsCache) -> Self {
        let copies = cache.status.iter().flat_map(|status| &status.copies);
        Self(copies.filter_map(|copy| Some((copy.node.clone(), copy.failed_at.clone()?))).collect())
    }

    /// How the refresh that is asked for now ended; None while it goes on. (If somebody has asked anew meanwhile, that
    /// refresh is a newer one, and is waited for.)
    pub fn verdict(&self, cache: &FsCache) -> Option<Verdict> {
        if cache.metadata.deletion_timestamp.is_some() {
            return Some(Verdict::Failed("it is being deleted".into()));
        }
        let status = cache.status.as_ref()?;
        let asked = cache.metadata.annotations.as_ref()?.get(REFRESH_ANNOTATION)?;
        if status.refreshed_for == *asked {
            return Some(done(cache));
        }
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let hopeless =
            ready.filter(|ready| ready.status == "False" && HOPELESS.contains(&ready.reason.as_str()));
        if let Some(ready) = hopeless {
            return Some(Verdict::Failed(ready.message.clone()));
        }
        // A copy whose last failure is an older one may still do it.
        let has_failed = |copy: &&CacheCopy| {
            copy.refreshed_for == *asked
                && copy.failures > 0
                && copy.failed_at.is_some()
                && copy.failed_at.as_ref() != self.0.get(&copy.node)
        };
        let failed = status.copies.iter().find(has_failed)?;
        let node = if failed.node == EVERYWHERE { String::new() } else { format!("node {}: ", failed.node) };
        Some(Verdict::Failed(format!("{node}{}. It is tried again", failed.message)))
    }
}

fn done(cache: &FsCache) -> Verdict {
    let Some(status) = &cache.status else { return Verdict::Failed("it has no status".into()) };
    let lacks = status.paths.iter().filter(|path| path.state != PathState::Whole).map(|path| {
        let why = if path.message.is_empty() { String::new() } else { format!(", {}", path.message) };
        format!("{} ({:?}{why})", path.path, path.state)
    });
    let lacks: Vec<String> = lacks.collect();
    if !lacks.is_empty() {
        return Verdict::Partial(lacks.join("; "));
    }
    let as_of = status.as_of.as_ref().map_or("-".into(), |time| time.0.to_string());
    Verdict::Done(format!("as of {as_of}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cache(asked: &str, status: Value) -> FsCache {
        serde_json::from_value(json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache",
            "metadata": {"name": "warm", "annotations": {(REFRESH_ANNOTATION): asked}},
            "spec": {"source": {"fileSystem": "a", "paths": ["/x"]}, "target": {"fileSystem": "b"}},
            "status": status,
        }))
        .unwrap()
    }

    fn failed(at: &str, refreshed_for: &str) -> Value {
        json!([{
            "node": "n1", "phase": "Failed", "failures": 1, "failedAt": at, "message": "the target is full",
            "refreshedFor": refreshed_for,
        }])
    }

    #[test]
    fn a_refresh_is_done_when_the_status_says_so_and_not_before() {
        let before = Before::default();
        assert_eq!(before.verdict(&cache("2", json!({"refreshedFor": "1"}))), None);
        let done = json!({"refreshedFor": "2", "asOf": "2026-01-01T00:00:00Z", "paths": [{"path": "/x", "state": "Whole"}]});
        assert_eq!(
            before.verdict(&cache("2", done)),
            Some(Verdict::Done("as of 2026-01-01T00:00:00Z".into()))
        );
        let partial =
            json!({"refreshedFor": "2", "paths": [{"path": "/x", "state": "Missing", "message": "m"}]});
        assert_eq!(before.verdict(&cache("2", partial)), Some(Verdict::Partial("/x (Missing, m)".into())));
    }

    #[test]
    fn only_a_failure_of_this_refresh_counts() {
        let old = cache("1", json!({"copies": failed("2026-01-01T00:00:00Z", "1")}));
        let before = Before::of(&old);
        for (at, refreshed_for, counts) in [
            ("2026-01-01T00:00:00Z", "1", false),
            // It has begun; the failure is still the one before.
            ("2026-01-01T00:00:00Z", "2", false),
            ("2026-01-01T00:01:00Z", "1", false),
            ("2026-01-01T00:01:00Z", "2", true),
        ] {
            let verdict = before.verdict(&cache("2", json!({"copies": failed(at, refreshed_for)})));
            assert_eq!(verdict.is_some(), counts, "{at} {refreshed_for}: {verdict:?}");
        }
        let verdict = before.verdict(&cache("2", json!({"copies": failed("2026-01-01T00:01:00Z", "2")})));
        let Some(Verdict::Failed(why)) = verdict else { panic!("{verdict:?}") };
        assert!(why.contains("node n1: the target is full"), "{why}");
    }

    #[test]
    fn what_cannot_begin_has_failed_and_what_waits_for_a_node_has_not() {
        let ready = |reason: &str| {
            let condition = json!({
                "type": "Ready", "status": "False", "reason": reason, "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            Before::default().verdict(&cache("1", json!({"conditions": [condition]})))
        };
        assert_eq!(ready("SourceMissing"), Some(Verdict::Failed("m".into())));
        assert_eq!((ready("NoNodes"), ready("Filling")), (None, None));
    }
}
