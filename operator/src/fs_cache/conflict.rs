//! Two FsCaches that keep a path of one source for one node group: there pods can be shown one copy only. Pure.

use workspacefs_api::{Exposure, FsCache};

use super::findings::{ALL_WELL, CONFLICT};
use crate::conditions::Finding;
use crate::filesystem::users;

/// Conflict, where another FsCache that was created first keeps one of its paths, one around it or one inside it, for
/// pods of the same node group. `group` says whose an FsCache's is.
pub fn of<'a>(
    cache: &FsCache,
    others: impl IntoIterator<Item = &'a FsCache>,
    group: impl Fn(&FsCache) -> Option<String>,
) -> Option<Finding> {
    let age = |cache: &FsCache| {
        (cache.metadata.creation_timestamp.as_ref().map(|time| time.0), cache.metadata.name.clone())
    };
    let own = group(cache)?;
    let is_before = |other: &&FsCache| {
        are_rivals(other, cache)
            && is_in_place(other)
            && is_in_place(cache)
            && other.metadata.deletion_timestamp.is_none()
            && age(other) < age(cache)
            && group(other).as_ref() == Some(&own)
    };
    let mut taken: Vec<String> = Vec::new();
    for other in others.into_iter().filter(is_before) {
        let paths = cache.spec.source.paths.iter();
        let overlapping =
            paths.filter(|path| other.spec.source.paths.iter().any(|theirs| overlap(path, theirs)));
        let name = other.metadata.name.as_deref().unwrap_or_default();
        taken.extend(overlapping.map(|path| format!("{path} (FsCache {name})")));
    }
    taken.sort_unstable();
    let message = format!(
        "an FsCache that was created first keeps these paths, or some inside or around them; pods get its copies: {}",
        users::named(&taken)
    );
    (!taken.is_empty()).then(|| Finding::new(CONFLICT, true, "PathTaken", message))
}

/// Whether two FsCaches keep a path of the same source, or paths of which one lies in the other.
pub fn are_rivals(one: &FsCache, other: &FsCache) -> bool {
    let (a, b) = (&one.spec.source, &other.spec.source);
    one.metadata.uid != other.metadata.uid
        && one.metadata.namespace == other.metadata.namespace
        && a.file_system.is_some()
        && a.file_system == b.file_system
        && a.paths.iter().any(|path| b.paths.iter().any(|theirs| overlap(path, theirs)))
}

/// Whether it is shown at its place in the source, where two cannot be.
fn is_in_place(cache: &FsCache) -> bool {
    cache.spec.exposure == Exposure::Transparent
}

fn overlap(a: &str, b: &str) -> bool {
    let inside = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    inside(a, b) || inside(b, a)
}

/// Ready of one that has another's paths: what pods find there is the other's copy, as its Conflict says.
pub fn shared_with(ready: &mut Finding, conflict: &Finding, group: &str) {
    if ready.status != "True" {
        return;
    }
    if ready.reason == ALL_WELL {
        ready.message = format!("all paths are kept for node group {group}, and not all of them are shown");
        ready.reason = "SomePathsTaken";
    }
    ready.message = format!("{}. But {}", ready.message, conflict.message);
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;
    use workspacefs_testkit::builders::object;

    use super::*;

    fn cache(name: &str, second: i64, source: &str, paths: &[&str], target: &str) -> FsCache {
        let created = Timestamp::from_second(second).unwrap().to_string();
        object(json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache",
            "metadata": {"name": name, "uid": name, "creationTimestamp": created},
            "spec": {"source": {"fileSystem": source, "paths": paths}, "target": {"fileSystem": target}},
        }))
    }

    #[test]
    fn of_two_caches_on_one_path_the_one_created_later_says_so() {
        let first = cache("first", 1, "s", &["/a/b", "/x"], "t");
        let group = |cache: &FsCache| cache.spec.target.file_system.clone();
        for (other, told) in [
            (cache("b", 2, "s", &["/a/b"], "t"), true),
            (cache("b", 2, "s", &["/a"], "t"), true),
            (cache("b", 2, "s", &["/a/b/c"], "t"), true),
            (cache("b", 2, "s", &["/a/bc", "/y"], "t"), false),
            (cache("b", 2, "other", &["/a/b"], "t"), false),
            (cache("b", 2, "s", &["/a/b"], "for-another-group"), false),
            (cache("b", 0, "s", &["/a/b"], "t"), false),
            // Of the same second the name decides.
            (cache("a", 1, "s", &["/a/b"], "t"), false),
            (cache("g", 1, "s", &["/a/b"], "t"), true),
        ] {
            let found = of(&other, [&first, &other], group);
            assert_eq!(found.is_some(), told, "{:?}", other.spec);
            assert!(found.is_none_or(|found| found.message.contains("FsCache first")));
        }
        // A claim of its own is in nobody's way.
        let mut claim = first.clone();
        claim.spec.exposure = Exposure::Claim;
        assert!(of(&cache("b", 2, "s", &["/x"], "t"), [&claim], group).is_none());
        claim.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1)));
        assert!(of(&claim, [&cache("b", 2, "s", &["/x"], "t")], group).is_none());
        let mut leaving = first.clone();
        leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(of(&cache("b", 2, "s", &["/x"], "t"), [&leaving], group).is_none());
    }
}
