//! What the conditions of an FsCache say, decided from what was seen. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use workspacefs_api::{CacheCopy, CachedPath, Exposure, FsCache, PathState};

use super::ledger::of_node;
use super::objects::Identity;
use super::runs::{Run, State};
use super::setting::{Setting, Target};
use super::survey::{SOURCE_REPLACED, Survey};
use super::wanted::Wanted;
use crate::child::Child;
use crate::conditions::Finding;
use crate::filesystem::users;
use crate::pair;

/// There is a verified copy.
pub const READY: &str = "Ready";
/// The copies are as new as they should be.
pub const FRESH: &str = "Fresh";
/// The source can be read.
pub const SOURCE_REACHABLE: &str = "SourceReachable";
/// The target can be written.
pub const TARGET_AVAILABLE: &str = "TargetAvailable";
/// Another FsCache has a path already. Said only where that is so.
pub const CONFLICT: &str = "Conflict";

/// Every condition that the operator writes.
pub const OURS: [&str; 5] = [READY, FRESH, SOURCE_REACHABLE, TARGET_AVAILABLE, CONFLICT];

const SOURCE_FAILURES: [&str; 3] = ["SourceUnreachable", "AccessDenied", "NoSuchBucket"];
const TARGET_FAILURES: [&str; 2] = ["TargetUnavailable", "TargetFull"];

/// Of an object that asks for what cannot be.
pub fn invalid(why: &str) -> Finding {
    Finding::new(READY, false, "Invalid", format!("the spec is not valid: {why}"))
}

/// Of one that something keeps from being a cache. That is said by the condition it concerns, and by Ready.
pub fn kept_from(obstacle: Finding) -> Vec<Finding> {
    let ready = Finding { kind: READY, status: "False", ..obstacle.clone() };
    if obstacle.kind == READY { vec![ready] } else { vec![ready, obstacle] }
}

/// Of one whose exposure is Claim: Ready, if pods cannot use its claim for what there is under its name or that of its volume.
pub fn claim(
    cache: &Identity,
    volume: &Child<PersistentVolume>,
    claim: &Child<PersistentVolumeClaim>,
) -> Option<Finding> {
    let obstacle = pair::obstacle("FsCache", (&cache.name, claim), (&cache.volume_name(), volume), "");
    obstacle.map(|(reason, message)| Finding::new(READY, false, reason, message))
}

/// Whether all of what the FsCache keeps is in a copy: nothing less is shown by a claim.
pub fn is_whole(copy: &CacheCopy, paths: &[CachedPath]) -> bool {
    copy.generation.is_some()
        && !copy.whole.is_empty()
        && paths.iter().all(|path| copy.whole.contains(&path.path))
}

/// Of one that is being deleted.
pub fn terminating(message: impl Into<String>) -> Finding {
    Finding::new(READY, false, "Terminating", message)
}

/// All of one that can be a cache, but for conflicts. `claim` is the name of its claim, where its copies are had by that.
pub fn all(
    setting: &Setting,
    survey: &Survey,
    runs: &[Run],
    wanted: &Wanted,
    now: Timestamp,
    claim: Option<&str>,
) -> Vec<Finding> {
    vec![
        ready(setting, survey, runs, claim),
        fresh(&survey.copies, wanted, now),
        reached(SOURCE_REACHABLE, &SOURCE_FAILURES, setting, &survey.copies),
        reached(TARGET_AVAILABLE, &TARGET_FAILURES, setting, &survey.copies),
    ]
}

/// What pods do that get no copy.
fn without_copy(claim: Option<&str>) -> &'static str {
    match claim {
        None => "pods read the source",
        Some(_) => "pods with its claim wait",
    }
}

fn ready(setting: &Setting, survey: &Survey, runs: &[Run], claim: Option<&str>) -> Finding {
    let not = |reason, message| Finding::new(READY, false, reason, message);
    let any = survey.copies.iter().any(|copy| copy.generation.is_some());
    let any_whole = survey.copies.iter().any(|copy| copy.generation.is_some() && !copy.whole.is_empty());
    let without = without_copy(claim);
    if !any {
        return not_yet(setting, survey, runs, without);
    }
    if !any_whole && let Some(copy) = survey.copies.iter().find(|copy| copy.reason == SOURCE_REPLACED) {
        return not(SOURCE_REPLACED, format!("{}. It is copied again; {without} meanwhile", copy.message));
    }
    if !any_whole {
        return not("NothingWhole", format!("no path is whole; {without}: {}", not_whole(&survey.paths)));
    }
    match claim {
        None => ready_in_place(setting.target.group(), survey),
        Some(claim) => ready_by_claim(claim, setting.target.group(), survey),
    }
}

/// Of copies of which one at least has a path that can be shown at its place.
fn ready_in_place(group: &str, survey: &Survey) -> Finding {
    let yes = |reason, message| Finding::new(READY, true, reason, message);
    if let Some(kept) = some_kept(group, survey) {
        let others = not_whole(&survey.paths);
        return yes("SomePathsNotWhole", format!("{kept}; pods read the others from the source: {others}"));
    }
    let wants = survey.copies.len();
    let lacks = survey.copies.iter().filter(|copy| copy.generation.is_none());
    let lacks: Vec<String> = lacks.map(lacking).collect();
    if !lacks.is_empty() {
        let (has, lacks) = (wants - lacks.len(), users::named(&lacks));
        let message = format!("kept on {has} of {wants} nodes. Others' pods read the source: {lacks}");
        return yes("SomeNodesNotFilled", message);
    }
    let message = format!(
        "all paths are kept for node group {group}: pods that start there from now on find them at their places"
    );
    yes("Ready", message)
}

/// Of copies that are had by a claim: all of it or nothing.
fn ready_by_claim(claim: &str, group: &str, survey: &Survey) -> Finding {
    let (wants, paths) = (survey.copies.len(), &survey.paths);
    let has = survey.copies.iter().filter(|copy| is_whole(copy, paths)).count();
    if has == 0 {
        let message = match some_kept(group, survey) {
            Some(kept) => format!("{kept}; pods with its claim wait for the others: {}", not_whole(paths)),
            None => "no copy has all paths yet; pods with its claim wait".into(),
        };
        return Finding::new(READY, false, "NothingWhole", message);
    }
    let mut mounted = format!("pods of node group {group} mount it with claimName: {claim}");
    if has < wants {
        return Finding::new(
            READY,
            true,
            "SomeNodesNotFilled",
            format!("{mounted}, on {has} of {wants} nodes so far"),
        );
    }
    // What a bucket has beside its files.
    for remark in paths.iter().map(|path| &path.message).filter(|remark| !remark.is_empty()) {
        mounted = format!("{mounted}. {remark}");
    }
    Finding::new(READY, true, "Ready", mounted)
}

/// How many paths are kept, where that is not all.
fn some_kept(group: &str, survey: &Survey) -> Option<String> {
    let all = survey.paths.len();
    let whole = survey.paths.iter().filter(|path| path.state == PathState::Whole).count();
    (whole < all).then(|| format!("{whole} of {all} paths are kept for node group {group}"))
}

fn lacking(copy: &CacheCopy) -> String {
    if copy.reason.is_empty() {
        copy.node.clone()
    } else {
        format!("{} ({}: {})", copy.node, copy.reason, copy.message)
    }
}

/// Ready, before there is any copy.
fn not_yet(setting: &Setting, survey: &Survey, runs: &[Run], without: &str) -> Finding {
    let not = |reason, message| Finding::new(READY, false, reason, message);
    let waits = runs.iter().find_map(|run| match &run.state {
        State::Running(mover) if !mover.waits.is_empty() => Some(&mover.waits),
        _ => None,
    });
    if let Some(failed) = survey.copies.iter().find(|copy| copy.failures > 0) {
        let (node, why) = (of_node(&failed.node), &failed.message);
        let message = format!("{node}{why}. It is tried again; {without} meanwhile");
        return not(known(&failed.reason), message);
    }
    match (waits, &setting.target) {
        (Some(waits), _) => not("MoverWaits", format!("the mover's {waits}")),
        (None, Target::LocalStorage { name, .. }) if survey.copies.is_empty() => not(
            "NoNodes",
            format!("no node has LocalStorage {name} ready; the first copy is made when one has"),
        ),
        _ => not("Filling", format!("the first copy is being made; {without} meanwhile")),
    }
}

/// The reasons that a copy can have, as conditions have them.
fn known(reason: &str) -> &'static str {
    let all =
        SOURCE_FAILURES.iter().chain(&TARGET_FAILURES).chain(&["NothingWhole", "Interrupted", "Damaged"]);
    all.copied().find(|known| *known == reason).unwrap_or("MoverFailed")
}

fn not_whole(paths: &[CachedPath]) -> String {
    let those = paths.iter().filter(|path| path.state != PathState::Whole);
    let said: Vec<String> = those
        .map(|path| {
            let because = if path.message.is_empty() { String::new() } else { format!(", {}", path.message) };
            format!("{} ({:?}{because})", path.path, path.state)
        })
        .collect();
    users::named(&said)
}

fn fresh(copies: &[CacheCopy], wanted: &Wanted, now: Timestamp) -> Finding {
    let shown: Vec<&CacheCopy> = copies.iter().filter(|copy| copy.generation.is_some()).collect();
    if shown.is_empty() {
        return Finding::unknown(FRESH, "NoCopy", "there is no copy yet");
    }
    let stale = shown.iter().filter(|copy| stale_at(copy, wanted).is_some_and(|at| at <= now));
    let stale: Vec<String> = stale.map(|copy| copy.node.clone()).collect();
    if !stale.is_empty() {
        let which = if shown.len() == 1 {
            "the copy is".into()
        } else {
            format!("copies are ({})", users::named(&stale))
        };
        let message = format!("{which} older than maxAge: new pods read the source until the next refresh");
        return Finding::new(FRESH, false, "Stale", message);
    }
    if let Some(copy) = shown.iter().find(|copy| copy.failures > 0) {
        let message =
            format!("{}the last refresh failed: {}. It is tried again", of_node(&copy.node), copy.message);
        return Finding::new(FRESH, false, "RefreshFailed", message);
    }
    Finding::new(
        FRESH,
        true,
        "Refreshed",
        "the last refresh succeeded; status.asOf says as of when the copies are",
    )
}

/// When a copy becomes too old for new pods.
pub fn stale_at(copy: &CacheCopy, wanted: &Wanted) -> Option<Timestamp> {
    copy.generation?;
    copy.as_of.as_ref()?.0.checked_add(wanted.max_age?).ok()
}

/// SourceReachable and TargetAvailable: what the FileSystem says of itself, else what movers met.
fn reached(
    kind: &'static str,
    failures: &[&'static str],
    setting: &Setting,
    copies: &[CacheCopy],
) -> Finding {
    if let Some(doubt) = setting.doubts.iter().find(|doubt| doubt.kind == kind) {
        return doubt.clone();
    }
    for copy in copies.iter().filter(|copy| copy.failures > 0) {
        if let Some(reason) = failures.iter().find(|reason| **reason == copy.reason) {
            return Finding::new(kind, false, reason, format!("{}{}", of_node(&copy.node), copy.message));
        }
    }
    Finding::new(kind, true, "Available", "nothing is known against it")
}

/// Conflict, where another FsCache that was created first keeps one of its paths, one around it or one inside it, for
/// pods of the same node group. `group` says whose an FsCache's is.
pub fn conflict<'a>(
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

#[cfg(test)]
mod tests {
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
            let found = conflict(&other, [&first, &other], group);
            assert_eq!(found.is_some(), told, "{:?}", other.spec);
            assert!(found.is_none_or(|found| found.message.contains("FsCache first")));
        }
        // A claim of its own is in nobody's way.
        let mut claim = first.clone();
        claim.spec.exposure = Exposure::Claim;
        assert!(conflict(&cache("b", 2, "s", &["/x"], "t"), [&claim], group).is_none());
        claim.metadata.creation_timestamp =
            Some(Time(Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(1)));
        assert!(conflict(&claim, [&cache("b", 2, "s", &["/x"], "t")], group).is_none());
        let mut leaving = first.clone();
        leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(conflict(&cache("b", 2, "s", &["/x"], "t"), [&leaving], group).is_none());
    }
}
